"""Optimizers with PyTorch's definitions and defaults, as plain, immutable descriptions.

Each has ``kernel``, the row of the kernels' table that does its update; ``hyper()``, the
numbers that the kernel takes; ``states()``, the arrays beside each parameter that this variant
really uses; ``initial_state(name)``, the value that such an array starts from.
"""

from __future__ import annotations

from typing import Any

from ..checks import choices, shown
from .adam import Adam, Adamax, AdamW, AMSGrad, Lion, NAdam, RAdam
from .base import Optimizer, TableOptimizer
from .lbfgs import LBFGS
from .plain import SGD, Adadelta, Adagrad, RMSprop

__all__ = ["CLASSES", "LBFGS", "AMSGrad", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax",
           "Lion", "NAdam", "Optimizer", "RAdam", "RMSprop", "TableOptimizer", "as_optimizer"]

#: The classes of the kernels' table, in its order; L-BFGS is none of its rows. A row that none of
#: them stands for is an optimizer too, by the row's name.
CLASSES: tuple[type, ...] = (SGD, Adagrad, RMSprop, Adam, AdamW, NAdam, RAdam, Adamax, Adadelta,
                             Lion)

_BY_NAME: dict[str, Any] = {**{cls.kernel: cls for cls in CLASSES}, "amsgrad": AMSGrad,
                             LBFGS.kernel: LBFGS}


def as_optimizer(value: Any) -> Optimizer:
    """The optimizer that a name or an optimizer stands for.

    Parameters
    ----------
    value : str or optimizer
        ``sgd``, ``adagrad``, ``rmsprop``, ``adam``, ``adamw``, ``nadam``, ``radam``, ``adamax``,
        ``adadelta``, ``lion``, ``lbfgs`` or ``amsgrad`` (each with its defaults), or an object of
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
        from .. import kernels

        if kernels.optimizer_table().get(value, {}).get("defaults"):
            return TableOptimizer(value)
        raise ValueError(f"optimizer: expected {choices(_BY_NAME)}, got {shown(value)}")
    raise TypeError(
        f"optimizer: expected {choices(_BY_NAME)}, or an optimizer such as Adam(1e-3), "
        f"got {shown(value)}"
    )
