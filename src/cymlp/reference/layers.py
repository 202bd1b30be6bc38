"""Layers that are not dense: plain functions of arrays, written from the definitions."""

from __future__ import annotations

import numpy as np

__all__ = ["column_backward", "column_forward", "column_sums", "embedding", "embedding_backward",
           "glu", "glu_backward", "normalize_batch_backward", "normalize_rows",
           "normalize_rows_backward", "scale_and_shift"]


def scale_and_shift(x, weight=None, bias=None):
    """x times a weight plus a bias for each column, where they are given.

    >>> scale_and_shift(np.ones((1, 2)), weight=[2.0, 3.0], bias=[0.0, 1.0])
    array([[2., 4.]])
    """
    scaled = x if weight is None else x * np.asarray(weight)
    return scaled if bias is None else scaled + np.asarray(bias)


def normalize_rows(x, epsilon, centered=True):
    """Every row minus its mean (where `centered`), over the root of the mean square.

    Parameters
    ----------
    x : array_like, shape (n, columns)
        Input.
    epsilon : float
        Added to the mean square.
    centered : bool
        True for layer norm, False for RMS norm.

    Returns
    -------
    normalized : ndarray, shape (n, columns)
        Result.
    factors : ndarray, shape (n,)
        What each row was multiplied with.

    Examples
    --------
    >>> normalize_rows([[1.0, 3.0]], epsilon=0.0)
    (array([[-1.,  1.]]), array([1.]))
    """
    x = np.asarray(x, np.float64)
    if centered:
        x = x - x.mean(axis=1, keepdims=True)
    factors = 1.0 / np.sqrt((x**2).mean(axis=1) + epsilon)
    return x * factors[:, None], factors


def normalize_rows_backward(gradient, normalized, factors, centered=True):
    """Gradient by the input of `normalize_rows`: each row times its Jacobian.

    The Jacobian of a row is factor (I - 1/columns - y y^T / columns), without the 1/columns where
    nothing was centered.

    >>> normalize_rows_backward([[1.0, 0.0]], [[-1.0, 1.0]], [1.0])
    array([[0., 0.]])
    """
    gradient, normalized = np.asarray(gradient, np.float64), np.asarray(normalized, np.float64)
    columns = gradient.shape[1]
    result = np.empty_like(gradient)
    for row, (g, y, factor) in enumerate(zip(gradient, normalized, factors, strict=True)):
        jacobian = np.eye(columns) - np.outer(y, y) / columns - float(centered) / columns
        result[row] = factor * (jacobian @ g)
    return result


def normalize_batch_backward(gradient, normalized, factor, counted=None):
    """Gradient by the input of batch normalisation: each column times its Jacobian.

    Parameters
    ----------
    gradient, normalized : array_like, shape (n, columns)
        Gradient by the normalised values, and those.
    factor : array_like, shape (columns,)
        1 / sqrt(variance + epsilon) of each column.
    counted : array_like of bool, shape (n,), optional
        The rows that were in the statistics; the gradient of the others is zero.

    Examples
    --------
    >>> normalize_batch_backward([[1.0], [0.0]], [[-1.0], [1.0]], [1.0])
    array([[0.],
           [0.]])
    """
    gradient = np.asarray(gradient, np.float64)
    counted = np.full(len(gradient), True) if counted is None else np.asarray(counted)
    result = np.zeros_like(gradient)
    result[counted] = normalize_rows_backward(
        gradient[counted].T, np.asarray(normalized)[counted].T, factor).T
    return result


_COLUMN_LAYERS = {
    # name: forward, derivative by x, derivative by p
    "scale": (lambda x, p: x * p, lambda x, p: p + 0 * x, lambda x, p: x),
    "shift": (lambda x, p: x + p, lambda x, p: 1 + 0 * x, lambda x, p: 1 + 0 * x),
    "prelu": (lambda x, p: np.where(x > 0, x, p * x), lambda x, p: np.where(x > 0, 1.0, p),
              lambda x, p: np.where(x > 0, 0.0, x)),
}


def column_forward(kind, x, parameter):
    """A layer with a number for each column.

    >>> column_forward("prelu", np.array([[-2.0, 2.0]]), np.array([0.5, 0.5]))
    array([[-1.,  2.]])
    """
    return _COLUMN_LAYERS[kind][0](x, parameter)


def column_backward(kind, gradient, x, parameter):
    """Its gradient by the input.

    >>> column_backward("scale", np.array([[1.0]]), np.array([[3.0]]), np.array([2.0]))
    array([[2.]])
    """
    return gradient * _COLUMN_LAYERS[kind][1](x, parameter)


def column_sums(kind, gradient, x, parameter):
    """Its gradient by the number of each column, or by the one number of all columns.

    >>> column_sums("scale", np.array([[1.0], [1.0]]), np.array([[3.0], [4.0]]), np.array([2.0]))
    array([7.])
    """
    sums = (gradient * _COLUMN_LAYERS[kind][2](x, parameter)).sum(axis=0)
    return sums if len(parameter) == len(sums) else sums.sum(keepdims=True)


def glu(x, activation):
    """The first half of the columns times the activation of the second.

    >>> glu(np.array([[2.0, 3.0]]), lambda b: b)
    array([[6.]])
    """
    first, second = np.split(np.asarray(x, np.float64), 2, axis=1)
    return first * activation(second)


def glu_backward(gradient, x, activation, slope):
    """Its gradient; `slope` gives the activation's derivative.

    >>> glu_backward(np.array([[1.0]]), np.array([[2.0, 3.0]]), lambda b: b, lambda b: 1.0)
    array([[3., 2.]])
    """
    first, second = np.split(np.asarray(x, np.float64), 2, axis=1)
    return np.hstack([gradient * activation(second), gradient * first * slope(second)])


def embedding(codes, table):
    """The table's row of every code, those of a row of codes side by side.

    >>> embedding([[1, 0]], np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[3., 4., 1., 2.]])
    """
    codes = np.rint(codes).astype(np.int64)
    return np.asarray(table)[codes].reshape(len(codes), -1)


def embedding_backward(gradient, codes, table):
    """The gradient by the table.

    >>> embedding_backward(np.array([[1.0], [2.0]]), [[1], [1]], np.zeros((2, 1)))
    array([[0.],
           [3.]])
    """
    codes = np.rint(codes).astype(np.int64)
    result = np.zeros_like(np.asarray(table, np.float64))
    vectors = np.asarray(gradient).reshape(*codes.shape, result.shape[1])
    np.add.at(result, codes, vectors)
    return result
