"""Pointwise losses of yes/no decisions, with the gradient by the logits.

Every loss is the mean over the rows weighted by `sample_weight`, and over the targets of a row. A
parameter may be one number, or one for each output.
"""

import numpy as np

from cymlp.reference.activations import sigmoid
from cymlp.reference.losses import _logits_and_target, _mean

__all__ = [
    "binary_cross_entropy",
    "focal_loss",
    "hinge_loss",
    "squared_hinge_loss",
    "weighted_binary_cross_entropy",
]


def _softplus(x):
    """log(1 + exp(x))"""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _margin(logits, target):
    """1 - y z, and y: 1 where the target is positive, else -1."""
    z, t = _logits_and_target(logits, target)
    y = np.where(t > 0, 1.0, -1.0)
    return 1.0 - y * z, y


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
    loss = np.maximum(z, 0.0) - z * t + np.log1p(np.exp(-np.abs(z)))
    return _mean(loss, sigmoid(z) - t, sample_weight)


def weighted_binary_cross_entropy(logits, target, sample_weight=None, *, pos_weight=1.0):
    """Binary cross-entropy of sigmoid(z) whose positive term counts `pos_weight` times.

    -p t log(s) - (1 - t) log(1 - s) with s = sigmoid(z).

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the sigmoid.
    target : array_like, shape (n, out), or (n,) where out is 1
        Probabilities t wanted, usually 0 or 1.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    pos_weight : float or array_like of shape (out,)
        p, at least 0.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> loss, grad_logits = weighted_binary_cross_entropy([[0.0]], [[1.0]], pos_weight=2)
    >>> round(loss, 6), grad_logits
    (1.386294, array([[-1.]]))
    """
    z, t = _logits_and_target(logits, target)
    p = np.asarray(pos_weight, np.float64)
    loss = p * t * _softplus(-z) + (1.0 - t) * _softplus(z)
    return _mean(loss, (1.0 - t) * sigmoid(z) - p * t * sigmoid(-z), sample_weight)


def focal_loss(logits, target, sample_weight=None, *, gamma=2.0, alpha=0.25):
    """Focal loss, -a (1 - s)**gamma log(s) with s the probability of what is right.

    s = sigmoid(z) and a = alpha where t is 1, s = sigmoid(-z) and a = 1 - alpha where it is 0
    (Lin et al. 2017).

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Values z before the sigmoid.
    target : array_like, shape (n, out), or (n,) where out is 1
        0 or 1.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    gamma, alpha : float or array_like of shape (out,)
        Exponent, and weight of the positive class.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> loss, grad_logits = focal_loss([[0.0]], [[1.0]], alpha=1.0)
    >>> round(loss, 6)
    0.173287
    """
    z, t = _logits_and_target(logits, target)
    gamma, alpha = np.asarray(gamma, np.float64), np.asarray(alpha, np.float64)
    side, a = np.where(t > 0, 1.0, -1.0), np.where(t > 0, alpha, 1.0 - alpha)
    right, wrong = sigmoid(side * z), sigmoid(-side * z)
    minus_log = _softplus(-side * z)
    slope = -side * a * wrong**gamma * (gamma * right * minus_log + wrong)
    return _mean(a * wrong**gamma * minus_log, slope, sample_weight)


def hinge_loss(logits, target, sample_weight=None):
    """max(0, 1 - y z) with y = 1 where t is positive, else -1.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Scores z.
    target : array_like, shape (n, out), or (n,) where out is 1
        1 for the positive class, 0 or -1 for the negative one.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient, 0 where the loss is 0.

    Examples
    --------
    >>> hinge_loss([[0.5], [0.5]], [[1.0], [0.0]])
    (1.0, array([[-0.5],
           [ 0.5]]))
    """
    margin, y = _margin(logits, target)
    return _mean(np.maximum(margin, 0.0), -y * np.sign(np.maximum(margin, 0.0)), sample_weight)


def squared_hinge_loss(logits, target, sample_weight=None):
    """max(0, 1 - y z)**2 with y = 1 where t is positive, else -1.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Scores z.
    target : array_like, shape (n, out), or (n,) where out is 1
        1 for the positive class, 0 or -1 for the negative one.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> squared_hinge_loss([[0.5], [0.5]], [[1.0], [0.0]])
    (1.25, array([[-0.5],
           [ 1.5]]))
    """
    margin, y = _margin(logits, target)
    return _mean(np.maximum(margin, 0.0) ** 2, -2.0 * y * np.maximum(margin, 0.0), sample_weight)
