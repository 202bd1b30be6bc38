"""Losses from logits, with the gradient by the logits, and per-row metrics.

Every loss is the mean over the rows weighted by `sample_weight`,
sum(w * l) / sum(w), and 0 where the weights sum to 0. A row of weight 0 counts
for nothing whatever it holds. The pointwise losses are in `value_losses` and `class_losses`.
"""

import numpy as np

from cymlp.reference.activations import softmax

__all__ = [
    "absolute_error",
    "correct_binary",
    "correct_dense",
    "correct_labels",
    "kullback_leibler",
    "softmax_cross_entropy",
]


def _logits_and_target(logits, target):
    """Both as float64 of shape (n, out); a target (n,) serves where there is one output."""
    logits = np.asarray(logits, dtype=np.float64)
    target = np.asarray(target, dtype=np.float64)
    return logits, target.reshape(logits.shape)


def _labels(target, classes):
    """The target after a check that it holds classes; a negative one would count from the end."""
    if target.dtype.kind not in "iu" or (target < 0).any() or (target >= classes).any():
        raise ValueError(f"target: expected integer labels from 0 to {classes - 1}")
    return target


def _weighted_mean(row_loss, row_gradient, sample_weight, share=None):
    """Mean of the rows' losses, and its gradient given those of the rows' losses.

    `share` is by how much more each row counts in what the sum is divided by.
    """
    n = len(row_loss)
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    total = weight.sum() if share is None else (weight * share).sum()
    weight = weight / total if total != 0 else np.zeros(n)
    counted = weight != 0
    loss = (weight[counted] * row_loss[counted]).sum()
    gradient = np.zeros_like(row_gradient)
    gradient[counted] = weight[counted, None] * row_gradient[counted]
    return float(loss), gradient


def _mean(losses, slopes, sample_weight):
    """The mean of the losses of all outputs, and its gradient given those of the losses."""
    columns = max(losses.shape[1], 1)
    return _weighted_mean(losses.sum(axis=1) / columns, slopes / columns, sample_weight)


def softmax_cross_entropy(logits, target, sample_weight=None, *, class_weight=None,
                          label_smoothing=0.0):
    """Cross-entropy of softmax(z): the sum of t * (log(sum(exp(z))) - z) over a row.

    Of labels the target is smoothed, t = (1 - e) onehot + e / out, each of its terms weighed by
    the class it belongs to where classes have weights, and the mean over the rows is that by
    `sample_weight` times the weights of their labels. A dense target is smoothed and weighed too,
    and the mean is that by `sample_weight`.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the softmax.
    target : array_like, shape (n,) of int, or (n, out)
        The class of each row, or a weight t for every class (one-hot or soft;
        it need not sum to 1).
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    class_weight : array_like, shape (out,), optional
        Weight of each class. The weight of a label is that of the terms of its whole row but
        for the smoothed part, where each class has its own.
    label_smoothing : float
        e, from 0 to 1.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient, softmax(z) * sum(t) - t for each row before the mean.

    Examples
    --------
    >>> loss, grad_logits = softmax_cross_entropy([[0.0, 0.0]], [1])
    >>> round(loss, 6)
    0.693147
    >>> grad_logits
    array([[ 0.5, -0.5]])
    """
    row_loss, row_gradient, share = softmax_rows(logits, target, class_weight, label_smoothing)
    return _weighted_mean(row_loss, row_gradient, sample_weight, share)


def softmax_rows(logits, target, class_weight=None, label_smoothing=0.0):
    """Loss and gradient of every row of `softmax_cross_entropy`, and how much it counts.

    Parameters
    ----------
    logits, target, class_weight, label_smoothing
        As there.

    Returns
    -------
    row_loss : ndarray, shape (n,)
        What each row adds to the sum.
    row_gradient : ndarray, shape (n, out)
        Its gradient by the row's logits.
    share : ndarray of shape (n,) or None
        What each row adds to the number that the sum is divided by; None: 1.
    """
    z = np.asarray(logits, dtype=np.float64)
    target = np.asarray(target)
    of_class = np.ones(z.shape[1]) if class_weight is None else np.asarray(class_weight, float)
    shifted = z - z.max(axis=1, keepdims=True, initial=-np.inf)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    if target.ndim == 1 and class_weight is None and not label_smoothing:
        rows, label = np.arange(len(z)), _labels(target, z.shape[1])
        row_gradient = softmax(z)
        row_gradient[rows, label] -= 1.0
        return log_sum[:, 0] - shifted[rows, label], row_gradient, None
    share = None
    t = target.astype(np.float64)
    if target.ndim == 1:
        t, share = np.eye(z.shape[1])[_labels(target, z.shape[1])], of_class[target]
    if class_weight is not None or label_smoothing:
        t = ((1.0 - label_smoothing) * t + label_smoothing / z.shape[1]) * of_class
    return ((t * (log_sum - shifted)).sum(axis=1),
            softmax(z) * t.sum(axis=1, keepdims=True) - t, share)


def kullback_leibler(logits, target, sample_weight=None):
    """Divergence of softmax(z) from t: the sum of t * log(t / softmax(z)) over a row.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the softmax.
    target : array_like, shape (n, out), or (n,) where out is 1
        Probabilities t wanted; there is no term where t is 0.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient, softmax(z) * sum(t) - t for each row before the mean.

    Examples
    --------
    >>> loss, grad_logits = kullback_leibler([[0.0, 0.0]], [[0.0, 1.0]])
    >>> round(loss, 6)
    0.693147
    """
    z, t = _logits_and_target(logits, target)
    shifted = z - z.max(axis=1, keepdims=True, initial=-np.inf)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    log_t = np.log(np.where(t > 0, t, 1.0))
    row_loss = (t * (log_t - log_softmax)).sum(axis=1)
    return _weighted_mean(row_loss, softmax(z) * t.sum(axis=1, keepdims=True) - t, sample_weight)


def correct_labels(logits, label):
    """Whether the first largest logit of a row is that of its label.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values before the softmax, or after it.
    label : array_like, shape (n,) of int
        The class of each row.

    Returns
    -------
    ndarray, shape (n,)
        1.0 or 0.0; 0.0 for a row with a NaN.

    Examples
    --------
    >>> correct_labels([[1, 2], [1, 1], [np.nan, 1]], [1, 1, 0])
    array([1., 0., 0.])
    """
    z = np.asarray(logits, dtype=np.float64)
    hit = z.argmax(axis=1) == np.asarray(label)
    return np.where(np.isnan(z).any(axis=1), 0.0, hit)


def correct_dense(logits, target):
    """Whether the first largest logit of a row stands where its target is largest.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values before the softmax, or after it.
    target : array_like, shape (n, out)
        One-hot or soft labels.

    Returns
    -------
    ndarray, shape (n,)
        1.0 or 0.0; 0.0 for a row with a NaN.

    Examples
    --------
    >>> correct_dense([[1, 2], [2, 1]], [[0, 1], [0.25, 0.75]])
    array([1., 0.])
    """
    return correct_labels(logits, np.asarray(target).argmax(axis=1))


def correct_binary(logits, target):
    """Whether every column of a row is decided rightly: (z > 0) == (t > 0.5).

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the sigmoid.
    target : array_like, shape (n, out), or (n,) where out is 1
        Labels t, 0 or 1.

    Returns
    -------
    ndarray, shape (n,)
        1.0 or 0.0; 0.0 for a row with a NaN logit.

    Examples
    --------
    >>> correct_binary([[2, -3], [2, 3]], [[1, 0], [1, 0]])
    array([1., 0.])
    """
    z, t = _logits_and_target(logits, target)
    hit = ((z > 0) == (t > 0.5)) & ~np.isnan(z)
    return hit.all(axis=1).astype(np.float64)


def absolute_error(logits, target):
    """Mean of abs(z - t) over the columns of each row.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The network's values z.
    target : array_like, shape (n, out), or (n,) where out is 1
        Wanted values t.

    Returns
    -------
    ndarray, shape (n,)
        A mean for each row.

    Examples
    --------
    >>> absolute_error([[3, 1], [0, 0]], [[1, 1], [1, 2]])
    array([1. , 1.5])
    """
    z, t = _logits_and_target(logits, target)
    return np.abs(z - t).mean(axis=1)
