/* Loops over gradients before the optimizer's step, and over parameters after it. */
#ifndef CYMLP_GRADIENTS_H
#define CYMLP_GRADIENTS_H

#include <stddef.h>
#include "lanes.h"

#define DEFINE_GRADIENTS(suffix, real) \
    /* g += l1 sign(p) + l2 p */ \
    LANES_INLINE void row_penalty_##suffix(real *g, const real *p, ptrdiff_t n, real l1, \
                                           real l2) { \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { \
            const real sign = p[i] > 0 ? l1 : p[i] < 0 ? -l1 : 0; \
            g[i] += sign + l2 * p[i]; \
        } \
    } \
    /* g into [-limit, limit]; a NaN passes. */ \
    LANES_INLINE void row_clip_##suffix(real *g, ptrdiff_t n, real limit) { \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) { \
            const real low = g[i] < -limit ? -limit : g[i]; \
            g[i] = low > limit ? limit : low; \
        } \
    } \
    LANES_INLINE void row_scale_##suffix(real *g, ptrdiff_t n, real factor) { \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) g[i] *= factor; \
    } \
    /* total = share g, or total + share g */ \
    LANES_INLINE void row_accumulate_##suffix(real *total, const real *g, ptrdiff_t n, \
                                              real share, int first) { \
        if (first) { \
            INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) total[i] = share * g[i]; \
        } else { \
            INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) total[i] = FMA(share, g[i], total[i]); \
        } \
    } \
    /* average += share (p - average) */ \
    LANES_INLINE void row_average_##suffix(real *average, const real *p, ptrdiff_t n, \
                                           real share) { \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) \
            average[i] = FMA(share, p[i] - average[i], average[i]); \
    } \
    /* total[i] += p[i]^2, in double */ \
    LANES_INLINE void row_squares_##suffix(double *total, const real *p, ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) total[i] += (double)p[i] * p[i]; \
    } \
    LANES_INLINE void row_times_##suffix(real *p, const double *factor, ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t i = 0; i < n; i++) p[i] *= (real)factor[i]; \
    }

DEFINE_GRADIENTS(f32, float)
DEFINE_GRADIENTS(f64, double)

#endif
