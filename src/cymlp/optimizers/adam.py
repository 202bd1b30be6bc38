"""Adam and what has come from it."""

from __future__ import annotations

from typing import Any, ClassVar

from ..checks import as_flag, as_number
from ..immutable import KW_ONLY, immutable
from .base import Scheduled, set_betas, set_checked

__all__ = ["AMSGrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "RAdam"]


@immutable
class Adam(Scheduled):
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
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> Adam(3e-4, amsgrad=True)
    Adam(learning_rate=0.0003, amsgrad=True)
    """

    kernel: ClassVar[str] = "adam"
    arrays: ClassVar[dict[str, str]] = {
        "first_moment": "", "second_moment": "", "maximum_second_moment": "amsgrad"}

    learning_rate: float = 1e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "epsilon", "weight_decay", least=0.0)
        set_checked(self, as_flag, "amsgrad")
        set_betas(self)


def AMSGrad(learning_rate: float = 1e-3, **settings: Any) -> Adam:
    """Adam that divides by the largest second moment so far (Reddi, Kale and Kumar 2018).

    Parameters
    ----------
    learning_rate : float
        Length of a step.
    **settings
        `betas`, `epsilon` and `weight_decay` of :class:`Adam`.

    Returns
    -------
    Adam
        With ``amsgrad=True``.

    Examples
    --------
    >>> AMSGrad(3e-4)
    Adam(learning_rate=0.0003, amsgrad=True)
    """
    return Adam(learning_rate, amsgrad=True, **settings)


@immutable
class AdamW(Scheduled):
    """Adam with a weight decay apart from the gradient.

    Loshchilov and Hutter 2019.

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
        The parameter shrinks by ``learning_rate * weight_decay`` of itself in a step.
    amsgrad : bool
        Divides by the largest second moment so far.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> AdamW(3e-4).weight_decay
    0.01
    """

    kernel: ClassVar[str] = "adamw"
    arrays: ClassVar[dict[str, str]] = {
        "first_moment": "", "second_moment": "", "maximum_second_moment": "amsgrad"}

    learning_rate: float = 1e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 1e-2
    amsgrad: bool = False

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "epsilon", "weight_decay", least=0.0)
        set_checked(self, as_flag, "amsgrad")
        set_betas(self)


@immutable
class NAdam(Scheduled):
    """Adam with a momentum that looks one step ahead and grows over the steps.

    Dozat 2016.

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
    momentum_decay : float
        How fast the momentum approaches ``betas[0]``.
    decoupled_weight_decay : bool
        The parameter shrinks by ``learning_rate * weight_decay`` instead, as in AdamW.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> NAdam().momentum_decay
    0.004
    """

    kernel: ClassVar[str] = "nadam"
    arrays: ClassVar[dict[str, str]] = {"first_moment": "", "second_moment": ""}

    learning_rate: float = 2e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "epsilon", "weight_decay",
                    "momentum_decay", least=0.0)
        set_checked(self, as_flag, "decoupled_weight_decay")
        set_betas(self)


@immutable
class RAdam(Scheduled):
    """Adam that divides by the second moment only as far as it is known.

    Liu et al. 2020: the first steps have the gradient's mean alone, later ones a rectified length.

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
    decoupled_weight_decay : bool
        The parameter shrinks by ``learning_rate * weight_decay`` instead, as in AdamW.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> RAdam(1e-2, weight_decay=0.1, decoupled_weight_decay=True).states()
    ('first_moment', 'second_moment')
    """

    kernel: ClassVar[str] = "radam"
    arrays: ClassVar[dict[str, str]] = {"first_moment": "", "second_moment": ""}

    learning_rate: float = 1e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "epsilon", "weight_decay", least=0.0)
        set_checked(self, as_flag, "decoupled_weight_decay")
        set_betas(self)


@immutable
class Adamax(Scheduled):
    """Adam with the largest gradient, which fades, in place of the second moment.

    Kingma and Ba 2015, section 7.1.

    Parameters
    ----------
    learning_rate : float
        Length of a step.
    betas : tuple of two floats
        Shares of the running mean and of the largest gradient that are kept in a step, from 0 up
        to but not including 1.
    epsilon : float
        Added to the size of a gradient.
    weight_decay : float
        This many times the parameter is added to its gradient.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> Adamax().states()
    ('first_moment', 'largest')
    """

    kernel: ClassVar[str] = "adamax"
    arrays: ClassVar[dict[str, str]] = {"first_moment": "", "largest": ""}

    learning_rate: float = 2e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "epsilon", "weight_decay", least=0.0)
        set_betas(self)


@immutable
class Lion(Scheduled):
    """Steps of one length in the direction of the sign of a running mean.

    Chen et al. 2023; the defaults are those of the authors' code.

    Parameters
    ----------
    learning_rate : float
        Length of a step.
    betas : tuple of two floats
        Shares of the running mean in the direction, and of it that are kept in a step, from 0 up
        to but not including 1.
    weight_decay : float
        The parameter shrinks by ``learning_rate * weight_decay`` of itself in a step.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> Lion(1e-4, weight_decay=0.1).states()
    ('first_moment',)
    """

    kernel: ClassVar[str] = "lion"
    arrays: ClassVar[dict[str, str]] = {"first_moment": ""}

    learning_rate: float = 1e-4
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        Scheduled.__post_init__(self)
        set_checked(self, as_number, "learning_rate", "weight_decay", least=0.0)
        set_betas(self)
