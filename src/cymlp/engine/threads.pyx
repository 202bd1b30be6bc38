"""The one door to OpenMP: how many threads a call uses, and the team that runs its jobs.

The team itself, and why there is one, is described in ``team.h``.
"""

import operator

from libc.stdlib cimport free, malloc

cdef extern from "team.h":
    const int TEAM_MAX_THREADS
    const bint TEAM_HAS_OPENMP
    int c_team_run "team_run"(team_job job, void *context, int wanted) noexcept nogil
    void c_team_barrier "team_barrier"(int threads) noexcept nogil
    int team_watch_forks() noexcept nogil
    bint team_forked() noexcept nogil
    long team_forks() noexcept nogil
    int team_limit() noexcept nogil
    void team_set_limit(int threads, bint crowded) noexcept nogil

cdef int _setting = 0                   # what was asked for; 0: the default, not looked up yet
cdef bint _oversubscription = False     # whether the setting may exceed the processors

if team_watch_forks() != 0:
    raise MemoryError("no memory for the handler that makes forks safe")


cdef int team_run(team_job job, void *context, int wanted) noexcept nogil:
    if wanted > 1:
        thread_count()                  # looks the default up at its first call
    return c_team_run(job, context, wanted)


cdef void team_barrier(int threads) noexcept nogil:
    c_team_barrier(threads)


cdef int thread_count() noexcept nogil:
    if team_forked() or not TEAM_HAS_OPENMP:
        return 1
    if team_limit() == 0:
        with gil:
            _look_up_default()
    return team_limit()


cdef long fork_generation() noexcept nogil:
    return team_forks()


cdef bint threads_forced() noexcept nogil:
    return _oversubscription


cdef int _look_up_default() except -1:
    """Determine the setting from the environment and the machine, if nobody has set it."""
    global _setting
    from cymlp.engine.processors import default_threads
    if _setting == 0:
        _setting = default_threads(TEAM_MAX_THREADS)
    _apply()
    return 0


cdef int _apply() except -1:
    """Let the team know the setting: as many threads, but no more than there are processors."""
    from cymlp.engine.processors import usable_processors
    cdef int processors = min(usable_processors(), TEAM_MAX_THREADS)
    cdef int limit = _setting if _oversubscription else min(_setting, processors)
    with nogil:                         # waits for the threads of the old team, if there are any
        team_set_limit(limit, limit > processors)
    return 0


def set_num_threads(n):
    """Set how many threads one call may use.

    The setting holds for the whole process. A call never uses more threads than there are
    processors for this process (its affinity and its control group's quota count), whatever the
    setting, and small calls use one thread. Results do not depend on the number of threads.

    Parameters
    ----------
    n : int
        At least 1, at most 1024.

    See Also
    --------
    get_num_threads : The present setting.

    Examples
    --------
    >>> import cymlp
    >>> before = cymlp.get_num_threads()
    >>> cymlp.set_num_threads(1)
    >>> cymlp.get_num_threads()
    1
    >>> cymlp.set_num_threads(before)
    """
    global _setting
    if isinstance(n, bool):
        raise TypeError("n must be an integer, not bool")
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"n must be an integer, not {type(n).__name__}") from None
    if not 1 <= count <= TEAM_MAX_THREADS:
        raise ValueError(f"n must be between 1 and {TEAM_MAX_THREADS}, not {count}")
    _setting = count
    _apply()


def get_num_threads():
    """Return how many threads one call may use.

    Unless `set_num_threads` was called this is the value of the environment variable
    ``CYMLP_NUM_THREADS``, else of ``OMP_NUM_THREADS``, else the number of processors that this
    process may use.

    Returns
    -------
    int

    Examples
    --------
    >>> import cymlp
    >>> cymlp.get_num_threads() >= 1
    True
    """
    if _setting == 0:
        _look_up_default()
    return _setting


def openmp_enabled():
    """Return whether this build has OpenMP; without it everything runs on one thread."""
    return bool(TEAM_HAS_OPENMP)


def _effective_threads():
    """Most threads that a call made now would use: 1 in a forked child and without OpenMP."""
    get_num_threads()                   # so that a warning about the environment can be an error
    return thread_count()


def _allow_oversubscription(allow):
    """For tests: whether to use as many threads as set even where there are fewer processors."""
    global _oversubscription
    get_num_threads()
    _oversubscription = bool(allow)
    _apply()


def _fork_generation():
    return fork_generation()


cdef struct SelfTest:
    long long *values                   # one for each thread, a cache line apart
    int rounds
    bint nested                         # also run a job from within the job
    long long failures                  # written by thread 0 only


cdef void _nested_job(void *context, int thread, int threads) noexcept nogil:
    (<int *>context)[0] = threads


cdef void _self_test_job(void *context, int thread, int threads) noexcept nogil:
    """Every round each thread writes a value, and between two barriers thread 0 checks them all."""
    cdef SelfTest *test = <SelfTest *>context
    cdef int turn, other, inner
    for turn in range(test.rounds):
        test.values[thread * 8] = turn + thread
        team_barrier(threads)
        if thread == 0:
            for other in range(threads):
                test.failures += test.values[other * 8] != turn + other
            if test.nested:
                test.failures += c_team_run(_nested_job, &inner, 2) != 1 or inner != 1
        team_barrier(threads)


def _self_test(int threads, int rounds, bint nested=False):
    """For tests: run a job with two barriers a round.

    Returns how many threads took part and how many of the values written in one round were not
    seen in it (0 where the team works).
    """
    cdef SelfTest test
    cdef int took_part
    if not 0 < threads <= TEAM_MAX_THREADS:
        raise ValueError(f"threads must be between 1 and {TEAM_MAX_THREADS}, not {threads}")
    test.values = <long long *>malloc(threads * 8 * sizeof(long long))
    if test.values == NULL:
        raise MemoryError
    test.rounds, test.nested, test.failures = rounds, nested, 0
    with nogil:
        took_part = team_run(_self_test_job, &test, threads)
    free(test.values)
    return took_part, test.failures
