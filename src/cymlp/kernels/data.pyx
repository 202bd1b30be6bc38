"""Data on its way in and out.

Rows are gathered, in shuffled order and from any real type and stride, into aligned rows of the
engine's memory, so that no other kernel ever meets a stride. Nothing is copied as a whole.
"""
from libc.stdlib cimport labs

from cymlp.kernels.real cimport real

cdef extern from "convert.h" nogil:
    void convert_row_f32(float *out, const char *source, Py_ssize_t stride, Py_ssize_t n,
                         int type, int swapped) noexcept
    void convert_row_f64(double *out, const char *source, Py_ssize_t stride, Py_ssize_t n,
                         int type, int swapped) noexcept
    void convert_picked_f32(float *out, const char *source, Py_ssize_t stride,
                            const long long *order, Py_ssize_t n, int type, int swapped) noexcept
    void convert_picked_f64(double *out, const char *source, Py_ssize_t stride,
                            const long long *order, Py_ssize_t n, int type, int swapped) noexcept
    void prefetch "__builtin_prefetch"(const void *place) noexcept

cdef enum:
    ROWS_AHEAD = 8      # of a shuffled order, whose next rows no processor foresees
    LINES_AHEAD = 4     # of such a row; those behind them it does
    LINE_BYTES = 64
    BLOCK = 64          # elements of a column that are converted at a time
    COLUMNS = 16        # that are turned into rows at a time


cdef inline const char *row_of(
    const source_t *source, const long long *order, long long row,
) noexcept nogil:
    """Where a row begins; `order` (NULL: as they stand) says which row comes at which place."""
    if order != NULL:
        row = order[row]
    return source.data + <Py_ssize_t>row * source.row_stride


cdef inline void convert_row(
    real *out, const source_t *source, const char *row, Py_ssize_t n,
) noexcept nogil:
    """The next n elements of a row."""
    if real is float:
        convert_row_f32(out, row, source.column_stride, n, source.type, source.swapped)
    else:
        convert_row_f64(out, row, source.column_stride, n, source.type, source.swapped)


cdef inline void convert_column(
    real *out, const source_t *source, Py_ssize_t column, const long long *order, long long first,
    Py_ssize_t n,
) noexcept nogil:
    """A column of the rows at the places from `first` on."""
    cdef const char *top = source.data + column * source.column_stride
    cdef const char *begin = top + <Py_ssize_t>first * source.row_stride
    if order == NULL:
        if real is float:
            convert_row_f32(out, begin, source.row_stride, n, source.type, source.swapped)
        else:
            convert_row_f64(out, begin, source.row_stride, n, source.type, source.swapped)
    elif real is float:
        convert_picked_f32(out, top, source.row_stride, order + first, n, source.type,
                           source.swapped)
    else:
        convert_picked_f64(out, top, source.row_stride, order + first, n, source.type,
                           source.swapped)


cdef void gather_columns(
    real *out, Py_ssize_t ldo, const source_t *source, const long long *order,
    long long first, Py_ssize_t rows,
) noexcept nogil:
    """`gather_rows` where what is near in memory is a column, as in Fortran's order."""
    cdef real[COLUMNS * BLOCK] values
    cdef Py_ssize_t begin, column = 0, height, width, r, c
    while column < source.columns:
        width = min(source.columns - column, <Py_ssize_t>COLUMNS)
        begin = 0
        while begin < rows:
            height = min(rows - begin, <Py_ssize_t>BLOCK)
            for c in range(width):
                convert_column(<real *>values + c * BLOCK, source, column + c, order,
                               first + begin, height)
            for r in range(height):
                for c in range(width):
                    out[(begin + r) * ldo + column + c] = values[c * BLOCK + r]
            begin += height
        column += width


cdef void gather_rows(
    real *out, Py_ssize_t ldo, const source_t *source, const long long *order,
    long long first, Py_ssize_t rows,
) noexcept nogil:
    """out[r] = the row at place first + r, converted."""
    cdef Py_ssize_t row, line
    cdef Py_ssize_t lines = min(source.columns * source.column_stride // LINE_BYTES + 1,
                                <Py_ssize_t>LINES_AHEAD)
    if source.columns == 1 or labs(source.row_stride) < labs(source.column_stride):
        gather_columns(out, ldo, source, order, first, rows)
        return
    for row in range(rows):
        if order != NULL and row + ROWS_AHEAD < rows:
            for line in range(lines):
                prefetch(row_of(source, order, first + row + ROWS_AHEAD) + line * LINE_BYTES)
        convert_row(out + row * ldo, source, row_of(source, order, first + row), source.columns)


cdef void gather_labels(
    int *out, const source_t *source, const long long *order, long long first,
    Py_ssize_t rows, long long classes,
) noexcept nogil:
    """out[r] = the class number at place first + r.

    The labels have been checked, but another thread may write to them since then. What is no class
    any more becomes class 0, so that no kernel reaches outside a row.
    """
    cdef double[BLOCK] label
    cdef Py_ssize_t begin = 0, count, row
    while begin < rows:
        count = min(rows - begin, <Py_ssize_t>BLOCK)
        convert_column(<double *>label, source, 0, order, first + begin, count)
        for row in range(count):
            out[begin + row] = (<int>label[row] if label[row] >= 0 and label[row] < classes
                                else 0)
        begin += count


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
    cdef double[BLOCK] label
    cdef Py_ssize_t begin = 0, count, row
    while begin < source.rows:
        count = min(source.rows - begin, <Py_ssize_t>BLOCK)
        convert_column(<double *>label, source, 0, NULL, begin, count)
        for row in range(count):
            if not (label[row] >= 0 and label[row] < classes
                    and label[row] == <double><long long>label[row]):
                return begin + row
        begin += count
    return -1


cdef inline bint are_within(
    const double *values, Py_ssize_t n, double low, double high,
) noexcept nogil:
    cdef Py_ssize_t k
    cdef bint good = True
    for k in range(n):
        good = good and values[k] >= low and values[k] <= high
    return good


cdef long long find_outside(const source_t *source, double low, double high) noexcept nogil:
    """The first row with a NaN or a value outside [low, high]; -1 if there is none."""
    cdef double[BLOCK] values
    cdef Py_ssize_t row = 0, column, n
    if source.columns == 1:     # whole blocks that are good are passed over
        while row < source.rows:
            n = min(source.rows - row, <Py_ssize_t>BLOCK)
            convert_column(<double *>values, source, 0, NULL, row, n)
            if not are_within(<const double *>values, n, low, high):
                break
            row += n
    for row in range(row, source.rows):
        column = 0
        while column < source.columns:
            n = min(source.columns - column, <Py_ssize_t>BLOCK)
            convert_row(<double *>values, source,
                        row_of(source, NULL, row) + column * source.column_stride, n)
            if not are_within(<const double *>values, n, low, high):
                return row
            column += n
    return -1


cdef long long find_fraction(const source_t *source) noexcept nogil:
    """The first row with a value that is no whole number; -1 if there is none."""
    cdef Py_ssize_t row, column
    cdef double value = 0
    for row in range(source.rows):
        for column in range(source.columns):
            convert_row(&value, source,
                        row_of(source, NULL, row) + column * source.column_stride, 1)
            if not (-4e15 < value < 4e15 and value == <double><long long>value):
                return row
    return -1
