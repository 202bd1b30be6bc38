"""Metrics of each row of the logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_real_array, as_result, floating_dtype
from ..engine import calls
from .losses import _check_labels, _dense_target, _logits

__all__ = ["absolute_error", "correct_binary", "correct_dense", "correct_labels"]


def _run(name: str, logits: NDArray, target: NDArray, target_name: str,
         out: NDArray | None) -> NDArray:
    out = as_result("out", out, logits.shape[:1], np.dtype(np.float64),
                    {"logits": logits, target_name: target})
    dtype = int(floating_dtype(logits) == np.float64)
    calls.row_metric(calls.METRICS[name], out, logits, target, dtype)
    return out


def _dense(name: str, logits: ArrayLike, target: ArrayLike, out: NDArray | None) -> NDArray:
    logits = _logits(logits)
    target = _dense_target(as_real_array("target", target), logits.shape)
    return _run(name, logits, target, "target", out)


def correct_labels(logits: ArrayLike, label: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Whether the first largest logit of a row is that of its label.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values before the softmax, or after it.
    label : array_like, shape (n,) of integers
        The class of each row.
    out : ndarray of float64, shape (n,), optional
        Where the result goes.

    Returns
    -------
    ndarray of float64, shape (n,)
        1.0 or 0.0; 0.0 for a row with a NaN.

    Examples
    --------
    >>> correct_labels([[1, 2], [1, 1], [np.nan, 1]], [1, 1, 0])
    array([1., 0., 0.])
    """
    logits = _logits(logits)
    label = as_real_array("label", label)
    if label.shape != logits.shape[:1]:
        raise ValueError(f"label: expected shape {logits.shape[:1]}, one class for each row of "
                         f"logits, got shape {label.shape}")
    _check_labels("label", label, logits.shape[1])
    return _run("correct_labels", logits, label, "label", out)


def correct_dense(logits: ArrayLike, target: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Whether the first largest logit of a row stands where its target is largest.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values before the softmax, or after it.
    target : array_like, shape (n, out), or (n,) where out is 1
        One-hot or soft labels.
    out : ndarray of float64, shape (n,), optional
        Where the result goes.

    Returns
    -------
    ndarray of float64, shape (n,)
        1.0 or 0.0; 0.0 for a row with a NaN logit.

    Examples
    --------
    >>> correct_dense([[1, 2], [2, 1]], [[0, 1], [0.25, 0.75]])
    array([1., 0.])
    """
    return _dense("correct_dense", logits, target, out)


def correct_binary(logits: ArrayLike, target: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Whether every column of a row is decided rightly: (z > 0) == (t > 0.5).

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the sigmoid.
    target : array_like, shape (n, out), or (n,) where out is 1
        Labels t, 0 or 1.
    out : ndarray of float64, shape (n,), optional
        Where the result goes.

    Returns
    -------
    ndarray of float64, shape (n,)
        1.0 or 0.0; 0.0 for a row with a NaN logit.

    Examples
    --------
    >>> correct_binary([[2, -3], [2, 3]], [[1, 0], [1, 0]])
    array([1., 0.])
    """
    return _dense("correct_binary", logits, target, out)


def absolute_error(logits: ArrayLike, target: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Mean of abs(z - t) over the columns of each row.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The network's values z.
    target : array_like, shape (n, out), or (n,) where out is 1
        Wanted values t.
    out : ndarray of float64, shape (n,), optional
        Where the result goes.

    Returns
    -------
    ndarray of float64, shape (n,)
        A mean for each row.

    Examples
    --------
    >>> absolute_error([[3, 1], [0, 0]], [[1, 1], [1, 2]])
    array([1. , 1.5])
    """
    return _dense("absolute_error", logits, target, out)
