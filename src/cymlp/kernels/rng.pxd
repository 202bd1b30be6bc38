from cymlp.kernels.real cimport real

cdef void dropout(
    real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
    Py_ssize_t row_begin, Py_ssize_t row_end, Py_ssize_t cols,
    double rate, unsigned long long key, long long step, int layer) noexcept nogil

cdef void permutation(
    long long *order, long long n, unsigned long long key, long long epoch) noexcept nogil
