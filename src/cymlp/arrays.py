"""Checks of arrays that come from outside: kind and shape, before anything is changed.

Values (labels in range, no NaN in targets) are looked at by the engine, in native code.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from .losses import CategoricalCrossEntropy, MeanSquaredError

__all__ = [
    "as_changeable", "as_input", "as_output", "as_real_array", "as_result", "as_target",
    "as_weight", "check_apart", "floating_dtype", "target_limits",
]


def as_real_array(name: str, value: Any) -> np.ndarray:
    """The value as an array of real numbers, of any real dtype and order; no array is copied."""
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
    shapes: list[tuple[int, ...]] = [(rows, out_features)]
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


def as_output(out: Any, shape: tuple[int, ...], dtype: np.dtype,
              inputs: np.ndarray) -> np.ndarray:
    """Where results go: `out` if it can take them, a new array if it is None."""
    return as_result("out", out, shape, dtype, {"X": inputs})


def as_result(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype,
              inputs: Mapping[str, np.ndarray], in_place: str = "") -> np.ndarray:
    """Where results go: `out` if it can take them, a new array if it is None.

    `out` must not share memory with the inputs, except that it may be the one named `in_place`.
    """
    if out is None:
        if math.prod(shape) * dtype.itemsize > sys.maxsize:
            raise ValueError(f"{name}: expected a result that memory can hold, got shape {shape}")
        return np.empty(shape, dtype)
    out = as_changeable(name, out)
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"{name}: expected shape {shape} and dtype {dtype}, "
                         f"got shape {out.shape} and dtype {out.dtype}")
    check_apart(name, out, inputs, in_place)
    return out


def as_changeable(name: str, value: Any) -> np.ndarray:
    """An array that can be written to, each of its elements a place of its own."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array, got {type(value).__name__}")
    array = np.asarray(value)       # a subclass may tell anything about itself
    if not (array.flags.writeable and array.flags.aligned and array.dtype.isnative):
        raise ValueError(f"{name}: expected a writable, aligned array in native byte order, "
                         "got one that is not")
    if not (array.flags.forc or _spreads(array)):
        raise ValueError(f"{name}: expected elements with memory of their own, "
                         f"got strides {array.strides} at shape {array.shape}")
    return array


def _spreads(array: np.ndarray) -> bool:
    """Whether each dimension steps over all that the finer ones span, so that none overlap."""
    span = array.itemsize
    for stride, size in sorted((abs(stride), size)
                               for stride, size in zip(array.strides, array.shape, strict=True)):
        if size > 1 and stride < span:
            return array.size == 0
        span += stride * (size - 1)
    return True


def check_apart(name: str, out: np.ndarray, inputs: Mapping[str, np.ndarray],
                in_place: str = "") -> None:
    """Raise ValueError where `out` overlaps an input, unless it is the one named `in_place`."""
    for other, array in inputs.items():
        if not np.may_share_memory(out, array):
            continue
        if other == in_place and _same_place(out, array):
            continue
        try:
            # NumPy's own stubs know only two of the values.
            shared = np.shares_memory(out, array, max_work=100_000)  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            shared = True
        if shared:
            allowed = f" or to be {in_place}" if in_place else ""
            raise ValueError(f"{name}: expected memory of its own{allowed}, "
                             f"got an array that overlaps {other}")


def _same_place(a: np.ndarray, b: np.ndarray) -> bool:
    places = [array.__array_interface__["data"][0] for array in (a, b)]
    return (places[0] == places[1] and a.strides == b.strides
            and a.shape == b.shape and a.dtype == b.dtype)


def floating_dtype(*arrays: np.ndarray | None) -> np.dtype:
    """What arrays are computed in: float32 where all are float32, else float64."""
    for array in arrays:
        if array is not None and (array.dtype.kind != "f" or array.dtype.itemsize != 4):
            return np.dtype(np.float64)
    return np.dtype(np.float32)


def target_limits(loss: Any) -> tuple[float, float]:
    """Least and greatest value of a dense target: probabilities, or any number but NaN."""
    return (-np.inf, np.inf) if isinstance(loss, MeanSquaredError) else (0.0, 1.0)
