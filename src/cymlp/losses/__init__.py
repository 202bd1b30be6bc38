"""Losses as plain, immutable descriptions.

A loss and its output activation are one kernel that works from the logits, which is both stable
and fast: so a network's last layer has no activation of its own. Every loss is a mean over the
rows (weighted by `sample_weight` where given) and over the outputs of a row.
"""

from __future__ import annotations

from typing import Any

from ..checks import choices, shown
from .base import Loss, PointwiseLoss
from .classes import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    FocalLoss,
    Hinge,
    KullbackLeibler,
    SquaredHinge,
)
from .custom import CompiledLoss, CustomLoss
from .values import (
    GaussianLoss,
    HuberLoss,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
    QuantileLoss,
    SmoothL1Loss,
)

__all__ = [
    "LOSSES", "TASKS", "BinaryCrossEntropy", "CategoricalCrossEntropy", "CompiledLoss",
    "CustomLoss", "FocalLoss", "GaussianLoss", "Hinge", "HuberLoss", "KullbackLeibler", "LogCosh",
    "Loss", "MeanAbsoluteError", "MeanSquaredError", "PointwiseLoss", "PoissonLoss",
    "QuantileLoss", "SmoothL1Loss", "SquaredHinge", "as_loss",
]

#: Every loss with a specification of its own. A row of the kernels' table that none of them
#: stands for is a loss too, by the row's name.
LOSSES: tuple[type[Loss], ...] = (
    MeanSquaredError, MeanAbsoluteError, HuberLoss, SmoothL1Loss, LogCosh, PoissonLoss,
    GaussianLoss, QuantileLoss, BinaryCrossEntropy, CategoricalCrossEntropy, FocalLoss, Hinge,
    SquaredHinge, KullbackLeibler,
)

_KERNELS = {cls().kernel for cls in LOSSES} | {BinaryCrossEntropy(1.0).kernel}
_BY_NAME = {cls.name: cls for cls in LOSSES}

#: task -> (output activation, loss)
TASKS: dict[str, tuple[str, Loss]] = {
    "binary": (BinaryCrossEntropy.output_activation, BinaryCrossEntropy()),
    "multiclass": (CategoricalCrossEntropy.output_activation, CategoricalCrossEntropy()),
    "multilabel": (BinaryCrossEntropy.output_activation, BinaryCrossEntropy()),
    "regression": (MeanSquaredError.output_activation, MeanSquaredError()),
}


def as_loss(value: Any) -> Loss:
    """The loss that a name, a loss or a Python function stands for.

    Parameters
    ----------
    value : str, loss or callable
        A name such as ``mean_squared_error`` or ``huber``, an object of this module, or a function
        as :class:`CustomLoss` takes it.

    Examples
    --------
    >>> as_loss("binary_cross_entropy")
    BinaryCrossEntropy()
    """
    if isinstance(value, Loss):
        return value
    if isinstance(value, str):
        if value in _BY_NAME:
            return _BY_NAME[value]()
        from .. import kernels

        if value in kernels.loss_table().keys() - _KERNELS:
            return PointwiseLoss(value)
        raise ValueError(f"loss: expected {choices(_BY_NAME)}, got {shown(value)}")
    if callable(value) and not isinstance(value, type):
        return CustomLoss(value)
    raise TypeError(
        f"loss: expected {choices(_BY_NAME)}, a loss such as MeanSquaredError(), or a function, "
        f"got {shown(value)}"
    )
