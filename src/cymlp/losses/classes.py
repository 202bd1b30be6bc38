"""Losses of classes: yes or no, or one among many."""

from __future__ import annotations

from typing import Any, ClassVar

from ..checks import as_integer, as_number, shown
from ..immutable import immutable
from .base import Loss, TableLoss, as_numbers

__all__ = ["BinaryCrossEntropy", "CategoricalCrossEntropy", "FocalLoss", "Hinge",
           "KullbackLeibler", "SquaredHinge"]


class _Binary(TableLoss):
    """Every output is a decision of its own."""

    __slots__ = ()

    output_activation: ClassVar[str] = "sigmoid"
    metric: ClassVar[str] = "accuracy"


@immutable
class BinaryCrossEntropy(_Binary):
    """Mean cross-entropy of independent yes/no outputs; the output activation is the sigmoid.

    Parameters
    ----------
    pos_weight : float or sequence of float, optional
        By how much the term of the positive class counts more, at least 0; or one for each output.
        The mean stays that over rows and outputs, as in PyTorch's ``BCEWithLogitsLoss``.

    Examples
    --------
    >>> BinaryCrossEntropy().output_activation
    'sigmoid'
    >>> BinaryCrossEntropy(pos_weight=3)
    BinaryCrossEntropy(pos_weight=3.0)
    """

    name: ClassVar[str] = "binary_cross_entropy"
    pos_weight: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.pos_weight is not None:
            weight = as_numbers("pos_weight", self.pos_weight, least=0.0)
            object.__setattr__(self, "pos_weight", weight)

    @property
    def kernel(self) -> str:  # type: ignore[override]
        """The plain kernel is faster."""
        return ("binary_cross_entropy" if self.pos_weight is None
                else "weighted_binary_cross_entropy")


@immutable
class FocalLoss(_Binary):
    """Cross-entropy that counts less where the decision is easy (Lin et al. 2017).

    -a (1 - s)**gamma log(s), where s is the probability given to what is right, and a is `alpha`
    for the positive class and 1 - alpha for the negative one. Defaults are the paper's. Targets
    are 0 or 1.

    Parameters
    ----------
    gamma : float or sequence of float
        How much easy rows are held down, at least 0; or one for each output.
    alpha : float or sequence of float
        Weight of the positive class, from 0 to 1; or one for each output.

    Examples
    --------
    >>> FocalLoss(gamma=1.5)
    FocalLoss(gamma=1.5)
    """

    name: ClassVar[str] = "focal"
    kernel: ClassVar[str] = "focal_loss"
    gamma: float | tuple[float, ...] = 2.0
    alpha: float | tuple[float, ...] = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "gamma", as_numbers("gamma", self.gamma, least=0.0))
        object.__setattr__(self, "alpha", as_numbers("alpha", self.alpha, least=0.0, most=1.0))


@immutable
class Hinge(_Binary):
    """max(0, 1 - z) for the positive class, max(0, 1 + z) for the negative one.

    Targets are 1 for the positive class and 0 or -1, which mean the same, for the negative one.
    The output is the score z itself: its sign is the decision.

    >>> Hinge().limits
    (-1.0, 1.0, True)
    """

    name: ClassVar[str] = "hinge"
    kernel: ClassVar[str] = "hinge_loss"
    output_activation: ClassVar[str] = "identity"


@immutable
class SquaredHinge(_Binary):
    """The square of :class:`Hinge` for every row and output.

    >>> SquaredHinge().name
    'squared_hinge'
    """

    name: ClassVar[str] = "squared_hinge"
    kernel: ClassVar[str] = "squared_hinge_loss"
    output_activation: ClassVar[str] = "identity"


class _OneOfMany(Loss):
    """The outputs of a row are the classes."""

    __slots__ = ()

    output_activation: ClassVar[str] = "softmax"
    metric: ClassVar[str] = "accuracy"

    @property
    def limits(self) -> tuple[float, float, bool]:
        """Probabilities."""
        return 0.0, 1.0, False


@immutable
class CategoricalCrossEntropy(_OneOfMany):
    """Mean cross-entropy of one class among many; the output activation is softmax.

    Targets are integer labels, one-hot rows or rows of probabilities. The parameters and how the
    mean is formed are those of PyTorch's ``CrossEntropyLoss``.

    Parameters
    ----------
    label_smoothing : float
        Share of the target that is spread evenly over all classes, from 0 to 1 (Szegedy et al.
        2016, section 7).
    class_weight : sequence of float, optional
        A weight of at least 0 for every class. Of labels the mean is that of the rows by the
        weights of their labels; with one-hot or soft rows each class's term is weighed, and the
        mean is that over the rows. (The argument `class_weight` of :meth:`cymlp.Network.fit`
        weighs rows in every case.)
    ignore_index : int, optional
        A label that means "no label": such rows count as rows of weight 0 do. PyTorch's default
        is -100.

    Examples
    --------
    >>> CategoricalCrossEntropy().output_activation
    'softmax'
    >>> CategoricalCrossEntropy(label_smoothing=0.1, ignore_index=-100)
    CategoricalCrossEntropy(label_smoothing=0.1, ignore_index=-100)
    """

    name: ClassVar[str] = "categorical_cross_entropy"
    kernel: ClassVar[str] = "softmax_cross_entropy"
    takes_labels: ClassVar[bool] = True
    label_smoothing: float = 0.0
    class_weight: tuple[float, ...] | None = None
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        smoothing = as_number("label_smoothing", self.label_smoothing, least=0.0, most=1.0)
        object.__setattr__(self, "label_smoothing", smoothing)
        if self.class_weight is not None:
            weight = as_numbers("class_weight", self.class_weight, least=0.0)
            if isinstance(weight, float):
                raise TypeError("class_weight: expected a number for every class, "
                                f"got {shown(self.class_weight)}")
            object.__setattr__(self, "class_weight", weight)
        if self.ignore_index is not None:
            object.__setattr__(self, "ignore_index",
                               as_integer("ignore_index", self.ignore_index, least=-2**31))

    def attributes(self, out_features: int) -> dict[str, Any]:
        """Smoothing and weights, where there are any."""
        found = Loss.attributes(self, out_features)
        weight = self.class_weight
        if weight is not None and len(weight) != out_features:
            raise ValueError(f"class_weight: expected {out_features} numbers, one for each class, "
                             f"got {len(weight)}")
        if weight is not None or self.label_smoothing:
            found |= {"label_smoothing": self.label_smoothing,
                      "class_weight": (1.0,) * out_features if weight is None else weight}
        return found


@immutable
class KullbackLeibler(_OneOfMany):
    """Divergence of the softmax of the outputs from rows of probabilities.

    The sum over a row of t (log(t) - log(softmax(z))), with no term where t is 0; the mean is that
    over the rows: PyTorch's ``KLDivLoss(reduction="batchmean")`` on log-softmax.

    >>> KullbackLeibler().output_activation
    'softmax'
    """

    name: ClassVar[str] = "kullback_leibler"
    kernel: ClassVar[str] = "kullback_leibler"
