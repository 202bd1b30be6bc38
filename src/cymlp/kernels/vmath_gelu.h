/* The Gaussian error linear unit (Hendrycks and Gimpel 2016) and its slope, in the manner of
 * vmath.h: x Phi(x), with Phi the normal distribution's function, and the form by tanh.
 *
 * With a = |x|, Phi(-a) = G M: G = e^(-a^2/2), and M (of Mills) falls smoothly from 1/2 and is a
 * quotient of polynomials with positive coefficients. So nothing cancels below zero: the relative
 * accuracy of x Phi(x) holds down to the subnormals. Bound: 8 ULP, less than 4 where x > 0.
 *
 * The coefficients of M: minimax in the relative error, error 2^-27 up to 14.5 (2^-59 up to 39).
 */
#ifndef CYMLP_VMATH_GELU_H
#define CYMLP_VMATH_GELU_H

#include "vmath.h"

#define GELU(x) VMATH_OF(gelu, x)(x)
#define GELU_SLOPE(x) VMATH_OF(gelu_slope, x)(x)
#define GELU_TANH(x) VMATH_OF(gelu_tanh, x)(x)
#define GELU_TANH_SLOPE(x) VMATH_OF(gelu_tanh_slope, x)(x)

VMATH float mills_f32(float a) {
    float p = 0x1.0dc448p-8f;
    float q = 0x1.52193ap-7f;
    p = fma_f32(p, a, 0x1.4cde1ep-5f);
    q = fma_f32(q, a, 0x1.a136d2p-4f);
    p = fma_f32(p, a, 0x1.774408p-3f);
    q = fma_f32(q, a, 0x1.e0bcf8p-2f);
    p = fma_f32(p, a, 0x1.c0d06cp-2f);
    q = fma_f32(q, a, 0x1.33d746p+0f);
    p = fma_f32(p, a, 0.5f);
    q = fma_f32(q, a, 0x1.acaa66p+0f);
    return p / fma_f32(q, a, 1.0f);
}

VMATH double mills_f64(double a) {
    double p = 0x1.e19c10a578c43p-23;
    double q = 0x1.2dcdd81422bb4p-21;
    p = fma_f64(p, a, 0x1.d44c22d4374f9p-18);
    q = fma_f64(q, a, 0x1.25763dc446f37p-16);
    p = fma_f64(p, a, 0x1.bf1e4989cc02fp-14);
    q = fma_f64(q, a, 0x1.18c780e1b1d0ap-12);
    p = fma_f64(p, a, 0x1.109de39039b41p-10);
    q = fma_f64(q, a, 0x1.57f7940457872p-9);
    p = fma_f64(p, a, 0x1.d2e45dd19da5cp-8);
    q = fma_f64(q, a, 0x1.28f0d5327e8b6p-6);
    p = fma_f64(p, a, 0x1.243c136026c9ap-5);
    q = fma_f64(q, a, 0x1.78cbbec044204p-4);
    p = fma_f64(p, a, 0x1.0e7656250cf9fp-3);
    q = fma_f64(q, a, 0x1.64b80fe84479bp-2);
    p = fma_f64(p, a, 0x1.6df3e325f514bp-2);
    q = fma_f64(q, a, 0x1.f5db50d0a90c1p-1);
    p = fma_f64(p, a, 0x1.5bfacf4d845f6p-1);
    q = fma_f64(q, a, 0x1.0033584988124p+1);
    p = fma_f64(p, a, 0x1.a7e8eda8c7019p-1);
    q = fma_f64(q, a, 0x1.6897bf8b4926dp+1);
    p = fma_f64(p, a, 0.5);
    q = fma_f64(q, a, 0x1.3a158ba3b45a1p+1);
    return p / fma_f64(q, a, 1.0);
}

/* a^2 - square, exactly; without FMA from two halves of a, whose products are exact. */
VMATH float square_lost_f32(float a, float square) {
    float high = from_bits_f32(bits_f32(a) & UINT32_C(0xfffff000)), low = a - high;
    return VMATH_FUSED ? fma_f32(a, a, -square)
                       : (high * high - square) + 2.0f * high * low + low * low;
}

VMATH double square_lost_f64(double a, double square) {
    double high = from_bits_f64(bits_f64(a) & UINT64_C(0xfffffffff8000000)), low = a - high;
    return VMATH_FUSED ? fma_f64(a, a, -square)
                       : (high * high - square) + 2.0 * high * low + low * low;
}

/* e^(-a^2/2). What the rounding of a^2 loses is no small part of the exponent and goes into it
 * as a factor 1 - lost/2. */
VMATH float gauss_f32(float a) {
    float square = a * a;
    float lost = square_lost_f32(a, square);
    float g = exp_bounded_f32(-0.5f * square);
    return fma_f32(-0.5f * lost, g, g);
}

VMATH double gauss_f64(double a) {
    double square = a * a;
    double lost = square_lost_f64(a, square);
    double g = exp_bounded_f64(-0.5 * square);
    return fma_f64(-0.5 * lost, g, g);
}

/* max(x, 0) - a Phi(-a), or where G is 0 the maximum alone, so that no infinity meets it; a M before
 * G, which alone may be subnormal. The sign is for a result of 0: a -0 in place of the maximum would
 * do by IEEE's rules, but gcc 12 makes a +0 of it. */
VMATH float gelu_f32(float x) {
    float a = abs_f32(x), most = x < 0.0f ? 0.0f : x;
    float y = fma_f32(-gauss_f32(a), a * mills_f32(a), most);
    return __builtin_copysignf(a > 14.5f ? most : y, x);
}

VMATH double gelu_f64(double x) {
    double a = abs_f64(x), most = x < 0.0 ? 0.0 : x;
    double y = fma_f64(-gauss_f64(a), a * mills_f64(a), most);
    return __builtin_copysign(a > 39.0 ? most : y, x);
}

/* Phi(x) + x Phi'(x), where Phi'(x) = G / sqrt(2 pi): with d = G (a / sqrt(2 pi) - M), -d below
 * zero and 1 + d above. */
VMATH float gelu_slope_f32(float x) {
    float a = abs_f32(x);
    float d = gauss_f32(a) * fma_f32(0x1.988454p-2f, a, -mills_f32(a));
    d = a > 14.5f ? 0.0f : d;
    return x < 0.0f ? -d : 1.0f + d;
}

VMATH double gelu_slope_f64(double x) {
    double a = abs_f64(x);
    double d = gauss_f64(a) * fma_f64(0x1.9884533d43651p-2, a, -mills_f64(a));
    d = a > 39.0 ? 0.0 : d;
    return x < 0.0 ? -d : 1.0 + d;
}

/* ---- by tanh -------------------------------------------------------------------------------
 * x/2 (1 + tanh(v/2)) = x sigmoid(v), v = sqrt(8/pi) (x + 0.044715 x^3). The rounding of v is a
 * relative error of the result of |v| roundings below zero.
 */

VMATH float gelu_sigmoid_f32(float x) {
    return sigmoid_f32(x * fma_f32(x * x, 0x1.2444f2p-4f, 0x1.988454p+0f));
}

VMATH double gelu_sigmoid_f64(double x) {
    return sigmoid_f64(x * fma_f64(x * x, 0x1.2444f2a4d8b4bp-4, 0x1.9884533d43651p+0));
}

/* x is cut off where the sigmoid is 0 anyway, so that no infinity meets it. */
VMATH float gelu_tanh_f32(float x) { return (x < -24.0f ? -24.0f : x) * gelu_sigmoid_f32(x); }
VMATH double gelu_tanh_f64(double x) { return (x < -24.0 ? -24.0 : x) * gelu_sigmoid_f64(x); }

/* s + s (1 - s) x v', s = sigmoid(v), v' = sqrt(8/pi) (1 + 3 * 0.044715 x^2). With c = sigmoid(-|v|)
 * s (1 - s) is c (1 - c), in which nothing cancels; where that is 0, s alone. */
VMATH float gelu_tanh_slope_f32(float x) {
    float a = abs_f32(x), c = gelu_sigmoid_f32(-a), s = x < 0.0f ? c : 1.0f - c;
    float slope = x * fma_f32(x * x, 0x1.b6676cp-3f, 0x1.988454p+0f);
    return a > 24.0f ? s : fma_f32(fma_f32(-c, c, c), slope, s);
}

VMATH double gelu_tanh_slope_f64(double x) {
    double a = abs_f64(x), c = gelu_sigmoid_f64(-a), s = x < 0.0 ? c : 1.0 - c;
    double slope = x * fma_f64(x * x, 0x1.b6676bf7450fp-3, 0x1.9884533d43651p+0);
    return a > 24.0 ? s : fma_f64(fma_f64(-c, c, c), slope, s);
}

#endif
