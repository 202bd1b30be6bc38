"""Targets and sample weights of a call, looked at before anything is changed."""
cimport numpy as cnp
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport INFINITY

from cymlp.engine.binding cimport common_kernels
from cymlp.engine.call cimport call_t
from cymlp.engine.sources cimport describe
from cymlp.kernels.data cimport source_t

cnp.import_array()


cdef int take_target(call_t *call, cnp.ndarray target) except -1:
    """Shape of the targets; their values have been looked at before."""
    if target.shape[0] != call.x.rows:
        raise ValueError(f"y: expected {call.x.rows} rows, as X has, got {target.shape[0]}")
    return describe(&call.target, target, "y")


def values_text(double low, double high, bint whole):
    """What the values of a target may be, for a message."""
    if whole:
        return " or ".join([f"{value}" for value in range(<int>low, <int>high + 1)])
    if high < INFINITY:
        return f"values from {low:g} to {high:g}"
    return f"values of at least {low:g}" if low > -INFINITY else "numbers that are not NaN"


cdef int check_codes(call_t *call, cnp.ndarray x, list codes) except -1:
    """Columns of the input that an embedding takes: (column, number of codes) each."""
    cdef source_t column
    cdef long long bad, categories
    for number, categories in codes:
        column = call.x
        column.data += <Py_ssize_t>number * column.column_stride
        with nogil:
            bad = common_kernels().find_bad_label(&column, categories)
        if bad >= 0:
            raise ValueError(f"X: expected integer codes from 0 to {categories - 1} in column "
                             f"{number}, got {x[bad, number]} in row {bad}")
    return 0


cdef int check_target(
    call_t *call, cnp.ndarray target, bint labels, Py_ssize_t classes, double low, double high,
    bint whole,
) except -1:
    """Shape and values of the targets, before anything is changed."""
    cdef long long bad
    take_target(call, target)
    with nogil:
        if labels:
            bad = common_kernels().find_bad_label(&call.target, classes)
        else:
            bad = common_kernels().find_outside(&call.target, low, high)
            if whole and bad < 0:
                bad = common_kernels().find_fraction(&call.target)
    if bad >= 0:
        wanted = f"class numbers from 0 to {classes - 1}" if labels else values_text(
            low, high, whole)
        raise ValueError(f"y: expected {wanted}, got {target[bad]} in row {bad}")
    return 0


cdef int take_weight(call_t *call, object weight) except -1:
    """Shape of the sample weights, if there are any."""
    call.weighted = weight is not None
    if weight is None:
        return 0
    if weight.shape != (call.x.rows,):
        raise ValueError(f"sample_weight: expected shape ({call.x.rows},), one number for "
                         f"each row of X, got shape {weight.shape}")
    return describe(&call.sample_weight, weight, "sample_weight")


cdef int check_weight(call_t *call, object weight, int dtype) except -1:
    """The sample weights, if there are any."""
    cdef long long bad
    take_weight(call, weight)
    if weight is None:
        return 0
    # So small that their sum is finite too.
    cdef double most = (DBL_MAX if dtype else FLT_MAX) / call.x.rows
    with nogil:
        bad = common_kernels().find_outside(&call.sample_weight, 0.0, most)
    if bad >= 0:
        raise ValueError(f"sample_weight: expected numbers of at least 0 with a finite sum in "
                         f"{'float64' if dtype else 'float32'}, got {weight[bad]} in row {bad}")
    return 0
