"""Checks of arrays that come from outside: kind and shape, before anything is changed.

Values (labels in range, no NaN in targets) are looked at by the engine, in native code.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from .checks import as_integer, as_number, shown

__all__ = [
    "as_changeable", "as_input", "as_output", "as_real_array", "as_result", "as_target",
    "as_weight", "check_apart", "class_weighted", "floating_dtype", "without_ignored",
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


def as_target(value: Any, loss: Any, rows: int, columns: int, classes: int, name: str = "y"):
    """The targets, and whether they are integer labels: (array, bool).

    `columns` is how wide a dense target is.
    """
    array = as_real_array(name, value)
    labels = loss.takes_labels and (
        array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1 and classes > 1))
    shapes: list[tuple[int, ...]] = [(rows, columns)]
    if loss.takes_labels or columns == 1:
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


def without_ignored(target: np.ndarray, labels: bool, weight: np.ndarray | None, loss: Any):
    """Labels and weights where the rows that the loss is to ignore have class 0 and weight 0."""
    ignored = getattr(loss, "ignore_index", None)
    if ignored is None or not labels:
        return target, weight
    left_out = target == ignored
    if not left_out.any():
        return target, weight
    weight = np.ones(len(target)) if weight is None else weight
    return (np.where(left_out, 0, target).astype(target.dtype),
            np.where(left_out.reshape(-1), 0, weight))


def class_weighted(target: np.ndarray, labels: bool, weight: np.ndarray | None,
                   class_weight: Any, loss: Any, classes: int) -> np.ndarray | None:
    """The weights of the rows times those of their classes; checked before any value of `target`.

    A label that is no class gets any weight: the engine refuses it.
    """
    if class_weight is None:
        return weight
    if loss.output_activation == "softmax" and loss.metric:
        places = np.asarray(target).reshape(-1) if labels else np.argmax(target, axis=1)
        with np.errstate(invalid="ignore"):
            places = np.clip(np.nan_to_num(places), 0, classes - 1).astype(np.int64)
    elif loss.metric == "accuracy" and classes == 1:
        classes, places = 2, (np.asarray(target).reshape(-1) > 0.5).astype(np.int64)
    elif loss.metric == "accuracy":
        raise ValueError("class_weight: expected a loss of one class among many, or of one yes/no "
                         f"output, got {classes} of them (pos_weight of BinaryCrossEntropy may "
                         "differ for each)")
    else:
        raise ValueError(f"class_weight: expected None, as loss {loss.name!r} has no classes, "
                         f"got {shown(class_weight)}")
    counted = None if weight is None else weight != 0
    factors = _class_factors(class_weight, places, counted, classes)[places]
    return factors if weight is None else factors * weight


def _class_factors(value: Any, places: np.ndarray, counted: np.ndarray | None,
                   classes: int) -> np.ndarray:
    """A weight for every class."""
    if isinstance(value, str):
        if value != "balanced":
            raise ValueError(f"class_weight: expected 'balanced', a dict or {classes} numbers, "
                             f"got {shown(value)}")
        count = np.bincount(places if counted is None else places[counted], minlength=classes)
        return count.sum() / (np.count_nonzero(count) * np.maximum(count, 1.0))
    if isinstance(value, Mapping):
        factors = np.ones(classes)
        for key, number in value.items():
            place = as_integer("class_weight", key, least=0, most=classes - 1)
            factors[place] = as_number(f"class_weight[{place}]", number, least=0.0)
        return factors
    factors = as_real_array("class_weight", value).astype(np.float64)
    if factors.shape != (classes,):
        raise ValueError(f"class_weight: expected shape ({classes},), one number for each class, "
                         f"got shape {factors.shape}")
    if not (np.isfinite(factors).all() and (factors >= 0).all()):
        raise ValueError("class_weight: expected finite numbers of at least 0, "
                         f"got {factors[~(np.isfinite(factors) & (factors >= 0))][0]}")
    return factors


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
