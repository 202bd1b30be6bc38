"""The optimizer's step on a piece of the arena."""
from cymlp.engine.call cimport batch_t, call_t

cdef void update(
    call_t *c, batch_t *b, char *gradient, Py_ssize_t offset, Py_ssize_t count,
    int group) noexcept nogil
cdef void add_gradients(
    call_t *c, batch_t *b, int thread, int threads, int blocks) noexcept nogil
