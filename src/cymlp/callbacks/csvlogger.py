"""A run's values in a table of comma-separated values."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any, TextIO

from ..checks import as_flag, as_integer, shown
from .base import Callback

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Writes a row for each epoch to a file of comma-separated values, as soon as it is over.

    A run that is gone on with goes on in its file, whatever `append` says: rows of epochs after
    the one that it goes on from are replaced.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    append : bool
        Whether rows are added to a file that is there; else it is begun anew.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression")
    >>> history = net.fit([[0.0], [1.0]], [1.0, 2.0], epochs=2, callbacks=CSVLogger("log.csv"))
    >>> open("log.csv").readline()
    'epoch,loss,mean_absolute_error,time\\n'
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        try:
            self.path = os.fsdecode(path)
        except TypeError:
            raise TypeError(f"path: expected a file name, got {shown(path)}") from None
        self.append = as_flag("append", append)
        self._rows: int | None = None       # of the file, where a run is gone on with
        self._written = 0
        self._file: TextIO | None = None

    def on_train_begin(self, network: Any) -> None:
        """Opens the file, where it is gone on with at the row that comes next."""
        lines = []
        if (self.append or self._rows is not None) and os.path.exists(self.path):
            with open(self.path, newline="", encoding="utf-8") as file:
                lines = file.read().splitlines()
        if self._rows is not None:
            lines = lines[:1 + self._rows]
        self._header = next(csv.reader(lines[:1]), None)
        self._written = max(len(lines) - 1, 0)
        self._rows = None
        self._file = open(self.path, "w", newline="", encoding="utf-8")
        self._file.writelines(line + "\n" for line in lines)
        self._file.flush()

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """Writes the epoch's row."""
        header = ["epoch", *logs]
        writer = csv.writer(self._file, lineterminator="\n")
        if self._header is None:
            self._header = header
            writer.writerow(header)
        elif self._header != header:
            raise ValueError(f"{self.path}: expected a file with the columns {', '.join(header)}, "
                             f"got {', '.join(self._header)}")
        writer.writerow([epoch, *(repr(float(value)) for value in logs.values())])
        self._file.flush()
        self._written += 1

    def on_train_end(self, network: Any) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def state(self) -> dict[str, Any]:
        """How many rows the file has."""
        return {"rows": self._written}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back a :meth:`state`."""
        self._rows = as_integer("CSVLogger, rows", state.get("rows"), least=0)
