"""A plan made ready to run: offsets and kinds in place of names."""
from cymlp.engine.call cimport call_t, piece_t, rules_t, step_t
from cymlp.engine.memory cimport Memory
from cymlp.engine.tuner cimport tuner_t

cdef class Program:
    cdef readonly object plan
    cdef step_t *steps
    cdef int step_count
    cdef step_t *direct_steps   # those that read X where it lies; NULL: there are none
    cdef Py_ssize_t units
    cdef readonly Py_ssize_t multiply_adds
    cdef readonly Py_ssize_t chunk
    cdef readonly Py_ssize_t workspace_bytes
    cdef Py_ssize_t scratch_bytes       # of a thread
    cdef bint updates
    cdef bint predicts
    cdef bint whole             # a batch must be one chunk
    cdef bint by_blocks         # threads may take a row block each
    cdef bint turned            # rows lie beside each other
    cdef bint keeps_gradients
    cdef piece_t *pieces
    cdef Py_ssize_t piece_count
    cdef rules_t rules
    cdef bint calls_python
    cdef double value_count             # that a row's loss is the mean of
    cdef const double *label_weight
    cdef Py_ssize_t classes
    cdef list kept                      # arrays that steps point to
    cdef Memory ready                   # of the last call, for the next
    cdef list spare                     # more of it
    cdef tuner_t tuner
    cdef int _add(self, step, dict places, Py_ssize_t item) except -1
    cdef int _add_parameters(self, step_t *s, step, dict losses) except -1
    cdef int _add_function(self, step_t *s, dict attributes) except -1
    cdef int _set_rules(self, plan) except -1
    cdef int _cut(self, step_t *s, Py_ssize_t item) except -1
    cdef int _add_direct_steps(self, plan, Py_ssize_t item) except -1
    cdef void fill(self, call_t *call) noexcept
    cdef void read_directly(self, call_t *call) noexcept
    cdef Memory borrow(self, Py_ssize_t size)
    cdef int give_back(self, Memory memory) except -1
