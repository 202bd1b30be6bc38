# cython: language_level=3, cdivision=True
"""Normalisation along rows (layer norm, root mean square) and down the columns of a batch.

A batch's statistics are four rows, column by column: mean; 1 / sqrt(variance + epsilon); variance
with Bessel's correction; number of rows that count. Rows of weight 0 do not count. Whoever does
some columns does all of their rows in order, so that no number of threads shows in the sums.

Sources: Ioffe and Szegedy, "Batch normalization" (ICML 2015); Ba, Kiros and Hinton, "Layer
normalization" (2016); Zhang and Sennrich, "Root mean square layer normalization" (NeurIPS 2019).
"""
from libc.string cimport memset

from cymlp.kernels.real cimport real

cdef extern from "normalization.h" nogil:
    float row_normalize_f32(float *y, const float *x, Py_ssize_t n, bint centered,
                            float epsilon) noexcept
    double row_normalize_f64(double *y, const double *x, Py_ssize_t n, bint centered,
                             double epsilon) noexcept
    void row_scale_shift_f32(float *y, const float *x, const float *weight, const float *bias,
                             Py_ssize_t n) noexcept
    void row_scale_shift_f64(double *y, const double *x, const double *weight,
                             const double *bias, Py_ssize_t n) noexcept
    void row_normalize_backward_f32(
        float *dx, const float *dy, const float *y, const float *weight, Py_ssize_t n,
        bint centered, float factor) noexcept
    void row_normalize_backward_f64(
        double *dx, const double *dy, const double *y, const double *weight, Py_ssize_t n,
        bint centered, double factor) noexcept
    void row_collect_f32(double *total, const float *a, const float *b, const double *shift,
                         Py_ssize_t n) noexcept
    void row_collect_f64(double *total, const double *a, const double *b, const double *shift,
                         Py_ssize_t n) noexcept
    void row_standardize_f32(float *y, const float *x, const float *mean, const float *factor,
                             Py_ssize_t n) noexcept
    void row_standardize_f64(double *y, const double *x, const double *mean,
                             const double *factor, Py_ssize_t n) noexcept
    void row_standardize_backward_f32(
        float *dx, const float *dy, const float *y, const float *factor, const float *mean,
        const float *slope, const float *weight, Py_ssize_t n) noexcept
    void row_standardize_backward_f64(
        double *dx, const double *dy, const double *y, const double *factor, const double *mean,
        const double *slope, const double *weight, Py_ssize_t n) noexcept

cdef extern from *:
    double square_root "__builtin_sqrt"(double) noexcept nogil

cdef enum:
    BLOCK = 64      # columns whose sums are kept near
    MEAN = 0        # the rows of the statistics
    FACTOR = 1
    VARIANCE = 2
    COUNT = 3


# ---- along a row -----------------------------------------------------------------

cdef void normalize_rows(
        real *y, Py_ssize_t ldy, real *normalized, Py_ssize_t ldn, double *factors,
        const real *x, Py_ssize_t ldx, const real *weight, const real *bias, bint centered,
        double epsilon, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """y = normalised x, times weight, plus bias (either may be NULL).

    What backward needs goes to `normalized` and, one number a row, to `factors`; where that is
    NULL, y serves, which may then be x.
    """
    cdef Py_ssize_t r
    cdef real *kept
    cdef double factor
    for r in range(rows):
        kept = y + r * ldy if normalized == NULL else normalized + r * ldn
        if real is float:
            factor = row_normalize_f32(kept, x + r * ldx, cols, centered, <float> epsilon)
            row_scale_shift_f32(y + r * ldy, kept, weight, bias, cols)
        else:
            factor = row_normalize_f64(kept, x + r * ldx, cols, centered, epsilon)
            row_scale_shift_f64(y + r * ldy, kept, weight, bias, cols)
        if factors != NULL:
            factors[r] = factor


cdef void normalize_rows_backward(
        real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
        const real *normalized, Py_ssize_t ldn, const double *factors, const real *weight,
        bint centered, Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """The gradient of the input; dx may be dy."""
    cdef Py_ssize_t r
    for r in range(rows):
        if real is float:
            row_normalize_backward_f32(dx + r * lddx, dy + r * lddy, normalized + r * ldn, weight,
                                       cols, centered, <float> factors[r])
        else:
            row_normalize_backward_f64(dx + r * lddx, dy + r * lddy, normalized + r * ldn, weight,
                                       cols, centered, factors[r])


# ---- down the columns of a batch -------------------------------------------------

cdef Py_ssize_t collect(
        double *total, const real *a, Py_ssize_t lda, const real *b, Py_ssize_t ldb,
        const double *shift, const real *sample_weight, Py_ssize_t rows,
        Py_ssize_t cols) noexcept nogil:
    """total = sums over the rows that count, of at most BLOCK columns; returns their number."""
    cdef Py_ssize_t r, count = 0
    memset(total, 0, BLOCK * sizeof(double))
    for r in range(rows):
        if sample_weight != NULL and sample_weight[r] == 0:
            continue
        count += 1
        if real is float:
            row_collect_f32(total, NULL if a == NULL else a + r * lda, b + r * ldb, shift, cols)
        else:
            row_collect_f64(total, NULL if a == NULL else a + r * lda, b + r * ldb, shift, cols)
    return count


cdef void batch_statistics(
        real *statistics, Py_ssize_t lds, const real *x, Py_ssize_t ldx,
        const real *sample_weight, double epsilon, Py_ssize_t rows, Py_ssize_t begin,
        Py_ssize_t end) noexcept nogil:
    """The statistics of a batch, of the columns from `begin` to `end`."""
    cdef double mean[BLOCK]
    cdef double square[BLOCK]
    cdef double variance
    cdef Py_ssize_t c, width, count
    while begin < end:
        width = min(end - begin, <Py_ssize_t> BLOCK)
        count = collect(mean, <const real *> NULL, 0, x + begin, ldx, NULL, sample_weight, rows,
                        width)
        for c in range(width):
            mean[c] /= max(count, 1)
        collect(square, <const real *> NULL, 0, x + begin, ldx, mean, sample_weight, rows, width)
        for c in range(width):
            variance = square[c] / max(count, 1)
            statistics[MEAN * lds + begin + c] = <real> mean[c]
            statistics[FACTOR * lds + begin + c] = <real> (1.0 / square_root(variance + epsilon))
            statistics[VARIANCE * lds + begin + c] = <real> (square[c] / max(count - 1, 1))
            statistics[COUNT * lds + begin + c] = <real> count
        begin += width


cdef void batch_load(
        real *statistics, Py_ssize_t lds, const real *mean, const real *variance, double epsilon,
        Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """Statistics from running ones."""
    cdef Py_ssize_t c
    for c in range(begin, end):
        statistics[MEAN * lds + c] = mean[c]
        statistics[FACTOR * lds + c] = <real> (1.0 / square_root(variance[c] + epsilon))


cdef void batch_normalize(
        real *y, Py_ssize_t ldy, real *normalized, Py_ssize_t ldn, const real *x, Py_ssize_t ldx,
        const real *statistics, Py_ssize_t lds, const real *weight, const real *bias,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """y = x normalised by the statistics, times weight, plus bias (either may be NULL).

    What backward needs goes to `normalized`; where that is NULL, y serves, which may then be x.
    """
    cdef Py_ssize_t r
    cdef real *kept
    for r in range(rows):
        kept = y + r * ldy if normalized == NULL else normalized + r * ldn
        if real is float:
            row_standardize_f32(kept, x + r * ldx, statistics, statistics + FACTOR * lds, cols)
            row_scale_shift_f32(y + r * ldy, kept, weight, bias, cols)
        else:
            row_standardize_f64(kept, x + r * ldx, statistics, statistics + FACTOR * lds, cols)
            row_scale_shift_f64(y + r * ldy, kept, weight, bias, cols)


cdef void batch_sums(
        real *sums, Py_ssize_t lds, const real *dy, Py_ssize_t lddy,
        const real *normalized, Py_ssize_t ldn, const real *sample_weight, Py_ssize_t rows,
        Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """Two rows: the means of dy and of dy times what was normalised, over the rows that count."""
    cdef double total[BLOCK]
    cdef Py_ssize_t c, width, count
    while begin < end:
        width = min(end - begin, <Py_ssize_t> BLOCK)
        count = collect(total, <const real *> NULL, 0, dy + begin, lddy, NULL, sample_weight,
                        rows, width)
        for c in range(width):
            sums[begin + c] = <real> (total[c] / max(count, 1))
        collect(total, normalized + begin, ldn, dy + begin, lddy, NULL, sample_weight, rows, width)
        for c in range(width):
            sums[lds + begin + c] = <real> (total[c] / max(count, 1))
        begin += width


cdef void batch_normalize_backward(
        real *dx, Py_ssize_t lddx, const real *dy, Py_ssize_t lddy,
        const real *normalized, Py_ssize_t ldn, const real *statistics, Py_ssize_t lds,
        const real *sums, Py_ssize_t ldm, const real *weight, const real *sample_weight,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """The gradient of the input, zero in rows that do not count; dx may be dy."""
    cdef Py_ssize_t r
    for r in range(rows):
        if sample_weight != NULL and sample_weight[r] == 0:
            memset(dx + r * lddx, 0, cols * sizeof(real))
        elif real is float:
            row_standardize_backward_f32(
                dx + r * lddx, dy + r * lddy, normalized + r * ldn, statistics + FACTOR * lds,
                sums, sums + ldm, weight, cols)
        else:
            row_standardize_backward_f64(
                dx + r * lddx, dy + r * lddy, normalized + r * ldn, statistics + FACTOR * lds,
                sums, sums + ldm, weight, cols)


cdef void batch_running(
        real *mean, real *variance, const real *statistics, Py_ssize_t lds, double momentum,
        Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """Move the running statistics by the share `momentum` towards the batch's, if it has rows."""
    cdef real share = <real> momentum, kept = <real> (1.0 - momentum)
    cdef Py_ssize_t c
    for c in range(begin, end):
        if statistics[COUNT * lds + c] > 0:
            mean[c] = kept * mean[c] + share * statistics[MEAN * lds + c]
            variance[c] = kept * variance[c] + share * statistics[VARIANCE * lds + c]
