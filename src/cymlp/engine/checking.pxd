"""Targets and sample weights of a call, looked at before anything is changed."""
cimport numpy as cnp

from cymlp.engine.call cimport call_t

cdef int check_codes(call_t *call, cnp.ndarray x, list codes) except -1
cdef int check_target(
    call_t *call, cnp.ndarray target, bint labels, Py_ssize_t classes, double low, double high,
    bint whole,
) except -1
cdef int check_weight(call_t *call, object weight, int dtype) except -1
cdef int take_target(call_t *call, cnp.ndarray target) except -1
cdef int take_weight(call_t *call, object weight) except -1
