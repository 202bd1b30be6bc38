"""Steps that call a user's Python function, in the middle of the native walk.

The function gets copies, which it may keep, and what it gives is checked before it is copied back.
Nothing has been updated yet when it runs: a training step updates at its end.
"""
from cpython.pythread cimport PyThread_get_thread_ident
from libc.string cimport memcpy
cimport numpy as cnp

from cymlp.engine.call cimport *
from cymlp.engine.threads cimport fork_generation

import numpy as np

cnp.import_array()

cdef extern from *:
    bint python_runs "Py_IsInitialized"() noexcept nogil

# As the functions below are called: an exception is seen by what they return, and left set.
ctypedef int (*quiet_t)(const step_t *s, call_t *c, batch_t *b) noexcept


cdef unsigned long enter_python(call_t *c) noexcept:
    cdef unsigned long outer = c.handling[0]
    c.handling[0] = PyThread_get_thread_ident()
    arithmetic_set(c.arithmetic)
    return outer


cdef void leave_python(call_t *c, unsigned long outer) noexcept:
    arithmetic_of_networks()
    c.handling[0] = outer


cdef void python_step(const step_t *s, call_t *c, batch_t *b, int threads) noexcept nogil:
    cdef unsigned long outer
    if not python_runs():
        c.stop = c.failed = 1   # the process exits under a daemon thread
        return
    with gil:
        outer = enter_python(c)
        if threads > 1 and (<quiet_t>alone)(s, c, b) != 0:
            c.stop = c.failed = 1
        elif threads == 1 and (<quiet_t>call)(s, c, b) != 0:
            c.stop = c.failed = 1
        leave_python(c, outer)


cdef int alone(const step_t *s, call_t *c, batch_t *b) except -1:
    """`call` within a team, of which a child of fork has only this thread."""
    cdef long generation = fork_generation()
    call(s, c, b)
    if generation != fork_generation():
        raise RuntimeError(f"{name_of(<object>s.function)}: the process was forked within this "
                           "function, and the child cannot go on with a call on several threads")
    return 0


cdef int call(const step_t *s, call_t *c, batch_t *b) except -1:
    function = <object>s.function
    if s.op == PYTHON_LOSS:
        return python_loss(function, s, c, b)
    x = copy_of(c, b, &s.x, s.columns)
    if s.op == PYTHON_FORWARD:
        result = function(x)
    else:
        result = function(x, copy_of(c, b, &s.saved, s.columns))
    return put(c, b, &s.out, checked(function, "result", result, x.shape))


cdef str name_of(object function):
    return str(getattr(function, "__qualname__", type(function).__name__))


cdef object copy_of(call_t *c, batch_t *b, const place_t *place, Py_ssize_t columns):
    """The piece's rows of an array of the workspace, as an array of the user's own."""
    cdef cnp.ndarray array = np.empty((b.piece_rows, columns), "f4" if c.item == 4 else "f8")
    cdef char *data = cnp.PyArray_BYTES(array)
    cdef Py_ssize_t row
    for row in range(b.piece_rows):
        memcpy(data + row * columns * c.item, at(b, place, row), columns * c.item)
    return array


cdef int put(call_t *c, batch_t *b, const place_t *place, object values) except -1:
    """Set the piece's rows of an array of the workspace."""
    cdef cnp.ndarray array = np.ascontiguousarray(values, "f4" if c.item == 4 else "f8")
    cdef Py_ssize_t columns = array.shape[1], row
    for row in range(b.piece_rows):
        memcpy(at(b, place, row), cnp.PyArray_BYTES(array) + row * columns * c.item,
               columns * c.item)
    return 0


cdef object checked(object function, str what, object value, object shape):
    """A result as an array of real numbers of the given shape."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name_of(function)}: expected an array of numbers as its {what}: "
                          f"{error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name_of(function)}: expected real numbers as its {what}, "
                        f"got dtype {array.dtype}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name_of(function)}: expected shape {shape} of its {what}, "
                         f"got shape {array.shape}")
    return array


cdef int python_loss(object function, const step_t *s, call_t *c, batch_t *b) except -1:
    """Row losses and gradient from a function that gives those of the plain mean of its rows."""
    cdef Py_ssize_t rows = b.piece_rows, row
    cdef double scale = 1.0 / b.weight_sum if b.weight_sum != 0 else 0.0
    cdef double *row_loss = <double *>at(b, &s.row_values, 0)
    result = function(copy_of(c, b, &s.x, s.columns), copy_of(c, b, &s.target, s.targets))
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{name_of(function)}: expected (loss, gradient) as its result, got "
                        f"{type(result).__name__}")
    loss = checked(function, "loss", result[0], None)
    gradient = checked(function, "gradient", result[1], (rows, s.columns))
    if loss.shape != (rows,) and (loss.shape != () or c.weighted):
        raise ValueError(f"{name_of(function)}: expected a loss of shape ({rows},), one for each "
                         f"row{'' if c.weighted else ', or one number'}, got shape {loss.shape}")
    if c.weighted:
        weight = copy_of(c, b, &s.sample_weight, 1)[:, 0].astype(float)
        counted = weight != 0
        loss = np.multiply(loss, weight, where=counted, out=np.zeros(rows))
        gradient = np.multiply(gradient, (rows * scale * weight)[:, None],
                               where=counted[:, None], out=np.zeros(gradient.shape))
    else:
        gradient = gradient * (rows * scale)
    values = np.broadcast_to(loss, rows).astype(float)
    for row in range(rows):
        row_loss[row] = values[row]
    return put(c, b, &s.out, gradient) if s.out.space != NOWHERE else 0
