"""Data on its way in and out: gathering a batch's rows, checking targets, writing results."""
from cymlp.kernels.real cimport real

ctypedef struct source_t:
    # A two-dimensional array of any real type, order and stride, as NumPy describes it.
    const char *data
    Py_ssize_t row_stride       # bytes
    Py_ssize_t column_stride    # bytes
    Py_ssize_t rows
    Py_ssize_t columns
    int type                    # a code of the table in convert.h
    int swapped                 # 1: the other byte order

cdef void gather_rows(
    real *out, Py_ssize_t ldo, const source_t *source, const long long *order,
    long long first, Py_ssize_t rows) noexcept nogil

cdef void gather_labels(
    int *out, const source_t *source, const long long *order, long long first,
    Py_ssize_t rows, long long classes) noexcept nogil

cdef void scatter_rows(
    char *out, Py_ssize_t row_stride, Py_ssize_t column_stride, const real *values,
    Py_ssize_t ldv, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil

cdef long long find_bad_label(const source_t *source, long long classes) noexcept nogil

cdef long long find_outside(const source_t *source, double low, double high) noexcept nogil

cdef long long find_fraction(const source_t *source) noexcept nogil
