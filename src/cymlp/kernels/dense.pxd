"""Dense layers: the three matrix products of a layer over panels of weights.

Weights of shape (inputs, outputs) are kept in panels of 64 bytes' worth of columns (16 float32 or
8 float64), one after the other; inside a panel the rows follow each other without a gap. The last
panel's columns beyond `outputs` are padding.
"""
from cymlp.kernels.real cimport real

cdef void dense_forward(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, const real *weight,
    const real *bias, bint relu, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
    Py_ssize_t panel_begin, Py_ssize_t panel_end, bint finite, real *scratch) noexcept nogil

cdef void turn_rows(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, Py_ssize_t rows,
    Py_ssize_t columns) noexcept nogil

cdef void dense_turned(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, const real *weight,
    const real *bias, bint relu, Py_ssize_t inputs, Py_ssize_t outputs,
    Py_ssize_t rows) noexcept nogil

cdef void dense_backward_input(
    real *dx, Py_ssize_t lddx, const real *dz, Py_ssize_t ldz, const real *weight,
    const real *gate, Py_ssize_t ldg, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
    Py_ssize_t panel_begin, Py_ssize_t panel_end, real *scratch) noexcept nogil

cdef void dense_backward_weight(
    real *dweight, Py_ssize_t dweight_panel, const real *x, Py_ssize_t ldx, const real *dz,
    Py_ssize_t ldz, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate,
    real *scratch, const real *later, Py_ssize_t later_panel, Py_ssize_t second, Py_ssize_t third,
) noexcept nogil

cdef void dense_backward_bias(
    real *dbias, const real *dz, Py_ssize_t ldz, Py_ssize_t outputs, Py_ssize_t rows,
    bint accumulate) noexcept nogil

cdef bint all_finite(const real *values, Py_ssize_t count) noexcept nogil

cdef void pack_panels(
    real *panels, const real *weight, Py_ssize_t row_stride, Py_ssize_t column_stride,
    Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil

cdef void unpack_panels(
    real *weight, Py_ssize_t row_stride, Py_ssize_t column_stride, const real *panels,
    Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil
