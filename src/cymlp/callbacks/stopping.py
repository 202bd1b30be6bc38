"""Stopping a run that gets no better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..checks import as_flag, as_integer, shown
from .base import Callback, Monitor

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stops when a value has not improved for some epochs, and brings back the best parameters.

    They are brought back however the run ends, also by Ctrl-C or an error. The last epoch's
    parameters are then kept here in their place, so that the run can be gone on with.

    Parameters
    ----------
    monitor : str
        Which of the epoch's values counts.
    patience : int
        After how many epochs in a row without improvement the run stops.
    min_delta : float
        A change by no more than this is no improvement.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; ``"auto"``: larger for accuracy and other scores,
        else smaller.
    restore_best : bool
        Whether the parameters of the best epoch are set when the run ends (all arrays of
        ``network.parameters``, so also running means, which are not trained).

    Attributes
    ----------
    best : float or None
        The best value of the last run; NaN never counts as one.
    best_epoch, stopped_epoch : int or None
        The epoch of the best value, and the one after which the run was stopped (None where
        it was not).

    Examples
    --------
    >>> stopping = EarlyStopping(monitor="loss", patience=2, restore_best=False)
    >>> losses = [3.0, 1.0, 1.5, 1.0]
    >>> [stopping.on_epoch_end(None, i, {"loss": v}) for i, v in enumerate(losses)]
    [False, False, False, True]
    >>> stopping.best, stopping.best_epoch
    (1.0, 1)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self._monitor = Monitor(monitor, mode, min_delta)
        self.monitor, self.mode = monitor, mode
        self.min_delta = self._monitor.min_delta
        self.patience = as_integer("patience", patience, least=1)
        self.restore_best = as_flag("restore_best", restore_best)
        self._goes_on = False
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._kept: dict[str, np.ndarray] = {}
        self._exchanged = False     # whether the network has the best and `_kept` the last ones

    def _exchange(self, network: Any) -> None:
        """The kept parameters for the network's, after a look at whether they fit."""
        parameters = network.parameters
        last = {name: np.array(array) for name, array in parameters.items()}
        shapes = {name: array.shape for name, array in self._kept.items()}
        if shapes != {name: array.shape for name, array in last.items()}:
            raise ValueError(f"EarlyStopping: expected kept parameters of the network's shapes, "
                             f"got {shown(shapes)}")
        for name, array in self._kept.items():
            parameters[name] = array
        self._kept, self._exchanged = last, not self._exchanged

    def on_train_begin(self, network: Any) -> None:
        """Forgets an earlier run, or takes it up again."""
        if not self._goes_on:
            self._forget()
        elif self._exchanged:
            self._exchange(network)
        self._goes_on = False

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> bool:
        """Compares the epoch with the best one; True when patience is at its end."""
        value = self._monitor.value(logs)
        if self._monitor.is_better(value, self.best):
            kept = self._kept
            if self.restore_best:   # first all of them, so that Ctrl-C finds the old or the new
                kept = {name: np.array(array) for name, array in network.parameters.items()}
            self.best, self.best_epoch, self._waited, self._kept = value, epoch, 0, kept
            return False
        self._waited += 1
        if self._waited < self.patience:
            return False
        self.stopped_epoch = epoch
        return True

    def on_train_end(self, network: Any) -> None:
        """Brings back the best epoch's parameters."""
        if self._kept and not self._exchanged:
            self._exchange(network)

    def state(self) -> dict[str, Any]:
        """The best value with its parameters, and how long it has been waited."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self._waited,
                "stopped_epoch": self.stopped_epoch, "exchanged": self._exchanged,
                **{f"kept.{name}": array for name, array in self._kept.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back a :meth:`state`."""
        best, numbers = state.get("best"), {}
        if not (best is None or isinstance(best, float)):
            raise ValueError(f"EarlyStopping, best: expected a number, got {shown(best)}")
        for name in ("best_epoch", "stopped_epoch", "waited"):
            value = state.get(name)
            if name == "waited" or value is not None:
                as_integer(f"EarlyStopping, {name}", value, least=0)
            numbers[name] = value
        exchanged = as_flag("EarlyStopping, exchanged", state.get("exchanged"))
        kept = {name.removeprefix("kept."): np.array(array) for name, array in state.items()
                if name.startswith("kept.")}
        self.best, self._kept, self._exchanged = best, kept, exchanged
        self.best_epoch, self.stopped_epoch = numbers["best_epoch"], numbers["stopped_epoch"]
        self._waited = numbers["waited"]
        self._goes_on = True

    def __repr__(self) -> str:
        return (
            f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience}, "
            f"min_delta={self.min_delta:g}, mode={self.mode!r}, "
            f"restore_best={self.restore_best})"
        )
