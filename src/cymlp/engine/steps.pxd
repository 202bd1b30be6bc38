"""The work of one step, as far as one thread does it."""
from cymlp.engine.call cimport batch_t, call_t, step_t

cdef void reduce(const step_t *s, call_t *c, batch_t *b) noexcept nogil
cdef void by_rows(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows) noexcept nogil
cdef void by_panels(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads) noexcept nogil
cdef void by_bands(
    const step_t *s, const step_t *change, call_t *c, batch_t *b, int thread,
    int threads) noexcept nogil
cdef void by_units(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads) noexcept nogil
