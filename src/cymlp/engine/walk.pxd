"""The jobs that a team of threads does: every thread walks the same list of steps."""

cdef double seconds() noexcept nogil
cdef void train_job(void *context, int thread, int threads) noexcept nogil
cdef void batch_job(void *context, int thread, int threads) noexcept nogil
cdef void predict_job(void *context, int thread, int threads) noexcept nogil
