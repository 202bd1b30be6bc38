"""The dense layer: an affine map of every row."""

import numpy as np

__all__ = ["dense_backward", "dense_forward"]


def dense_forward(x, weight, bias=None):
    """Affine map y = x @ weight + bias.

    Parameters
    ----------
    x : array_like, shape (n, in)
        A row for each sample.
    weight : array_like, shape (in, out)
        Weights.
    bias : array_like, shape (out,), optional
        Left out: zero.

    Returns
    -------
    ndarray, shape (n, out)
        Output.

    Examples
    --------
    >>> dense_forward([[1, 2]], [[1, 0, 3], [0, 1, 4]], [10, 20, 30])
    array([[11., 22., 41.]])
    """
    y = np.asarray(x, dtype=np.float64) @ np.asarray(weight, dtype=np.float64)
    return y if bias is None else y + np.asarray(bias, dtype=np.float64)


def dense_backward(grad_output, x, weight):
    """Gradients of `dense_forward`.

    Parameters
    ----------
    grad_output : array_like, shape (n, out)
        Gradient of the loss by the output.
    x : array_like, shape (n, in)
        Input of the forward pass.
    weight : array_like, shape (in, out)
        Weights of the forward pass.

    Returns
    -------
    grad_x : ndarray, shape (n, in)
        ``grad_output @ weight.T``
    grad_weight : ndarray, shape (in, out)
        ``x.T @ grad_output``
    grad_bias : ndarray, shape (out,)
        The sum of `grad_output` over the rows.

    Examples
    --------
    >>> grad_x, grad_weight, grad_bias = dense_backward([[1, 2]], [[3]], [[4, 5]])
    >>> grad_x
    array([[14.]])
    >>> grad_weight
    array([[3., 6.]])
    >>> grad_bias
    array([1., 2.])
    """
    grad_output = np.asarray(grad_output, dtype=np.float64)
    x = np.asarray(x, dtype=np.float64)
    weight = np.asarray(weight, dtype=np.float64)
    return grad_output @ weight.T, x.T @ grad_output, grad_output.sum(axis=0)
