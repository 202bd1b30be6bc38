"""Checks of arrays that come from outside: kind and shape, before anything is changed.

Values (labels in range, no NaN in targets) are looked at by the engine, in native code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .losses import CategoricalCrossEntropy, MeanSquaredError

__all__ = ["as_input", "as_output", "as_real_array", "as_target", "as_weight"]


def as_real_array(name: str, value: Any) -> np.ndarray:
    """The value as an array of real numbers, of any real dtype and order; arrays are not copied."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: expected an array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected an array of real numbers, got dtype {array.dtype}")
    return array


def as_input(value: Any, in_features: int, name: str = "X", *, least: int = 0) -> np.ndarray:
    """Rows of `in_features` numbers, at least `least` of them."""
    array = as_real_array(name, value)
    if array.ndim != 2 or array.shape[1] != in_features:
        raise ValueError(f"{name}: expected an array of shape (n, {in_features}), "
                         f"got shape {array.shape}")
    if array.shape[0] < least:
        raise ValueError(f"{name}: expected at least {least} row{'s'[:least > 1]}, "
                         f"got shape {array.shape}")
    return array


def as_target(value: Any, loss: Any, rows: int, out_features: int, name: str = "y"):
    """The targets, and whether they are integer labels: (array, bool)."""
    array = as_real_array(name, value)
    labels = isinstance(loss, CategoricalCrossEntropy) and (
        array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1 and out_features > 1))
    shapes = [(rows, out_features)]
    if isinstance(loss, CategoricalCrossEntropy) or out_features == 1:
        shapes.insert(0, (rows,))
    if array.shape not in shapes and not (labels and array.shape == (rows, 1)):
        raise ValueError(f"{name}: expected shape {' or '.join(map(str, shapes))}, "
                         f"got shape {array.shape}")
    return array, labels


def as_weight(value: Any, rows: int, name: str = "sample_weight") -> np.ndarray | None:
    """One weight for each row, or None."""
    if value is None:
        return None
    array = as_real_array(name, value)
    if array.shape != (rows,):
        raise ValueError(f"{name}: expected shape ({rows},), one number for each row, "
                         f"got shape {array.shape}")
    return array


def as_output(out: Any, shape: tuple[int, int], dtype: np.dtype, inputs: np.ndarray) -> np.ndarray:
    """Where results go: `out` if it can take them, a new array if it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected a numpy array, got {type(out).__name__}")
    out = np.asarray(out)       # a subclass may tell anything about itself
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"out: expected shape {shape} and dtype {dtype}, "
                         f"got shape {out.shape} and dtype {out.dtype}")
    if not (out.flags.writeable and out.flags.aligned and out.dtype.isnative):
        raise ValueError("out: expected a writable, aligned array in native byte order, "
                         "got one that is not")
    if np.may_share_memory(out, inputs) and np.shares_memory(out, inputs):
        raise ValueError("out: expected memory of its own, got an array that overlaps X")
    return out


def target_limits(loss: Any) -> tuple[float, float]:
    """Least and greatest value of a dense target: probabilities, or any number but NaN."""
    return (-np.inf, np.inf) if isinstance(loss, MeanSquaredError) else (0.0, 1.0)
