"""Callbacks that change the learning rate between the epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..checks import as_integer, as_number, as_text, shown
from .base import Callback, Monitor

__all__ = ["AdaptiveRate", "RateFunction", "ReduceOnPlateau"]


class _RateCallback(Callback):
    """A factor for the learning rate, which lasts as long as the run.

    It comes on top of the optimizer's own schedule. One such callback acts in a run: of several
    the last would count alone.
    """

    _numbers: tuple[str, ...] = ()      # what is remembered beside the factor

    def __init__(self) -> None:
        self.factor = 1.0
        self._goes_on = False

    def _forget(self) -> None:
        self.factor = 1.0

    def _set(self, network: Any, factor: float) -> None:
        self.factor = network._engine.rate_factor = factor

    def on_train_begin(self, network: Any) -> None:
        """Forgets an earlier run, or takes it up again."""
        if not self._goes_on:
            self._forget()
        self._goes_on = False
        self._set(network, self.factor)

    def on_train_end(self, network: Any) -> None:
        """Gives the learning rate back as it was."""
        network._engine.rate_factor = 1.0

    def state(self) -> dict[str, Any]:
        """The factor, and what led to it."""
        return {"factor": self.factor, **{name: getattr(self, name) for name in self._numbers}}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back a :meth:`state`."""
        kind, found = type(self).__name__, {}
        for name in self._numbers:
            value = state.get(name)
            if name != "best":
                value = as_integer(f"{kind}, {name}", value, least=0)
            elif not (value is None or isinstance(value, float)):
                raise ValueError(f"{kind}, best: expected a number, got {shown(value)}")
            found[name] = value
        self.factor = as_number(f"{kind}, factor", state.get("factor"), least=0.0)
        for name, value in found.items():
            setattr(self, name, value)
        self._goes_on = True


class ReduceOnPlateau(_RateCallback):
    """Shrinks the learning rate when a value no longer improves (PyTorch's `ReduceLROnPlateau`).

    Parameters
    ----------
    monitor : str
        Which of the epoch's values.
    rate : float
        What the learning rate is multiplied with, below 1.
    patience : int
        So many epochs without improvement are borne; the next one shrinks.
    threshold : float
        An improvement is more than this, as a share of the best value or as a number.
    threshold_mode : {"rel", "abs"}
        Which of the two.
    cooldown : int
        Epochs after a change in which nothing is counted.
    least : float
        The learning rate never falls below this share of where it began.
    mode : {"auto", "min", "max"}
        Whether less or more is better; told from the name by default.

    Attributes
    ----------
    factor : float
        What the learning rate is multiplied with now.

    Examples
    --------
    >>> import cymlp
    >>> plateau = ReduceOnPlateau("loss", rate=0.5, patience=0)
    >>> net = cymlp.mlp(1, [], 1, task="regression", optimizer=cymlp.SGD(0.0), rng=0)
    >>> history = net.fit([[1.0]], [1.0], epochs=3, callbacks=[plateau])
    >>> plateau.factor
    0.25
    """

    _numbers = ("best", "waited", "cooling")

    def __init__(self, monitor: str = "val_loss", *, rate: float = 0.1, patience: int = 10,
                 threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
                 least: float = 0.0, mode: str = "auto") -> None:
        super().__init__()
        self.monitor = monitor
        self._monitor = Monitor(monitor, mode)
        self.rate = as_number("rate", rate, least=0.0, below=1.0)
        self.patience = as_integer("patience", patience, least=0)
        self.threshold = as_number("threshold", threshold, least=0.0)
        self.threshold_mode = as_text("threshold_mode", threshold_mode, ["rel", "abs"])
        self.cooldown = as_integer("cooldown", cooldown, least=0)
        self.least = as_number("least", least, least=0.0, most=1.0)
        self._forget()

    def _forget(self) -> None:
        super()._forget()
        self.best: float | None = None
        self.waited = self.cooling = 0

    def _is_better(self, value: float) -> bool:
        if value != value:
            return False
        if self.best is None:
            return True
        sign = 1.0 if self._monitor.larger else -1.0
        if self.threshold_mode == "rel":
            bar = self.best * (1.0 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return sign * value > sign * bar

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """Counts an epoch without improvement, and shrinks when they are too many."""
        value = self._monitor.value(logs)
        if self._is_better(value):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.cooling:
            self.cooling, self.waited = self.cooling - 1, 0
        if self.waited > self.patience:
            self._set(network, max(self.factor * self.rate, self.least))
            self.cooling, self.waited = self.cooldown, 0


class AdaptiveRate(_RateCallback):
    """A fifth of the learning rate each time the loss stands still (scikit-learn's "adaptive").

    The run ends where the learning rate would have to shrink from `lowest` or below.

    Parameters
    ----------
    monitor : str
        Which of the epoch's values; scikit-learn's is the training loss.
    patience : int
        So many epochs without improvement are borne; scikit-learn's `n_iter_no_change`.
    min_delta : float
        Smaller improvements count as none; scikit-learn's `tol`.
    rate : float
        What the learning rate is multiplied with, below 1.
    lowest : float
        The learning rate at which the run ends.

    Attributes
    ----------
    factor : float
        What the learning rate is multiplied with now.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", optimizer=cymlp.SGD(2e-6), rng=0)
    >>> history = net.fit([[1.0]], [1.0], epochs=100, callbacks=[AdaptiveRate(patience=2)])
    >>> history.epochs
    7
    """

    _numbers = ("best", "waited")

    def __init__(self, monitor: str = "loss", *, patience: int = 10, min_delta: float = 1e-4,
                 rate: float = 0.2, lowest: float = 1e-6) -> None:
        super().__init__()
        self.monitor = monitor
        self._monitor = Monitor(monitor, "auto", min_delta)
        self.patience = as_integer("patience", patience, least=0)
        self.rate = as_number("rate", rate, least=0.0, below=1.0)
        self.lowest = as_number("lowest", lowest, least=0.0)
        self._forget()

    def _forget(self) -> None:
        super()._forget()
        self.best: float | None = None
        self.waited = 0

    def on_epoch_end(self, network: Any, epoch: int, logs: Mapping[str, float]) -> bool:
        """Counts an epoch without improvement; True where the learning rate is at its lowest."""
        value = self._monitor.value(logs)
        # As there: what is a little better than the best is no improvement, yet the new best.
        self.waited = 0 if self._monitor.is_better(value, self.best) else self.waited + 1
        if self.best is None or (value > self.best) == self._monitor.larger:
            self.best = value
        if self.waited <= self.patience:
            return False
        if network.optimizer.learning_rate * self.factor <= self.lowest:
            return True
        self._set(network, self.factor * self.rate)
        self.waited = 0
        return False


class RateFunction(_RateCallback):
    """A function of one's own says the factor of each epoch (PyTorch's `LambdaLR`).

    Parameters
    ----------
    function : callable
        Takes the number of the run's epoch, from 0, and returns what the learning rate is
        multiplied with: a number that is not negative.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", optimizer=cymlp.SGD(0.1), rng=0)
    >>> halving = RateFunction(lambda epoch: 0.5 ** epoch)
    >>> history = net.fit([[1.0]], [1.0], epochs=3, callbacks=[halving])
    >>> halving.factor
    0.25
    """

    def __init__(self, function: Callable[[int], float]) -> None:
        super().__init__()
        if not callable(function):
            raise TypeError(f"function: expected a function of the epoch, got {shown(function)}")
        self.function = function

    def on_epoch_begin(self, network: Any, epoch: int) -> None:
        """Asks the function."""
        self._set(network, as_number("function", self.function(epoch), least=0.0))
