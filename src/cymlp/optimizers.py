"""Optimizers with PyTorch's definitions and defaults, as plain, immutable descriptions.

Each has ``kernel``, the row of the kernels' table that does its update; ``hyper()``, the
numbers that the kernel takes; ``states()``, the arrays beside each parameter that this variant
really uses; ``initial_state(name)``, the value that such an array starts from.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Union

from .lbfgs import LBFGS
from .checks import as_flag, as_number, choices, shown, spec_repr

__all__ = ["SGD", "Adagrad", "Adam", "Optimizer", "RMSprop", "as_optimizer"]


def _set(spec: Any, check: Any, *names: str, **bounds: float) -> None:
    for name in names:
        object.__setattr__(spec, name, check(name, getattr(spec, name), **bounds))


def _require_state(spec: Any, name: str) -> None:
    if name not in spec.states():
        raise ValueError(f"name: expected one of the states {spec.states()}, got {shown(name)}")


@dataclass(frozen=True, slots=True, repr=False)
class SGD:
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

    Examples
    --------
    >>> SGD(0.1, momentum=0.9).states()
    ('momentum_buffer',)
    """

    kernel: ClassVar[str] = "sgd"

    learning_rate: float = 1e-3
    _: KW_ONLY
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _set(self, as_number, "learning_rate", "momentum", "weight_decay", least=0.0)
        _set(self, as_number, "dampening")
        _set(self, as_flag, "nesterov")
        if self.nesterov and (self.momentum == 0.0 or self.dampening != 0.0):
            raise ValueError(
                "nesterov: expected a momentum above 0 and no dampening with nesterov=True, "
                f"got momentum={self.momentum:g}, dampening={self.dampening:g}"
            )

    def hyper(self) -> dict[str, float]:
        """The kernel's hyperparameters."""
        return {
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "dampening": self.dampening,
            "weight_decay": self.weight_decay,
            "nesterov": float(self.nesterov),
        }

    def states(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each parameter."""
        return ("momentum_buffer",) if self.momentum else ()

    def initial_state(self, name: str) -> float:
        """The value that a state starts from."""
        _require_state(self, name)
        return 0.0

    __repr__ = spec_repr


@dataclass(frozen=True, slots=True, repr=False)
class Adagrad:
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

    Examples
    --------
    >>> Adagrad(initial_accumulator_value=0.1).initial_state("sum")
    0.1
    """

    kernel: ClassVar[str] = "adagrad"

    learning_rate: float = 1e-2
    _: KW_ONLY
    learning_rate_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        _set(self, as_number, "learning_rate", "learning_rate_decay", "weight_decay",
             "initial_accumulator_value", "epsilon", least=0.0)

    def hyper(self) -> dict[str, float]:
        """The kernel's hyperparameters."""
        return {
            "learning_rate": self.learning_rate,
            "learning_rate_decay": self.learning_rate_decay,
            "weight_decay": self.weight_decay,
            "epsilon": self.epsilon,
        }

    def states(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each parameter."""
        return ("sum",)

    def initial_state(self, name: str) -> float:
        """The value that a state starts from."""
        _require_state(self, name)
        return self.initial_accumulator_value

    __repr__ = spec_repr


@dataclass(frozen=True, slots=True, repr=False)
class RMSprop:
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

    Examples
    --------
    >>> RMSprop(momentum=0.9, centered=True).states()
    ('square_average', 'momentum_buffer', 'gradient_average')
    """

    kernel: ClassVar[str] = "rmsprop"

    learning_rate: float = 1e-2
    _: KW_ONLY
    alpha: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        _set(self, as_number, "learning_rate", "epsilon", "weight_decay", "momentum", least=0.0)
        _set(self, as_number, "alpha", least=0.0, most=1.0)
        _set(self, as_flag, "centered")

    def hyper(self) -> dict[str, float]:
        """The kernel's hyperparameters."""
        return {
            "learning_rate": self.learning_rate,
            "alpha": self.alpha,
            "epsilon": self.epsilon,
            "weight_decay": self.weight_decay,
            "momentum": self.momentum,
            "centered": float(self.centered),
        }

    def states(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each parameter."""
        momentum = ("momentum_buffer",) if self.momentum else ()
        average = ("gradient_average",) if self.centered else ()
        return ("square_average", *momentum, *average)

    def initial_state(self, name: str) -> float:
        """The value that a state starts from."""
        _require_state(self, name)
        return 0.0

    __repr__ = spec_repr


@dataclass(frozen=True, slots=True, repr=False)
class Adam:
    """Adaptive steps from running means of the gradient and of its square.

    Parameters
    ----------
    learning_rate : float
        Length of a step.
    betas : tuple of two floats
        Shares of the two running means that are kept in a step, from 0 up to but not
        including 1.
    epsilon : float
        Added to the root.
    weight_decay : float
        This many times the parameter is added to its gradient.
    amsgrad : bool
        Divides by the largest second moment so far (the AMSGrad variant).

    Examples
    --------
    >>> Adam(3e-4, amsgrad=True)
    Adam(learning_rate=0.0003, amsgrad=True)
    """

    kernel: ClassVar[str] = "adam"

    learning_rate: float = 1e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        _set(self, as_number, "learning_rate", "epsilon", "weight_decay", least=0.0)
        _set(self, as_flag, "amsgrad")
        if not isinstance(self.betas, (tuple, list)):
            raise TypeError(f"betas: expected two numbers, got {shown(self.betas)}")
        if len(self.betas) != 2:
            raise ValueError(f"betas: expected two numbers, got {shown(self.betas)}")
        betas = tuple(
            as_number(f"betas[{i}]", beta, least=0.0, below=1.0)
            for i, beta in enumerate(self.betas)
        )
        object.__setattr__(self, "betas", betas)

    def hyper(self) -> dict[str, float]:
        """The kernel's hyperparameters."""
        return {
            "learning_rate": self.learning_rate,
            "beta1": self.betas[0],
            "beta2": self.betas[1],
            "epsilon": self.epsilon,
            "weight_decay": self.weight_decay,
            "amsgrad": float(self.amsgrad),
        }

    def states(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each parameter."""
        largest = ("maximum_second_moment",) if self.amsgrad else ()
        return ("first_moment", "second_moment", *largest)

    def initial_state(self, name: str) -> float:
        """The value that a state starts from."""
        _require_state(self, name)
        return 0.0

    __repr__ = spec_repr


Optimizer = Union[SGD, Adagrad, RMSprop, Adam, LBFGS]

_BY_NAME = {cls.kernel: cls for cls in (SGD, Adagrad, RMSprop, Adam, LBFGS)}


def as_optimizer(value: Any) -> Optimizer:
    """The optimizer that a name or an optimizer stands for.

    Parameters
    ----------
    value : str or optimizer
        ``sgd``, ``adagrad``, ``rmsprop``, ``adam``, ``lbfgs`` (each with its defaults), or an object of
        this module.

    Examples
    --------
    >>> as_optimizer("adam")
    Adam()
    """
    if isinstance(value, Optimizer):
        return value
    if isinstance(value, str):
        if value in _BY_NAME:
            return _BY_NAME[value]()
        raise ValueError(f"optimizer: expected {choices(_BY_NAME)}, got {shown(value)}")
    raise TypeError(
        f"optimizer: expected {choices(_BY_NAME)}, or an optimizer such as Adam(1e-3), "
        f"got {shown(value)}"
    )
