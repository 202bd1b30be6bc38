"""Specifications as plain values, for files and pickles: dicts of strings, numbers and lists.

Only the classes in the table here can come out of such a dict, and each checks its own values,
so a dict from anywhere is safe to read.
"""

from __future__ import annotations

from typing import Any

from .checks import choices, shown
from .immutable import fields
from .initializers import (
    NTK,
    Constant,
    GivenArray,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LeCunNormal,
    LeCunUniform,
    Normal,
    Orthogonal,
    Zeros,
)
from .layers import (
    GLU,
    Activation,
    AlphaDropout,
    BatchNorm,
    Columns,
    Concat,
    CustomActivation,
    Dense,
    Dropout,
    Embedding,
    LayerNorm,
    PReLU,
    Residual,
    RMSNorm,
    Scale,
)
from .losses import LOSSES, CompiledLoss, CustomLoss, PointwiseLoss
from .optimizers import CLASSES as OPTIMIZERS
from .optimizers import LBFGS, TableOptimizer
from .schedules import SCHEDULES
from .update import Group, Update

__all__ = ["from_dict", "to_dict"]

_GROUPS: dict[str, tuple[type, ...]] = {
    "layer": (Dense, Dropout, AlphaDropout, Activation, BatchNorm, LayerNorm, RMSNorm, Scale,
              PReLU, GLU, Columns, Embedding, Residual, Concat),
    "activation": (Activation,),
    "initializer": (
        GlorotUniform, GlorotNormal, HeUniform, HeNormal, LeCunUniform, LeCunNormal, NTK,
        Normal, Orthogonal, Zeros, Constant, GivenArray
    ),
    "loss": (*LOSSES, PointwiseLoss),
    "update": (Update,),
    "group": (Group,),
    "optimizer": (*OPTIMIZERS, LBFGS, TableOptimizer),
    "schedule": SCHEDULES,
}

# What holds a function of the user.
_CUSTOM = (CustomLoss, CompiledLoss, CustomActivation)

# Which fields hold a specification themselves.
_NESTED = {
    "activation": "activation",
    "weight_initializer": "initializer",
    "bias_initializer": "initializer",
    "initializer": "initializer",
    "schedule": "schedule",
    "weight_decay_schedule": "schedule",
    "then": "schedule",
}
# Which fields hold lists of specifications, or lists of such lists.
_LISTS = {"layers": "layer", "branches": "layer", "groups": "group"}
_DEEPEST = 64       # lists within lists


def to_dict(spec: Any, functions: bool = False) -> Any:
    """The plain form of a layer, activation, initializer, loss or optimizer.

    Of a given array only is kept that there was one: its values have become the parameter's. A
    specification that holds a function of the user is refused with a TypeError or, where
    `functions` is true, stays as it is.

    Examples
    --------
    >>> to_dict(Dropout(0.2))
    {'type': 'Dropout', 'rate': 0.2, 'schedule': None}
    """
    if isinstance(spec, _CUSTOM):
        if functions:
            return spec
        raise TypeError(f"{type(spec).__name__}: expected a network without it, as a file holds "
                        "no code; a function of your own cannot be saved")
    if not any(isinstance(spec, group) for group in _GROUPS.values()):
        raise TypeError(f"spec: expected a specification, got {shown(spec)}")
    plain: dict[str, Any] = {"type": type(spec).__name__}
    if isinstance(spec, GivenArray):
        return plain
    for field in fields(spec):
        plain[field.name] = _plain(getattr(spec, field.name), functions)
    return plain


def _plain(value: Any, functions: bool) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, functions) for item in value]
    return to_dict(value, functions) if hasattr(value, "__fields__") else value


def from_dict(plain: Any, group: str, depth: int = 0) -> Any:
    """The specification that a plain form stands for.

    Where an initializer was a given array, the field gets its default: the values are with the
    parameters.

    Parameters
    ----------
    plain : dict
        What :func:`to_dict` gave.
    group : str
        What it must be: ``layer``, ``activation``, ``initializer``, ``loss`` or ``optimizer``.

    depth : int
        How deep within other specifications this one lies.

    Raises
    ------
    ValueError
        Where anything is missing, unknown or of a wrong value.

    Examples
    --------
    >>> from_dict({"type": "Dropout", "rate": 0.2}, "layer")
    Dropout(0.2)
    >>> from_dict({"type": "Popen", "args": ["ls"]}, "activation")
    Traceback (most recent call last):
    ...
    ValueError: activation: expected type 'Activation', got 'Popen'
    """
    if isinstance(plain, _CUSTOM):      # left as it was by `to_dict`; no file can hold such
        return plain
    by_name = {cls.__name__: cls for cls in _GROUPS[group]}
    if not isinstance(plain, dict):
        raise ValueError(f"{group}: expected an object with a type, got {shown(plain)}")
    name = plain.get("type")
    if not isinstance(name, str) or name not in by_name:
        raise ValueError(f"{group}: expected type {choices(by_name)}, got {shown(name)}")
    cls = by_name[name]
    known = {field.name for field in fields(cls)}
    values = {}
    for key, value in plain.items():
        if key == "type":
            continue
        if key not in known:
            raise ValueError(f"{group}: {name} has no value named {shown(key)}")
        if isinstance(value, dict):
            if key not in _NESTED:
                raise ValueError(f"{key}: expected a plain value in {name}, got {shown(value)}")
            if _NESTED[key] == "initializer" and value == {"type": "GivenArray"}:
                continue
            value = from_dict(value, _NESTED[key], depth + 1)
        if key in _LISTS:
            value = _from_list(value, _LISTS[key], depth + 1)
        values[key] = value
    return _make(cls, values)


def _from_list(plain: Any, group: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"{group}: expected a nesting of at most {_DEEPEST}, got more")
    if isinstance(plain, list):
        return [_from_list(item, group, depth + 1) for item in plain]
    return from_dict(plain, group, depth + 1)


def _make(cls: type, values: dict[str, Any]) -> Any:
    required = [field.name for field in fields(cls) if field.required]
    missing = [name for name in required if name not in values]
    if missing:
        raise ValueError(f"{cls.__name__}: no value for {', '.join(missing)}")
    try:
        return cls(**values)
    except TypeError as error:  # of a dict from outside every fault is one of its values
        raise ValueError(str(error)) from None
