"""Steps that look at each column by itself."""
from cymlp.kernels.real cimport real

cdef void column_forward(
    int kind, real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx, const real *parameter,
    bint shared, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void column_backward(
    int kind, real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
    const real *saved, Py_ssize_t lds, const real *parameter,
    bint shared, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void column_sums(
    int kind, real *out, const real *dy, Py_ssize_t lddy, const real *saved, Py_ssize_t lds,
    Py_ssize_t rows, Py_ssize_t cols, bint accumulate) noexcept nogil

cdef void shared_sum(
    int kind, real *out, const real *dy, Py_ssize_t lddy, const real *saved, Py_ssize_t lds,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void add(
    real *out, Py_ssize_t ldo, const real *a, Py_ssize_t lda, const real *b, Py_ssize_t ldb,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void affine(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, double factor, double offset,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void copy_columns(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil
