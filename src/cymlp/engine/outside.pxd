"""Steps that call a user's Python function."""
from cymlp.engine.call cimport batch_t, call_t, step_t

# Around Python code within a call, with the GIL: it computes as the caller does, and what it wants
# of this very network is refused. The second takes what the first returned.
cdef unsigned long enter_python(call_t *c) noexcept
cdef void leave_python(call_t *c, unsigned long outer) noexcept

# On thread 0, while all others wait: an exception is left set, and the call has failed.
cdef void python_step(const step_t *s, call_t *c, batch_t *b, int threads) noexcept nogil
