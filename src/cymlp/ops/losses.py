"""Losses from logits, with the gradient by the logits.

Every loss is the mean over the rows weighted by `sample_weight`, sum(w * l) / sum(w), and 0 where
the weights sum to 0. A row of weight 0 counts for nothing, whatever its logits are.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_real_array, as_result, as_weight, floating_dtype
from ..checks import as_number
from ..engine import calls
from ..engine.checking import values_text
from ..kernels import loss_table

__all__ = ["kullback_leibler", "softmax_cross_entropy"]

_POINTWISE = """Loss {loss}, as `cymlp.reference.{loss}`.

Parameters
----------
logits : array_like, shape (n, out)
    The network's values z{activation}.
target : array_like, shape {shape}
    What is wanted: {values}.
sample_weight : array_like, shape (n,), optional
    Weight of each row; left out: all ones.{parameters}
out : ndarray, optional
    Where the gradient goes; it may be `logits`.

Returns
-------
loss : float
    Weighted mean over the rows of the mean over the targets.
grad_logits : ndarray, shape (n, out)
    Its gradient.

Examples
--------
>>> from cymlp import ops, reference
>>> logits, target = np.array([[0.5, -2.0]]), np.array([[1.0{second}]])
>>> bool(np.isclose(ops.{loss}(logits, target)[0], reference.{loss}(logits, target)[0]))
True
"""

_PARAMETER = """
{name} : float or array_like of shape (out,)
    As in the specification of the loss: one number, or one for each output."""


def _check_values(name: str, values: NDArray, low: float, high: float, expected: str = "",
                  whole: bool = False) -> None:
    row = calls.outside(values, low, high, whole)
    if row >= 0:
        raise ValueError(f"{name}: expected {expected or values_text(low, high, whole)}, "
                         f"got {values[row]} in row {row}")


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


def _run(kind: int | str, logits: NDArray, target: NDArray, sample_weight: ArrayLike | None,
         out: NDArray | None, parameters: list[NDArray] | None = None, smoothing: float = 0.0,
         values: int = 1) -> tuple[float, NDArray]:
    weight = as_weight(sample_weight, len(logits))
    inputs = {"logits": logits, "target": target}
    if weight is not None:
        inputs["sample_weight"] = weight
        _check_values("sample_weight", weight, 0.0, sys.float_info.max,
                      "finite numbers of at least 0")
    dtype = floating_dtype(logits)
    out = as_result("out", out, logits.shape, dtype, inputs, "logits")
    settings = None if not parameters else np.ascontiguousarray(parameters, dtype)
    return calls.loss(kind, out, logits, target, weight, settings, smoothing, values), out


def _pointwise(row: dict[str, Any], logits: ArrayLike, target: ArrayLike,
               sample_weight: ArrayLike | None, out: NDArray | None,
               settings: dict[str, ArrayLike]) -> tuple[float, NDArray]:
    logits = _logits(logits)
    rows, columns = logits.shape
    if columns % row["outputs"]:
        raise ValueError(f"logits: expected {row['outputs']} columns for each target, "
                         f"got shape {logits.shape}")
    values = columns // row["outputs"]
    target = _dense_target(as_real_array("target", target), (rows, values))
    _check_values("target", target, *row["limits"][:2], whole=row["limits"][2])
    parameters = [_parameter(name, settings.get(name, default), values)
                  for name, default in row["parameters"].items()]
    if values != columns:       # the walk over the arrays wants them to be of one shape
        target = np.tile(target, row["outputs"])
    return _run(row["kind"], logits, target, sample_weight, out, parameters, values=values)


def _parameter(name: str, value: ArrayLike, columns: int) -> NDArray:
    """A number for every output."""
    array = as_real_array(name, value)
    if array.shape not in ((), (columns,)):
        raise ValueError(f"{name}: expected one number or shape ({columns},), "
                         f"got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got {array}")
    return np.broadcast_to(array, columns)


def _loss_function(row: dict[str, Any]) -> Callable[..., tuple[float, NDArray]]:
    """The function of a row of the table; its parameters go by name."""
    Argument = inspect.Parameter
    arguments = [Argument("logits", Argument.POSITIONAL_OR_KEYWORD),
                 Argument("target", Argument.POSITIONAL_OR_KEYWORD),
                 Argument("sample_weight", Argument.POSITIONAL_OR_KEYWORD, default=None)]
    arguments += [Argument(name, Argument.KEYWORD_ONLY, default=default)
                  for name, default in {**row["parameters"], "out": None}.items()]

    def loss(logits, target, sample_weight=None, *, out=None, **settings):
        for name in settings:
            if name not in row["parameters"]:
                raise TypeError(f"{row['name']}() got an unexpected keyword argument {name!r}")
        return _pointwise(row, logits, target, sample_weight, out, settings)

    loss.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    loss.__name__ = loss.__qualname__ = row["name"]
    loss.__doc__ = _POINTWISE.format(
        loss=row["name"], values=values_text(*row["limits"]),
        shape=f"(n, out{' // 2' * (row['outputs'] - 1)}), or (n,) where that is 1",
        activation="" if row["output_activation"] == "identity"
        else f" before the output activation, {row['output_activation']}",
        second=", 0.0" if row["outputs"] == 1 else "",
        parameters="".join(_PARAMETER.format(name=name) for name in row["parameters"]))
    return loss


for _row in loss_table().values():
    globals()[_row["name"]] = _loss_function(_row)
    __all__.append(_row["name"])


def softmax_cross_entropy(logits: ArrayLike, target: ArrayLike,
                          sample_weight: ArrayLike | None = None, *,
                          class_weight: ArrayLike | None = None, label_smoothing: float = 0.0,
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
    class_weight : array_like, shape (out,), optional
        A weight of at least 0 for the terms of each class. With labels the mean is that of the
        rows by the weights of their labels, too.
    label_smoothing : float
        Share of the target, from 0 to 1, that is spread evenly over all classes.
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
    smoothing = as_number("label_smoothing", label_smoothing, least=0.0, most=1.0)
    weights = None
    if class_weight is not None or smoothing:
        weights = _parameter("class_weight", 1.0 if class_weight is None else class_weight,
                             logits.shape[1])
        _check_values("class_weight", weights, 0.0, sys.float_info.max,
                      "finite numbers of at least 0")
    return _run("softmax_cross_entropy", logits, target, sample_weight, out,
                None if weights is None else [weights], smoothing)


def kullback_leibler(logits: ArrayLike, target: ArrayLike,
                     sample_weight: ArrayLike | None = None, *,
                     out: NDArray | None = None) -> tuple[float, NDArray]:
    """Divergence of softmax(z) from t: the sum of t * log(t / softmax(z)) over a row.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the softmax.
    target : array_like, shape (n, out)
        Probabilities t wanted, finite numbers of at least 0; there is no term where t is 0.
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
    >>> loss, grad_logits = kullback_leibler([[0.0, 0.0]], [[0.0, 1.0]])
    >>> round(loss, 6), grad_logits
    (0.693147, array([[ 0.5, -0.5]]))
    """
    logits = _logits(logits)
    target = _dense_target(as_real_array("target", target), logits.shape)
    _check_values("target", target, 0.0, sys.float_info.max, "finite numbers of at least 0")
    return _run("kullback_leibler", logits, target, sample_weight, out)
