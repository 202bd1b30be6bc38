"""Random numbers by counter: dropout masks and permutations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_real_array, as_result, floating_dtype
from ..checks import as_integer, as_number
from ..engine import calls

__all__ = ["dropout", "permutation"]

_LARGEST = {"key": 2**64 - 1, "layer": 2**31 - 1}


def _count(name: str, value: int) -> int:
    return as_integer(name, value, least=0, most=_LARGEST.get(name, 2**63 - 1))


def dropout(x: ArrayLike, rate: float, *, key: int, step: int, layer: int = 0, first_row: int = 0,
            out: NDArray | None = None) -> NDArray:
    """Zero elements with probability `rate` and divide the others by 1 - rate.

    Which elements fall depends on (key, step, layer, row, column) alone. The same call on the
    gradient is the backward pass.

    Parameters
    ----------
    x : array_like, shape (n, cols)
        Values, or gradients.
    rate : float
        Probability of dropping, at least 0 and less than 1.
    key : int
        64-bit key of the generator.
    step, layer : int
        Number of the training step and of the dropout layer.
    first_row : int
        Number of the first row within the batch.
    out : ndarray, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    ndarray, shape (n, cols)
        With zeros in the place of dropped elements; float32 where `x` is, otherwise float64.

    Examples
    --------
    >>> dropout([[1, 1, 1, 1, 1, 1]], 0.5, key=0, step=1)
    array([[0., 2., 0., 0., 2., 0.]])
    """
    x = as_real_array("x", x)
    if x.ndim != 2:
        raise ValueError(f"x: expected shape (n, cols), got shape {x.shape}")
    rate = as_number("rate", rate, least=0.0, below=1.0)
    key, step = _count("key", key), _count("step", step)
    layer, first_row = _count("layer", layer), _count("first_row", first_row)
    out = as_result("out", out, x.shape, floating_dtype(x), {"x": x}, "x")
    calls.dropout(out, x, rate, key, step, layer, first_row)
    return out


def permutation(n: int, *, key: int, epoch: int, out: NDArray | None = None) -> NDArray:
    """Random order of 0 ... n - 1, by Fisher and Yates' shuffle.

    Parameters
    ----------
    n : int
        How many.
    key : int
        64-bit key of the generator.
    epoch : int
        Another epoch has another order.
    out : ndarray of int64, shape (n,), optional
        Where the result goes.

    Returns
    -------
    ndarray of int64, shape (n,)
        The order.

    Examples
    --------
    >>> permutation(6, key=1, epoch=0)
    array([1, 4, 5, 3, 2, 0])
    """
    n, key, epoch = _count("n", n), _count("key", key), _count("epoch", epoch)
    out = as_result("out", out, (n,), np.dtype(np.int64), {})
    calls.permutation(out, key, epoch)
    return out
