"""Embedding: integer codes to the rows of a table."""
from cymlp.kernels.real cimport real

cdef void embedding_forward(
    real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx, const real *table, Py_ssize_t ldt,
    Py_ssize_t categories, Py_ssize_t units, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void embedding_sums(
    real *gradient, Py_ssize_t ldg, char *used, const real *dy, Py_ssize_t lddy,
    const real *x, Py_ssize_t ldx, Py_ssize_t categories, Py_ssize_t units, Py_ssize_t rows,
    Py_ssize_t cols, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
