"""Epochs shown as they pass."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from ..checks import as_integer, as_number
from .base import Callback

__all__ = ["Progress"]


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
            self._bar.update(epoch + 1 - self._bar.n)  # also of a run that is gone on with
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
