"""How many threads a program's calls are worth, learnt from the calls themselves.

More threads are not always faster: another process may hold a processor, two processors may be
one, or the work may be too small. The bits do not depend on the number of threads, so it can be
chosen by the clock: the seconds per row on one thread and on several are kept for each program and
the cheaper is taken. The other is tried again now and then, more and more rarely as long as it
loses. A trial is a few calls in a row, of which the first does not count: it wakes the team. While
several threads lose but are still getting faster it goes on: virtual processors that have just
been woken take some milliseconds to come to speed. One thread needs no such time, and a call that
shows it to be clearly slower ends its trial.

Beside a process that holds a processor, a call of some microseconds may take milliseconds on
several threads now and then. So the time that they have lost, in trials and since, is counted: they
are given up when it is more than a slice or two of the system's time, and not tried again until it
is a small share of all.
"""

cdef enum:
    FIRST_WINDOW = 3        # calls of a trial that count; each time it goes on twice as many
    LAST_WINDOW = 48
    HOPELESS = 4            # times as slow: not worth going on
    DISTURBED = 2           # times as slow as usual: a call of the choice in force counts as that
    STILL_FASTER = 95       # per cent of the part before: worth going on
    CLEARLY_SLOWER = 125    # per cent of the cost on several threads: a trial of one is over
    FIRST_PATIENCE = 16     # calls between two trials
    LAST_PATIENCE = 1024
    MOST_LOST = 16          # milliseconds on several threads, then they are given up
    LOST_SHARE = 64         # times as long as what was lost, until the next trial
    # Calls that always take longer than that on several threads are not tried on one: whatever
    # disturbs several then costs them no more than their number gains.
    LONG_MILLISECONDS = 8
    WAIT_MILLISECONDS = 100 # of calls, until a trial, however great the patience

ctypedef struct tuner_t:
    double cost[2]          # seconds per row: on one thread, on several; 0: not known yet
    double least            # the least seconds per row of a call on several
    int since_trial         # calls, and
    double time_since       # seconds of calls since the last trial
    double trial_lost       # seconds that it took longer than the other number would have
    double lost             # seconds that several threads have lost since
    int patience
    bint trial_several
    int trial_window        # calls of the trial's present part, and how many of them are left
    int trial_left
    double trial_cost       # of these, added up
    double trial_before     # mean of the part before; 0: this is the first


cdef inline void tuner_try(tuner_t *tuner, bint several) noexcept nogil:
    tuner.trial_several = several
    tuner.trial_window = FIRST_WINDOW
    tuner.trial_left = FIRST_WINDOW + 1
    tuner.trial_cost = tuner.trial_before = tuner.trial_lost = tuner.lost = 0


cdef inline bint tuner_is_due(const tuner_t *tuner) noexcept nogil:
    """Whether the other number of threads is to be tried again."""
    if tuner.time_since < LOST_SHARE * (tuner.trial_lost + tuner.lost):
        return False
    return tuner.since_trial >= tuner.patience or 1000 * tuner.time_since >= WAIT_MILLISECONDS


cdef inline int tuner_choose(tuner_t *tuner, int wanted) noexcept nogil:
    """The number of threads for the next call, which is worth `wanted` (above one)."""
    cdef bint several = tuner.cost[1] <= tuner.cost[0]
    if tuner.trial_left == 0:
        if tuner.cost[1] == 0:
            tuner_try(tuner, True)
        elif tuner.cost[0] == 0:
            tuner_try(tuner, False)
        elif tuner_is_due(tuner):
            tuner_try(tuner, not several)
    if tuner.trial_left > 0:
        several = tuner.trial_several
    return wanted if several else 1


cdef inline void tuner_end_window(tuner_t *tuner) noexcept nogil:
    """Part of a trial is over: go on, or decide."""
    cdef bint several = tuner.trial_several
    cdef double rival = tuner.cost[not several]
    cdef double cost = tuner.trial_cost / tuner.trial_window
    cdef bint first = tuner.trial_before == 0
    if (several and 0 < rival <= cost and tuner.trial_window < LAST_WINDOW
            and cost < (HOPELESS * rival if first else STILL_FASTER * tuner.trial_before / 100)):
        tuner.trial_before = cost
        tuner.trial_window *= 2
        tuner.trial_left = tuner.trial_window
        tuner.trial_cost = 0
        return
    tuner.cost[several] = cost if first else min(cost, tuner.trial_before)
    # The very first calls on several threads were also the first of their kind: where they lost
    # they are tried once more, at once and as long as they get faster.
    tuner.since_trial = 0
    tuner.time_since = 0
    if rival == 0:
        return                          # patience begins when both costs are known
    if tuner.patience == 0 and tuner.cost[0] < tuner.cost[1]:
        tuner.since_trial = FIRST_PATIENCE
        tuner.trial_lost = 0
    if tuner.patience == 0 or tuner.cost[several] < rival:
        tuner.patience = FIRST_PATIENCE
    else:
        tuner.patience = min(2 * tuner.patience, LAST_PATIENCE)


cdef inline void tuner_learn(
    tuner_t *tuner, int threads, double duration, double rows,
) noexcept nogil:
    """Take in how long a call has taken."""
    cdef bint several = threads > 1
    cdef double cost = duration / max(rows, 1.0)
    cdef double one = tuner.cost[0], known = tuner.cost[several]
    if several:
        tuner.least = min(tuner.least, cost) if tuner.least > 0 else cost
    if several and 1000 * tuner.least * rows > LONG_MILLISECONDS:
        tuner.cost[1] = 0
        tuner.trial_left = 0
    elif tuner.trial_left > 0:
        if tuner.cost[not several] > 0:
            tuner.trial_lost += max(0.0, duration - tuner.cost[not several] * rows)
        if several == tuner.trial_several:      # it is not where the team was busy
            tuner.trial_left -= 1
            if tuner.trial_left < tuner.trial_window:
                tuner.trial_cost += cost
            if not several and 0 < CLEARLY_SLOWER * tuner.cost[1] < 100 * cost:
                tuner.trial_window, tuner.trial_left, tuner.trial_cost = 1, 0, cost
            elif several and 0 < HOPELESS * one * tuner.trial_window < tuner.trial_cost:
                tuner.trial_window -= tuner.trial_left      # what is left cannot make it good
                tuner.trial_left = 0
            if tuner.trial_left == 0:
                tuner_end_window(tuner)
    elif several == (tuner.cost[1] <= tuner.cost[0]):
        # The choice in force: smoothed, and a disturbed call counts as twice the usual.
        tuner.cost[several] += 0.25 * (min(cost, DISTURBED * known) - known)
        tuner.since_trial += 1
        tuner.time_since += duration
        if several and one > 0:
            tuner.lost = max(0.0, tuner.lost + duration - one * rows)
            if 1000 * tuner.lost > MOST_LOST:
                tuner.cost[1] = HOPELESS * one
                tuner.since_trial = 0
                tuner.time_since = 0
