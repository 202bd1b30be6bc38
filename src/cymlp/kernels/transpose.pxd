"""Square blocks of elements, transposed: the functions of transpose.h, for either element type."""
from cymlp.kernels.real cimport real

cdef extern from "transpose.h" nogil:
    enum:
        BLOCK_F32
        BLOCK_F64
    void transpose_4_f32(float *out, Py_ssize_t ldo, const float *x, Py_ssize_t ldx) noexcept
    void transpose_4_f64(double *out, Py_ssize_t ldo, const double *x, Py_ssize_t ldx) noexcept
    void transpose_block_f32(float *out, Py_ssize_t ldo, const float *x, Py_ssize_t ldx) noexcept
    void transpose_block_f64(double *out, Py_ssize_t ldo, const double *x, Py_ssize_t ldx) noexcept


cdef inline void transpose_block(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx) noexcept nogil:
    """out = the transpose of the largest block that the level's registers hold."""
    if real is float:
        transpose_block_f32(out, ldo, x, ldx)
    else:
        transpose_block_f64(out, ldo, x, ldx)


cdef inline void transpose_4(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx) noexcept nogil:
    """out = the transpose of a block of 4 by 4."""
    if real is float:
        transpose_4_f32(out, ldo, x, ldx)
    else:
        transpose_4_f64(out, ldo, x, ldx)
