"""Saving the network while it is trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..checks import as_flag, as_integer, shown
from .base import Callback, Monitor

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Saves the network after epochs, each file whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        The file. Names in braces are filled in, as in ``"net-{epoch:03d}-{val_loss:.3f}"``:
        ``epoch``, the number of epochs that are over, and the epoch's values.
    monitor : str
        Which of the epoch's values says what is best; used with `save_best_only`.
    save_best_only : bool
        Whether only an epoch that is better than all before it is saved.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; ``"auto"``: larger for accuracy and other scores,
        else smaller.
    training_state : bool
        Whether the file holds what an exact continuation needs, too: load it and call
        ``fit(..., resume=True)`` with the same callbacks.
    every : int
        Saves after every so many epochs.

    Attributes
    ----------
    best : float or None
        The best value so far.
    saved : str or None
        The last file that was written.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression")
    >>> checkpoint = ModelCheckpoint("net-{epoch}.safetensors", every=2, training_state=True)
    >>> history = net.fit([[0.0], [1.0]], [1.0, 2.0], epochs=5, callbacks=checkpoint)
    >>> checkpoint.saved
    'net-4.safetensors'
    >>> net = cymlp.load("net-4.safetensors")
    >>> again = net.fit([[0.0], [1.0]], [1.0, 2.0], epochs=5, callbacks=checkpoint, resume=True)
    >>> again["loss"] == history["loss"]
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        training_state: bool = False,
        every: int = 1,
    ) -> None:
        from string import Formatter  # slow to import, and not needed to make a network

        try:
            self.path = os.fsdecode(path)
        except TypeError:
            raise TypeError(f"path: expected a file name, got {shown(path)}") from None
        try:
            fields = list(Formatter().parse(self.path))
        except ValueError as error:
            raise ValueError(f"path: expected names in braces as in '{{epoch}}', "
                             f"got {shown(self.path)}: {error}") from None
        self._is_pattern = any(field[1] is not None for field in fields)
        self._monitor = Monitor(monitor, mode)
        self.save_best_only = as_flag("save_best_only", save_best_only)
        self.training_state = as_flag("training_state", training_state)
        self.every = as_integer("every", every, least=1)
        self.best: float | None = None
        self.saved: str | None = None
        self._goes_on = False

    def on_train_begin(self, network: Any) -> None:
        """Forgets an earlier run, unless it is gone on with."""
        if not self._goes_on:
            self.best = self.saved = None
        self._goes_on = False

    def _name(self, epoch: int, logs: Mapping[str, float]) -> str:
        if not self._is_pattern:
            return self.path
        values = {"epoch": epoch + 1, **logs}
        try:
            return self.path.format_map(values)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"path: expected names among {', '.join(values)} with formats for "
                             f"numbers, got {shown(self.path)}: {error!r}") from None

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """Saves the network where it is due."""
        if self.save_best_only:
            value = self._monitor.value(logs)
            if not self._monitor.is_better(value, self.best):
                return
        if (epoch + 1) % self.every:
            return
        name = self._name(epoch, logs)
        before = self.best, self.saved
        # Known before it is written: the file is to hold it.
        self.best, self.saved = value if self.save_best_only else None, name
        try:
            network.save(name, training_state=self.training_state)
        except BaseException:
            self.best, self.saved = before
            raise

    def state(self) -> dict[str, Any]:
        """The best value and the last file."""
        return {"best": self.best, "saved": self.saved}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back a :meth:`state`."""
        best, saved = state.get("best"), state.get("saved")
        if not (best is None or isinstance(best, float)):
            raise ValueError(f"ModelCheckpoint, best: expected a number, got {shown(best)}")
        if not (saved is None or isinstance(saved, str)):
            raise ValueError(f"ModelCheckpoint, saved: expected a path, got {shown(saved)}")
        self.best, self.saved, self._goes_on = best, saved, True
