"""Callbacks: what happens between the epochs of a training run."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from .checks import as_flag, as_integer, as_number, as_text, shown

__all__ = ["Callback", "EarlyStopping", "Progress"]

# What the names of metrics contain of which more is better; a test compares cymlp.metrics.
_LARGER = ("accuracy", "precision", "recall", "f1", "auroc", "auc", "r2")


class Callback:
    """Base of all callbacks: four moments of a run, each of which does nothing here.

    ``on_epoch_end`` gets the epoch's values (``loss``, the metric, with validation data
    ``val_loss`` and ``val_`` + metric, ``time``) and stops the run by returning True. Epochs
    count from 0.

    Examples
    --------
    >>> class StopAt(Callback):
    ...     def on_epoch_end(self, network, epoch, logs):
    ...         return logs["loss"] < 0.1
    >>> bool(StopAt().on_epoch_end(None, 0, {"loss": 0.05}))
    True
    """

    def on_train_begin(self, network: Any) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, network: Any, epoch: int) -> None:
        """Before an epoch."""

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> bool | None:
        """After an epoch; True stops the run."""

    def on_train_end(self, network: Any) -> None:
        """After the last epoch."""


class EarlyStopping(Callback):
    """Stops when a value has not improved for some epochs, and brings back the best parameters.

    Parameters
    ----------
    monitor : str
        Which of the epoch's values counts.
    patience : int
        After how many epochs in a row without improvement the run stops.
    min_delta : float
        A change by no more than this is no improvement.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; ``"auto"``: larger for accuracy and the other
        metrics of :mod:`cymlp.metrics` of which more is better, else smaller.
    restore_best : bool
        Whether the parameters of the best epoch are set when the run ends.

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
        if not isinstance(monitor, str):
            raise TypeError(f"monitor: expected a name such as 'val_loss', got {shown(monitor)}")
        self.monitor = monitor
        self.patience = as_integer("patience", patience, least=1)
        self.min_delta = as_number("min_delta", min_delta, least=0.0)
        self.mode = as_text("mode", mode, ["auto", "min", "max"])
        self.restore_best = as_flag("restore_best", restore_best)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._waited = 0
        self._kept: dict[str, np.ndarray] = {}

    def _improved(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        larger = self.mode == "max" or (
            self.mode == "auto" and any(name in self.monitor for name in _LARGER))
        gain = value - self.best if larger else self.best - value
        return gain > self.min_delta

    def _keep(self, network: Any) -> None:
        for name, array in network.parameters.items():
            if name in self._kept:
                np.copyto(self._kept[name], array)
            else:
                self._kept[name] = np.array(array)

    def on_train_begin(self, network: Any) -> None:
        """Forgets an earlier run."""
        self._forget()

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> bool:
        """Compares the epoch with the best one; True when patience is at its end."""
        if self.monitor not in logs:
            hint = (
                "; pass validation_data or validation_split"
                if self.monitor.startswith("val_") and "val_loss" not in logs else ""
            )
            raise ValueError(
                f"monitor: expected one of {', '.join(logs)}, got {self.monitor!r}{hint}"
            )
        value = float(logs[self.monitor])
        if self._improved(value):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best:
                self._keep(network)
            return False
        self._waited += 1
        if self._waited < self.patience:
            return False
        self.stopped_epoch = epoch
        return True

    def on_train_end(self, network: Any) -> None:
        """Brings back the best epoch's parameters."""
        for name, array in self._kept.items():
            network.parameters[name] = array
        self._kept = {}

    def __repr__(self) -> str:
        return (
            f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience}, "
            f"min_delta={self.min_delta:g}, mode={self.mode!r}, "
            f"restore_best={self.restore_best})"
        )


class Progress(Callback):
    """Shows the epochs as they pass: a bar of tqdm where there is one, else plain lines.

    The bar is for a terminal with tqdm installed. Plain lines come at most once a second, and
    always for the first and the last epoch, so that a log file stays short.

    Parameters
    ----------
    epochs : int, optional
        The number of epochs of the run, if known.
    stream : text stream, optional
        Where to write; standard error by default.
    interval : float
        Least seconds between two plain lines.

    Examples
    --------
    >>> progress = Progress(epochs=2, stream=sys.stdout)
    >>> progress.on_train_begin(None)
    >>> progress.on_epoch_end(None, 0, {"loss": 0.5, "time": 0.001})
    epoch 1/2  loss 0.5000
    >>> progress.on_epoch_end(None, 1, {"loss": 0.25, "time": 0.001})
    >>> progress.on_train_end(None)
    epoch 2/2  loss 0.2500
    """

    def __init__(
        self, epochs: int | None = None, *, stream: TextIO | None = None, interval: float = 1.0
    ) -> None:
        self.epochs = None if epochs is None else as_integer("epochs", epochs, least=1)
        self.interval = as_number("interval", interval, least=0.0)
        self._stream = self._out = stream
        self._bar: Any = None
        self._waiting = ""
        self._shown_at = -math.inf

    def on_train_begin(self, network: Any) -> None:
        """Opens the bar where it can be shown."""
        self._close()
        self._shown_at = -math.inf
        self._out = sys.stderr if self._stream is None else self._stream
        self._bar = _make_bar(self._out, self.epochs)

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """Shows the epoch's values."""
        if self._out is None:  # a program without standard streams
            return
        values = [f"{name} {value:.4f}" for name, value in logs.items() if name != "time"]
        if self._bar is not None:
            self._bar.set_postfix_str("  ".join(values), refresh=False)
            self._bar.update(1)
            return
        number = f"{epoch + 1}/{self.epochs}" if self.epochs else f"{epoch + 1}"
        self._waiting = "  ".join([f"epoch {number}", *values])
        now = time.monotonic()
        if now - self._shown_at >= self.interval:
            self._shown_at = now
            self._flush()

    def on_train_end(self, network: Any) -> None:
        """Shows the last epoch and closes the bar."""
        self._close()

    def _flush(self) -> None:
        if self._waiting:
            print(self._waiting, file=self._out, flush=True)
            self._waiting = ""

    def _close(self) -> None:
        self._flush()
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _make_bar(out: Any, epochs: int | None) -> Any:
    """A bar of tqdm, or None where there is no terminal or no tqdm."""
    if not getattr(out, "isatty", lambda: False)():
        return None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if 0 in os.get_terminal_size(out.fileno()):
            return None  # a terminal without a size, as containers have them, shows no bar
    try:
        from tqdm import tqdm
    except ImportError:
        return None

    class Bar(tqdm):
        # tqdm would start a watching thread of its own, and this package promises none.
        monitor_interval = 0

    return Bar(total=epochs, unit="epoch", file=out, dynamic_ncols=True)
