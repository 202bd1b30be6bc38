"""Steps that call a user's Python function."""
from cymlp.engine.call cimport batch_t, call_t, step_t

# On thread 0, while all others wait: an exception is left set, and the call has failed.
cdef void python_step(const step_t *s, call_t *c, batch_t *b, int threads) noexcept nogil
