"""The dense layer: an affine map of every row, and its gradients."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..arrays import as_real_array, as_result, check_apart, floating_dtype
from ..engine import dense_calls

__all__ = ["dense_backward", "dense_forward"]


def _matrix(name: str, value: ArrayLike, shape: tuple[int | None, int | None]) -> NDArray:
    """A matrix; None in its shape is any size."""
    array = as_real_array(name, value)
    if array.ndim != 2 or any(size not in (None, got)
                              for size, got in zip(shape, array.shape, strict=True)):
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: expected shape ({sizes}), got shape {array.shape}")
    return array


def dense_forward(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *,
                  out: NDArray | None = None) -> NDArray:
    """Affine map y = x @ weight + bias.

    Parameters
    ----------
    x : array_like, shape (n, in)
        A row for each sample.
    weight : array_like, shape (in, out)
        Weights.
    bias : array_like, shape (out,), optional
        Left out: zero.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray, shape (n, out)
        float32 where all arrays are, otherwise float64. Every element is a chain of fused
        multiply-adds, cut into blocks of 512 inputs.

    Examples
    --------
    >>> dense_forward([[1, 2]], [[1, 0, 3], [0, 1, 4]], [10, 20, 30])
    array([[11., 22., 41.]])
    """
    x = _matrix("x", x, (None, None))
    weight = _matrix("weight", weight, (x.shape[1], None))
    inputs = {"x": x, "weight": weight}
    if bias is not None:
        bias = inputs["bias"] = as_real_array("bias", bias)
        if bias.shape != weight.shape[1:]:
            raise ValueError(f"bias: expected shape {weight.shape[1:]}, one number for each "
                             f"column of weight, got shape {bias.shape}")
    shape = (x.shape[0], weight.shape[1])
    out = as_result("out", out, shape, floating_dtype(*inputs.values()), inputs)
    dense_calls.dense_forward(out, x, weight, bias)
    return out


def dense_backward(grad_output: ArrayLike, x: ArrayLike, weight: ArrayLike, *,
                   out: Any = None) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients of `dense_forward`.

    Parameters
    ----------
    grad_output : array_like, shape (n, out)
        Gradient of the loss by the output.
    x : array_like, shape (n, in)
        Input of the forward pass.
    weight : array_like, shape (in, out)
        Weights of the forward pass.
    out : tuple of three ndarrays, optional
        Where the results go.

    Returns
    -------
    grad_x : ndarray, shape (n, in)
        ``grad_output @ weight.T``
    grad_weight : ndarray, shape (in, out)
        ``x.T @ grad_output``
    grad_bias : ndarray, shape (out,)
        The sum of `grad_output` over the rows.

    Examples
    --------
    >>> grad_x, grad_weight, grad_bias = dense_backward([[1, 2]], [[3]], [[4, 5]])
    >>> grad_x
    array([[14.]])
    >>> grad_weight
    array([[3., 6.]])
    >>> grad_bias
    array([1., 2.])
    """
    x = _matrix("x", x, (None, None))
    weight = _matrix("weight", weight, (x.shape[1], None))
    grad_output = _matrix("grad_output", grad_output, (x.shape[0], weight.shape[1]))
    if out is None:
        out = (None, None, None)
    elif not isinstance(out, tuple) or len(out) != 3:
        raise TypeError("out: expected a tuple of three arrays (grad_x, grad_weight, grad_bias), "
                        f"got {type(out).__name__}")
    inputs = {"grad_output": grad_output, "x": x, "weight": weight}
    dtype = floating_dtype(grad_output, x, weight)
    grad_x = as_result("out[0]", out[0], x.shape, dtype, inputs)
    grad_weight = as_result("out[1]", out[1], weight.shape, dtype, inputs)
    grad_bias = as_result("out[2]", out[2], weight.shape[1:], dtype, inputs)
    check_apart("out[1]", grad_weight, {"out[0]": grad_x})
    check_apart("out[2]", grad_bias, {"out[0]": grad_x, "out[1]": grad_weight})
    dense_calls.dense_backward(grad_x, grad_weight, grad_bias, grad_output, x, weight)
    return grad_x, grad_weight, grad_bias
