"""Optimizers without a running mean of the gradient at their heart: SGD, Adagrad and kin."""

from __future__ import annotations

from typing import ClassVar

from ..checks import as_flag, as_number
from ..immutable import KW_ONLY, immutable
from .base import Optimizer, Scheduled, set_checked

__all__ = ["SGD", "Adadelta", "Adagrad", "RMSprop"]


@immutable
class SGD(Scheduled):
    """Stochastic gradient descent, with momentum and Nesterov's variant.

    Parameters
    ----------
    learning_rate : float
        Length of a step.
    momentum : float
        Share of the last step that is kept.
    dampening : float
        Share of the gradient that does not enter the momentum (from the second step on).
    weight_decay : float
        This many times the parameter is added to its gradient.
    nesterov : bool
        Looks one momentum step ahead; needs a momentum and no dampening.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> SGD(0.1, momentum=0.9).states()
    ('momentum_buffer',)
    """

    kernel: ClassVar[str] = "sgd"
    arrays: ClassVar[dict[str, str]] = {"momentum_buffer": "momentum"}

    learning_rate: float = 1e-3
    _: KW_ONLY
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "momentum", "weight_decay", least=0.0)
        set_checked(self, as_number, "dampening")
        set_checked(self, as_flag, "nesterov")
        if self.nesterov and (self.momentum == 0.0 or self.dampening != 0.0):
            raise ValueError(
                "nesterov: expected a momentum above 0 and no dampening with nesterov=True, "
                f"got momentum={self.momentum:g}, dampening={self.dampening:g}"
            )


@immutable
class Adagrad(Scheduled):
    """Steps divided by the root of the sum of all squared gradients so far.

    Parameters
    ----------
    learning_rate : float
        Length of a step.
    learning_rate_decay : float
        Step t uses ``learning_rate / (1 + (t - 1) * learning_rate_decay)``.
    weight_decay : float
        This many times the parameter is added to its gradient.
    initial_accumulator_value : float
        Where the sum of squares starts.
    epsilon : float
        Added to the root.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> Adagrad(initial_accumulator_value=0.1).initial_state("sum")
    0.1
    """

    kernel: ClassVar[str] = "adagrad"
    arrays: ClassVar[dict[str, str]] = {"sum": ""}
    apart: ClassVar[tuple[str, ...]] = ("initial_accumulator_value",)

    learning_rate: float = 1e-2
    _: KW_ONLY
    learning_rate_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "learning_rate_decay", "weight_decay",
                    "initial_accumulator_value", "epsilon", least=0.0)

    def initial_state(self, name: str) -> float:
        """The value that a state starts from."""
        Optimizer.initial_state(self, name)
        return self.initial_accumulator_value


@immutable
class RMSprop(Scheduled):
    """Steps divided by the root of a running mean of the squared gradients.

    Parameters
    ----------
    learning_rate : float
        Length of a step.
    alpha : float
        Share of the running mean that is kept in a step, from 0 to 1.
    epsilon : float
        Added to the root.
    weight_decay : float
        This many times the parameter is added to its gradient.
    momentum : float
        Share of the last step that is kept.
    centered : bool
        Divides by the running standard deviation instead.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> RMSprop(momentum=0.9, centered=True).states()
    ('square_average', 'momentum_buffer', 'gradient_average')
    """

    kernel: ClassVar[str] = "rmsprop"
    arrays: ClassVar[dict[str, str]] = {
        "square_average": "", "momentum_buffer": "momentum", "gradient_average": "centered"}

    learning_rate: float = 1e-2
    _: KW_ONLY
    alpha: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "epsilon", "weight_decay", "momentum",
                    least=0.0)
        set_checked(self, as_number, "alpha", least=0.0, most=1.0)
        set_checked(self, as_flag, "centered")


@immutable
class Adadelta(Scheduled):
    """Steps as long as the recent steps, divided by the root of the recent squared gradients.

    Zeiler 2012; a learning rate of 1 is the paper's method.

    Parameters
    ----------
    learning_rate : float
        Factor of a step.
    rho : float
        Share of the running means that is kept in a step, from 0 to 1.
    epsilon : float
        Added to both means under their roots.
    weight_decay : float
        This many times the parameter is added to its gradient.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> Adadelta(rho=0.95).states()
    ('square_average', 'step_average')
    """

    kernel: ClassVar[str] = "adadelta"
    arrays: ClassVar[dict[str, str]] = {"square_average": "", "step_average": ""}

    learning_rate: float = 1.0
    _: KW_ONLY
    rho: float = 0.9
    epsilon: float = 1e-6
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "epsilon", "weight_decay", least=0.0)
        set_checked(self, as_number, "rho", least=0.0, most=1.0)
