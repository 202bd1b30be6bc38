"""The work of the steps of layers that are not dense, as far as one thread does it."""
from libc.string cimport memset

from cymlp.engine.call cimport *
from cymlp.engine.updates cimport update


cdef void layer_by_rows(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    """A step on some rows of the piece."""
    cdef char *out = at(b, &s.out, row)
    cdef char *x = at(b, &s.x, row)
    cdef char *saved = at(b, &s.saved, row)
    cdef char *weight = at(b, &s.weight, 0)
    cdef Py_ssize_t whole = padded(c, s.columns)
    if s.op == ADD:
        c.kernels.add(out, s.out.leading, x, s.x.leading, saved, s.saved.leading, rows, whole)
    elif s.op == AFFINE:
        c.kernels.affine(out, s.out.leading, x, s.x.leading, s.parameter, s.offset, rows, whole)
    elif s.op == COPY_COLUMNS:
        c.kernels.copy_columns(out + s.to * c.item, s.out.leading,
                               NULL if x == NULL else x + s.begin * c.item, s.x.leading, rows,
                               s.columns)
    elif s.op == COLUMN_FORWARD:
        c.kernels.column_forward(s.kind, out, s.out.leading, x, s.x.leading, weight, s.shared,
                                 rows, whole)
    elif s.op == COLUMN_BACKWARD:
        c.kernels.column_backward(s.kind, out, s.out.leading, x, s.x.leading, saved,
                                  s.saved.leading, weight, s.shared, rows, whole)
    elif s.op == GLU_FORWARD:
        c.kernels.glu_forward(s.kind, out, s.out.leading, saved, s.saved.leading, x, s.x.leading,
                              rows, s.columns, s.parameter)
    elif s.op == GLU_BACKWARD:
        c.kernels.glu_backward(s.kind, out, s.out.leading, x, s.x.leading,
                               at(b, &s.gate, row), s.gate.leading, saved,
                               s.saved.leading, rows, s.columns, s.parameter)
    elif s.op == EMBEDDING_FORWARD:
        c.kernels.embedding_forward(out, s.out.leading, x, s.x.leading, weight, s.weight.leading,
                                    s.inputs, s.outputs, rows, s.columns)
    else:
        normalize(s, c, b, row, rows)


cdef void normalize(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    """A normalisation on some rows of the piece."""
    cdef char *out = at(b, &s.out, row)
    cdef char *x = at(b, &s.x, row)
    cdef char *saved = at(b, &s.saved, row)
    cdef char *weight = at(b, &s.weight, 0)
    cdef double *factors = <double *>at(b, &s.row_values, row)
    if s.op == NORMALIZE_ROWS:
        c.kernels.normalize_rows(out, s.out.leading, saved, s.saved.leading, factors, x,
                                 s.x.leading, weight, at(b, &s.bias, 0), s.centered,
                                 s.parameter, rows, s.columns)
    elif s.op == NORMALIZE_ROWS_BACKWARD:
        c.kernels.normalize_rows_backward(out, s.out.leading, x, s.x.leading, saved,
                                          s.saved.leading, factors, weight, s.centered, rows,
                                          s.columns)
    elif s.op == BATCH_NORMALIZE:
        c.kernels.batch_normalize(out, s.out.leading, saved, s.saved.leading, x, s.x.leading,
                                  at(b, &s.statistics, 0), s.statistics.leading, weight,
                                  at(b, &s.bias, 0), rows, s.columns)
    else:
        c.kernels.batch_normalize_backward(
            out, s.out.leading, x, s.x.leading, saved, s.saved.leading,
            at(b, &s.statistics, 0), s.statistics.leading, at(b, &s.means, 0),
            s.means.leading, weight, at(b, &s.sample_weight, row), rows, s.columns)


cdef void by_columns(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads,
) noexcept nogil:
    """A step on all rows of the piece, as to this thread's share of the columns."""
    cdef Py_ssize_t granule = GRANULE_BYTES // c.item
    cdef Py_ssize_t pieces = padded(c, s.columns) // granule
    cdef Py_ssize_t begin = pieces * thread // threads * granule
    cdef Py_ssize_t end = min(pieces * (thread + 1) // threads * granule, s.columns)
    cdef char *out = at(b, &s.out, 0)
    cdef char *x = at(b, &s.x, 0)
    cdef char *weight = at(b, &s.sample_weight, 0)
    if begin >= end:
        return
    if s.op == BATCH_STATISTICS:
        c.kernels.batch_statistics(out, s.out.leading, x, s.x.leading, weight, s.parameter,
                                   b.piece_rows, begin, end)
    elif s.op == BATCH_LOAD:
        c.kernels.batch_load(out, s.out.leading, at(b, &s.weight, 0), at(b, &s.bias, 0),
                             s.parameter, begin, end)
    elif s.op == BATCH_SUMS:
        c.kernels.batch_sums(out, s.out.leading, x, s.x.leading, at(b, &s.saved, 0),
                             s.saved.leading, weight, b.piece_rows, begin, end)
    else:
        c.kernels.batch_running(at(b, &s.weight, 0), at(b, &s.bias, 0),
                                at(b, &s.statistics, 0), s.statistics.leading, s.parameter,
                                begin, end)


cdef void column_update(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t unit,
) noexcept nogil:
    """One piece of the numbers that a layer holds for its columns."""
    cdef Py_ssize_t most = UNIT_PANELS * PANEL_BYTES // c.item
    cdef Py_ssize_t begin = unit * most
    cdef Py_ssize_t width = min(padded(c, s.columns) - begin, most)
    cdef Py_ssize_t offset = s.weight.offset + begin * c.item
    cdef char *gradient = b.workspace + offset if c.keeps_gradients else b.scratch
    if s.shared:
        width = padded(c, 1)
        if not b.accumulate:
            memset(gradient, 0, width * c.item)
        c.kernels.shared_sum(s.kind, gradient, at(b, &s.x, 0), s.x.leading,
                             at(b, &s.saved, 0), s.saved.leading, b.piece_rows, s.columns)
    else:
        c.kernels.column_sums(
            s.kind, gradient, at(b, &s.x, 0) + begin * c.item, s.x.leading,
            at(b, &s.saved, 0) + begin * c.item, s.saved.leading, b.piece_rows, width,
            b.accumulate)
    if c.fused and b.last_piece:
        update(c, b, gradient, offset, width, 0)


cdef void embedding_update(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t unit,
) noexcept nogil:
    """One piece of a table: gradients of the rows that the batch uses, and their update.

    A row that the batch does not use stays as it is, and so do its optimizer states.
    """
    cdef Py_ssize_t begin = s.inputs * unit // s.units
    cdef Py_ssize_t end = s.inputs * (unit + 1) // s.units
    cdef char *gradient = b.workspace + s.weight.offset
    cdef char *used = at(b, &s.row_values, 0)
    cdef char *whole
    cdef Py_ssize_t code
    if not b.accumulate:
        memset(used + begin, 0, end - begin)
    c.kernels.embedding_sums(gradient, s.weight.leading, used, at(b, &s.saved, 0), s.saved.leading,
                             at(b, &s.x, 0), s.x.leading, s.inputs, s.outputs, b.piece_rows,
                             s.columns, begin, end)
    if not b.last_piece:
        return
    for code in range(begin, end):
        if used[code] and c.fused:
            update(c, b, gradient + code * s.weight.row_bytes,
                   s.weight.offset + code * s.weight.row_bytes, s.weight.leading, 0)
        elif not used[code] and not c.fused:
            memset(gradient + code * s.weight.row_bytes, 0, s.weight.row_bytes)
