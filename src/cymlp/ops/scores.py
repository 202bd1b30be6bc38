"""Metrics of a whole set of outputs, as a network's :meth:`cymlp.Network.predict` gives them.

`target` has the shape of `output`, or is one number for each row: class numbers where `output` has
more than one column. A row belongs to one class among many where there is more than one column
(of a dense target to that of the first greatest element), unless `multilabel` says that each
column is a yes/no matter of its own, as a single one always is: yes is an output above `threshold`
and a target above 0.5. Of equal outputs the first is taken. A row with a NaN is wrong, and said
to be of no class.

`sample_weight` is by how much each row counts. Rows of weight 0 leave no trace, whatever they
hold. Without any row that counts a mean is NaN. Sums are formed in double, in the rows' order.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_real_array, as_weight
from ..checks import as_flag, as_integer, as_number, as_text
from ..engine.scores import Rows
from .losses import _check_labels, _check_values, _dense_target

__all__ = ["accuracy", "auroc", "f1", "log_loss", "mae", "precision", "r2", "recall", "rmse",
           "top_k_accuracy"]


def _rows(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None,
          multilabel: bool = False, threshold: float = 0.5) -> tuple[Rows, NDArray]:
    """The rows for the engine, and the output as an array; everything checked."""
    output, target = as_real_array("output", output), as_real_array("target", target)
    if output.ndim == 1:
        output = output[:, None]
    if output.ndim != 2 or output.shape[1] == 0:
        raise ValueError("output: expected shape (n, out) with at least one column, "
                         f"got shape {output.shape}")
    many = output.shape[1] > 1 and not as_flag("multilabel", multilabel)
    weight = as_weight(sample_weight, len(output))
    if weight is not None:
        _check_values("sample_weight", weight, 0.0, sys.float_info.max,
                      "finite numbers of at least 0")
    if many and target.shape == output.shape[:1]:
        _check_labels("target", target, output.shape[1])
    else:
        target = _dense_target(target, output.shape)
        _check_values("target", target, -math.inf, math.inf, "numbers that are not NaN")
    return Rows(output, target, weight, many, as_number("threshold", threshold)), output


def _ratio(part: float, whole: float, empty: float) -> float:
    return part / whole if whole else empty


def accuracy(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None, *,
             multilabel: bool = False, threshold: float = 0.5) -> float:
    """Share of the rows that are right: of the right class, or right in every column.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Probabilities, or other scores of which the greatest decides.
    target : array_like, shape (n,) or (n, out)
        Class numbers, or rows as the output's.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.
    multilabel : bool
        Whether each column is a yes/no matter of its own.
    threshold : float
        Above which such an output says yes.

    Returns
    -------
    float
        NaN where no row counts.

    Examples
    --------
    >>> accuracy([[0.2, 0.8], [0.6, 0.4]], [1, 1])
    0.5
    """
    rows, output = _rows(output, target, sample_weight, multilabel, threshold)
    right, total = rows.decisions(np.zeros((output.shape[1], 3)), 1)
    return _ratio(right, total, math.nan)


def top_k_accuracy(output: ArrayLike, target: ArrayLike,
                   sample_weight: ArrayLike | None = None, *, k: int = 5) -> float:
    """Share of the rows whose class is among the `k` of greatest output.

    Parameters
    ----------
    output : array_like, shape (n, out), out > 1
        Scores.
    target : array_like, shape (n,) or (n, out)
        Class numbers, or one-hot rows.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.
    k : int
        How many classes may be named; with as many as there are, only NaN is wrong.

    Returns
    -------
    float
        NaN where no row counts.

    Examples
    --------
    >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2)
    0.5
    """
    k = as_integer("k", k, least=1)
    rows, output = _rows(output, target, sample_weight)
    if output.shape[1] == 1:
        raise ValueError("output: expected more than one column, as of one class among many, "
                         f"got shape {output.shape}")
    right, total = rows.decisions(np.zeros((output.shape[1], 3)), min(k, output.shape[1]))
    return _ratio(right, total, math.nan)


def _by_class(score, output, target, sample_weight, average, multilabel, threshold):
    """A score of (rightly said, said, true) weights, averaged over the classes."""
    if average is not None:
        as_text("average", average, ["macro", "micro", "weighted"])
    rows, output = _rows(output, target, sample_weight, multilabel, threshold)
    table = np.zeros((output.shape[1], 3))
    rows.decisions(table, 1)
    classes = table.tolist()
    if average is None:
        return np.array([score(*row) for row in classes])
    if average == "micro":
        return score(*(sum(column) for column in zip(*classes, strict=True)))
    shares = [1.0 if average == "macro" or len(classes) == 1 else true for _, _, true in classes]
    return _ratio(sum(share * score(*row) for share, row in zip(shares, classes, strict=True)),
                  sum(shares), 0.0)


def precision(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None, *,
              average: str | None = "macro", multilabel: bool = False,
              threshold: float = 0.5) -> float | NDArray[np.float64]:
    """Of the rows said to be of a class, the share that is.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Scores. A single column stands for its positive class alone.
    target : array_like, shape (n,) or (n, out)
        Class numbers, or rows as the output's.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.
    average : {"macro", "micro", "weighted"} or None
        Mean over all columns' classes; from the sums over the classes; mean weighted by the
        classes' rows. None: no average.
    multilabel : bool
        Whether each column is a yes/no matter of its own.
    threshold : float
        Above which such an output says yes.

    Returns
    -------
    float, or ndarray of shape (out,) of each class without `average`
        A class of which no row is said to be counts as 0.

    Examples
    --------
    >>> precision([0.9, 0.8, 0.3, 0.7], [1, 0, 1, 1])
    0.6666666666666666
    """
    def score(right, said, true):
        return _ratio(right, said, 0.0)

    return _by_class(score, output, target, sample_weight, average, multilabel, threshold)


def recall(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None, *,
           average: str | None = "macro", multilabel: bool = False,
           threshold: float = 0.5) -> float | NDArray[np.float64]:
    """Of the rows of a class, the share that is said to be.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Scores. A single column stands for its positive class alone.
    target : array_like, shape (n,) or (n, out)
        Class numbers, or rows as the output's.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.
    average : {"macro", "micro", "weighted"} or None
        As in :func:`precision`.
    multilabel : bool
        Whether each column is a yes/no matter of its own.
    threshold : float
        Above which such an output says yes.

    Returns
    -------
    float, or ndarray of shape (out,) of each class without `average`
        A class without rows counts as 0.

    Examples
    --------
    >>> recall([0.9, 0.8, 0.3, 0.2], [1, 0, 1, 0])
    0.5
    >>> recall([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], [1, 1, 0], average=None)
    array([1. , 0.5])
    """
    def score(right, said, true):
        return _ratio(right, true, 0.0)

    return _by_class(score, output, target, sample_weight, average, multilabel, threshold)


def f1(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None, *,
       average: str | None = "macro", multilabel: bool = False,
       threshold: float = 0.5) -> float | NDArray[np.float64]:
    """Harmonic mean of precision and recall.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Scores. A single column stands for its positive class alone.
    target : array_like, shape (n,) or (n, out)
        Class numbers, or rows as the output's.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.
    average : {"macro", "micro", "weighted"} or None
        As in :func:`precision`.
    multilabel : bool
        Whether each column is a yes/no matter of its own.
    threshold : float
        Above which such an output says yes.

    Returns
    -------
    float, or ndarray of shape (out,) of each class without `average`
        A class without rows, of which none is said to be, counts as 0.

    Examples
    --------
    >>> f1([0.9, 0.8, 0.3, 0.2], [1, 0, 1, 0])
    0.5
    """
    def score(right, said, true):
        return _ratio(2.0 * right, said + true, 0.0)

    return _by_class(score, output, target, sample_weight, average, multilabel, threshold)


def auroc(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None, *,
          multilabel: bool = False) -> float:
    """Area under the receiver operating characteristic; of many classes the mean of each against
    the rest.

    It is the share of pairs of a positive and a negative row in which the positive one has the
    greater output, equal outputs counting half.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Scores.
    target : array_like, shape (n,) or (n, out)
        Class numbers, or rows as the output's.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts; a pair counts with the product.
    multilabel : bool
        Whether each column is a yes/no matter of its own.

    Returns
    -------
    float
        NaN where an output is, or where a class has no row or all of them.

    Examples
    --------
    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    >>> auroc([0.1, 0.4], [1, 1])
    nan
    """
    rows, output = _rows(output, target, sample_weight, multilabel)
    areas = np.zeros(output.shape[1])
    rows.areas(areas)
    return sum(areas.tolist()) / len(areas)


def log_loss(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None, *,
             multilabel: bool = False) -> float:
    """Mean cross-entropy of probabilities, which are kept away from 0 and 1 by the rounding of
    their dtype.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Probabilities.
    target : array_like, shape (n,) or (n, out)
        Class numbers, or rows of probabilities.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.
    multilabel : bool
        Whether each column is a yes/no matter of its own; their mean counts.

    Returns
    -------
    float
        NaN where no row counts.

    Examples
    --------
    >>> round(log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 6)
    0.490415
    """
    rows, output = _rows(output, target, sample_weight, multilabel)
    kind = output.dtype if output.dtype.kind == "f" and output.dtype.itemsize <= 4 else np.float64
    loss, total, bad = rows.log_loss(float(np.finfo(kind).eps))
    if bad >= 0:
        raise ValueError(f"output: expected probabilities from 0 to 1, got {output[bad]} "
                         f"in row {bad}")
    return _ratio(loss, total, math.nan)


def _differences(output, target, sample_weight) -> tuple[list[list[float]], int, float]:
    rows, output = _rows(output, target, sample_weight)
    table = np.zeros((output.shape[1], 4))
    counted, total = rows.differences(table)
    return table.tolist(), counted, total


def mae(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean absolute error, over rows and columns.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Values.
    target : array_like, shape (n,) or (n, out)
        Wanted values; class numbers stand for one-hot rows.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.

    Returns
    -------
    float
        NaN where no row counts.

    Examples
    --------
    >>> mae([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    table, _, total = _differences(output, target, sample_weight)
    return sum(_ratio(row[0], total, math.nan) for row in table) / len(table)


def rmse(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Root of the mean squared error of each column, and the columns' mean.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Values.
    target : array_like, shape (n,) or (n, out)
        Wanted values; class numbers stand for one-hot rows.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.

    Returns
    -------
    float
        NaN where no row counts.

    Examples
    --------
    >>> rmse([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0])
    0.5
    """
    table, _, total = _differences(output, target, sample_weight)
    return sum(math.sqrt(_ratio(row[1], total, math.nan)) for row in table) / len(table)


def r2(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Coefficient of determination of each column, and the columns' mean.

    1 less the sum of squared errors over that of squared distances of the targets from their
    mean. Of targets that are all equal it is 1 without any error, else 0, as in scikit-learn.

    Parameters
    ----------
    output : array_like, shape (n, out) or (n,)
        Values.
    target : array_like, shape (n,) or (n, out)
        Wanted values; class numbers stand for one-hot rows.
    sample_weight : array_like, shape (n,), optional
        By how much each row counts.

    Returns
    -------
    float
        NaN where fewer than two rows count.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.7857142857142857
    """
    table, counted, _ = _differences(output, target, sample_weight)
    if counted < 2:
        return math.nan
    return sum(1.0 - error / spread if spread or error != error else float(error == 0.0)
               for _, error, _, spread in table) / len(table)
