"""Losses, and the table that says which loss and output activation a task has.

A loss and its output activation are one kernel that works from the logits, which is both
stable and fast: so a network's last layer has no activation of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Union

from .checks import choices, shown

__all__ = [
    "TASKS",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "Loss",
    "MeanSquaredError",
    "as_loss",
]


@dataclass(frozen=True, slots=True)
class MeanSquaredError:
    """Mean of the squared differences over outputs and rows; the output is the identity.

    >>> MeanSquaredError().metric
    'mean_absolute_error'
    """

    name: ClassVar[str] = "mean_squared_error"
    kernel: ClassVar[str] = "mean_squared_error"
    output_activation: ClassVar[str] = "identity"
    metric: ClassVar[str] = "mean_absolute_error"


@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy:
    """Mean cross-entropy of independent yes/no outputs; the output activation is the sigmoid.

    >>> BinaryCrossEntropy().output_activation
    'sigmoid'
    """

    name: ClassVar[str] = "binary_cross_entropy"
    kernel: ClassVar[str] = "binary_cross_entropy"
    output_activation: ClassVar[str] = "sigmoid"
    metric: ClassVar[str] = "accuracy"


@dataclass(frozen=True, slots=True)
class CategoricalCrossEntropy:
    """Mean cross-entropy of one class among many; the output activation is softmax.

    Targets are integer labels, one-hot rows or rows of probabilities.

    >>> CategoricalCrossEntropy().output_activation
    'softmax'
    """

    name: ClassVar[str] = "categorical_cross_entropy"
    kernel: ClassVar[str] = "softmax_cross_entropy"
    output_activation: ClassVar[str] = "softmax"
    metric: ClassVar[str] = "accuracy"


Loss = Union[MeanSquaredError, BinaryCrossEntropy, CategoricalCrossEntropy]

_BY_NAME = {
    cls.name: cls for cls in (MeanSquaredError, BinaryCrossEntropy, CategoricalCrossEntropy)
}

#: task -> (output activation, loss)
TASKS: dict[str, tuple[str, Loss]] = {
    "binary": (BinaryCrossEntropy.output_activation, BinaryCrossEntropy()),
    "multiclass": (CategoricalCrossEntropy.output_activation, CategoricalCrossEntropy()),
    "multilabel": (BinaryCrossEntropy.output_activation, BinaryCrossEntropy()),
    "regression": (MeanSquaredError.output_activation, MeanSquaredError()),
}


def as_loss(value: Any) -> Loss:
    """The loss that a name or a loss stands for.

    Parameters
    ----------
    value : str or loss
        ``mean_squared_error``, ``binary_cross_entropy``, ``categorical_cross_entropy``, or an
        object of this module.

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
        raise ValueError(f"loss: expected {choices(_BY_NAME)}, got {shown(value)}")
    raise TypeError(
        f"loss: expected {choices(_BY_NAME)}, or a loss such as MeanSquaredError(), "
        f"got {shown(value)}"
    )
