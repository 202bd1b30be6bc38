"""What goes around the optimizer's step, as far as one thread does it.

Where more happens than the optimizer's step, all gradients are whole before the first parameter
is changed, and the parameters are gone through in pieces of a fixed size. A sum over all of them
is a sum of the pieces' sums in order, which no number of threads changes.
"""
from libc.math cimport sqrt

from cymlp.engine.call cimport *
from cymlp.engine.updates cimport update


cdef long long updates_done(const call_t *c, const batch_t *b) noexcept nogil:
    """How many steps the optimizer has made with this batch's, if that makes one."""
    return max(b.step // c.rules.accumulate, 1)


cdef void by_pieces(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads,
) noexcept nogil:
    """This thread's share of the pieces, once the batch's gradients are whole."""
    cdef Py_ssize_t begin = s.units * thread // threads
    cdef Py_ssize_t end = s.units * (thread + 1) // threads
    cdef bint complete = b.step % c.rules.accumulate == 0
    cdef double factor = 1.0
    cdef Py_ssize_t unit
    if not b.last_piece:
        return
    if s.op == APPLY_UPDATE and complete:
        factor = clip_factor(s, c, b)
    for unit in range(begin, end):
        if s.op == PREPARE_GRADIENTS:
            prepare(s, c, b, unit, complete)
        elif not complete:
            continue
        elif s.op == APPLY_UPDATE:
            apply(c, b, &c.pieces[unit], factor)
        elif s.op == MAX_NORM:
            max_norm(s, c, unit)
        else:
            average(c, b, &c.pieces[unit])


cdef void prepare(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t unit, bint complete,
) noexcept nogil:
    """Mean of the batches' gradients, penalties, clipped values, and the piece's squares."""
    cdef const piece_t *p = &c.pieces[unit]
    cdef const rules_t *rules = c.rules
    cdef Py_ssize_t count = p.rows * p.width
    cdef char *gradient = b.workspace + p.offset
    cdef char *total
    if rules.accumulate > 1:
        total = c.arena + p.offset + rules.accumulated
        c.kernels.gradient_accumulate(total, gradient, count, 1.0 / rules.accumulate,
                                      b.step % rules.accumulate == 1)
        if not complete:
            return
        c.kernels.gradient_accumulate(gradient, total, count, 1.0, True)
    if p.penalized and (rules.l1 > 0 or rules.l2 > 0):
        c.kernels.gradient_penalty(gradient, c.arena + p.offset, count, rules.l1, rules.l2)
    if rules.clip_value >= 0:
        c.kernels.gradient_clip(gradient, count, rules.clip_value)
    if rules.clip_norm >= 0:
        c.kernels.gradient_dot(<double *>at(b, &s.out, 0) + unit, gradient, gradient, p.rows,
                               p.width, p.columns)


cdef double clip_factor(const step_t *s, call_t *c, batch_t *b) noexcept nogil:
    """By how much all gradients are scaled down; a NaN among them makes it NaN."""
    cdef const double *squares = <const double *>at(b, &s.x, 0)
    cdef double total = 0, norm
    cdef Py_ssize_t unit
    if c.rules.clip_norm < 0:
        return 1.0
    for unit in range(c.piece_count):
        total += squares[unit]
    norm = sqrt(total)
    return 1.0 if norm + 1e-6 <= c.rules.clip_norm else c.rules.clip_norm / (norm + 1e-6)


cdef inline bint is_zero(const char *row, Py_ssize_t columns, Py_ssize_t item) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        if ((<const float *>row)[c] if item == 4 else (<const double *>row)[c]) != 0:
            return False
    return True


cdef void apply(call_t *c, batch_t *b, const piece_t *p, double factor) noexcept nogil:
    """The optimizer's step; of a table only on the rows with a gradient."""
    cdef char *gradient = b.workspace + p.offset
    cdef Py_ssize_t row_bytes = p.width * c.item
    cdef Py_ssize_t row
    if factor != 1.0:
        c.kernels.gradient_scale(gradient, p.rows * p.width, factor)
    if not p.sparse:
        update(c, b, gradient, p.offset, p.rows * p.width, p.group)
        return
    for row in range(p.rows):
        if not is_zero(gradient + row * row_bytes, p.columns, c.item):
            update(c, b, gradient + row * row_bytes, p.offset + row * row_bytes, p.width, p.group)


cdef void max_norm(const step_t *s, call_t *c, Py_ssize_t panel) noexcept nogil:
    """The columns of one panel of a weight."""
    c.kernels.parameter_max_norm(c.arena + s.weight.offset + panel * s.inputs * PANEL_BYTES,
                                 s.inputs, PANEL_BYTES // c.item, c.rules.max_norm)


cdef void average(call_t *c, batch_t *b, const piece_t *p) noexcept nogil:
    """Take the parameters into their average, if it is this step's turn."""
    cdef long long after = updates_done(c, b) - c.rules.average_from - 1
    cdef long long taken = after // c.rules.average_every
    cdef double share = 1.0 - c.rules.decay
    if after < 0 or after % c.rules.average_every != 0:
        return
    if taken == 0:
        share = 1.0
    elif c.rules.decay > 1:
        share = 1.0 / (taken + 1)
    c.kernels.parameter_average(c.arena + p.offset + c.rules.average, c.arena + p.offset,
                                p.rows * p.width, share)
