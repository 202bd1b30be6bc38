# cython: language_level=3, cdivision=True
"""Steps that look at each column by itself: learnable numbers per column, sums, copies.

The layers that hold a number for each column stand in one table in columns.h, from which their
loops expand; here are the loops over the rows.
"""
from libc.string cimport memcpy, memset

from cymlp.kernels.real cimport real

ctypedef void (*ForwardF32)(float *, const float *, const float *, Py_ssize_t) noexcept nogil
ctypedef void (*ForwardF64)(double *, const double *, const double *, Py_ssize_t) noexcept nogil
ctypedef void (*BackwardF32)(
    float *, const float *, const float *, const float *, Py_ssize_t) noexcept nogil
ctypedef void (*BackwardF64)(
    double *, const double *, const double *, const double *, Py_ssize_t) noexcept nogil
ctypedef void (*SumsF32)(
    float *, const float *, Py_ssize_t, const float *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    int) noexcept nogil
ctypedef void (*SumsF64)(
    double *, const double *, Py_ssize_t, const double *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    int) noexcept nogil

cdef extern from "columns.h":
    ctypedef struct ColumnLayer "struct column_layer":
        const char *name
        ForwardF32 forward_f32
        ForwardF64 forward_f64
        BackwardF32 backward_f32
        BackwardF64 backward_f64
        SumsF32 sums_f32
        SumsF64 sums_f64
    const ColumnLayer[1] column_table
    int COLUMN_LAYER_COUNT
    enum:
        COLUMN_BLOCK
        COLUMN_ROWS
    void row_add_f32(float *out, const float *a, const float *b, Py_ssize_t n) noexcept nogil
    void row_add_f64(double *out, const double *a, const double *b, Py_ssize_t n) noexcept nogil
    void row_affine_f32(float *out, const float *x, Py_ssize_t n, float factor,
                        float offset) noexcept nogil
    void row_affine_f64(double *out, const double *x, Py_ssize_t n, double factor,
                        double offset) noexcept nogil


cdef inline const real *spread(real *same, const real *parameter) noexcept nogil:
    """One number, as often as a block has columns."""
    cdef Py_ssize_t c
    for c in range(<Py_ssize_t> COLUMN_BLOCK):
        same[c] = parameter[0]
    return same


cdef void column_forward(
        int kind, real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx, const real *parameter,
        bint shared, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """y = f(x, parameter of the column, or the one of all); y may be x."""
    cdef real[COLUMN_BLOCK] same
    cdef const real *numbers = spread(same, parameter) if shared else parameter
    cdef Py_ssize_t width = COLUMN_BLOCK if shared else cols
    cdef Py_ssize_t r, begin, count
    for r in range(rows):
        begin = 0
        while begin < cols:
            count = min(width, cols - begin)
            if real is float:
                column_table[kind].forward_f32(
                    y + r * ldy + begin, x + r * ldx + begin, numbers, count)
            else:
                column_table[kind].forward_f64(
                    y + r * ldy + begin, x + r * ldx + begin, numbers, count)
            begin += count


cdef void column_backward(
        int kind, real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
        const real *saved, Py_ssize_t lds, const real *parameter, bint shared,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """dx = dy f'(x); `saved` is x; dx may be dy."""
    cdef real[COLUMN_BLOCK] same
    cdef const real *numbers = spread(same, parameter) if shared else parameter
    cdef Py_ssize_t width = COLUMN_BLOCK if shared else cols
    cdef Py_ssize_t r, begin, count
    for r in range(rows):
        begin = 0
        while begin < cols:
            count = min(width, cols - begin)
            if real is float:
                column_table[kind].backward_f32(
                    dx + r * lddx + begin, dy + r * lddy + begin, saved + r * lds + begin,
                    numbers, count)
            else:
                column_table[kind].backward_f64(
                    dx + r * lddx + begin, dy + r * lddy + begin, saved + r * lds + begin,
                    numbers, count)
            begin += count


cdef void column_sums(
        int kind, real *out, const real *dy, Py_ssize_t lddy, const real *saved, Py_ssize_t lds,
        Py_ssize_t rows, Py_ssize_t cols, bint accumulate) noexcept nogil:
    """out (+)= the gradient of the columns' parameters.

    With `accumulate` the sums are added to what is there: batches that come in pieces of whole
    row blocks give the same bits.
    """
    cdef Py_ssize_t begin = 0, width
    while begin < cols:
        width = min(cols - begin, <Py_ssize_t> COLUMN_BLOCK)
        if real is float:
            column_table[kind].sums_f32(out + begin, dy + begin, lddy, saved + begin, lds, rows,
                                        width, accumulate)
        else:
            column_table[kind].sums_f64(out + begin, dy + begin, lddy, saved + begin, lds, rows,
                                        width, accumulate)
        begin += width


cdef void shared_sum(
        int kind, real *out, const real *dy, Py_ssize_t lddy, const real *saved, Py_ssize_t lds,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """out += the gradient of a parameter that all columns share.

    A row block after the other, so that batches in pieces of whole row blocks give the same bits.
    """
    cdef real[COLUMN_BLOCK] sums
    cdef Py_ssize_t row = 0, height, begin, width, c
    cdef double total
    while row < rows:
        height = min(rows - row, <Py_ssize_t> COLUMN_ROWS)
        total = 0
        begin = 0
        while begin < cols:
            width = min(cols - begin, <Py_ssize_t> COLUMN_BLOCK)
            column_sums(kind, sums, dy + row * lddy + begin, lddy, saved + row * lds + begin, lds,
                        height, width, False)
            for c in range(width):
                total += sums[c]
            begin += width
        out[0] += <real> total
        row += height


cdef void add(
        real *out, Py_ssize_t ldo, const real *a, Py_ssize_t lda, const real *b, Py_ssize_t ldb,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """out = a + b; out may be either."""
    cdef Py_ssize_t r
    for r in range(rows):
        if real is float:
            row_add_f32(out + r * ldo, a + r * lda, b + r * ldb, cols)
        else:
            row_add_f64(out + r * ldo, a + r * lda, b + r * ldb, cols)


cdef void affine(
        real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, double factor, double offset,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """out = factor x + offset; out may be x."""
    cdef Py_ssize_t r
    for r in range(rows):
        if real is float:
            row_affine_f32(out + r * ldo, x + r * ldx, cols, <float> factor, <float> offset)
        else:
            row_affine_f64(out + r * ldo, x + r * ldx, cols, factor, offset)


cdef void copy_columns(
        real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """Some columns of x into some of out; zeros where x is NULL."""
    cdef Py_ssize_t r
    for r in range(rows):
        if x == NULL:
            memset(out + r * ldo, 0, cols * sizeof(real))
        else:
            memcpy(out + r * ldo, x + r * ldx, cols * sizeof(real))


def table():
    """The rows of the table of layers with a number for each column; a row's number is its kind."""
    return [{"name": column_table[kind].name.decode(), "kind": kind}
            for kind in range(COLUMN_LAYER_COUNT)]
