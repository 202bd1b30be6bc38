"""Metrics as plain, immutable descriptions, for ``evaluate`` and ``fit``.

In a list of metrics a name such as ``"f1"`` stands for the metric with its default settings, and
a Python function ``(output, target) -> number`` for itself: it gets what ``predict`` gives and
the targets (both without rows of weight 0), and is slow where it is. The values are computed in
native code by the functions of the same names in :mod:`cymlp.ops`, from what ``predict`` gives
for all rows together. All rows count alike but those of weight 0, which leave no trace; sample
weights count in the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from .checks import as_flag, as_integer, as_text, choices, shown
from .immutable import immutable

__all__ = [
    "AUROC", "F1", "METRICS", "R2", "Accuracy", "CustomMetric", "LogLoss", "MeanAbsoluteError",
    "Metric", "Precision", "Recall", "RootMeanSquaredError", "TopKAccuracy", "as_metrics",
]


class Metric:
    """Base of all metrics.

    Attributes
    ----------
    name : str
        By which it can be asked for.
    function : str
        The function of :mod:`cymlp.ops` that computes it.
    larger : bool
        Whether a larger value is better.
    needs : {"classes", "many", "probabilities", "numbers"}
        What the network's outputs must be: decisions about classes, or one class among many, or
        probabilities, or any numbers.

    >>> R2().name, R2().function, R2().larger
    ('r2', 'r2', True)
    >>> F1().label, F1("micro").label, TopKAccuracy(3).label
    ('f1', 'f1_micro', 'top_k_accuracy_3')
    """

    __slots__ = ()

    name: ClassVar[str] = ""
    function: ClassVar[str] = ""
    larger: ClassVar[bool] = True
    needs: ClassVar[str] = "classes"

    def settings(self) -> dict[str, Any]:
        """Arguments for the function beside those that follow from the network."""
        return {}

    @property
    def label(self) -> str:
        """What it is called in results and logs: its name and those settings that are not the
        default, so that several of a kind can be asked for.
        """
        default = type(self)().settings()
        return "_".join([self.name, *(str(value) for name, value in self.settings().items()
                                      if value != default[name])])


@immutable
class Accuracy(Metric):
    """Share of the rows that are right (of several yes/no outputs, in each of them).

    >>> Accuracy().name
    'accuracy'
    """

    name: ClassVar[str] = "accuracy"
    function: ClassVar[str] = "accuracy"


@immutable
class TopKAccuracy(Metric):
    """Share of the rows whose class is among the `k` of greatest probability.

    Parameters
    ----------
    k : int
        At least 1.

    >>> TopKAccuracy(3)
    TopKAccuracy(k=3)
    """

    k: int = 5

    name: ClassVar[str] = "top_k_accuracy"
    function: ClassVar[str] = "top_k_accuracy"
    needs: ClassVar[str] = "many"
    def __post_init__(self) -> None:
        object.__setattr__(self, "k", as_integer("k", self.k, least=1))

    def settings(self) -> dict[str, Any]:
        """The number of classes."""
        return {"k": self.k}


@immutable
class _ByClass(Metric):
    average: str = "macro"

    def __post_init__(self) -> None:
        as_text("average", self.average, ["macro", "micro", "weighted"])

    def settings(self) -> dict[str, Any]:
        """The average."""
        return {"average": self.average}


@immutable
class Precision(_ByClass):
    """Of the rows said to be of a class, the share that is; 0 where there are none.

    Parameters
    ----------
    average : {"macro", "micro", "weighted"}
        Over the classes of more than one output: their mean, the ratio of their sums, or the mean
        weighted by their rows. A single output stands for its positive class.

    >>> Precision("micro")
    Precision(average='micro')
    """

    name: ClassVar[str] = "precision"
    function: ClassVar[str] = "precision"


@immutable
class Recall(_ByClass):
    """Of the rows of a class, the share that is said to be; 0 where there are none.

    Parameters
    ----------
    average : {"macro", "micro", "weighted"}
        As in :class:`Precision`.

    >>> Recall().average
    'macro'
    """

    name: ClassVar[str] = "recall"
    function: ClassVar[str] = "recall"


@immutable
class F1(_ByClass):
    """Harmonic mean of precision and recall; 0 for a class without rows.

    Parameters
    ----------
    average : {"macro", "micro", "weighted"}
        As in :class:`Precision`.

    >>> F1().name
    'f1'
    """

    name: ClassVar[str] = "f1"
    function: ClassVar[str] = "f1"


@immutable
class AUROC(Metric):
    """Area under the receiver operating characteristic, of several outputs the mean of each
    against the rest; NaN where a class has no row or all.

    >>> AUROC().name
    'auroc'
    """

    name: ClassVar[str] = "auroc"
    function: ClassVar[str] = "auroc"


@immutable
class LogLoss(Metric):
    """Mean cross-entropy of the probabilities.

    >>> LogLoss().larger
    False
    """

    name: ClassVar[str] = "log_loss"
    function: ClassVar[str] = "log_loss"
    larger: ClassVar[bool] = False
    needs: ClassVar[str] = "probabilities"


@immutable
class MeanAbsoluteError(Metric):
    """Mean absolute difference over rows and outputs.

    >>> MeanAbsoluteError().name
    'mae'
    """

    name: ClassVar[str] = "mae"
    function: ClassVar[str] = "mae"
    larger: ClassVar[bool] = False
    needs: ClassVar[str] = "numbers"


@immutable
class RootMeanSquaredError(Metric):
    """Root of the mean squared difference, of several outputs their mean.

    >>> RootMeanSquaredError().name
    'rmse'
    """

    name: ClassVar[str] = "rmse"
    function: ClassVar[str] = "rmse"
    larger: ClassVar[bool] = False
    needs: ClassVar[str] = "numbers"


@immutable
class R2(Metric):
    """Coefficient of determination, of several outputs their mean.

    >>> R2().needs
    'numbers'
    """

    name: ClassVar[str] = "r2"
    function: ClassVar[str] = "r2"
    needs: ClassVar[str] = "numbers"


@immutable
class CustomMetric(Metric):
    """A Python function as a metric.

    Parameters
    ----------
    compute : callable
        ``(output, target) -> number``.
    name : str, optional
        What it is called; by default as the function is.
    larger : bool
        Whether a larger value is better.

    Examples
    --------
    >>> import numpy as np
    >>> def worst(output, target):
    ...     return np.abs(output - target).max()
    >>> CustomMetric(worst, larger=False).name
    'worst'
    """

    compute: Callable[[Any, Any], float]
    name: str = ""      # type: ignore[misc]
    larger: bool = True  # type: ignore[misc]

    needs: ClassVar[str] = "numbers"

    def __post_init__(self) -> None:
        if not callable(self.compute):
            raise TypeError("compute: expected a function (output, target) -> number, "
                            f"got {shown(self.compute)}")
        name = self.name or getattr(self.compute, "__name__", type(self.compute).__name__)
        if not isinstance(name, str):
            raise TypeError(f"name: expected a text, got {shown(name)}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "larger", as_flag("larger", self.larger))

    @property
    def label(self) -> str:
        """What it is called in results and logs."""
        return self.name


METRICS: tuple[type[Metric], ...] = (
    Accuracy, TopKAccuracy, Precision, Recall, F1, AUROC, LogLoss, MeanAbsoluteError,
    RootMeanSquaredError, R2,
)
_BY_NAME = {cls.name: cls for cls in METRICS}
_BY_NAME["mean_absolute_error"] = MeanAbsoluteError
_BY_NAME["root_mean_squared_error"] = RootMeanSquaredError


def as_metrics(value: Any, loss: Any) -> tuple[Metric, ...]:
    """The metrics that a list of names, metrics and functions stands for.

    Parameters
    ----------
    value : iterable
        Names of this module's metrics, metrics, functions ``(output, target) -> number``.
    loss : loss
        What the network's outputs mean is known from it.

    Returns
    -------
    tuple of Metric
        Without that which the loss reports by itself.

    Raises
    ------
    TypeError, ValueError
        Where a metric is none, does not fit the loss, or has the name of another one.

    Examples
    --------
    >>> from cymlp.losses import as_loss
    >>> as_metrics(["f1", TopKAccuracy(2)], as_loss("categorical_cross_entropy"))
    (F1(), TopKAccuracy(k=2))
    """
    if isinstance(value, (str, Metric)) or not isinstance(value, Iterable):
        raise TypeError(f"metrics: expected a list of metrics, got {shown(value)}")
    found: dict[str, Metric] = {}
    for index, one in enumerate(value):
        metric = _as_metric(f"metrics[{index}]", one)
        fitting = _outputs_of(loss)
        if metric.needs not in fitting:
            raise ValueError(f"metrics[{index}]: expected a metric that fits loss {loss.name!r}, "
                             f"of {choices(fitting)}, got {metric.name!r} of {metric.needs}")
        if metric.label in found or metric.label in ("loss", "time"):
            raise ValueError(f"metrics[{index}]: expected a name of its own, "
                             f"got {metric.label!r} again")
        found[metric.label] = metric
    found.pop(loss.metric, None)
    return tuple(found.values())


def _as_metric(place: str, value: Any) -> Metric:
    if isinstance(value, Metric):
        return value
    if isinstance(value, str):
        if value in _BY_NAME:
            return _BY_NAME[value]()
        raise ValueError(f"{place}: expected {choices(_BY_NAME)}, got {shown(value)}")
    if callable(value) and not isinstance(value, type):
        return CustomMetric(value)
    raise TypeError(f"{place}: expected a name, a metric such as F1() or a function "
                    f"(output, target) -> number, got {shown(value)}")


def _outputs_of(loss: Any) -> list[str]:
    """What the outputs of a network with such a loss are."""
    fitting = ["numbers"]
    if loss.metric == "accuracy" or loss.output_activation in ("sigmoid", "softmax"):
        fitting.append("classes")
    if loss.output_activation in ("sigmoid", "softmax"):
        fitting.append("probabilities")
    if loss.output_activation == "softmax":
        fitting.append("many")
    return fitting
