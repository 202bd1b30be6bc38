"""Data on its way in and out.

Rows are gathered, in shuffled order and from any real type and stride, into aligned rows of the
engine's memory, so that no other kernel ever meets a stride. Nothing is copied as a whole.
"""
from cymlp.kernels.real cimport real

cdef extern from "convert.h" nogil:
    void convert_row_f32(float *out, const char *source, Py_ssize_t stride, Py_ssize_t n,
                         int type, int swapped) noexcept
    void convert_row_f64(double *out, const char *source, Py_ssize_t stride, Py_ssize_t n,
                         int type, int swapped) noexcept
    void prefetch "__builtin_prefetch"(const void *place) noexcept

cdef enum:
    ROWS_AHEAD = 8      # of a shuffled order, whose next rows no processor foresees
    LINES_AHEAD = 4     # of such a row; those behind them it does
    LINE_BYTES = 64


cdef inline const char *row_of(
    const source_t *source, const long long *order, long long row,
) noexcept nogil:
    """Where a row begins; `order` (NULL: as they stand) says which row comes at which place."""
    if order != NULL:
        row = order[row]
    return source.data + <Py_ssize_t>row * source.row_stride


cdef void gather_rows(
    real *out, Py_ssize_t ldo, const source_t *source, const long long *order,
    long long first, Py_ssize_t rows,
) noexcept nogil:
    """out[r] = the row at place first + r, converted."""
    cdef Py_ssize_t row, line
    cdef Py_ssize_t lines = min(source.columns * source.column_stride // LINE_BYTES + 1,
                                <Py_ssize_t>LINES_AHEAD)
    for row in range(rows):
        if order != NULL and row + ROWS_AHEAD < rows:
            for line in range(lines):
                prefetch(row_of(source, order, first + row + ROWS_AHEAD) + line * LINE_BYTES)
        if real is float:
            convert_row_f32(out + row * ldo, row_of(source, order, first + row),
                            source.column_stride, source.columns, source.type, source.swapped)
        else:
            convert_row_f64(out + row * ldo, row_of(source, order, first + row),
                            source.column_stride, source.columns, source.type, source.swapped)


cdef void gather_labels(
    int *out, const source_t *source, const long long *order, long long first,
    Py_ssize_t rows, long long classes,
) noexcept nogil:
    """out[r] = the class number at place first + r.

    The labels have been checked, but another thread may write to them since then. What is no class
    any more becomes class 0, so that no kernel reaches outside a row.
    """
    cdef Py_ssize_t row
    cdef double label
    for row in range(rows):
        convert_row_f64(&label, row_of(source, order, first + row), source.column_stride, 1,
                        source.type, source.swapped)
        out[row] = <int>label if label >= 0 and label < classes else 0


cdef void scatter_rows(
    char *out, Py_ssize_t row_stride, Py_ssize_t column_stride, const real *values,
    Py_ssize_t ldv, Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Write rows to an array of any strides (in bytes, multiples of the element's size)."""
    cdef Py_ssize_t row, column
    cdef real *target
    for row in range(rows):
        target = <real *>(out + row * row_stride)
        if column_stride == <Py_ssize_t>sizeof(real):
            for column in range(columns):
                target[column] = values[row * ldv + column]
        else:
            for column in range(columns):
                (<real *>(out + row * row_stride + column * column_stride))[0] = (
                    values[row * ldv + column])


cdef long long find_bad_label(const source_t *source, long long classes) noexcept nogil:
    """The first row whose label is not an integer in 0 ... classes - 1; -1 if there is none."""
    cdef Py_ssize_t row
    cdef double label
    for row in range(source.rows):
        convert_row_f64(&label, row_of(source, NULL, row), source.column_stride, 1, source.type,
                        source.swapped)
        if not (label >= 0 and label < classes and label == <double><long long>label):
            return row
    return -1


cdef long long find_outside(const source_t *source, double low, double high) noexcept nogil:
    """The first row with a NaN or a value outside [low, high]; -1 if there is none."""
    cdef Py_ssize_t row, column, k, n
    cdef double values[64]
    cdef bint good
    for row in range(source.rows):
        column = 0
        while column < source.columns:
            n = min(source.columns - column, 64)
            convert_row_f64(values, row_of(source, NULL, row) + column * source.column_stride,
                            source.column_stride, n, source.type, source.swapped)
            good = True
            for k in range(n):
                good = good and values[k] >= low and values[k] <= high
            if not good:
                return row
            column += n
    return -1


cdef long long find_fraction(const source_t *source) noexcept nogil:
    """The first row with a value that is no whole number; -1 if there is none."""
    cdef Py_ssize_t row, column
    cdef double value
    for row in range(source.rows):
        for column in range(source.columns):
            convert_row_f64(&value, row_of(source, NULL, row) + column * source.column_stride,
                            source.column_stride, 1, source.type, source.swapped)
            if not (-4e15 < value < 4e15 and value == <double><long long>value):
                return row
    return -1
