"""Gradients before the optimizer's step, and parameters after it."""
from cymlp.kernels.real cimport real

cdef void gradient_penalty(
    real *gradient, const real *parameter, Py_ssize_t n, double l1,
    double l2) noexcept nogil

cdef void gradient_clip(real *gradient, Py_ssize_t n, double limit) noexcept nogil

cdef void gradient_scale(real *gradient, Py_ssize_t n, double factor) noexcept nogil

cdef void gradient_accumulate(
    real *total, const real *gradient, Py_ssize_t n, double share, bint first) noexcept nogil

cdef void gradient_dot(
    double *total, const real *a, const real *b, Py_ssize_t rows, Py_ssize_t width,
    Py_ssize_t columns) noexcept nogil

cdef void parameter_average(
    real *average, const real *parameter, Py_ssize_t n, double share) noexcept nogil

cdef void parameter_max_norm(
    real *panel, Py_ssize_t rows, Py_ssize_t width, double limit) noexcept nogil
