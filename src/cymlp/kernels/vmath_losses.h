/* Formulas of losses, in the manner of vmath.h; both types from one text where it is the same. */
#ifndef CYMLP_VMATH_LOSSES_H
#define CYMLP_VMATH_LOSSES_H

#include "vmath.h"

#define LOG1P_EXP(x) VMATH_OF(log1p_exp, x)(x)
#define SIGN(x) VMATH_OF(sign, x)(x)
#define CLAMP(x, most) VMATH_OF(clamp, x)(x, most)
#define HUBER(x, delta) VMATH_OF(huber, x)(x, delta)
#define LOG_COSH(x) VMATH_OF(log_cosh, x)(x)
#define POSITIVE(x) VMATH_OF(positive, x)(x)
#define AT_SIDE(z, t) ((t) > 0 ? (z) : -(z)) /* how far z is on the target's side of 0 */
#define FOCAL(x, gamma) VMATH_OF(focal, x)(x, gamma)
#define FOCAL_SLOPE(x, gamma) VMATH_OF(focal_slope, x)(x, gamma)

#define DEFINE_FORMULAS(suffix, real) \
    /* log(1 + e^x) */ \
    VMATH real log1p_exp_##suffix(real x) { \
        return (x < 0 ? 0 : x) + log1p_unit_##suffix(exp_bounded_##suffix(-abs_##suffix(x))); \
    } \
    /* -1, 0 or 1; a NaN is neither */ \
    VMATH real sign_##suffix(real x) { return x > 0 ? 1 : x < 0 ? -1 : x; } \
    VMATH real clamp_##suffix(real x, real most) { \
        return x > most ? most : x < -most ? -most : x; \
    } \
    VMATH real positive_##suffix(real x) { return x < 0 ? 0 : x; } \
    /* x^2/2 up to delta, its tangent from there on: (|x| - m/2) m with m = |x| up to delta */ \
    VMATH real huber_##suffix(real x, real delta) { \
        const real a = abs_##suffix(x), m = a > delta ? delta : a; \
        return m * (a - m / 2); \
    } \
    /* |x| + log(1 + e^-2|x|) - log(2). Near zero that would cancel: there, as cosh^2 - 1 is \
     * T/(1 - T) with T = tanh^2, half the logarithm of 1 + T/(1 - T). */ \
    VMATH real log_cosh_##suffix(real x) { \
        const real a = abs_##suffix(x), h = tanh_##suffix(a > 1 ? 1 : a), square = h * h; \
        const real near = log1p_unit_##suffix(a < 1 ? square / (1 - square) : 0) / 2; \
        const real log2 = (real)0x1.62e42fefa39efp-1; \
        const real far = a + (log1p_unit_##suffix(exp_bounded_##suffix(-2 * a)) - log2); \
        return a < (real)0.5 ? near : far; \
    } \
    /* (1 - s)^gamma times -log(s), s = sigmoid(x): both logarithms are those of log1p_exp. */ \
    VMATH real focal_##suffix(real x, real gamma) { \
        const real tail = log1p_unit_##suffix(exp_bounded_##suffix(-abs_##suffix(x))); \
        const real weight = exp_bounded_##suffix(-gamma * ((x < 0 ? 0 : x) + tail)); \
        return weight * ((x < 0 ? -x : 0) + tail); \
    } \
    VMATH real focal_slope_##suffix(real x, real gamma) { \
        const real tail = log1p_unit_##suffix(exp_bounded_##suffix(-abs_##suffix(x))); \
        const real weight = exp_bounded_##suffix(-gamma * ((x < 0 ? 0 : x) + tail)); \
        const real loss = (x < 0 ? -x : 0) + tail; \
        return -weight * fma_##suffix(gamma * sigmoid_##suffix(x), loss, sigmoid_##suffix(-x)); \
    }

DEFINE_FORMULAS(f32, float)
DEFINE_FORMULAS(f64, double)

#endif
