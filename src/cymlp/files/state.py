"""How far a training has come, as plain values and arrays: counters, random key and run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..checks import as_integer, shown

if TYPE_CHECKING:
    from ..runs import RunRecord

__all__ = ["Training", "arena_places", "as_training", "training_text"]

_VERSION = 1


class Training(NamedTuple):
    """Counters of a network's engine, and the run that it was last in (None: no run yet)."""

    key: int
    step: int
    epoch: int
    record: RunRecord | None


def arena_places(layout: Iterable[Any], *kept: Any) -> dict[str, tuple[Any, int]]:
    """Every array in a network's arena by its name in a file: its parameter and which state.

    -1 stands for the parameter itself. `kept`, the optimizer and the update around it, add their
    states, as ``parameter.state``.
    """
    layout = tuple(layout)
    places = {p.name: (p, -1) for p in layout}
    for number, state in enumerate(state for owner in kept for state in owner.states()):
        places |= {f"{p.name}.{state}": (p, number) for p in layout if p.trained}
    return places


def training_text(training: Training) -> tuple[str, dict[str, np.ndarray]]:
    """JSON and arrays of a training.

    >>> training_text(Training(255, 3, 1, None))[0]
    '{"version": 1, "key": "0xff", "step": 3, "epoch": 1, "run": null}'
    """
    run, arrays = (None, {}) if training.record is None else training.record.to_plain()
    # The key in hexadecimal: many readers of JSON have no integers of 64 bits.
    plain = {"version": _VERSION, "key": hex(training.key), "step": training.step,
             "epoch": training.epoch, "run": run}
    return json.dumps(plain), {f"training.{name}": array for name, array in arrays.items()}


def as_training(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Training:
    """The training of a file, each of its values checked.

    >>> as_training({"version": 1, "key": "0xff", "step": 3, "epoch": 1, "run": None}, {})
    Training(key=255, step=3, epoch=1, record=None)
    """
    if plain.get("version") != _VERSION or isinstance(plain["version"], bool):
        raise ValueError(f"training, version: expected {_VERSION}, the one that this cymlp reads, "
                         f"got {shown(plain.get('version'))}")
    if set(plain) != {"version", "key", "step", "epoch", "run"}:
        raise ValueError("training: expected version, key, step, epoch and run, "
                         f"got {shown(list(plain))}")
    try:
        key = int(plain["key"], 16) if isinstance(plain["key"], str) else -1
        counters = [as_integer(f"training, {name}", plain[name], least=0, most=2**62)
                    for name in ("step", "epoch")]
    except TypeError as error:
        raise ValueError(str(error)) from None
    if not 0 <= key < 2**64:
        raise ValueError(f"training, key: expected 64 bits, got {shown(plain['key'])}")
    arrays = {name.removeprefix("training."): array for name, array in arrays.items()}
    run = plain["run"]
    if run is None and arrays:
        raise ValueError(f"array {shown('training.' + next(iter(arrays)))} belongs to no run")
    if run is None:
        return Training(key, *counters, None)
    from ..runs import RunRecord  # only for a run: a file to predict with is open sooner

    return Training(key, *counters, RunRecord.from_plain(run, arrays))
