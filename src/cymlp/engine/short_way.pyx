"""The methods of a network whose calls count by the nanosecond, and the short way they take.

A function of Python's around a small prediction would be a fifth of it, and looking for the engine
among a network's attributes a thirtieth. Plain contiguous arrays of the very shape are seen to be
so here, and their program is found in a table; all else takes the long way through `network.py`,
with its conversions and messages. The methods are of Cython's own kind (binding), which are called
in 0.97 of the time of built-in ones.
"""
cimport cython
cimport numpy as cnp

from cymlp.engine.program cimport Program
from cymlp.engine.runtime cimport (
    FORWARD, KINDS, PREDICT, STEP_DENSE, STEP_LABELS, Engine, size_of)
from cymlp.engine.sources cimport are_apart, is_plain

cnp.import_array()


cdef object try_predict(Engine engine, int kind, x, out):
    """Results for a plain array by a program that is known, in `out` or in a new array.

    Returns None, with nothing done, where there is no such program, or where `x` or `out` is
    anything but a contiguous array of the very shape, apart from each other.
    """
    cdef Program program
    cdef cnp.npy_intp shape[2]
    if engine is None or not is_plain(x, 2) or cnp.PyArray_DIM(x, 1) != engine.in_features:
        return None
    shape[0], shape[1] = cnp.PyArray_DIM(x, 0), engine.out_features
    program = engine.known[size_of(shape[0]) * KINDS + kind]
    if program is None:
        return None
    if out is None:
        out = cnp.PyArray_EMPTY(2, shape, engine.type, False)
    elif not (is_plain(out, 2) and cnp.PyArray_ISWRITEABLE(out)
              and cnp.PyArray_TYPE(out) == engine.type
              and cnp.PyArray_DIM(out, 0) == shape[0]
              and cnp.PyArray_DIM(out, 1) == shape[1] and are_apart(x, out)):
        return None
    engine._predict(program, x, out)
    return out


cdef object try_train_step(Engine engine, x, y):
    """The loss of a training step on plain arrays, or None; see `try_predict`."""
    cdef Program program
    cdef Py_ssize_t rows
    cdef bint labels = False
    if engine is None or not is_plain(x, 2) or cnp.PyArray_DIM(x, 1) != engine.in_features:
        return None
    if is_plain(y, 1):
        labels = engine.takes_labels
        if not labels and engine.target_features > 1:
            return None
    elif not is_plain(y, 2) or cnp.PyArray_DIM(y, 1) != engine.target_features:
        return None
    rows = cnp.PyArray_DIM(x, 0)
    program = engine.known[size_of(rows) * KINDS + (STEP_LABELS if labels else STEP_DENSE)]
    if program is None or rows == 0 or rows != cnp.PyArray_DIM(y, 0):
        return None
    return engine._train_step(program, x, y, None, labels)


cdef class ShortWay:
    """The part of :class:`cymlp.Network` that finds its engine at once.

    It relies on the network for the long way.

    Examples
    --------
    >>> import cymlp
    >>> isinstance(cymlp.mlp(2, [], 1, task="binary"), ShortWay)
    True
    """

    cdef public Engine _engine      # None until the network has set it

    @cython.binding(True)
    @cython.embedsignature(False)
    def predict(self, X, out=None):
        """Probabilities for classification, values for regression.

        Parameters
        ----------
        X : array_like of shape (n, in_features)
            Rows, of any real dtype, order and stride.
        out : numpy.ndarray of shape (n, out_features) and the network's dtype, optional
            Where the result goes; it must not overlap `X`.

        Returns
        -------
        numpy.ndarray of shape (n, out_features)
            `out`, or a new array.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(3, [4], 2, task="multiclass", rng=0)
        >>> probabilities = net.predict([[0.0, 1.0, 2.0]])
        >>> probabilities.shape, round(float(probabilities.sum()), 6)
        ((1, 2), 1.0)
        """
        result = try_predict(self._engine, PREDICT, X, out)
        return self._run_forward("predict", X, out) if result is None else result

    @cython.binding(True)
    @cython.embedsignature(False)
    def forward(self, X, out=None):
        """Like :meth:`predict`, but before the output activation: the logits.

        Parameters
        ----------
        X : array_like of shape (n, in_features)
            Rows, of any real dtype, order and stride.
        out : numpy.ndarray of shape (n, out_features) and the network's dtype, optional
            Where the result goes; it must not overlap `X`.

        Returns
        -------
        numpy.ndarray of shape (n, out_features)
            `out`, or a new array.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(3, [], 1, task="binary", rng=0)
        >>> net.parameters["0.weight"] = [[1.0], [1.0], [0.0]]
        >>> net.forward([[0.5, 1.0, 2.0]])
        array([[1.5]], dtype=float32)
        """
        result = try_predict(self._engine, FORWARD, X, out)
        return self._run_forward("forward", X, out) if result is None else result

    @cython.binding(True)
    @cython.embedsignature(False)
    def train_step(self, X, y, sample_weight=None, *, class_weight=None):
        """One step of the optimizer on one batch.

        Parameters
        ----------
        X : array_like of shape (n, in_features)
            The batch.
        y : array_like of shape (n,) or (n, out_features)
            Its targets; see :meth:`fit`.
        sample_weight : array_like of shape (n,), optional
            A weight for each row.
        class_weight : dict, array_like or "balanced", optional
            A weight for each class; see :meth:`fit`.

        Returns
        -------
        float
            The mean loss before the step.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(1, [], 1, task="regression", optimizer=cymlp.SGD(0.5), rng=0)
        >>> net.parameters["0.weight"] = [[0.0]]
        >>> net.train_step([[1.0]], [1.0]), net.train_step([[1.0]], [1.0])
        (1.0, 1.0)
        """
        if sample_weight is None and class_weight is None and not self._ignores:
            loss = try_train_step(self._engine, X, y)
            if loss is not None:
                return loss
        return self._run_step(X, y, sample_weight, class_weight)
