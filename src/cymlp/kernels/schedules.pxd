"""The factor that a schedule gives the learning rate at a step."""

cdef double schedule_factor(
    const double *numbers, long long step, long long epoch, long long rows) noexcept nogil
