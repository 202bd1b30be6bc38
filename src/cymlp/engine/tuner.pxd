"""How many threads a program's calls are worth, learnt from the calls themselves.

More threads are not always faster: another process may hold a processor, two processors may be
one, or the work may be too small. The bits do not depend on the number of threads, so it can be
chosen by the clock: the seconds per row on one thread and on several are kept for each program,
the cheaper is taken, and the other is tried again now and then, more and more rarely as long as
it loses.
"""

cdef enum:
    FIRST_PATIENCE = 8      # calls until the slower choice is tried again
    LAST_PATIENCE = 512

ctypedef struct tuner_t:
    double cost[2]          # seconds per row: on one thread, on several; 0: not tried yet
    int since_trial
    int patience


cdef inline int tuner_choose(tuner_t *tuner, int wanted) noexcept nogil:
    """The number of threads for the next call, which is worth at most `wanted`."""
    cdef bint several
    if wanted <= 1 or tuner.cost[1] == 0:
        return wanted
    if tuner.cost[0] == 0:
        return 1
    several = tuner.cost[1] <= tuner.cost[0]
    if tuner.since_trial >= tuner.patience:
        several = not several
    return wanted if several else 1


cdef inline void tuner_learn(
    tuner_t *tuner, int threads, double duration, double rows,
) noexcept nogil:
    """Take in how long a call has taken."""
    cdef bint several = threads > 1
    cdef bint expected = tuner.cost[1] <= tuner.cost[0]
    cdef double cost = duration / rows if rows > 0 else 0
    if cost <= 0:
        return
    if tuner.cost[several] == 0:
        tuner.cost[several] = cost
        tuner.patience = FIRST_PATIENCE
        tuner.since_trial = 0
    elif several == expected:
        # The choice in force: smoothed, as a single call may be disturbed.
        tuner.cost[several] += 0.25 * (cost - tuner.cost[several])
        tuner.since_trial += 1
    else:
        tuner.cost[several] = cost
        tuner.since_trial = 0
        if cost < tuner.cost[not several]:
            tuner.patience = FIRST_PATIENCE
        else:
            tuner.patience = min(2 * tuner.patience, LAST_PATIENCE)
