"""Pointwise losses of numbers, with the gradient by the logits.

Every loss is the mean over the rows weighted by `sample_weight`, and over the targets of a row. A
parameter may be one number, or one for each output.
"""

import numpy as np

from cymlp.reference.losses import _logits_and_target, _mean, _weighted_mean

__all__ = [
    "gaussian_loss",
    "huber_loss",
    "log_cosh_loss",
    "mean_absolute_error",
    "mean_squared_error",
    "poisson_loss",
    "quantile_loss",
    "smooth_l1_loss",
]


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
    return _mean((z - t) ** 2, 2.0 * (z - t), sample_weight)


def mean_absolute_error(logits, target, sample_weight=None):
    """Mean absolute error, abs(z - t); its gradient is 0 where z = t.

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
        Its gradient.

    Examples
    --------
    >>> mean_absolute_error([[3.0, 1.0]], [[1.0, 1.0]])
    (1.0, array([[0.5, 0. ]]))
    """
    z, t = _logits_and_target(logits, target)
    return _mean(np.abs(z - t), np.sign(z - t), sample_weight)


def huber_loss(logits, target, sample_weight=None, *, delta=1.0):
    """Huber's loss: (z - t)**2 / 2 up to `delta`, from there on its tangent.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The network's values z.
    target : array_like, shape (n, out), or (n,) where out is 1
        Wanted values t.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    delta : float or array_like of shape (out,)
        Where the line begins.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> huber_loss([[3.0], [0.5]], [[0.0], [0.0]])
    (1.3125, array([[0.5 ],
           [0.25]]))
    """
    z, t = _logits_and_target(logits, target)
    d, delta = z - t, np.asarray(delta, np.float64)
    loss = np.where(np.abs(d) <= delta, d**2 / 2, delta * (np.abs(d) - delta / 2))
    return _mean(loss, np.where(np.abs(d) <= delta, d, delta * np.sign(d)), sample_weight)


def smooth_l1_loss(logits, target, sample_weight=None, *, beta=1.0):
    """Smooth L1: (z - t)**2 / (2 beta) up to `beta`, abs(z - t) - beta / 2 from there on.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The network's values z.
    target : array_like, shape (n, out), or (n,) where out is 1
        Wanted values t.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    beta : float or array_like of shape (out,)
        Where the line begins.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> smooth_l1_loss([[3.0], [0.5]], [[0.0], [0.0]], beta=0.5)
    (1.5, array([[0.5],
           [0.5]]))
    """
    z, t = _logits_and_target(logits, target)
    d, beta = z - t, np.asarray(beta, np.float64)
    loss = np.where(np.abs(d) <= beta, d**2 / (2 * beta), np.abs(d) - beta / 2)
    return _mean(loss, np.where(np.abs(d) <= beta, d / beta, np.sign(d)), sample_weight)


def log_cosh_loss(logits, target, sample_weight=None):
    """log(cosh(z - t)), averaged over columns and rows.

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
        Its gradient, tanh(z - t) / out for each row before the mean.

    Examples
    --------
    >>> loss, grad_logits = log_cosh_loss([[1.0]], [[0.0]])
    >>> round(loss, 6), round(grad_logits.item(), 6)
    (0.433781, 0.761594)
    """
    z, t = _logits_and_target(logits, target)
    a = np.abs(z - t)
    # cosh(a) - 1 = 2 sinh(a/2)**2; the other form neither overflows.
    near = np.log1p(2.0 * np.sinh(np.minimum(a, 1.0) / 2) ** 2)
    far = a + np.log1p(np.exp(-2.0 * a)) - np.log(2.0)
    return _mean(np.where(a < 1.0, near, far), np.tanh(z - t), sample_weight)


def poisson_loss(logits, target, sample_weight=None):
    """exp(z) - t z: the Poisson distribution's negative log-likelihood, less what has no z.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        Logarithms z of the rates.
    target : array_like, shape (n, out), or (n,) where out is 1
        Counts t.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient, exp(z) - t for each row before the mean over columns.

    Examples
    --------
    >>> poisson_loss([[0.0]], [[3.0]])
    (1.0, array([[-2.]]))
    """
    z, t = _logits_and_target(logits, target)
    return _mean(np.exp(z) - t * z, np.exp(z) - t, sample_weight)


def quantile_loss(logits, target, sample_weight=None, *, quantile=0.5):
    """Pinball loss: q (t - z) where t is above z, (1 - q) (z - t) below.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The network's values z.
    target : array_like, shape (n, out), or (n,) where out is 1
        Wanted values t.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.
    quantile : float or array_like of shape (out,)
        q, between 0 and 1.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient.

    Examples
    --------
    >>> quantile_loss([[1.0], [1.0]], [[3.0], [0.0]], quantile=0.75)
    (0.875, array([[-0.375],
           [ 0.125]]))
    """
    z, t = _logits_and_target(logits, target)
    q, d = np.asarray(quantile, np.float64), t - z
    loss = np.maximum(q * d, (q - 1.0) * d)
    return _mean(loss, np.where(d > 0, -q, 1.0 - q) * np.abs(np.sign(d)), sample_weight)


def gaussian_loss(logits, target, sample_weight=None):
    """Negative log-likelihood of a normal distribution, less its constant.

    (v + (t - m)**2 / exp(v)) / 2 with the mean m and the logarithm v of the variance.

    Parameters
    ----------
    logits : array_like, shape (n, out)
        The k means m, then the k logarithms v of their variances.
    target : array_like, shape (n, k), or (n,) where k is 1
        Wanted values t.
    sample_weight : array_like, shape (n,), optional
        Weight of each row; left out: all ones.

    Returns
    -------
    loss : float
        Weighted mean over the rows.
    grad_logits : ndarray, shape (n, out)
        Its gradient, by all m and then by all v.

    Examples
    --------
    >>> gaussian_loss([[1.0, 0.0]], [[3.0]])
    (2.0, array([[-2. , -1.5]]))
    """
    z = np.asarray(logits, dtype=np.float64)
    k = z.shape[1] // 2
    m, v = z[:, :k], z[:, k:]
    t = np.asarray(target, dtype=np.float64).reshape(m.shape)
    by_m, by_v = (m - t) / np.exp(v), (1.0 - (t - m) ** 2 / np.exp(v)) / 2
    return _weighted_mean(((v + (t - m) ** 2 / np.exp(v)) / 2).mean(axis=1),
                          np.hstack([by_m, by_v]) / max(k, 1), sample_weight)
