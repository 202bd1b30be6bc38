"""A call run to its end on as many threads as pay."""
from cpython.exc cimport PyErr_Restore
from cpython.ref cimport PyObject
from libc.math cimport INFINITY
from libc.string cimport memset

from cymlp.engine.threads cimport team_run, threads_forced
from cymlp.engine.tuner cimport tuner_choose, tuner_learn, tuner_t
from cymlp.engine.walk cimport seconds, train_job

cdef double JOB_SECONDS = 0.002     # of training, until the number of threads is thought over


cdef int run_call(
    call_t *call, team_job job, int wanted, tuner_t *tuner,
) noexcept nogil:
    """Run a call to its end, on as many threads as pay; returns the last number of them."""
    cdef bint tuned = wanted > 1 and not threads_forced()
    cdef int threads = wanted
    cdef double begun
    cdef long long rows
    while True:
        begun = seconds()
        if call.checked == 0:
            call.checked = begun    # Python itself looks for signals before a call
        call.job_end = begun + (JOB_SECONDS if tuned else INFINITY)
        rows = call.rows_done
        if tuned:
            threads = tuner_choose(tuner, wanted)
        threads = team_run(job, call, threads)
        rows = call.rows_done - rows if job == train_job else call.rows
        if tuned:
            tuner_learn(tuner, threads, seconds() - begun, <double>rows)
        if job != train_job or call.stop or call.epochs_done == call.epochs \
                or call.batches_left == 0:
            return threads


cdef int raise_again(PyObject *kind, PyObject *value, PyObject *trace) except -1:
    """Raise an exception that was put aside."""
    PyErr_Restore(kind, value, trace)
    return -1


def _chosen(take, int calls, int wanted=2):
    """The threads that are chosen for calls of one row, which take `take(threads)` seconds each.

    For tests: what the clock would say is given.
    """
    cdef tuner_t tuner
    cdef int call, threads
    memset(&tuner, 0, sizeof(tuner_t))
    numbers = []
    for call in range(calls):
        threads = tuner_choose(&tuner, wanted)
        tuner_learn(&tuner, threads, take(threads), 1)
        numbers.append(threads)
    return numbers
