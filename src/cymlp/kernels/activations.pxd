from cymlp.kernels.real cimport real

cdef void activation_forward(
    int kind, real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
    Py_ssize_t rows, Py_ssize_t cols, double parameter) noexcept nogil

cdef void activation_backward(
    int kind, real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
    const real *saved, Py_ssize_t lds,
    Py_ssize_t rows, Py_ssize_t cols, double parameter) noexcept nogil

cdef void exponential(
    real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void softmax_forward(
    real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void softmax_backward(
    real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy, const real *y, Py_ssize_t ldy,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void log_softmax_forward(
    real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void log_softmax_backward(
    real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy, const real *y, Py_ssize_t ldy,
    Py_ssize_t rows, Py_ssize_t cols) noexcept nogil

cdef void glu_forward(
    int kind, real *y, Py_ssize_t ldy, real *gate, Py_ssize_t ldg, const real *x,
    Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols, double parameter) noexcept nogil

cdef void glu_backward(
    int kind, real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy, const real *gate,
    Py_ssize_t ldg, const real *x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t cols,
    double parameter) noexcept nogil
