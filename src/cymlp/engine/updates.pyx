"""The optimizer's step on a piece of the arena."""
from cymlp.engine.call cimport GRANULE_BYTES, MAX_HYPER, MAX_STATES

cdef enum:
    SUMMED_BYTES = 8192         # of gradients, added up and used while they are near


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


cdef void add_gradients(
    call_t *c, batch_t *b, int thread, int threads, int blocks,
) noexcept nogil:
    """This thread's share of all gradients: those of each block's workspace added to the first's.

    With the batch's last rows the optimizer's step follows.
    """
    cdef Py_ssize_t granules = c.parameter_bytes // GRANULE_BYTES
    cdef Py_ssize_t offset = granules * thread // threads * GRANULE_BYTES
    cdef Py_ssize_t end = granules * (thread + 1) // threads * GRANULE_BYTES
    cdef Py_ssize_t count
    cdef char *total
    cdef int other
    while offset < end:
        count = min(end - offset, <Py_ssize_t>SUMMED_BYTES) // c.item
        total = b.workspace + offset
        for other in range(1, blocks):
            c.kernels.gradient_accumulate(
                total, total + other * c.workspace_bytes, count, 1.0, False)
        if b.last_piece:
            update(c, b, total, offset, count, 0)
        offset += count * c.item
