"""What goes around the optimizer's step, as far as one thread does it."""
from cymlp.engine.call cimport batch_t, call_t, step_t

cdef long long updates_done(const call_t *c, const batch_t *b) noexcept nogil
cdef void by_pieces(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads) noexcept nogil
