"""Finding a learning rate by trying all of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..checks import as_integer, as_number, shown
from ..immutable import replace

__all__ = ["LearningRateFinder", "LearningRates"]

_WORSE = 4.0        # times the best loss: the sweep has gone too far (fastai's value)


class LearningRates(NamedTuple):
    """What a sweep has found.

    Attributes
    ----------
    rates, losses : numpy.ndarray of float64, shape (steps,)
        The rate of each step that was made, and the loss of its batch before it.
    smoothed : numpy.ndarray of float64, shape (steps,)
        A running mean of the losses.
    suggestion : float
        A rate at which the smoothed loss falls fast; NaN where it never falls.

    Examples
    --------
    >>> LearningRates(np.ones(1), np.ones(1), np.ones(1), 0.5).suggestion
    0.5
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    def __repr__(self) -> str:
        return (f"LearningRates(steps={len(self.rates)}, suggestion={self.suggestion:.3g}, "
                f"from={self.rates[0]:.3g}, to={self.rates[-1]:.3g})")


class LearningRateFinder:
    """Trains a copy with a learning rate that grows from step to step, and watches the loss.

    After L. N. Smith, Cyclical Learning Rates for Training Neural Networks (2017). A copy is
    made for each rate: the network is left as it was.

    Parameters
    ----------
    lowest, highest : float
        The rates of the first and of the last step; those between grow by one factor.
    steps : int
        How many rates to try. The sweep ends early where the loss is no number any more, or
        four times its best.
    smoothing : float
        Share of the running mean of the losses that is kept in a step, from 0 up to but not
        including 1.

    Examples
    --------
    >>> import cymlp
    >>> X = np.linspace(-1, 1, 256).reshape(-1, 1)
    >>> net = cymlp.mlp(1, [16], 1, activation="tanh", task="regression", rng=0)
    >>> found = LearningRateFinder().find(net, X, X[:, 0] ** 2, batch_size=32)
    >>> 1e-4 < found.suggestion < 1
    True
    """

    def __init__(self, lowest: float = 1e-7, highest: float = 10.0, steps: int = 100,
                 smoothing: float = 0.9) -> None:
        self.lowest = as_number("lowest", lowest, least=0.0)
        self.highest = as_number("highest", highest, least=0.0)
        if not 0 < self.lowest < self.highest:
            raise ValueError("lowest: expected a rate above 0 and below highest, "
                             f"got {shown(lowest)} and {shown(highest)}")
        self.steps = as_integer("steps", steps, least=2)
        self.smoothing = as_number("smoothing", smoothing, least=0.0, below=1.0)

    def find(self, network: Any, X: Any, y: Any, *, batch_size: int = 32,
             sample_weight: Any = None) -> LearningRates:
        """Make the sweep.

        Parameters
        ----------
        network : cymlp.Network
            Its optimizer is used with other rates.
        X, y, sample_weight
            As for :meth:`cymlp.Network.fit`.
        batch_size : int
            Rows in a step.

        Returns
        -------
        LearningRates
        """
        if not hasattr(network.optimizer, "learning_rate"):
            raise ValueError("network: expected an optimizer with a learning_rate, "
                             f"got {network.optimizer!r}")
        size = as_integer("batch_size", batch_size, least=1)
        X, y, weight, labels = network._learning_arrays(X, y, sample_weight)
        network._engine.check(X, y, weight, labels)
        grid = np.geomspace(self.lowest, self.highest, self.steps)
        order = _batches(len(X), min(size, len(X)))
        losses: list[float] = []
        smoothed: list[float] = []
        mean = 0.0
        for rate in grid.tolist():
            network = network._twin(replace(network.optimizer, learning_rate=rate, schedule=None))
            rows = next(order)
            loss = network.train_step(X[rows], y[rows], None if weight is None else weight[rows])
            if not math.isfinite(loss):
                break
            losses.append(loss)
            mean = self.smoothing * mean + (1 - self.smoothing) * loss
            smoothed.append(mean / (1 - self.smoothing ** len(losses)))
            if smoothed[-1] > _WORSE * min(smoothed) > 0:
                break
        if not losses:
            raise ValueError("network: expected a finite loss at the lowest rate, got none")
        found = [np.array(values) for values in (grid[:len(losses)], losses, smoothed)]
        skipped = int(1 / (1 - self.smoothing)) - 1
        return LearningRates(*found, _steepest(found[0], found[2], skipped))


def _batches(rows: int, size: int):
    """Rows of one batch after another, in an order of their own for every round."""
    generator = np.random.default_rng(0)
    while True:
        order = generator.permutation(rows)
        yield from (order[begin:begin + size] for begin in range(0, rows - size + 1, size))


def _steepest(rates: np.ndarray, losses: np.ndarray, skipped: int) -> float:
    """The middle of the span, an eighth of the sweep, over which the loss falls most.

    The first few means are of a few batches alone, so they are left out.
    """
    width = max(len(rates) // 8, 1)
    falls = losses[skipped:-width] - losses[skipped + width:]
    if not len(falls) or falls.max() <= 0:
        return math.nan
    begin = skipped + int(np.argmax(falls))
    return float(np.sqrt(rates[begin] * rates[begin + width]))
