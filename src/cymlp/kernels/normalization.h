/* The loops of the normalisations: along a row, and down some columns of a batch.
 *
 * Means and variances are taken in two passes, the second over differences from the mean, so that
 * a large mean costs no accuracy. Square root and division are IEEE operations: every level gives
 * the same bits.
 */
#ifndef CYMLP_NORMALIZATION_H
#define CYMLP_NORMALIZATION_H

#include <stddef.h>
#include "lanes.h"

#define DEFINE_NORMALIZATION(suffix, real, root) \
    /* y = x's deviations from their mean (0 where not `centered`) times the returned number, \
     * 1 / sqrt(their mean square + epsilon); y may be x. */ \
    LANES_INLINE real row_normalize_##suffix(real *y, const real *x, ptrdiff_t n, int centered, \
                                             real epsilon) { \
        const real mean = centered ? row_sum_##suffix(x, n) / n : 0; \
        real factor; \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] = x[c] - mean; \
        factor = 1 / root(row_dot_##suffix(y, y, n) / n + epsilon); \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] *= factor; \
        return factor; \
    } \
    /* y = x weight + bias, either of which may be NULL; y may be x. */ \
    LANES_INLINE void row_scale_shift_##suffix(real *y, const real *x, const real *weight, \
                                               const real *bias, ptrdiff_t n) { \
        if (weight && bias) { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] = FMA(x[c], weight[c], bias[c]); \
        } else if (weight) { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] = x[c] * weight[c]; \
        } else if (bias) { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] = x[c] + bias[c]; \
        } else if (y != x) { \
            __builtin_memcpy(y, x, n * sizeof(real)); \
        } \
    } \
    /* dx = factor (g - mean(g) - y mean(g y)) with g = dy weight; y is what was normalised. */ \
    LANES_INLINE void row_normalize_backward_##suffix( \
            real *dx, const real *dy, const real *y, const real *weight, ptrdiff_t n, \
            int centered, real factor) { \
        row_scale_shift_##suffix(dx, dy, weight, 0, n); \
        const real mean = centered ? row_sum_##suffix(dx, n) / n : 0; \
        const real slope = row_dot_##suffix(dx, y, n) / n; \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) \
            dx[c] = factor * (dx[c] - mean - y[c] * slope); \
    } \
    /* total[c] += a[c] (b[c] - shift[c]) of one row, in double; a NULL: the square of the \
     * difference, shift NULL: no shift. */ \
    LANES_INLINE void row_collect_##suffix(double *total, const real *a, const real *b, \
                                           const double *shift, ptrdiff_t n) { \
        if (a) { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) total[c] += (double)a[c] * b[c]; \
        } else if (shift) { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) \
                total[c] += (b[c] - shift[c]) * (b[c] - shift[c]); \
        } else { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) total[c] += b[c]; \
        } \
    } \
    /* y = (x - mean) factor, for each column its own; y may be x. */ \
    LANES_INLINE void row_standardize_##suffix(real *y, const real *x, const real *mean, \
                                               const real *factor, ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] = (x[c] - mean[c]) * factor[c]; \
    } \
    /* dx = factor weight (dy - mean - y slope), for each column its own; dx may be dy. */ \
    LANES_INLINE void row_standardize_backward_##suffix( \
            real *dx, const real *dy, const real *y, const real *factor, const real *mean, \
            const real *slope, const real *weight, ptrdiff_t n) { \
        if (weight) { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) \
                dx[c] = factor[c] * weight[c] * (dy[c] - mean[c] - y[c] * slope[c]); \
        } else { \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) \
                dx[c] = factor[c] * (dy[c] - mean[c] - y[c] * slope[c]); \
        } \
    }

DEFINE_NORMALIZATION(f32, float, __builtin_sqrtf)
DEFINE_NORMALIZATION(f64, double, __builtin_sqrt)

#endif
