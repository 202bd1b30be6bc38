"""Diagnoses of the layers while a network is trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..checks import as_integer
from .base import Callback

__all__ = ["Diagnostics"]


class Diagnostics(Callback):
    """Records :meth:`cymlp.Network.diagnose` every so many steps, and warns once of trouble.

    The rows are always the same, the first of the training data; drift is against the first
    record. Between two records the steps are one native call; a record costs about as much as
    two steps on its rows and a copy of the network.

    Parameters
    ----------
    every : int
        Steps from record to record.
    rows : int
        How many rows are looked at.

    Attributes
    ----------
    steps : list of int
        The optimizer's step of each record.
    records : list of Diagnosis
        The records of the last run.

    Examples
    --------
    >>> import numpy as np, cymlp
    >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> net = cymlp.mlp(1, [8], 1, activation="tanh", task="regression", rng=0)
    >>> watch = Diagnostics(every=10)
    >>> history = net.fit(X, X[:, 0] ** 2, epochs=10, batch_size=16, callbacks=watch)
    >>> watch.steps
    [10, 20, 30, 40]
    >>> watch.table("0", "gradient_norm") == [r["0"]["gradient_norm"] for r in watch.records]
    True
    """

    def __init__(self, every: int = 100, rows: int = 256) -> None:
        self.batch_interval = as_integer("every", every, least=1)
        self.rows = as_integer("rows", rows, least=1)
        self.steps: list[int] = []
        self.records: list[Any] = []
        self._warned: set[str] = set()

    def on_train_begin(self, network: Any) -> None:
        """Forgets an earlier run."""
        self.steps, self.records, self._warned = [], [], set()

    def on_batch_end(self, network: Any, step: int, logs: Mapping[str, float]) -> None:
        """Makes a record."""
        X, y, weight, _ = network._run.arrays
        record = network.diagnose(
            X[:self.rows], y[:self.rows], None if weight is None else weight[:self.rows],
            since=self.records[0] if self.records else None)
        self.steps.append(step)
        self.records.append(record)
        for kind, text in record.warnings().items():
            if kind not in self._warned:
                self._warned.add(kind)
                warnings.warn(f"step {step}: {text}", RuntimeWarning, stacklevel=2)

    def table(self, layer: str, value: str) -> list[float]:
        """One value of one layer over all records; NaN where a record has none."""
        return [record[layer].get(value, float("nan")) for record in self.records]
