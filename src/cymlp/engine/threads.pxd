# What the rest of the engine may use. Nothing else knows OpenMP.

# A job is run by `threads` threads, numbered from 0, which is the caller. It must give the same
# bits for every number of threads, and it may get fewer than were wanted.
ctypedef void (*team_job)(void *context, int thread, int threads) noexcept nogil

# Runs the job on up to `wanted` threads; returns how many took part. Only the caller where
# wanted <= 1, where the team is busy with another caller, in a forked child or without OpenMP.
cdef int team_run(team_job job, void *context, int wanted) noexcept nogil

# For use inside a job by all of its threads: waits until all have come.
cdef void team_barrier(int threads) noexcept nogil

# Most threads that team_run would use now.
cdef int thread_count() noexcept nogil

# Changes in the child of a fork, so that what belongs to a process can be told from a copy.
cdef long fork_generation() noexcept nogil

# Whether every call must use as many threads as it can, sensible or not (for tests).
cdef bint threads_forced() noexcept nogil
