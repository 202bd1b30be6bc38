"""The Gaussian error linear unit in both forms, and their backward passes: see activations.py."""

import math

import numpy as np

from cymlp.reference.activations import _float64, sigmoid

__all__ = ["gelu", "gelu_backward", "gelu_tanh", "gelu_tanh_backward"]


def _normal_distribution(x):
    """Phi(x), the probability that a standard normal number is at most x: erfc(-x/sqrt(2))/2.

    Where x is far below zero erfc makes much of the rounding of its argument z; what is lost there
    comes back by the derivative, -2 exp(-z**2)/sqrt(pi).
    """
    exact = -np.clip(x, -50.0, 50.0).astype(np.longdouble) / np.sqrt(np.longdouble(2))
    z = exact.astype(np.float64)
    lost = (exact - z).astype(np.float64)
    slope = -2.0 / math.sqrt(math.pi) * np.exp(-z * z)
    return 0.5 * (np.vectorize(math.erfc, otypes=[np.float64])(z) + slope * lost)


def gelu(x):
    """Gaussian error linear unit (Hendrycks and Gimpel 2016), x * Phi(x).

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        Same shape; Phi is the distribution function of the standard normal distribution. The
        limit, -0, at minus infinity.

    Examples
    --------
    >>> gelu([0.0, 100.0, -np.inf])
    array([  0., 100.,  -0.])
    """
    x = _float64(x)
    return np.maximum(x, -50.0) * _normal_distribution(x)


def gelu_backward(grad_output, saved):
    """Gradient of `gelu` from its input x: grad_output * (Phi(x) + x * Phi'(x)).

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output.
    saved : array_like
        Input of the forward pass, of the same shape.

    Returns
    -------
    ndarray
        Gradient by the input.

    Examples
    --------
    >>> gelu_backward([4.0], saved=[0.0])
    array([2.])
    """
    grad_output, x = _float64(grad_output, saved)
    near = np.clip(x, -50.0, 50.0)
    density = np.exp(-near * near / 2.0) / math.sqrt(2.0 * math.pi)
    return grad_output * (_normal_distribution(x) + near * density)


def _gelu_argument(x):
    near = np.clip(x, -50.0, 50.0)      # beyond it its sigmoid is 0 or 1, and x**3 may overflow
    return math.sqrt(8.0 / math.pi) * (near + 0.044715 * near**3)


def gelu_tanh(x):
    """`gelu` by tanh: x/2 * (1 + tanh(v/2)) = x * sigmoid(v).

    Here v = sqrt(8/pi) * (x + 0.044715 x**3).

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        Same shape; the limit, -0, at minus infinity.

    Examples
    --------
    >>> gelu_tanh([0.0, 100.0, -np.inf])
    array([  0., 100.,  -0.])
    """
    x = _float64(x)
    return np.maximum(x, -50.0) * sigmoid(_gelu_argument(x))


def gelu_tanh_backward(grad_output, saved):
    """Gradient of `gelu_tanh` from its input x.

    It is grad_output * s * (1 + x * (1 - s) * v'), s being sigmoid(v), whose derivative is
    s * (1 - s), and v' the derivative of v.

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output.
    saved : array_like
        Input of the forward pass, of the same shape.

    Returns
    -------
    ndarray
        Gradient by the input.

    Examples
    --------
    >>> gelu_tanh_backward([4.0], saved=[0.0])
    array([2.])
    """
    grad_output, x = _float64(grad_output, saved)
    near = np.clip(x, -50.0, 50.0)
    v = _gelu_argument(x)
    slope = math.sqrt(8.0 / math.pi) * (1.0 + 3.0 * 0.044715 * near**2)
    return grad_output * sigmoid(v) * (1.0 + near * sigmoid(-v) * slope)
