/* Scalar functions of the activations around softplus, and e^x - 1 below zero, by the rules of
 * vmath.h: every formula of one type, fused where it is written so, no branch on data.
 */
#ifndef CYMLP_VMATH_POINTWISE_H
#define CYMLP_VMATH_POINTWISE_H

#include "vmath.h"

#define EXPM1_NEGATIVE(x) VMATH_OF(expm1_negative, x)(x)
#define SOFTPLUS(x) VMATH_OF(softplus, x)(x)
#define MISH(x) VMATH_OF(mish, x)(x)
#define MISH_SLOPE(x) VMATH_OF(mish_slope, x)(x)

/* e^x - 1 for x <= 0: with x = n ln(2) + r it is 2^n (e^r - 1) + (2^n - 1), both exact but for
 * e^r - 1, from the polynomial of exp. Far below zero it rounds to -1, and n is not used. */
VMATH float expm1_negative_f32(float x) {
    float t = fma_f32(x, LOG2E_F32, ROUND_F32);
    float n = t - ROUND_F32;
    float r = fma_f32(n, -LN2_LOW_F32, fma_f32(n, -LN2_HIGH_F32, x));
    float scale = from_bits_f32((bits_f32(t) - (ROUND_BITS_F32 - 127)) << 23);
    return x < -25.0f ? -1.0f : fma_f32(expm1_reduced_f32(r), scale, scale - 1.0f);
}

VMATH double expm1_negative_f64(double x) {
    double t = fma_f64(x, LOG2E_F64, ROUND_F64);
    double n = t - ROUND_F64;
    double r = fma_f64(n, -LN2_LOW_F64, fma_f64(n, -LN2_HIGH_F64, x));
    double scale = from_bits_f64((bits_f64(t) - (ROUND_BITS_F64 - 1023)) << 52);
    return x < -45.0 ? -1.0 : fma_f64(expm1_reduced_f64(r), scale, scale - 1.0);
}

/* With e = e^-|x|, tanh(softplus(x)) is the quotient of the sums below: it is
 * ((1 + e^x)^2 - 1) / ((1 + e^x)^2 + 1), above zero multiplied through with e^-2x. Then
 * mish' = q + x (1 - q^2) sigmoid(x), and 1 - q^2 = (d - u)(d + u) / d^2 loses nothing. */
#define DEFINE_SOFTPLUS(suffix, real) \
    VMATH real softplus_##suffix(real x) { \
        return (x < 0 ? 0 : x) + log1p_unit_##suffix(exp_bounded_##suffix(-abs_##suffix(x))); \
    } \
    VMATH real mish_##suffix(real x) { \
        const real e = exp_bounded_##suffix(-abs_##suffix(x)); \
        const real u = x > 0 ? fma_##suffix(2, e, 1) : e * (e + 2); \
        const real d = u + (x > 0 ? 2 * e * e : 2); \
        return x * (u / d); \
    } \
    VMATH real mish_slope_##suffix(real x) { \
        const real e = exp_bounded_##suffix(-abs_##suffix(x)); \
        const real u = x > 0 ? fma_##suffix(2, e, 1) : e * (e + 2); \
        const real apart = x > 0 ? 2 * e * e : 2; \
        const real d = u + apart, s = (x > 0 ? 1 : e) / (1 + e); \
        return fma_##suffix(x * s, apart * (d + u) / (d * d), u / d); \
    }

DEFINE_SOFTPLUS(f32, float)
DEFINE_SOFTPLUS(f64, double)

#endif
