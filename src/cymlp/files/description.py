"""A network as plain values, and back: every value checked, no code run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import specs
from ..checks import as_integer, as_text, choices, shown
from ..losses import TASKS

__all__ = ["VERSION", "describe", "parts_of"]

VERSION = 1
_KEYS = ("version", "in_features", "layers", "task", "loss", "optimizer", "dtype")


def describe(network: Any, functions: bool = False) -> dict[str, Any]:
    """All of a network but its parameters' values, as plain values.

    What holds a function of the user is refused or, where `functions` is true, stays as it is.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.Network([cymlp.Dense(2)], in_features=3, task="regression")
    >>> describe(net)["in_features"]
    3
    """
    update = {} if network.update.is_plain else {"update": specs.to_dict(network.update)}
    return {
        "version": VERSION,
        "in_features": int(network.in_features),
        "layers": [specs.to_dict(layer, functions) for layer in network.layers],
        "task": network.task,
        "loss": specs.to_dict(network.loss, functions),
        "optimizer": specs.to_dict(network.optimizer),
        **update,
        "dtype": np.dtype(network.dtype).name,
    }


def parts_of(description: Any) -> dict[str, Any]:
    """A description's values as the arguments of Network, each checked."""
    if not isinstance(description, Mapping):
        raise ValueError(f"description: expected an object, got {shown(description)}")
    version = description.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(
            f"version: expected {VERSION}, the one that this cymlp reads, got {shown(version)}"
        )
    for key in _KEYS:
        if key not in description:
            raise ValueError(f"description: no value for {key!r}")
    for key in description:
        if key not in (*_KEYS, "update"):
            raise ValueError(f"description: expected {choices(_KEYS)}, got {shown(key)}")
    if not isinstance(description["layers"], (list, tuple)):
        raise ValueError(f"layers: expected a list, got {shown(description['layers'])}")
    loss = specs.from_dict(description["loss"], "loss")
    task = description["task"]
    try:
        if task is not None:
            as_text("task", task, TASKS)
        parts = {
            "in_features": as_integer("in_features", description["in_features"], least=1),
            "dtype": as_text("dtype", description["dtype"], ["float32", "float64"]),
        }
    except TypeError as error:
        raise ValueError(str(error)) from None
    if task is not None and type(TASKS[task][1]) is not type(loss):
        raise ValueError(f"loss: expected {TASKS[task][1]!r} for task {task!r}, got {loss!r}")
    return {
        **parts,
        "layers": [specs.from_dict(layer, "layer") for layer in description["layers"]],
        "optimizer": specs.from_dict(description["optimizer"], "optimizer"),
        "update": specs.from_dict(description["update"], "update") if "update" in description
        else None,
        "loss": loss,
        "task": task,
    }
