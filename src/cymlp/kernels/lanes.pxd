"""The row functions of lanes.h, for either element type."""
from cymlp.kernels.real cimport real

cdef extern from "lanes.h" nogil:
    enum:
        LANES
    float row_max_f32(const float *x, Py_ssize_t n) noexcept
    double row_max_f64(const double *x, Py_ssize_t n) noexcept
    int row_first_max_f32(const float *x, Py_ssize_t n, Py_ssize_t chosen) noexcept
    int row_first_max_f64(const double *x, Py_ssize_t n, Py_ssize_t chosen) noexcept
    float row_sum_f32(const float *x, Py_ssize_t n) noexcept
    double row_sum_f64(const double *x, Py_ssize_t n) noexcept
    float row_dot_f32(const float *a, const float *b, Py_ssize_t n) noexcept
    double row_dot_f64(const double *a, const double *b, Py_ssize_t n) noexcept
    double row_distance_f32(const float *t, const float *x, Py_ssize_t n, double from_) noexcept
    double row_distance_f64(const double *t, const double *x, Py_ssize_t n, double from_) noexcept
    double row_entropy_f32(const float *t, Py_ssize_t n) noexcept
    double row_entropy_f64(const double *t, Py_ssize_t n) noexcept
    float row_exp_f32(float *out, const float *x, Py_ssize_t n, float shift) noexcept
    double row_exp_f64(double *out, const double *x, Py_ssize_t n, double shift) noexcept
    float row_softmax_f32(float *y, const float *x, Py_ssize_t n, float max, float factor,
                          Py_ssize_t label) noexcept
    double row_softmax_f64(double *y, const double *x, Py_ssize_t n, double max, double factor,
                           Py_ssize_t label) noexcept
    void row_exponential_f32(float *out, const float *x, Py_ssize_t n) noexcept
    void row_exponential_f64(double *out, const double *x, Py_ssize_t n) noexcept
    void row_product_f32(float *out, const float *a, const float *b, Py_ssize_t n) noexcept
    void row_product_f64(double *out, const double *a, const double *b, Py_ssize_t n) noexcept
    void row_log_softmax_f32(float *y, const float *x, Py_ssize_t n, float max,
                             float log) noexcept
    void row_log_softmax_f64(double *y, const double *x, Py_ssize_t n, double max,
                             double log) noexcept
    void row_log_softmax_backward_f32(
        float *dx, const float *dy, const float *y, Py_ssize_t n, float sum) noexcept
    void row_log_softmax_backward_f64(
        double *dx, const double *dy, const double *y, Py_ssize_t n, double sum) noexcept
    void row_softmax_backward_f32(
        float *dx, const float *dy, const float *y, Py_ssize_t n, float dot) noexcept
    void row_softmax_backward_f64(
        double *dx, const double *dy, const double *y, Py_ssize_t n, double dot) noexcept


cdef inline real row_max(const real *x, Py_ssize_t n) noexcept nogil:
    """The largest element, NaNs passed over; -Inf where there is none."""
    if real is float:
        return row_max_f32(x, n)
    else:
        return row_max_f64(x, n)


cdef inline bint row_first_max(
        const real *x, Py_ssize_t n, Py_ssize_t chosen) noexcept nogil:
    """Whether x[chosen] is the first largest element; not where any is a NaN."""
    if real is float:
        return row_first_max_f32(x, n, chosen)
    else:
        return row_first_max_f64(x, n, chosen)


cdef inline real row_sum(const real *x, Py_ssize_t n) noexcept nogil:
    if real is float:
        return row_sum_f32(x, n)
    else:
        return row_sum_f64(x, n)


cdef inline real row_dot(const real *a, const real *b, Py_ssize_t n) noexcept nogil:
    if real is float:
        return row_dot_f32(a, b, n)
    else:
        return row_dot_f64(a, b, n)


cdef inline double row_distance(
        const real *t, const real *x, Py_ssize_t n, double from_) noexcept nogil:
    """sum(t (from_ - x))"""
    if real is float:
        return row_distance_f32(t, x, n, from_)
    else:
        return row_distance_f64(t, x, n, from_)


cdef inline double row_entropy(const real *t, Py_ssize_t n) noexcept nogil:
    """-sum(t log(t)), where 0 log(0) is 0"""
    if real is float:
        return row_entropy_f32(t, n)
    else:
        return row_entropy_f64(t, n)


cdef inline real row_exp(real *out, const real *x, Py_ssize_t n, real shift) noexcept nogil:
    """out = e^(x - shift) where `out` is not NULL, and their sum; shift is at least max(x)."""
    if real is float:
        return row_exp_f32(out, x, n, shift)
    else:
        return row_exp_f64(out, x, n, shift)


cdef inline real row_softmax(
        real *y, const real *x, Py_ssize_t n, real max, real factor,
        Py_ssize_t label) noexcept nogil:
    """y = factor softmax(x), less `factor` at `label` (-1: nowhere); returns sum(e^(x - max))."""
    if real is float:
        return row_softmax_f32(y, x, n, max, factor, label)
    else:
        return row_softmax_f64(y, x, n, max, factor, label)


cdef inline void row_exponential(real *out, const real *x, Py_ssize_t n) noexcept nogil:
    """out = e^x"""
    if real is float:
        row_exponential_f32(out, x, n)
    else:
        row_exponential_f64(out, x, n)


cdef inline void row_softmax_backward(
        real *dx, const real *dy, const real *y, Py_ssize_t n, real dot) noexcept nogil:
    """dx = y (dy - dot)"""
    if real is float:
        row_softmax_backward_f32(dx, dy, y, n, dot)
    else:
        row_softmax_backward_f64(dx, dy, y, n, dot)


cdef inline void row_product(
        real *out, const real *a, const real *b, Py_ssize_t n) noexcept nogil:
    """out = a b"""
    if real is float:
        row_product_f32(out, a, b, n)
    else:
        row_product_f64(out, a, b, n)


cdef inline void row_log_softmax(
        real *y, const real *x, Py_ssize_t n, real max, real log) noexcept nogil:
    """y = (x - max) - log"""
    if real is float:
        row_log_softmax_f32(y, x, n, max, log)
    else:
        row_log_softmax_f64(y, x, n, max, log)


cdef inline void row_log_softmax_backward(
        real *dx, const real *dy, const real *y, Py_ssize_t n, real sum) noexcept nogil:
    """dx = dy - e^y sum"""
    if real is float:
        row_log_softmax_backward_f32(dx, dy, y, n, sum)
    else:
        row_log_softmax_backward_f64(dx, dy, y, n, sum)
