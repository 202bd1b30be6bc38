"""The work of the steps of layers that are not dense, as far as one thread does it."""
from cymlp.engine.call cimport batch_t, call_t, step_t

cdef void layer_by_rows(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows) noexcept nogil
cdef void by_columns(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads) noexcept nogil
cdef void column_update(const step_t *s, call_t *c, batch_t *b, Py_ssize_t unit) noexcept nogil
cdef void embedding_update(const step_t *s, call_t *c, batch_t *b, Py_ssize_t unit) noexcept nogil
