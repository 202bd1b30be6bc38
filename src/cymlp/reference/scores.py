"""Metrics of a whole set of outputs, from their definitions."""

from __future__ import annotations

import numpy as np

__all__ = ["accuracy", "auroc", "f1", "log_loss", "mae", "precision", "r2", "recall", "rmse",
           "top_k_accuracy"]


def _counted(output, target, sample_weight):
    """Output and target as matrices, and weights, of the rows that count."""
    output = np.asarray(output)
    least = np.finfo(output.dtype).eps if output.dtype.kind == "f" else np.finfo(np.float64).eps
    output = output.astype(np.float64).reshape(len(output), -1)
    target = np.asarray(target)
    if target.ndim == 1 and output.shape[1] > 1:
        target = np.eye(output.shape[1])[target.astype(int)]
    target = target.astype(np.float64).reshape(output.shape)
    weight = np.ones(len(output)) if sample_weight is None else np.asarray(sample_weight, float)
    return output[weight != 0], target[weight != 0], weight[weight != 0], least


def _mean(values, weight):
    return float(np.sum(values * weight) / weight.sum()) if len(weight) else float("nan")


def _said_and_true(output, target, multilabel, threshold):
    """One-hot rows, or yes/no columns; a row with a NaN is said to be of no class."""
    columns = output.shape[1]
    if multilabel or columns == 1:
        return output > threshold, target > 0.5
    said = np.eye(columns)[output.argmax(axis=1)] > 0
    return said & ~np.isnan(output).any(axis=1)[:, None], np.eye(columns)[target.argmax(1)] > 0


def accuracy(output, target, sample_weight=None, *, multilabel=False, threshold=0.5):
    """Share of the rows without a wrong column.

    >>> accuracy([[0.2, 0.8], [0.6, 0.4]], [1, 1])
    0.5
    """
    output, target, weight, _ = _counted(output, target, sample_weight)
    said, true = _said_and_true(output, target, multilabel, threshold)
    return _mean((said == true).all(axis=1) & ~np.isnan(output).any(axis=1), weight)


def top_k_accuracy(output, target, sample_weight=None, *, k=5):
    """Share of the rows whose class is among the first k in a stable descending order.

    >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [1, 2], k=2)
    0.5
    """
    output, target, weight, _ = _counted(output, target, sample_weight)
    first = np.argsort(-output, axis=1, kind="stable")[:, :k]
    among = (first == target.argmax(axis=1)[:, None]).any(axis=1)
    return _mean(among & ~np.isnan(output).any(axis=1), weight)


def _by_class(score, output, target, sample_weight, average, multilabel, threshold):
    output, target, weight, _ = _counted(output, target, sample_weight)
    said, true = _said_and_true(output, target, multilabel, threshold)
    both, said, true = (weight @ (said & true), weight @ said, weight @ true)
    if average == "micro":
        return float(score(both.sum(), said.sum(), true.sum()))
    scores = np.array([score(*row) for row in zip(both, said, true, strict=True)], float)
    if average is None:
        return scores
    if average == "macro" or len(scores) == 1:
        return float(scores.mean())
    return float(scores @ true / true.sum()) if true.sum() else 0.0


def precision(output, target, sample_weight=None, *, average="macro", multilabel=False,
              threshold=0.5):
    """Rightly said over said.

    >>> round(precision([0.9, 0.8, 0.3, 0.7], [1, 0, 1, 1]), 6)
    0.666667
    """
    return _by_class(lambda both, said, true: both / said if said else 0.0,
                     output, target, sample_weight, average, multilabel, threshold)


def recall(output, target, sample_weight=None, *, average="macro", multilabel=False,
           threshold=0.5):
    """Rightly said over true.

    >>> recall([0.9, 0.8, 0.3, 0.2], [1, 0, 1, 0])
    0.5
    """
    return _by_class(lambda both, said, true: both / true if true else 0.0,
                     output, target, sample_weight, average, multilabel, threshold)


def f1(output, target, sample_weight=None, *, average="macro", multilabel=False, threshold=0.5):
    """Twice rightly said over said and true.

    >>> f1([0.9, 0.8, 0.3, 0.2], [1, 0, 1, 0])
    0.5
    """
    return _by_class(lambda both, said, true: 2 * both / (said + true) if said + true else 0.0,
                     output, target, sample_weight, average, multilabel, threshold)


def auroc(output, target, sample_weight=None, *, multilabel=False):
    """Share of pairs of a positive and a negative row that stand in the right order.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    output, target, weight, _ = _counted(output, target, sample_weight)
    _, true = _said_and_true(output, target, multilabel, 0.5)
    areas = []
    for scores, positive in zip(output.T, true.T, strict=True):
        if np.isnan(scores).any() or positive.all() or not positive.any():
            areas.append(np.nan)
            continue
        pairs = np.outer(weight[positive], weight[~positive])
        yes, no = scores[positive][:, None], scores[~positive]
        areas.append((pairs * ((yes > no) + 0.5 * (yes == no))).sum() / pairs.sum())
    return float(np.mean(areas))


def log_loss(output, target, sample_weight=None, *, multilabel=False):
    """Mean of -sum(t log p), or of its like for yes/no columns.

    >>> round(log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 6)
    0.490415
    """
    output, target, weight, least = _counted(output, target, sample_weight)
    output = np.clip(output, least, 1 - least)
    if multilabel or output.shape[1] == 1:
        rows = -(target * np.log(output) + (1 - target) * np.log(1 - output)).mean(axis=1)
    else:
        rows = -(target * np.log(output)).sum(axis=1)
    return _mean(rows, weight)


def mae(output, target, sample_weight=None):
    """Mean of |o - t|.

    >>> mae([1.0, 2.0], [1.5, 2.0])
    0.25
    """
    output, target, weight, _ = _counted(output, target, sample_weight)
    return _mean(np.abs(output - target).mean(axis=1), weight)


def rmse(output, target, sample_weight=None):
    """Mean over the columns of the root of the mean of (o - t)^2.

    >>> rmse([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0])
    0.5
    """
    output, target, weight, _ = _counted(output, target, sample_weight)
    return float(np.mean([np.sqrt(_mean(e * e, weight)) for e in (output - target).T]))


def r2(output, target, sample_weight=None):
    """Mean over the columns of 1 - sum((o - t)^2) / sum((t - mean t)^2).

    >>> round(r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]), 6)
    0.785714
    """
    output, target, weight, _ = _counted(output, target, sample_weight)
    if len(weight) < 2:
        return float("nan")
    found = []
    for o, t in zip(output.T, target.T, strict=True):
        error = (weight * (o - t) ** 2).sum()
        spread = (weight * (t - _mean(t, weight)) ** 2).sum()
        found.append(1 - error / spread if spread else 1.0 * (error == 0))
    return float(np.mean(found))
