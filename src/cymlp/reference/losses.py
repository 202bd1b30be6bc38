"""Losses from logits, with the gradient by the logits, and per-row metrics.

Every loss is the mean over the rows weighted by `sample_weight`,
sum(w * l) / sum(w), and 0 where the weights sum to 0. A row of weight 0 counts
for nothing whatever it holds.
"""

import numpy as np

from cymlp.reference.activations import sigmoid, softmax

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "correct_binary",
    "correct_dense",
    "correct_labels",
    "mean_squared_error",
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


def _weighted_mean(row_loss, row_gradient, sample_weight):
    """Mean of the rows' losses, and its gradient given those of the rows' losses."""
    n = len(row_loss)
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    total = weight.sum()
    weight = weight / total if total != 0 else np.zeros(n)
    counted = weight != 0
    loss = (weight[counted] * row_loss[counted]).sum()
    gradient = np.zeros_like(row_gradient)
    gradient[counted] = weight[counted, None] * row_gradient[counted]
    return float(loss), gradient


def mean_squared_error(logits, target, sample_weight=None):
    """Mean squared error, (z - t)**2 averaged over columns and rows.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The network's values z.
    target : array_like, shape (n, out), or (n,) where out is 1
        Wanted values t.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient, 2 (z - t) / out for each row before the mean.

    Examples
    --------
    >>> mean_squared_error([[3.0, 1.0]], [[1.0, 1.0]])
    (2.0, array([[2., 0.]]))
    """
    z, t = _logits_and_target(logits, target)
    row_loss = ((z - t) ** 2).mean(axis=1)
    row_gradient = 2.0 * (z - t) / z.shape[1]
    return _weighted_mean(row_loss, row_gradient, sample_weight)


def binary_cross_entropy(logits, target, sample_weight=None):
    """Binary cross-entropy of sigmoid(z), averaged over columns and rows.

    -t log(s) - (1 - t) log(1 - s) with s = sigmoid(z), in the form
    max(z, 0) - z t + log(1 + exp(-abs(z))) that neither overflows nor cancels.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the sigmoid.
    target : array_like, shape (n, out), or (n,) where out is 1
        Probabilities t wanted, usually 0 or 1.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient, (sigmoid(z) - t) / out for each row before the mean.

    Examples
    --------
    >>> loss, grad_logits = binary_cross_entropy([[0.0]], [[1.0]])
    >>> round(loss, 6)
    0.693147
    >>> grad_logits
    array([[-0.5]])
    """
    z, t = _logits_and_target(logits, target)
    row_loss = (np.maximum(z, 0.0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
    row_gradient = (sigmoid(z) - t) / z.shape[1]
    return _weighted_mean(row_loss, row_gradient, sample_weight)


def softmax_cross_entropy(logits, target, sample_weight=None):
    """Cross-entropy of softmax(z): the sum of t * (log(sum(exp(z))) - z) over a row.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the softmax.
    target : array_like, shape (n,) of int, or (n, out)
        The class of each row, or a weight t for every class (one-hot or soft;
        it need not sum to 1).
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
    >>> loss, grad_logits = softmax_cross_entropy([[0.0, 0.0]], [1])
    >>> round(loss, 6)
    0.693147
    >>> grad_logits
    array([[ 0.5, -0.5]])
    """
    z = np.asarray(logits, dtype=np.float64)
    target = np.asarray(target)
    shifted = z - z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    if target.ndim == 1:
        rows, label = np.arange(len(z)), _labels(target, z.shape[1])
        row_loss = log_sum[:, 0] - shifted[rows, label]
        row_gradient = softmax(z)
        row_gradient[rows, label] -= 1.0
    else:
        t = target.astype(np.float64)
        row_loss = (t * (log_sum - shifted)).sum(axis=1)
        row_gradient = softmax(z) * t.sum(axis=1, keepdims=True) - t
    return _weighted_mean(row_loss, row_gradient, sample_weight)


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
