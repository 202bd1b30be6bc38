# cython: language_level=3, cdivision=True
"""Activations on blocks of a matrix: the pointwise ones of activations.h, and softmax.

The pointwise formulas stand in one table in the header, from which the loops over a row expand;
here are the loops over the rows. Softmax needs a whole row at once and is outside that table.
"""

from cymlp.kernels.lanes cimport (
    row_exp, row_log_softmax, row_log_softmax_backward, row_sum,
    row_dot, row_exponential, row_max, row_product, row_softmax, row_softmax_backward)
from cymlp.kernels.narrow cimport (
    NARROW_COLUMNS, NARROW_ROWS, narrow_rows, narrow_softmax)
from cymlp.kernels.real cimport real

ctypedef void (*ForwardF32)(float *, const float *, Py_ssize_t, float) noexcept nogil
ctypedef void (*ForwardF64)(double *, const double *, Py_ssize_t, double) noexcept nogil
ctypedef void (*BackwardF32)(
    float *, const float *, const float *, Py_ssize_t, float) noexcept nogil
ctypedef void (*BackwardF64)(
    double *, const double *, const double *, Py_ssize_t, double) noexcept nogil

cdef extern from "activations.h":
    ctypedef struct Activation "struct activation":
        const char *name
        const char *saves
        const char *initializer
        const char *parameter
        double standard
        ForwardF32 forward_f32
        ForwardF64 forward_f64
        BackwardF32 backward_f32
        BackwardF64 backward_f64
    const Activation[1] activation_table
    int ACTIVATION_COUNT
    double log_f64(double x) noexcept nogil

cdef extern from "stream.h" nogil:
    enum:
        STREAM_DOUBLES
    bint stream_pays(const void *out, const void *x, Py_ssize_t size, size_t item) noexcept
    Py_ssize_t stream_head(const void *out) noexcept
    void stream_block(void *out, const void *block) noexcept
    void stream_end() noexcept


cdef inline void row_forward(
        int kind, real *y, const real *x, Py_ssize_t cols, double parameter) noexcept nogil:
    if real is float:
        activation_table[kind].forward_f32(y, x, cols, <float> parameter)
    else:
        activation_table[kind].forward_f64(y, x, cols, parameter)


cdef void far_forward(
        int kind, real *y, const real *x, Py_ssize_t cols, double parameter) noexcept nogil:
    """A row whose result goes past the caches."""
    cdef double[STREAM_DOUBLES] room
    cdef real *block = <real *> room
    cdef Py_ssize_t width = sizeof(room) // sizeof(real)
    cdef Py_ssize_t c = stream_head(y) // <Py_ssize_t> sizeof(real)
    row_forward(kind, y, x, c, parameter)
    while c + width <= cols:
        row_forward(kind, block, x + c, width, parameter)
        stream_block(y + c, block)
        c += width
    row_forward(kind, y + c, x + c, cols - c, parameter)
    stream_end()


cdef void activation_forward(
        int kind, real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
        Py_ssize_t rows, Py_ssize_t cols, double parameter) noexcept nogil:
    """y = f(x), element by element; y may be x."""
    cdef Py_ssize_t r
    if ldy == cols and ldx == cols:     # one long row: short ones take longer to call than to do
        cols *= rows
        rows = 1
    if rows == 1 and stream_pays(y, x, cols * sizeof(real), sizeof(real)):
        far_forward(kind, y, x, cols, parameter)
        return
    for r in range(rows):
        row_forward(kind, y + r * ldy, x + r * ldx, cols, parameter)


cdef void activation_backward(
        int kind, real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
        const real *saved, Py_ssize_t lds,
        Py_ssize_t rows, Py_ssize_t cols, double parameter) noexcept nogil:
    """dx = dy f'(x); `saved` is what the table's row says; dx may be dy."""
    cdef Py_ssize_t r
    if lddx == cols and lddy == cols and lds == cols:
        cols *= rows
        rows = 1
    for r in range(rows):
        if real is float:
            activation_table[kind].backward_f32(
                dx + r * lddx, dy + r * lddy, saved + r * lds, cols, <float> parameter)
        else:
            activation_table[kind].backward_f64(
                dx + r * lddx, dy + r * lddy, saved + r * lds, cols, parameter)


cdef void exponential(
        real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """y = e^x, element by element; y may be x."""
    cdef Py_ssize_t r
    for r in range(rows):
        row_exponential(y + r * ldy, x + r * ldx, cols)


cdef void softmax_forward(
        real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """Row-wise e^(x - max) over its sum; y may be x.

    A NaN or +Inf in a row makes the whole row NaN (+Inf - +Inf is NaN, and the sum passes it on).
    """
    cdef real[NARROW_ROWS] ones, largest, total
    cdef Py_ssize_t block = narrow_rows(x), first = 0, r
    if cols <= NARROW_COLUMNS and rows >= block:
        for r in range(block):
            ones[r] = 1
        while first + block <= rows:
            narrow_softmax(y + first * ldy, ldy, x + first * ldx, ldx, cols, <const real *> ones,
                           <real *> largest, <real *> total)
            first += block
    for r in range(first, rows):
        row_softmax(y + r * ldy, x + r * ldx, cols, row_max(x + r * ldx, cols), <real> 1, -1)


cdef void softmax_backward(
        real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy, const real *y, Py_ssize_t ldy,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """The Jacobian of softmax times dy: dx = y (dy - sum(dy y)), row by row; dx may be dy."""
    cdef Py_ssize_t r
    for r in range(rows):
        row_softmax_backward(dx + r * lddx, dy + r * lddy, y + r * ldy, cols,
                             row_dot(dy + r * lddy, y + r * ldy, cols))


cdef void log_softmax_forward(
        real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """Row-wise x - max - log(sum(e^(x - max))); y may be x. NaN and +Inf as in softmax."""
    cdef real largest, total
    cdef Py_ssize_t r
    for r in range(rows):
        largest = row_max(x + r * ldx, cols)
        total = row_exp(<real *> NULL, x + r * ldx, cols, largest)
        row_log_softmax(y + r * ldy, x + r * ldx, cols, largest, <real> log_f64(total))


cdef void log_softmax_backward(
        real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy, const real *y, Py_ssize_t ldy,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """The Jacobian of log-softmax times dy: dx = dy - e^y sum(dy), row by row; dx may be dy."""
    cdef Py_ssize_t r
    for r in range(rows):
        row_log_softmax_backward(dx + r * lddx, dy + r * lddy, y + r * ldy, cols,
                                 row_sum(dy + r * lddy, cols))


cdef void glu_forward(
        int kind, real *y, Py_ssize_t ldy, real *gate, Py_ssize_t ldg, const real *x,
        Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols, double parameter) noexcept nogil:
    """y = a f(b), a and b being the halves of x, each of `cols` columns.

    f(b) goes to `gate`, for backward; where that is NULL, only y is written.
    """
    cdef Py_ssize_t r
    cdef real *f
    cdef const real *a
    for r in range(rows):
        a = x + r * ldx
        f = y + r * ldy if gate == NULL else gate + r * ldg
        activation_forward(kind, f, 0, a + cols, 0, 1, cols, parameter)
        row_product(y + r * ldy, a, f, cols)


cdef void glu_backward(
        int kind, real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy, const real *gate,
        Py_ssize_t ldg, const real *x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols,
        double parameter) noexcept nogil:
    """The gradient of both halves; dx is apart from all others."""
    cdef bint by_output = activation_table[kind].saves[0] == b'o'
    cdef Py_ssize_t r
    cdef const real *a
    cdef const real *f
    cdef real *db
    for r in range(rows):
        a = x + r * ldx
        f = gate + r * ldg
        db = dx + r * lddx + cols
        row_product(db, dy + r * lddy, a, cols)
        activation_backward(kind, db, 0, db, 0, f if by_output else a + cols, 0, 1, cols,
                            parameter)
        row_product(dx + r * lddx, dy + r * lddy, f, cols)


def table():
    """The rows of the table of pointwise activations; a row's number is its `kind`."""
    return [{"name": activation_table[kind].name.decode(),
             "kind": kind,
             "saves": activation_table[kind].saves.decode(),
             "initializer": activation_table[kind].initializer.decode(),
             "parameter": activation_table[kind].parameter.decode(),
             "default": activation_table[kind].standard}
            for kind in range(ACTIVATION_COUNT)]
