"""The engine of one network: what it holds, and what the short way calls of it."""
cimport numpy as cnp

from cymlp.engine.binding cimport kernels_t
from cymlp.engine.call cimport MAX_GROUPS, MAX_HYPER, MAX_STATES, call_t
from cymlp.engine.gate cimport Gate
from cymlp.engine.lbfgs cimport search_t
from cymlp.engine.memory cimport Memory
from cymlp.engine.program cimport Program
from cymlp.engine.threads cimport team_job

cdef enum:
    # The kinds of calls that go the short way, and their programs: for 1, 2, 4, ... 4096 rows.
    FORWARD
    PREDICT
    STEP_LABELS
    STEP_DENSE
    KINDS
    SIZES = 13


cdef inline Py_ssize_t size_of(long long rows) noexcept nogil:
    """Which of the programs for 1, 2, 4, ... rows serves so many."""
    cdef Py_ssize_t size = 0
    while size < SIZES - 1 and 1LL << size < rows:
        size += 1
    return size


cdef class Engine:
    cdef Memory arena
    cdef readonly Py_ssize_t parameter_bytes
    cdef readonly object dtype
    cdef int code
    cdef int type
    cdef Py_ssize_t item
    cdef const kernels_t *kernels
    cdef int optimizer
    cdef double hyper[MAX_GROUPS * MAX_HYPER]
    cdef int groups
    cdef Py_ssize_t state_offset[MAX_STATES]
    cdef Py_ssize_t in_features
    cdef Py_ssize_t out_features
    cdef Py_ssize_t target_features
    cdef double low
    cdef double high
    cdef bint whole
    cdef bint takes_labels
    cdef readonly unsigned long long key
    cdef public long long step
    cdef public long long epoch
    cdef public cnp.ndarray decay_schedule      # of the weight decay
    cdef public int decay               # its number among the hyperparameters
    cdef public cnp.ndarray schedule    # of the learning rate, in numbers; None: none
    cdef public double rate_factor      # what the learning rate is multiplied with besides
    cdef public list codes              # (column, number of codes) that embeddings take
    cdef readonly int last_threads      # how many the last call has used (for tests)
    cdef readonly tuple last_sums   # of an epoch: see cymlp.data
    cdef Gate gate
    cdef int finite             # whether the parameters are, as far as it is known
    cdef list known                     # programs of calls that go the short way
    cdef void _fill(self, Py_ssize_t offset, double value) noexcept
    cdef char *_place(self, parameter, Py_ssize_t state) except NULL
    cdef Py_ssize_t _rows(self, cnp.ndarray x) except -1
    cdef int _check(self, call_t *call, cnp.ndarray target, weight, bint labels) except -1
    cdef int _threads(self, Program program, long long rows, long long grain) noexcept
    cdef Memory _open(self, Program program, cnp.ndarray x, int threads, int copies)
    cdef bint _is_finite(self) noexcept
    cdef int _run(self, call_t *call, Program program, team_job job, int threads,
                  search_t *search=*) except -1
    cdef int _predict(self, Program program, cnp.ndarray x, cnp.ndarray out) except -1
    cdef Memory _run_batch(self, Program program, cnp.ndarray x, cnp.ndarray target, weight,
                           bint labels)
    cdef double _mean_loss(self, call_t *call) noexcept
    cdef double _train_step(self, Program program, cnp.ndarray x, cnp.ndarray target, weight,
                            bint labels) except? -1
