"""Activations: those of the kernels' table, softmax, and the exponential function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: F401 (the examples use it)
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_real_array, as_result, floating_dtype
from ..checks import as_number
from ..engine import calls
from ..kernels import activation_table
from ..layers.basic import PARAMETER_BOUNDS

_FORWARD = """Activation {activation}, element by element, as `cymlp.reference.{activation}`.

Parameters
----------
x : array_like
    Any shape.{parameter}
out : ndarray, optional
    Where the result goes; it may be `x`.

Returns
-------
ndarray
    Same shape; float32 where `x` is, otherwise float64.

Examples
--------
>>> from cymlp import ops, reference
>>> x = np.array([-1.0, 0.0, 2.0])
>>> np.allclose(ops.{activation}(x), reference.{activation}(x))
True
"""

_BACKWARD = """Gradient of `{activation}`, as `cymlp.reference.{activation}_backward`.

Parameters
----------
grad_output : array_like
    Gradient by the activation's output.
saved : array_like
    The {saves} of the forward pass, of the same shape.{parameter}
out : ndarray, optional
    Where the result goes; it may be `grad_output`.

Returns
-------
ndarray
    Gradient by the input; float32 where both arrays are, otherwise float64.

Examples
--------
>>> from cymlp import ops, reference
>>> grad_output, saved = np.array([1.0, 2.0, 3.0]), np.array([0.25, 0.5, 0.75])
>>> np.allclose(ops.{activation}_backward(grad_output, saved),
...             reference.{activation}_backward(grad_output, saved))
True
"""

_PARAMETER = """
{name} : float
    As in the specification of a layer."""


def _run_forward(kind: int, x: ArrayLike, parameter: float, out: Any) -> NDArray:
    if not calls.fit_together(out, x):
        x = as_real_array("x", x)
        out = as_result("out", out, x.shape, floating_dtype(x), {"x": x}, "x")
    calls.activation_forward(kind, out, x, parameter)
    return out


def _pair(grad_output: ArrayLike, saved: ArrayLike, out: Any) -> tuple[NDArray, NDArray, NDArray]:
    """The arrays of a backward pass: those given, and the one for the result."""
    if calls.fit_together(out, grad_output, saved):
        return grad_output, saved, out
    grad_output = as_real_array("grad_output", grad_output)
    saved = as_real_array("saved", saved)
    if saved.shape != grad_output.shape:
        raise ValueError(f"saved: expected shape {grad_output.shape}, as grad_output has, "
                         f"got shape {saved.shape}")
    out = as_result("out", out, grad_output.shape, floating_dtype(grad_output, saved),
                    {"grad_output": grad_output, "saved": saved}, "grad_output")
    return grad_output, saved, out


def _run_backward(kind: int, grad_output: ArrayLike, saved: ArrayLike, parameter: float,
                  out: Any) -> NDArray:
    grad_output, saved, out = _pair(grad_output, saved, out)
    calls.activation_backward(kind, out, grad_output, saved, parameter)
    return out


def _forward_function(kind: int, label: str, default: float) -> Callable[..., NDArray]:
    def forward(x, *, out=None):
        return _run_forward(kind, x, 0.0, out)

    def forward_with(x, parameter=default, *, out=None):
        return _run_forward(kind, x, as_number(label, parameter, **PARAMETER_BOUNDS[label]), out)

    return forward_with if label else forward


def _backward_function(kind: int, label: str, default: float) -> Callable[..., NDArray]:
    def backward(grad_output, saved, *, out=None):
        return _run_backward(kind, grad_output, saved, 0.0, out)

    def backward_with(grad_output, saved, parameter=default, *, out=None):
        parameter = as_number(label, parameter, **PARAMETER_BOUNDS[label])
        return _run_backward(kind, grad_output, saved, parameter, out)

    return backward_with if label else backward


def _publish(function: Any, name: str, label: str, text: str, **words: str) -> None:
    """Give a function its name, the name of its parameter and its description."""
    code = function.__code__
    function.__code__ = code.replace(
        co_name=name, co_qualname=name,
        co_varnames=tuple(label if v == "parameter" else v for v in code.co_varnames))
    function.__name__ = function.__qualname__ = name
    parameter = _PARAMETER.format(name=label) if label else ""
    function.__doc__ = text.format(parameter=parameter, **words)
    globals()[name] = function
    __all__.append(name)


__all__ = ["exp", "log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]

for _row in activation_table().values():
    _name, _label = _row["name"], _row["parameter"]
    _of_row = (_row["kind"], _label, _row["default"])
    _publish(_forward_function(*_of_row), _name, _label, _FORWARD, activation=_name)
    _publish(_backward_function(*_of_row), f"{_name}_backward", _label, _BACKWARD,
             activation=_name, saves=_row["saves"])


def exp(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Exponential function within 1 ULP, that of the kernels.

    Parameters
    ----------
    x : array_like
        Any shape.
    out : ndarray, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    ndarray
        Same shape; float32 where `x` is, otherwise float64.

    Examples
    --------
    >>> exp([0.0, 1.0, -np.inf])
    array([1.        , 2.71828183, 0.        ])
    """
    if not calls.fit_together(out, x):
        x = as_real_array("x", x)
        out = as_result("out", out, x.shape, floating_dtype(x), {"x": x}, "x")
    calls.exp(out, x)
    return out


def _check_rows(name: str, array: NDArray) -> None:
    if array.ndim == 0:
        raise ValueError(f"{name}: expected rows along a last axis, got shape ()")


def softmax(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Softmax of every row, exp(x) / sum(exp(x)).

    Parameters
    ----------
    x : array_like
        At least one dimension; a row runs along the last axis.
    out : ndarray, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    ndarray
        Same shape; float32 where `x` is, otherwise float64.

    Examples
    --------
    >>> softmax([[0, 0], [1000, 0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    x = as_real_array("x", x)
    _check_rows("x", x)
    out = as_result("out", out, x.shape, floating_dtype(x), {"x": x}, "x")
    calls.softmax(False, out, x)
    return out


def softmax_backward(grad_output: ArrayLike, saved: ArrayLike, *,
                     out: NDArray | None = None) -> NDArray:
    """Gradient of `softmax` from its output y: y * (grad_output - sum(grad_output * y)).

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output; a row runs along the last axis.
    saved : array_like
        Output of the forward pass, of the same shape.
    out : ndarray, optional
        Where the result goes; it may be `grad_output`.

    Returns
    -------
    ndarray
        Gradient by the input; float32 where both arrays are, otherwise float64.

    Examples
    --------
    >>> softmax_backward([[1.0, 0.0]], saved=[[0.5, 0.5]])
    array([[ 0.25, -0.25]])
    """
    grad_output, saved, out = _pair(grad_output, saved, out)
    _check_rows("grad_output", grad_output)
    calls.softmax_backward(False, out, grad_output, saved)
    return out


def log_softmax(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Logarithm of the softmax of every row, x - log(sum(exp(x))).

    Parameters
    ----------
    x : array_like
        At least one dimension; a row runs along the last axis.
    out : ndarray, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    ndarray
        Same shape; float32 where `x` is, otherwise float64.

    Examples
    --------
    >>> log_softmax([[0.0, 1000.0]])
    array([[-1000.,     0.]])
    """
    x = as_real_array("x", x)
    _check_rows("x", x)
    out = as_result("out", out, x.shape, floating_dtype(x), {"x": x}, "x")
    calls.softmax(True, out, x)
    return out


def log_softmax_backward(grad_output: ArrayLike, saved: ArrayLike, *,
                         out: NDArray | None = None) -> NDArray:
    """Gradient of `log_softmax` from its output y: grad_output - exp(y) * sum(grad_output).

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output; a row runs along the last axis.
    saved : array_like
        Output of the forward pass, of the same shape.
    out : ndarray, optional
        Where the result goes; it may be `grad_output`.

    Returns
    -------
    ndarray
        Gradient by the input; float32 where both arrays are, otherwise float64.

    Examples
    --------
    >>> log_softmax_backward([[1.0, 0.0]], saved=np.log([[0.5, 0.5]]))
    array([[ 0.5, -0.5]])
    """
    grad_output, saved, out = _pair(grad_output, saved, out)
    _check_rows("grad_output", grad_output)
    calls.softmax_backward(True, out, grad_output, saved)
    return out
