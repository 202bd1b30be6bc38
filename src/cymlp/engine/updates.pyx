"""The optimizer's step on a piece of the arena."""
from cymlp.engine.call cimport MAX_HYPER, MAX_STATES


cdef void update(
    call_t *c, batch_t *b, char *gradient, Py_ssize_t offset, Py_ssize_t count,
    int group,
) noexcept nogil:
    """The optimizer's step on `count` parameters of a group, from `offset` on."""
    cdef char *parameter = c.arena + offset
    cdef char *state[MAX_STATES]
    cdef int i
    for i in range(MAX_STATES):
        state[i] = NULL if c.state_offset[i] < 0 else parameter + c.state_offset[i]
    c.kernels.optimizer_update(c.optimizer, parameter, gradient, state[0], state[1], state[2],
                               count, b.prepared + group * MAX_HYPER)
