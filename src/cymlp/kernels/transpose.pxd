"""Transposed: square blocks, by the functions of transpose.h, and the panels of a weight."""
from cymlp.kernels.gemm cimport columns_of
from cymlp.kernels.real cimport real

cdef extern from "transpose.h" nogil:
    enum:
        BLOCK_F32
        BLOCK_F64
    void transpose_4_f32(float *out, Py_ssize_t ldo, const float *x, Py_ssize_t ldx) noexcept
    void transpose_4_f64(double *out, Py_ssize_t ldo, const double *x, Py_ssize_t ldx) noexcept
    void transpose_block_f32(float *out, Py_ssize_t ldo, const float *x, Py_ssize_t ldx) noexcept
    void transpose_block_f64(double *out, Py_ssize_t ldo, const double *x, Py_ssize_t ldx) noexcept


cdef enum:
    SKEW_ROWS = 5           # as panels whole pages apart share their places in the first cache


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


cdef inline void transpose_panel(
    real *out, const real *weight, Py_ssize_t count,
) noexcept nogil:
    """out (a panel's columns, a panel) = the transpose of `count` rows of a panel of a weight.

    What is missing to a whole panel becomes zero.
    """
    cdef Py_ssize_t full = columns_of(out)
    cdef Py_ssize_t size = BLOCK_F32 if real is float else BLOCK_F64
    cdef Py_ssize_t input = 0, i
    while input + size <= count:
        for i in range(full // size):
            transpose_block(out + i * size * full + input, full, weight + input * full + i * size,
                            full)
        input += size
    while input + 4 <= count:
        for i in range(full // 4):
            transpose_4(out + 4 * i * full + input, full, weight + input * full + 4 * i, full)
        input += 4
    while input < full:
        for i in range(full):
            out[i * full + input] = weight[input * full + i] if input < count else 0
        input += 1


cdef inline Py_ssize_t transposed_panel(real *unused, Py_ssize_t outputs) noexcept nogil:
    """The elements from panel to panel of so many outputs, with whole panels both ways."""
    cdef Py_ssize_t full = columns_of(unused)
    return ((outputs + full - 1) // full * full + SKEW_ROWS) * full


cdef inline void pack_transposed(
    real *packed, const real *weight, Py_ssize_t inputs, Py_ssize_t count, Py_ssize_t outputs,
) noexcept nogil:
    """packed (panels of inputs, outputs, a panel) = the transpose of `count` rows of a weight.

    The weight, of `inputs` rows, is read as it lies in memory: its padding is taken along with its
    last columns, and `packed` has room for whole panels both ways and SKEW_ROWS in each.
    """
    cdef Py_ssize_t full = columns_of(packed), apart = transposed_panel(packed, outputs)
    cdef Py_ssize_t panel, i
    for panel in range((outputs + full - 1) // full):
        for i in range((count + full - 1) // full):
            transpose_panel(packed + i * apart + panel * full * full,
                            weight + (panel * inputs + i * full) * full,
                            min(count - i * full, full))
