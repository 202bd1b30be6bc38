"""What every callback is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import as_number, as_text, shown

__all__ = ["Callback", "Monitor"]

# Of these (also within a longer name) more is better; of all else, losses and errors, less.
_LARGER = ("accuracy", "precision", "recall", "f1", "auroc", "auc", "r2")


class Callback:
    """Base of all callbacks: the moments of a run, each of which does nothing here.

    ``on_epoch_end`` gets the epoch's values (``loss``, the metric, with validation data
    ``val_loss`` and ``val_`` + metric, ``time``) and stops the run by returning True. Epochs
    count from 0.

    ``on_batch_end`` is called only if a class overrides it; an epoch is then no longer one native
    call. It gets the number of the optimizer's step, which counts from 1 over all runs, and
    the batch's loss and metric; True stops the run. The class attribute or attribute
    ``batch_interval`` makes it every so many steps.

    What a callback has to remember when a run is left and gone on with later (``resume=True``,
    also in another process) it returns from ``state()``: a dict of plain values and of arrays of
    one or two axes. ``restore`` gets it back before ``on_train_begin``.

    Examples
    --------
    >>> class StopAt(Callback):
    ...     def on_epoch_end(self, network, epoch, logs):
    ...         return logs["loss"] < 0.1
    >>> bool(StopAt().on_epoch_end(None, 0, {"loss": 0.05}))
    True
    """

    batch_interval = 1

    def on_train_begin(self, network: Any) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, network: Any, epoch: int) -> None:
        """Before an epoch."""

    def on_batch_end(self, network: Any, step: int, logs: Mapping[str, float]) -> bool | None:
        """After a step; True stops the run."""

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> bool | None:
        """After an epoch; True stops the run."""

    def on_train_end(self, network: Any) -> None:
        """After the last epoch, also where an error or Ctrl-C ends the run."""

    def state(self) -> dict[str, Any]:
        """What is to be remembered of the run so far."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave: the run is gone on with."""


class Monitor:
    """One of the epoch's values, and when it is better than another.

    >>> Monitor("val_accuracy", "auto").is_better(0.9, 0.8)
    True
    """

    def __init__(self, name: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(name, str):
            raise TypeError(f"monitor: expected a name such as 'val_loss', got {shown(name)}")
        self.name = name
        self.mode = as_text("mode", mode, ["auto", "min", "max"])
        self.min_delta = as_number("min_delta", min_delta, least=0.0)
        self.larger = mode == "max" or (mode == "auto" and any(part in name for part in _LARGER))

    def value(self, logs: Mapping[str, float]) -> float:
        """The epoch's value; ValueError where there is none of the name."""
        if self.name not in logs:
            hint = (
                "; pass validation_data or validation_split"
                if self.name.startswith("val_") and "val_loss" not in logs else ""
            )
            raise ValueError(
                f"monitor: expected one of {', '.join(logs)}, got {self.name!r}{hint}"
            )
        return float(logs[self.name])

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value is an improvement; NaN never is, and everything else is on nothing."""
        if value != value:
            return False
        if best is None:
            return True
        gain = value - best if self.larger else best - value
        return gain > self.min_delta
