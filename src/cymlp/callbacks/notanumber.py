"""Stopping at the first NaN, and saying where it came from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import Callback

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Stops after an epoch that made the loss or a parameter NaN or infinite, and finds the step.

    The epoch stays one native call. A copy of the network is kept from its beginning; if the
    epoch ends badly, the copy goes through it once more, step by step with the same bits, up to
    the step where the first bad number arose, and that step is looked at result by result.

    Attributes
    ----------
    step : int or None
        The optimizer's step, counted from 1, in which the first bad number arose.
    reason : str or None
        Where it arose. It comes as a warning, too.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", optimizer=cymlp.SGD(0.1), rng=0)
    >>> watch = TerminateOnNaN()
    >>> X = [[1.0], [2.0], [float("nan")], [3.0]]
    >>> with warnings.catch_warnings(action="ignore"):
    ...     history = net.fit(X, [1.0, 2.0, 3.0, 4.0], batch_size=1, shuffle=False,
    ...                       callbacks=watch)
    >>> watch.reason
    'step 3: NaN first in the input X, row 2'
    """

    def __init__(self) -> None:
        self.step: int | None = None
        self.reason: str | None = None
        self._before: Any = None

    def on_train_begin(self, network: Any) -> None:
        """Forgets an earlier run."""
        self.step = self.reason = None
        self._remember(network)

    def on_epoch_begin(self, network: Any, epoch: int) -> None:
        """Keeps the network as it is before the epoch."""
        self._remember(network)

    def _remember(self, network: Any) -> None:
        run = network._run
        self._before = network.copy(), run.record.place.copy(), run.order.copy()

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> bool:
        """Looks at the loss and all parameters; True where one is not finite."""
        if np.isfinite(logs["loss"]) and all(
                np.isfinite(array).all() for array in network.parameters.values()):
            return False
        self.step, where = network._run.find_bad(*self._before)
        self.reason = f"epoch {epoch}: {where}" if self.step is None else (
            f"step {self.step}: {where}")
        warnings.warn(f"training stopped at {self.reason}", RuntimeWarning, stacklevel=2)
        return True

    def on_train_end(self, network: Any) -> None:
        """Lets go of the copy."""
        self._before = None
