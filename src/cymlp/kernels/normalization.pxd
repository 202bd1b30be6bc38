"""Normalisation along rows and down the columns of a batch."""
from cymlp.kernels.real cimport real

cdef void normalize_rows(
    real *y, Py_ssize_t ldy, real *normalized, Py_ssize_t ldn, double *factors,
    const real *x, Py_ssize_t ldx, const real *weight, const real *bias, bint centered,
    double epsilon, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void normalize_rows_backward(
    real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
    const real *normalized, Py_ssize_t ldn, const double *factors, const real *weight,
    bint centered, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void batch_statistics(
    real *statistics, Py_ssize_t lds, const real *x, Py_ssize_t ldx,
    const real *sample_weight, double epsilon, Py_ssize_t rows, Py_ssize_t begin,
    Py_ssize_t end) noexcept nogil

cdef void batch_load(
    real *statistics, Py_ssize_t lds, const real *mean, const real *variance, double epsilon,
    Py_ssize_t begin, Py_ssize_t end) noexcept nogil

cdef void batch_normalize(
    real *y, Py_ssize_t ldy, real *normalized, Py_ssize_t ldn, const real *x, Py_ssize_t ldx,
    const real *statistics, Py_ssize_t lds, const real *weight, const real *bias,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void batch_sums(
    real *sums, Py_ssize_t lds, const real *dy, Py_ssize_t lddy,
    const real *normalized, Py_ssize_t ldn, const real *sample_weight, Py_ssize_t rows,
    Py_ssize_t begin, Py_ssize_t end) noexcept nogil

cdef void batch_normalize_backward(
    real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
    const real *normalized, Py_ssize_t ldn, const real *statistics, Py_ssize_t lds,
    const real *sums, Py_ssize_t ldm, const real *weight, const real *sample_weight,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void batch_running(
    real *mean, real *variance, const real *statistics, Py_ssize_t lds, double momentum,
    Py_ssize_t begin, Py_ssize_t end) noexcept nogil
