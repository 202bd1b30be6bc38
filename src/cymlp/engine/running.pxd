"""A call run to its end on as many threads as pay."""
from cpython.ref cimport PyObject

from cymlp.engine.call cimport call_t
from cymlp.engine.threads cimport team_job
from cymlp.engine.tuner cimport tuner_t

cdef int run_call(call_t *call, team_job job, int wanted, tuner_t *tuner) noexcept nogil
cdef int raise_again(PyObject *kind, PyObject *value, PyObject *trace) except -1
