"""Activations and their backward passes, elementwise but for softmax.

A backward function takes the gradient of the loss by the activation's output
and what the forward pass saved, and gives the gradient by its input.
"""

import numpy as np

__all__ = [
    "exp",
    "identity",
    "identity_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "log_softmax",
    "log_softmax_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]


def _float64(*arrays):
    """Every argument as a float64 array; one array where one was given."""
    converted = tuple(np.asarray(array, dtype=np.float64) for array in arrays)
    return converted[0] if len(converted) == 1 else converted


def exp(x):
    """Exponential function.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        Same shape.

    Examples
    --------
    >>> exp([0.0, 1.0, -np.inf])
    array([1.        , 2.71828183, 0.        ])
    """
    return np.exp(_float64(x))


def identity(x):
    """Return x itself.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        A copy of `x`.

    Examples
    --------
    >>> identity([-1, 2])
    array([-1.,  2.])
    """
    return _float64(x).copy()


def identity_backward(grad_output, saved):
    """Gradient of `identity`: the gradient that came.

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output.
    saved : array_like
        Output or input of the forward pass, of the same shape; not looked at.

    Returns
    -------
    ndarray
        Gradient by the input.

    Examples
    --------
    >>> identity_backward([3, 4], saved=[-1, 2])
    array([3., 4.])
    """
    return _float64(grad_output).copy()


def sigmoid(x):
    """Logistic function, 1 / (1 + exp(-x)).

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        Same shape. For negative `x` it is computed as exp(x) / (1 + exp(x)),
        which cannot overflow and keeps its relative accuracy down to zero.

    Examples
    --------
    >>> sigmoid([0, np.inf, -np.inf])
    array([0.5, 1. , 0. ])
    """
    x = _float64(x)
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def sigmoid_backward(grad_output, saved):
    """Gradient of `sigmoid` from its output y: grad_output * y * (1 - y).

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output.
    saved : array_like
        Output of the forward pass, of the same shape.

    Returns
    -------
    ndarray
        Gradient by the input.

    Examples
    --------
    >>> sigmoid_backward([8.0], saved=[0.5])
    array([2.])
    """
    grad_output, y = _float64(grad_output, saved)
    return grad_output * y * (1.0 - y)


def tanh(x):
    """Hyperbolic tangent.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        Same shape.

    Examples
    --------
    >>> tanh([0, np.inf])
    array([0., 1.])
    """
    return np.tanh(_float64(x))


def tanh_backward(grad_output, saved):
    """Gradient of `tanh` from its output y: grad_output * (1 - y**2).

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output.
    saved : array_like
        Output of the forward pass, of the same shape.

    Returns
    -------
    ndarray
        Gradient by the input.

    Examples
    --------
    >>> tanh_backward([4.0], saved=[0.5])
    array([3.])
    """
    grad_output, y = _float64(grad_output, saved)
    return grad_output * (1.0 - y * y)


def relu(x):
    """Rectified linear unit, max(x, 0); NaN stays NaN.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        Same shape.

    Examples
    --------
    >>> relu([-1, 0, 2, np.nan])
    array([ 0.,  0.,  2., nan])
    """
    return np.maximum(_float64(x), 0.0)


def relu_backward(grad_output, saved):
    """Gradient of `relu`: grad_output where the unit was open, and 0 elsewhere.

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output.
    saved : array_like
        Output of the forward pass (its input serves as well), of the same shape.

    Returns
    -------
    ndarray
        Gradient by the input: 0 at 0, as in PyTorch; where `saved` is NaN,
        `grad_output`.

    Examples
    --------
    >>> relu_backward([5, 5, 5], saved=[0, 2, np.nan])
    array([0., 5., 5.])
    """
    grad_output, saved = _float64(grad_output, saved)
    return np.where(saved <= 0, 0.0, grad_output)


def leaky_relu(x, slope=0.01):
    """Leaky rectified linear unit: x where it is positive, slope * x elsewhere.

    Parameters
    ----------
    x : array_like
        Any shape.
    slope : float
        Factor for the negative side.

    Returns
    -------
    ndarray
        Same shape.

    Examples
    --------
    >>> leaky_relu([-1, 0, 2], slope=0.25)
    array([-0.25,  0.  ,  2.  ])
    """
    x = _float64(x)
    return np.where(x > 0, x, slope * x)


def leaky_relu_backward(grad_output, saved, slope=0.01):
    """Gradient of `leaky_relu`: grad_output, times slope where the input was not positive.

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output.
    saved : array_like
        Input of the forward pass, of the same shape (its output serves as well
        where `slope` is not negative: its sign is the same).
    slope : float
        As in the forward pass.

    Returns
    -------
    ndarray
        Gradient by the input.

    Examples
    --------
    >>> leaky_relu_backward([4, 4], saved=[-1, 2], slope=0.25)
    array([1., 4.])
    """
    grad_output, saved = _float64(grad_output, saved)
    return np.where(saved > 0, grad_output, slope * grad_output)


def silu(x):
    """Sigmoid-weighted linear unit (Elfwing, Uchibe and Doya 2018), x * sigmoid(x).

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray
        Same shape.

    Examples
    --------
    >>> silu([0.0, 100.0])
    array([  0., 100.])
    """
    x = _float64(x)
    return x * sigmoid(x)


def silu_backward(grad_output, saved):
    """Gradient of `silu` from its input x: grad_output * s * (1 + x * (1 - s)), s = sigmoid(x).

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
    >>> silu_backward([4.0], saved=[0.0])
    array([2.])
    """
    grad_output, x = _float64(grad_output, saved)
    s = sigmoid(x)
    return grad_output * s * (1.0 + x * (1.0 - s))


def softmax(x):
    """Softmax of every row, exp(x) / sum(exp(x)).

    Parameters
    ----------
    x : array_like
        Any shape; a row runs along the last axis.

    Returns
    -------
    ndarray
        Same shape. The row's maximum is subtracted first, so that nothing
        overflows.

    Examples
    --------
    >>> softmax([[0, 0], [1000, 0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    x = _float64(x)
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(grad_output, saved):
    """Gradient of `softmax` from its output y: y * (grad_output - sum(grad_output * y)).

    Parameters
    ----------
    grad_output : array_like
        Gradient by the output; a row runs along the last axis.
    saved : array_like
        Output of the forward pass, of the same shape.

    Returns
    -------
    ndarray
        Gradient by the input: the full Jacobian-vector product of every row.

    Examples
    --------
    >>> softmax_backward([[1.0, 0.0]], saved=[[0.5, 0.5]])
    array([[ 0.25, -0.25]])
    """
    grad_output, y = _float64(grad_output, saved)
    return y * (grad_output - (grad_output * y).sum(axis=-1, keepdims=True))


def log_softmax(x):
    """Logarithm of `softmax`.

    Parameters
    ----------
    x : array_like, shape (..., columns)
        Rows along the last axis.

    Returns
    -------
    ndarray
        Same shape.

    Examples
    --------
    >>> log_softmax([[0.0, 1000.0]])
    array([[-1000.,     0.]])
    """
    x = _float64(x)
    if x.size == 0:
        return x.copy()
    shifted = x - np.max(x, axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_softmax_backward(grad_output, saved):
    """Gradient of `log_softmax`: grad_output - exp(y) * sum(grad_output).

    Parameters
    ----------
    grad_output : array_like, shape (..., columns)
        Gradient by the output.
    saved : array_like
        Output y of the forward pass, of the same shape.

    Returns
    -------
    ndarray
        Gradient by the input.

    Examples
    --------
    >>> log_softmax_backward([[1.0, 0.0]], saved=np.log([[0.5, 0.5]]))
    array([[ 0.5, -0.5]])
    """
    grad_output, saved = _float64(grad_output, saved)
    return grad_output - np.exp(saved) * grad_output.sum(axis=-1, keepdims=True)
