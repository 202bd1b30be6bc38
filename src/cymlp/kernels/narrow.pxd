"""Blocks of short rows: the functions of narrow.h, for either element type."""
from cymlp.kernels.real cimport real

cdef extern from "narrow.h" nogil:
    enum:
        NARROW_COLUMNS              # of a row, at most
        NARROW_ROWS "NARROW_F32"    # of a block, at most
        NARROW_F32
        NARROW_F64
    void narrow_softmax_f32(float *y, Py_ssize_t ldy, const float *x, Py_ssize_t ldx, Py_ssize_t n,
                            const float *factor, float *max, float *sum) noexcept
    void narrow_softmax_f64(double *y, Py_ssize_t ldy, const double *x, Py_ssize_t ldx,
                            Py_ssize_t n, const double *factor, double *max, double *sum) noexcept
    void narrow_losses_f32(double *loss, const float *sum, const float *max, const float *chosen,
                           const double *weight) noexcept
    void narrow_losses_f64(double *loss, const double *sum, const double *max,
                           const double *chosen, const double *weight) noexcept


cdef inline Py_ssize_t narrow_rows(const real *x) noexcept nogil:
    """The rows of a block of x's element type."""
    return NARROW_F32 if real is float else NARROW_F64


cdef inline void narrow_softmax(
        real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx, Py_ssize_t n, const real *factor,
        real *max, real *sum) noexcept nogil:
    """y = factor e^(x - max) / sum for the rows of a block, unless y is NULL; y may be x."""
    if real is float:
        narrow_softmax_f32(y, ldy, x, ldx, n, factor, max, sum)
    else:
        narrow_softmax_f64(y, ldy, x, ldx, n, factor, max, sum)


cdef inline void narrow_losses(
        double *loss, const real *sum, const real *max, const real *chosen,
        const double *weight) noexcept nogil:
    """loss = weight (log(sum) + (max - chosen)) for the rows of a block"""
    if real is float:
        narrow_losses_f32(loss, sum, max, chosen, weight)
    else:
        narrow_losses_f64(loss, sum, max, chosen, weight)
