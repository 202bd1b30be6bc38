"""Where a run of training stands within an epoch, between two calls (cymlp.runs.PLACE)."""
cimport numpy as cnp

from cymlp.engine.call cimport call_t
from cymlp.engine.walk cimport seconds


cdef inline int check_numbers(cnp.ndarray array, str name, Py_ssize_t least) except -1:
    if (cnp.PyArray_TYPE(array) != cnp.NPY_DOUBLE or not cnp.PyArray_ISCARRAY(array)
            or cnp.PyArray_SIZE(array) < least):
        raise ValueError(f"{name}: expected at least {least} contiguous numbers of float64, "
                         f"got shape {tuple((<object>array).shape)} of {array.dtype}")
    return 0


cdef inline int check_place(
    long long rows, cnp.ndarray order, cnp.ndarray results, cnp.ndarray place, bint shuffle,
) except -1:
    """The memory that a run gives to its calls."""
    cdef double position
    check_numbers(place, "place", 8)
    if cnp.PyArray_NDIM(results) != 2 or cnp.PyArray_DIM(results, 0) != 3:
        raise ValueError("results: expected shape (3, epochs), "
                         f"got {tuple((<object>results).shape)}")
    check_numbers(results, "results", 3)
    position = (<double *>cnp.PyArray_DATA(place))[0]
    if not (0 <= position < rows or position == 0) or position != <long long>position:
        raise ValueError(f"place: expected a row below {rows}, got {position}")
    if shuffle and (cnp.PyArray_TYPE(order) != cnp.NPY_INT64 or cnp.PyArray_SIZE(order) != rows
                    or not cnp.PyArray_ISCARRAY(order)):
        raise ValueError(f"order: expected memory for {rows} numbers of int64, "
                         f"got shape {tuple((<object>order).shape)} of {order.dtype}")
    return 0


cdef inline void enter_place(call_t *c, const double *place) noexcept:
    c.position = <long long>place[0]
    c.loss_sum, c.metric_sum, c.counted, c.weights = place[1], place[2], place[3], place[4]
    c.begun = seconds() - place[5]


cdef inline tuple leave_place(const call_t *c, double *place):
    """Returns the epoch's sums so far, or at its end: losses, weights, metric, counted rows."""
    place[0] = place[1] = place[2] = place[3] = place[4] = place[5] = 0
    if c.position:
        place[0] = <double>c.position
        place[1], place[2], place[3], place[4] = c.loss_sum, c.metric_sum, c.counted, c.weights
        place[5] = seconds() - c.begun
    place[6], place[7] = c.batch_loss, c.batch_metric
    return c.loss_sum, c.weights * c.value_count, c.metric_sum, c.counted
