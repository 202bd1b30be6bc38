# cython: language_level=3, cdivision=True
"""Gradients before the optimizer's step, and parameters after it: one piece at a time.

A piece is some rows, one after another, of `width` numbers each; of these the first `columns`
are real, the others padding. Sums over a piece have one order, so that no number of threads shows.
"""
from cymlp.kernels.lanes cimport row_dot
from cymlp.kernels.real cimport real

cdef extern from "gradients.h" nogil:
    void row_penalty_f32(float *g, const float *p, Py_ssize_t n, float l1, float l2) noexcept
    void row_penalty_f64(double *g, const double *p, Py_ssize_t n, double l1, double l2) noexcept
    void row_clip_f32(float *g, Py_ssize_t n, float limit) noexcept
    void row_clip_f64(double *g, Py_ssize_t n, double limit) noexcept
    void row_scale_f32(float *g, Py_ssize_t n, float factor) noexcept
    void row_scale_f64(double *g, Py_ssize_t n, double factor) noexcept
    void row_accumulate_f32(float *total, const float *g, Py_ssize_t n, float share,
                            bint first) noexcept
    void row_accumulate_f64(double *total, const double *g, Py_ssize_t n, double share,
                            bint first) noexcept
    void row_average_f32(float *average, const float *p, Py_ssize_t n, float share) noexcept
    void row_average_f64(double *average, const double *p, Py_ssize_t n, double share) noexcept
    void row_squares_f32(double *total, const float *p, Py_ssize_t n) noexcept
    void row_squares_f64(double *total, const double *p, Py_ssize_t n) noexcept
    void row_times_f32(float *p, const double *factor, Py_ssize_t n) noexcept
    void row_times_f64(double *p, const double *factor, Py_ssize_t n) noexcept

cdef extern from *:
    double square_root "__builtin_sqrt"(double) noexcept nogil

cdef enum:
    BLOCK = 16      # columns of a panel at most


cdef void gradient_penalty(
        real *gradient, const real *parameter, Py_ssize_t n, double l1,
        double l2) noexcept nogil:
    """gradient += l1 sign(parameter) + l2 parameter"""
    if real is float:
        row_penalty_f32(gradient, parameter, n, <float> l1, <float> l2)
    else:
        row_penalty_f64(gradient, parameter, n, l1, l2)


cdef void gradient_clip(real *gradient, Py_ssize_t n, double limit) noexcept nogil:
    """Every entry into [-limit, limit]."""
    if real is float:
        row_clip_f32(gradient, n, <float> limit)
    else:
        row_clip_f64(gradient, n, limit)


cdef void gradient_scale(real *gradient, Py_ssize_t n, double factor) noexcept nogil:
    if real is float:
        row_scale_f32(gradient, n, <float> factor)
    else:
        row_scale_f64(gradient, n, factor)


cdef void gradient_accumulate(
        real *total, const real *gradient, Py_ssize_t n, double share, bint first) noexcept nogil:
    """total (+)= share gradient; the first time nothing is there to add to."""
    if real is float:
        row_accumulate_f32(total, gradient, n, <float> share, first)
    else:
        row_accumulate_f64(total, gradient, n, share, first)


cdef void gradient_dot(
        double *total, const real *a, const real *b, Py_ssize_t rows, Py_ssize_t width,
        Py_ssize_t columns) noexcept nogil:
    """The sum of the products of two pieces."""
    cdef Py_ssize_t row
    total[0] = 0.0
    for row in range(rows):
        total[0] += row_dot(a + row * width, b + row * width, columns)


cdef void parameter_average(
        real *average, const real *parameter, Py_ssize_t n, double share) noexcept nogil:
    """average += share (parameter - average)"""
    if real is float:
        row_average_f32(average, parameter, n, <float> share)
    else:
        row_average_f64(average, parameter, n, share)


cdef void parameter_max_norm(
        real *panel, Py_ssize_t rows, Py_ssize_t width, double limit) noexcept nogil:
    """Scale the columns of a whole panel whose norm is above the limit down to it."""
    cdef double total[BLOCK]
    cdef double norm
    cdef Py_ssize_t row, c
    for c in range(width):
        total[c] = 0.0
    for row in range(rows):
        if real is float:
            row_squares_f32(total, panel + row * width, width)
        else:
            row_squares_f64(total, panel + row * width, width)
    for c in range(width):
        norm = square_root(total[c])
        total[c] = limit / norm if norm > limit else 1.0
    for row in range(rows):
        if real is float:
            row_times_f32(panel + row * width, total, width)
        else:
            row_times_f64(panel + row * width, total, width)
