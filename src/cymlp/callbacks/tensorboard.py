"""A run's values for TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..checks import shown
from .base import Callback

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes each epoch's values for TensorBoard, by ``torch.utils.tensorboard`` or tensorboardX.

    One of the two must be installed (ImportError when a run begins); none is needed to make the
    callback.

    Parameters
    ----------
    log_dir : str or os.PathLike
        The folder of the run's events.

    Examples
    --------
    >>> TensorBoard("runs/first").log_dir
    'runs/first'
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        try:
            self.log_dir = os.fsdecode(log_dir)
        except TypeError:
            raise TypeError(f"log_dir: expected the name of a folder, "
                            f"got {shown(log_dir)}") from None
        self._writer: Any = None

    def on_train_begin(self, network: Any) -> None:
        """Opens the file of events; what it has of epochs to come is left out of the display."""
        self._writer = _writer_class()(self.log_dir, purge_step=network._run.record.epoch)

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """Writes the epoch's values."""
        for name, value in logs.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def on_train_end(self, network: Any) -> None:
        """Closes the file of events."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard: expected torch with tensorboard, or tensorboardX, to "
                              "be installed, got neither: pip install tensorboardX") from None
    return SummaryWriter
