"""Checks of plain argument values, shared by the specifications.

Each check returns the value in its plain Python form or raises an error that names the argument,
what was expected and what came.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable
from typing import Any

__all__ = ["as_flag", "as_integer", "as_number", "as_text", "choices", "shown"]


def shown(value: Any, limit: int = 80) -> str:
    """A short, safe text of a value for an error message.

    >>> shown("relu"), shown(True), shown(list(range(100)), limit=12)
    ("'relu'", 'True', '[0, 1, 2,...')
    """
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and shape:
            return f"an array of shape {shape} and dtype {getattr(value, 'dtype', '?')}"
        text = repr(value)
    except Exception:  # all of this is the caller's code, and a long int may have no digits
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def choices(names: Iterable[str]) -> str:
    """The names of a table as a list for a message: ``'a', 'b' or 'c'``.

    >>> choices(["sgd", "adam"])
    "'sgd' or 'adam'"
    """
    *most, last = [repr(name) for name in names]
    return f"{', '.join(most)} or {last}" if most else last


def as_integer(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """An integer within the bounds; a bool or a float is none.

    >>> as_integer("units", 3, least=1)
    3
    """
    # A plain int first: to ask an abstract class takes half a microsecond.
    if type(value) is not int and (
            isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise TypeError(f"{name}: expected an integer, got {shown(value)}")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {shown(value)}")
    if most is not None and number > most:
        raise ValueError(f"{name}: expected an integer of at most {most}, got {shown(value)}")
    return number


def as_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """A finite real number within the bounds given (``above`` and ``below`` are exclusive).

    >>> as_number("rate", 0, least=0, below=1)
    0.0
    """
    # A plain float first, as in `as_integer`.
    if type(value) is not float and (
            isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise TypeError(f"{name}: expected a real number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if (
        math.isfinite(number)
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    ):
        return number
    bounds = {">=": least, ">": above, "<=": most, "<": below}
    text = "".join(f", {sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)
    raise ValueError(f"{name}: expected a number finite{text}, got {shown(value)}")


def as_flag(name: str, value: Any) -> bool:
    """True or False (also NumPy's), nothing that is merely truthy.

    >>> as_flag("bias", True)
    True
    """
    if isinstance(value, bool):
        return value
    # NumPy's bool without importing NumPy for it.
    if type(value).__module__ == "numpy":
        if getattr(getattr(value, "dtype", None), "kind", "") == "b" and not value.shape:
            return bool(value)
    raise TypeError(f"{name}: expected True or False, got {shown(value)}")


def as_text(name: str, value: Any, allowed: Iterable[str]) -> str:
    """One of the allowed names.

    >>> as_text("mode", "min", ["auto", "min", "max"])
    'min'
    """
    allowed = list(allowed)
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected {choices(allowed)}, got {shown(value)}")
    if value not in allowed:
        raise ValueError(f"{name}: expected {choices(allowed)}, got {shown(value)}")
    return str(value)
