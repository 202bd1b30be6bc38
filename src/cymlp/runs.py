"""How far a run of training has come: all that is needed to go on with it exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .checks import as_flag, as_integer, shown
from .history import History

__all__ = ["PLACE", "RunRecord", "SavedCallback"]

# An epoch that was left in the middle: the next row, the sums so far of losses, metric, rows in
# the metric and weights, the seconds; then loss and metric of the last batch.
PLACE = ("position", "loss_sum", "metric_sum", "counted", "weights", "seconds", "batch_loss",
         "batch_metric")

_DTYPES = ("float32", "float64", "int32", "int64", "uint8")


@dataclass(slots=True)
class SavedCallback:
    """A callback in a record: its class's name, whether it knows of the epoch, its state."""

    kind: str
    told: bool
    state: dict[str, Any]


@dataclass(slots=True)
class RunRecord:
    """A run of training: its settings, and how far it has come.

    An epoch goes through three stages: in its steps (`place`), with values that the callbacks
    are told one after another (`logs`, `told`), and over (`epoch` counts it).

    Attributes
    ----------
    settings : dict
        ``rows``, ``batch_size``, ``shuffle`` and ``drop_last``: a place within an epoch means
        something with these alone.
    history : History
        What the epochs reported.
    callbacks : sequence of Callback
        Those of the run.
    saved : tuple of SavedCallback
        Of a record from a file, which has no callbacks yet: what they were like.
    epoch : int
        Epochs that are over.
    stopped : bool
        Whether a callback has ended the run.
    logs : dict or None
        Values of the epoch that callbacks are being told of.
    told : set of int
        Which of the callbacks have been told.
    place : numpy.ndarray of float64, shape (8,)
        See :data:`PLACE`; all zero between two epochs.

    Examples
    --------
    >>> RunRecord({"rows": 8, "batch_size": 4, "shuffle": True, "drop_last": False}).epoch
    0
    """

    settings: dict[str, Any]
    history: History = field(default_factory=History)
    callbacks: Sequence[Any] = ()
    saved: tuple[SavedCallback, ...] = ()
    epoch: int = 0
    stopped: bool = False
    logs: dict[str, float] | None = None
    told: set[int] = field(default_factory=set)
    place: np.ndarray = field(default_factory=lambda: np.zeros(len(PLACE)))

    def saved_callbacks(self) -> tuple[SavedCallback, ...]:
        """What the callbacks are like now, or were when the record was saved."""
        if not self.callbacks:
            return self.saved
        return tuple(SavedCallback(type(callback).__name__, index in self.told, callback.state())
                     for index, callback in enumerate(self.callbacks))

    def to_plain(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values for JSON, and the arrays beside them by name."""
        arrays = {f"history.{name}": np.array(self.history[name]) for name in self.history
                  if self.history.epochs}
        arrays["place"] = self.place.copy()
        callbacks = []
        for index, saved in enumerate(self.saved_callbacks()):
            if not isinstance(saved.state, dict):
                raise TypeError(f"{saved.kind}.state(): expected a dict, got {shown(saved.state)}")
            state = {}
            for name, value in saved.state.items():
                if isinstance(value, np.ndarray):
                    arrays[f"callback.{index}.{name}"] = _checked_array(saved.kind, name, value)
                else:
                    state[name] = _to_plain(f"{saved.kind}.state()[{name!r}]", value)
            callbacks.append({"type": saved.kind, "told": saved.told, "state": state})
        logs = None if self.logs is None else {
            name: _to_plain(name, float(value)) for name, value in self.logs.items()}
        return {"settings": self.settings, "epoch": self.epoch, "stopped": self.stopped,
                "logs": logs, "history": list(self.history), "callbacks": callbacks}, arrays

    @classmethod
    def from_plain(cls, plain: Any, arrays: Mapping[str, np.ndarray]) -> RunRecord:
        """The record that :meth:`to_plain` has written, each value checked (ValueError)."""
        arrays = dict(arrays)
        try:
            fields = _object("run", plain, "settings epoch stopped logs history callbacks")
            settings = _settings(fields["settings"])
            place = _place(arrays.pop("place", None), settings["rows"])
            logs = fields["logs"]
            record = cls(
                settings, _history(fields["history"], arrays),
                epoch=as_integer("run, epoch", fields["epoch"], least=0, most=2**62),
                stopped=as_flag("run, stopped", fields["stopped"]), place=place,
                logs=None if logs is None else {
                    name: _number(f"run, {name}", value)
                    for name, value in _mapping("run, logs", logs).items()},
                saved=_saved(fields["callbacks"], arrays))
        except TypeError as error:
            raise ValueError(str(error)) from None
        if arrays:
            raise ValueError(f"array {shown('training.' + next(iter(arrays)))} belongs to nothing")
        epochs = {record.epoch} if logs is None else {record.epoch, record.epoch + 1}
        if record.history.epochs not in epochs:
            raise ValueError(f"run, history: expected {record.epoch} epochs, "
                             f"got {record.history.epochs}")
        return record


def _checked_array(kind: str, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.name not in _DTYPES or array.ndim not in (1, 2):
        raise TypeError(f"{kind}.state()[{name!r}]: expected an array of one or two axes of a "
                        f"dtype among {', '.join(_DTYPES)}, got {shown(array)}")
    return array


def _to_plain(name: str, value: Any) -> Any:
    """A value as JSON has it; NaN and the infinities are written as an object."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": repr(float(value))}
    if isinstance(value, np.generic):
        return _to_plain(name, value.item())
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name}: expected None, a bool, a number, a text or an array, "
                    f"got {shown(value)}")


def _from_plain(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        if value not in ({"number": "nan"}, {"number": "inf"}, {"number": "-inf"}):
            raise ValueError(f"{name}: expected a number, got {shown(value)}")
        return float(value["number"])
    if isinstance(value, list):
        raise ValueError(f"{name}: expected a plain value, got {shown(value)}")
    return value


def _number(name: str, value: Any) -> float:
    value = _from_plain(name, value)
    if not isinstance(value, float):
        raise ValueError(f"{name}: expected a number with a point, got {shown(value)}")
    return value


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected an object, got {shown(value)}")
    return value


def _object(name: str, value: Any, keys: str) -> dict[str, Any]:
    """An object of exactly these keys."""
    if set(_mapping(name, value)) != set(keys.split()):
        raise ValueError(f"{name}: expected the values {keys.replace(' ', ', ')}, "
                         f"got {shown(list(value))}")
    return value


def _settings(plain: Any) -> dict[str, Any]:
    plain = _object("run, settings", plain, "rows batch_size shuffle drop_last")
    return {**{name: as_integer(f"run, {name}", plain[name], least=1, most=2**62)
               for name in ("rows", "batch_size")},
            **{name: as_flag(f"run, {name}", plain[name]) for name in ("shuffle", "drop_last")}}


def _place(array: np.ndarray | None, rows: int) -> np.ndarray:
    if array is None or array.shape != (len(PLACE),) or array.dtype != np.float64:
        raise ValueError(f"array 'training.place': expected {len(PLACE)} numbers of float64, "
                         f"got {shown(array)}")
    position = array[0]
    if not (0 <= position < rows and position == int(position)):
        raise ValueError(f"array 'training.place': expected a row below {rows}, got {position}")
    return array


def _history(names: Any, arrays: dict[str, np.ndarray]) -> History:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"run, history: expected a list of names, got {shown(names)}")
    columns = {}
    for name in names:
        column = arrays.pop(f"history.{name}", None)
        if column is None or column.ndim != 1 or column.dtype != np.float64:
            raise ValueError(f"array {shown(f'training.history.{name}')}: expected float64 "
                             f"numbers, got {shown(column)}")
        columns[name] = column.tolist()
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("run, history: expected columns of one length, got several")
    history = History()
    for values in zip(*columns.values(), strict=True):
        history._append(dict(zip(columns, values, strict=True)))
    return history


def _saved(plain: Any, arrays: dict[str, np.ndarray]) -> tuple[SavedCallback, ...]:
    if not isinstance(plain, list):
        raise ValueError(f"run, callbacks: expected a list, got {shown(plain)}")
    found = []
    for index, entry in enumerate(plain):
        name = f"run, callbacks[{index}]"
        entry = _object(name, entry, "type told state")
        if not isinstance(entry["type"], str):
            raise ValueError(f"{name}: expected a class's name, got {shown(entry['type'])}")
        state = {key: _from_plain(f"{name}, {key}", value)
                 for key, value in _mapping(f"{name}, state", entry["state"]).items()}
        prefix = f"callback.{index}."
        for key in [key for key in arrays if key.startswith(prefix)]:
            state[key.removeprefix(prefix)] = arrays.pop(key)
        found.append(SavedCallback(entry["type"], as_flag(name, entry["told"]), state))
    return tuple(found)
