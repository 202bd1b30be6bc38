"""Losses from logits, with the gradient by the logits.

Every loss is the mean over the rows weighted by `sample_weight`, sum(w * l) / sum(w), and 0 where
the weights sum to 0. A row of weight 0 counts for nothing, whatever its logits are.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_real_array, as_result, as_weight, floating_dtype
from ..engine import calls
from ..kernels import loss_table

__all__ = ["binary_cross_entropy", "mean_squared_error", "softmax_cross_entropy"]


def _check_values(name: str, values: NDArray, low: float, high: float, expected: str) -> None:
    row = calls.outside(values, low, high)
    if row >= 0:
        raise ValueError(f"{name}: expected {expected}, got {values[row]} in row {row}")


def _check_labels(name: str, labels: NDArray, classes: int) -> None:
    row = calls.bad_label(labels, classes)
    if row >= 0:
        raise ValueError(f"{name}: expected class numbers from 0 to {classes - 1}, "
                         f"got {labels[row]} in row {row}")


def _logits(logits: ArrayLike) -> NDArray:
    logits = as_real_array("logits", logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError("logits: expected shape (n, out) with at least one column, "
                         f"got shape {logits.shape}")
    return logits


def _dense_target(target: NDArray, shape: tuple[int, ...]) -> NDArray:
    """The target as a matrix of the given shape; (n,) serves where there is one column."""
    if target.shape == shape[:1] and shape[1] == 1:
        return target[:, None]
    if target.shape != shape:
        also = f" or ({shape[0]},)" if shape[1] == 1 else ""
        raise ValueError(f"target: expected shape {shape}{also}, got shape {target.shape}")
    return target


def _run(kind: int | None, logits: NDArray, target: NDArray, sample_weight: ArrayLike | None,
         out: NDArray | None) -> tuple[float, NDArray]:
    weight = as_weight(sample_weight, len(logits))
    inputs = {"logits": logits, "target": target}
    if weight is not None:
        inputs["sample_weight"] = weight
        _check_values("sample_weight", weight, 0.0, sys.float_info.max,
                      "finite numbers of at least 0")
    out = as_result("out", out, logits.shape, floating_dtype(logits), inputs, "logits")
    return calls.loss(kind, out, logits, target, weight), out


def _pointwise(name: str, logits: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None,
               out: NDArray | None, low: float, high: float,
               expected: str) -> tuple[float, NDArray]:
    logits = _logits(logits)
    target = _dense_target(as_real_array("target", target), logits.shape)
    _check_values("target", target, low, high, expected)
    return _run(loss_table()[name]["kind"], logits, target, sample_weight, out)


def mean_squared_error(logits: ArrayLike, target: ArrayLike,
                       sample_weight: ArrayLike | None = None, *,
                       out: NDArray | None = None) -> tuple[float, NDArray]:
    """Mean squared error, (z - t)**2 averaged over columns and rows.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The network's values z.
    target : array_like, shape (n, out), or (n,) where out is 1
        Wanted values t.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    out : ndarray, optional
        Where the gradient goes; it may be `logits`.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> mean_squared_error([[3.0, 1.0]], [[1.0, 1.0]])
    (2.0, array([[2., 0.]]))
    """
    return _pointwise("mean_squared_error", logits, target, sample_weight, out, -np.inf, np.inf,
                      "numbers that are not NaN")


def binary_cross_entropy(logits: ArrayLike, target: ArrayLike,
                         sample_weight: ArrayLike | None = None, *,
                         out: NDArray | None = None) -> tuple[float, NDArray]:
    """Binary cross-entropy of sigmoid(z), averaged over columns and rows.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the sigmoid.
    target : array_like, shape (n, out), or (n,) where out is 1
        Probabilities t wanted, usually 0 or 1.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    out : ndarray, optional
        Where the gradient goes; it may be `logits`.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> loss, grad_logits = binary_cross_entropy([[0.0]], [[1.0]])
    >>> round(loss, 6), grad_logits
    (0.693147, array([[-0.5]]))
    """
    return _pointwise("binary_cross_entropy", logits, target, sample_weight, out, 0.0, 1.0,
                      "values from 0 to 1")


def softmax_cross_entropy(logits: ArrayLike, target: ArrayLike,
                          sample_weight: ArrayLike | None = None, *,
                          out: NDArray | None = None) -> tuple[float, NDArray]:
    """Cross-entropy of softmax(z): the sum of t * (log(sum(exp(z))) - z) over a row.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the softmax.
    target : array_like, shape (n,) of integers, or (n, out)
        The class of each row, or a finite weight t >= 0 for every class (one-hot or soft; it
        need not sum to 1).
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    out : ndarray, optional
        Where the gradient goes; it may be `logits`.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> loss, grad_logits = softmax_cross_entropy([[0.0, 0.0]], [1])
    >>> round(loss, 6), grad_logits
    (0.693147, array([[ 0.5, -0.5]]))
    """
    logits = _logits(logits)
    target = as_real_array("target", target)
    if target.shape not in (logits.shape, logits.shape[:1]):
        raise ValueError(f"target: expected shape {logits.shape[:1]} or {logits.shape}, "
                         f"got shape {target.shape}")
    if target.ndim == 1:
        _check_labels("target", target, logits.shape[1])
    else:
        _check_values("target", target, 0.0, sys.float_info.max, "finite numbers of at least 0")
    return _run(None, logits, target, sample_weight, out)
