/* Scalar mathematics for the kernels: branch-free functions of one float or double that the
 * compiler vectorises inside a plain loop, at any register width.
 *
 * No function here calls the C library and every multiply-add that may be fused is written as
 * FMA, with contraction off, so the bits are the same wherever the processor has FMA (x86-64-v3,
 * -v4, aarch64), with either compiler, in a vector loop and in its scalar remainder. Without FMA
 * (x86-64-v2) the bounds below hold too, but the last bit may differ.
 *
 * Bounds, against the exact value: EXP 1 ULP, SIGMOID 2, TANH 2, LOG1P_UNIT 2, log_f64 2.
 * Subnormal results and arguments are correct; NaN gives NaN; overflow gives Inf.
 *
 * Coefficients not explained otherwise: minimax polynomials from a weighted Remez exchange in
 * 60-digit arithmetic, rounded to nearest; the comment names the function fitted and the weight.
 */
#ifndef CYMLP_VMATH_H
#define CYMLP_VMATH_H

#include <stdint.h>

#define VMATH static inline __attribute__((always_inline, unused))

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__)
#define VMATH_FUSED 1
VMATH float fma_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
VMATH double fma_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
#define VMATH_FUSED 0
VMATH float fma_f32(float a, float b, float c) { return a * b + c; }
VMATH double fma_f64(double a, double b, double c) { return a * b + c; }
#endif

/* The function of the argument's own type. */
#define VMATH_OF(name, x) _Generic((x), float: name##_f32, double: name##_f64)
#define FMA(a, b, c) VMATH_OF(fma, (a) + (b) + (c))(a, b, c)
#define ABS(x) VMATH_OF(abs, x)(x)
#define EXP(x) VMATH_OF(exp, x)(x)
#define EXP_BOUNDED(x) VMATH_OF(exp_bounded, x)(x)
#define SIGMOID(x) VMATH_OF(sigmoid, x)(x)
#define TANH(x) VMATH_OF(tanh, x)(x)
#define LOG1P_UNIT(x) VMATH_OF(log1p_unit, x)(x)

VMATH float abs_f32(float x) { return __builtin_fabsf(x); }
VMATH double abs_f64(double x) { return __builtin_fabs(x); }

VMATH uint32_t bits_f32(float x) { uint32_t u; __builtin_memcpy(&u, &x, sizeof u); return u; }
VMATH uint64_t bits_f64(double x) { uint64_t u; __builtin_memcpy(&u, &x, sizeof u); return u; }
VMATH float from_bits_f32(uint32_t u) { float x; __builtin_memcpy(&x, &u, sizeof x); return x; }
VMATH double from_bits_f64(uint64_t u) { double x; __builtin_memcpy(&x, &u, sizeof x); return x; }

/* a where all bits of the mask are set, b where none is. What `?:` says GCC may take for branches,
 * and compute all that follows once for either. */
VMATH float select_f32(uint32_t mask, float a, float b) {
    return from_bits_f32((bits_f32(a) & mask) | (bits_f32(b) & ~mask));
}
VMATH double select_f64(uint64_t mask, double a, double b) {
    return from_bits_f64((bits_f64(a) & mask) | (bits_f64(b) & ~mask));
}

/* log2(e) to nearest; ln(2) cut after 15 (41) fractional bits, so that its product with any n of
 * an exponent's size is exact; what is left of ln(2), to nearest; and ln(2) to nearest. */
#define LOG2E_F32 0x1.715476p+0f
#define LN2_HIGH_F32 0x1.62e4p-1f
#define LN2_LOW_F32 0x1.7f7d1cp-20f
#define LN2_F32 0x1.62e43p-1f
#define LOG2E_F64 0x1.71547652b82fep+0
#define LN2_HIGH_F64 0x1.62e42fefa3p-1
#define LN2_LOW_F64 0x1.3de6af278ece6p-42

/* Adding 1.5 * 2^23 (2^52) rounds to an integer, which then stands in the low bits. */
#define ROUND_F32 0x1.8p+23f
#define ROUND_BITS_F32 UINT32_C(0x4b400000)
#define ROUND_F64 0x1.8p+52
#define ROUND_BITS_F64 UINT64_C(0x4338000000000000)

/* ---- exponentials --------------------------------------------------------------------------
 * x = n ln(2) + r with |r| <= ln(2)/2, and e^x = 2^n e^r.
 */

/* e^r as 1 + r + r^2 Q(r); Q fits (e^r - 1 - r)/r^2 to the least relative error of e^r, its first
 * coefficient held at 1/2. Fused, 1 + (1 + Q r) r rounds least; otherwise both its products would
 * round, and 1 + r is taken as an exact sum of two numbers instead. */
VMATH float exp_tail_f32(float r) {
    float q = 0x1.6b6e2ep-10f;
    q = fma_f32(q, r, 0x1.122f86p-7f);
    q = fma_f32(q, r, 0x1.555688p-5f);
    q = fma_f32(q, r, 0x1.5554a4p-3f);
    return fma_f32(q, r, 0.5f);
}

VMATH float exp_reduced_f32(float r) {
    float q = exp_tail_f32(r);
    float high = 1.0f + r;
    return VMATH_FUSED ? fma_f32(fma_f32(q, r, 1.0f), r, 1.0f)
                       : high + (r * r * q + (r - (high - 1.0f)));
}

VMATH double exp_tail_f64(double r) {
    double r2 = r * r;
    double even = 0x1.289f8b56b5223p-22;
    double odd = 0x1.ad2043ef68a9fp-26;
    even = fma_f64(even, r2, 0x1.a019ab2cc6413p-16);
    odd = fma_f64(odd, r2, 0x1.71df55259336bp-19);
    even = fma_f64(even, r2, 0x1.6c16c17cc34ebp-10);
    odd = fma_f64(odd, r2, 0x1.a01a011c2f5a5p-13);
    even = fma_f64(even, r2, 0x1.5555555553206p-5);
    odd = fma_f64(odd, r2, 0x1.1111111128855p-7);
    even = fma_f64(even, r2, 0.5);
    odd = fma_f64(odd, r2, 0x1.5555555555501p-3);
    return fma_f64(odd, r, even);
}

VMATH double exp_reduced_f64(double r) {
    double q = exp_tail_f64(r);
    double high = 1.0 + r;
    return VMATH_FUSED ? fma_f64(fma_f64(q, r, 1.0), r, 1.0)
                       : high + (r * r * q + (r - (high - 1.0)));
}

/* e^r - 1 */
VMATH float expm1_reduced_f32(float r) { return fma_f32(exp_tail_f32(r) * r, r, r); }
VMATH double expm1_reduced_f64(double r) { return fma_f64(exp_tail_f64(r) * r, r, r); }

/* e^x for x up to what overflows. 2^n goes on in two factors, 2^floor(n/2) and the rest, since n
 * reaches beyond the exponents of normal numbers; only the last product rounds. Where the result
 * is 0 anyway, r and n may be anything and do not count: both factors become 0. A NaN is not there,
 * and makes r NaN. (For a limit to x itself all that follows would wait, a seventh of the time.) */
VMATH float exp_bounded_f32(float x) {
    float t = fma_f32(x, LOG2E_F32, ROUND_F32);
    float n = t - ROUND_F32;
    float r = fma_f32(n, -LN2_LOW_F32, fma_f32(n, -LN2_HIGH_F32, x));
    uint32_t counts = -(uint32_t)!(x < -104.0f);
    r = from_bits_f32(bits_f32(r) & counts);
    uint32_t exponents = (bits_f32(t) - (ROUND_BITS_F32 - 2 * 127)) & counts;
    uint32_t first = exponents >> 1;
    float scale1 = from_bits_f32(first << 23);
    float scale2 = from_bits_f32((exponents - first) << 23);
    return exp_reduced_f32(r) * scale1 * scale2;
}

VMATH double exp_bounded_f64(double x) {
    double t = fma_f64(x, LOG2E_F64, ROUND_F64);
    double n = t - ROUND_F64;
    double r = fma_f64(n, -LN2_LOW_F64, fma_f64(n, -LN2_HIGH_F64, x));
    uint64_t counts = -(uint64_t)!(x < -746.0);
    r = from_bits_f64(bits_f64(r) & counts);
    uint64_t exponents = (bits_f64(t) - (ROUND_BITS_F64 - 2 * 1023)) & counts;
    uint64_t first = exponents >> 1;
    double scale1 = from_bits_f64(first << 52);
    double scale2 = from_bits_f64((exponents - first) << 52);
    return exp_reduced_f64(r) * scale1 * scale2;
}

VMATH float exp_f32(float x) {
    float y = exp_bounded_f32(x);
    return x > 89.0f ? __builtin_inff() : y;
}

VMATH double exp_f64(double x) {
    double y = exp_bounded_f64(x);
    return x > 710.0 ? __builtin_inf() : y;
}

/* 1 / (1 + e^-x). With e = e^-|x| and c = e / (1 + e), which cannot overflow, it is 1 - c above
 * zero and e (1 - c) below: the roundings of 1 + e and of the quotient then weigh less than in
 * the quotient itself, and the relative accuracy holds down to the subnormals. */
VMATH float sigmoid_f32(float x) {
    float e = exp_bounded_f32(-abs_f32(x));
    float c = e / (1.0f + e);
    float factor = x < 0.0f ? e : 1.0f;
    return fma_f32(-factor, c, factor);
}

VMATH double sigmoid_f64(double x) {
    double e = exp_bounded_f64(-abs_f64(x));
    double c = e / (1.0 + e);
    double factor = x < 0.0 ? e : 1.0;
    return fma_f64(-factor, c, factor);
}

/* With |x| = n ln(2)/2 + r, s = 2^n and h = tanh(r), tanh(|x|) = ((s - 1) + (s + 1) h) / d with
 * d = (s + 1) + (s - 1) h, by the addition theorem. From n = 2 on, next to 1/2 and above, it is
 * 1 + (2 h - 2) / d: a smaller quotient, whose roundings weigh less. For that the step from 1 to 2
 * is not in the middle: the float multiplies by 3/ln(3) in place of 2/ln(2), so that r grows with
 * n, when 1 - h counts less and less; the double subtracts a little. h = r + r^3 P(r^2); P fits
 * (tanh(r) - r)/r^3, relative to tanh(r), for |r| up to 0.203 (0.2435). The float's ln(2) to nearest
 * is so near that what is left of it would not show in r. From 10 (20) on tanh rounds to 1, and n is
 * not used. */
VMATH float tanh_f32(float x) {
    float a = abs_f32(x);
    float t = fma_f32(a, 0x1.5d8828p+1f, ROUND_F32);
    float n = t - ROUND_F32;
    float r = fma_f32(n, -0.5f * LN2_F32, a);
    uint32_t exponent = bits_f32(t) - (ROUND_BITS_F32 - 127);
    uint32_t upper = (uint32_t)((int32_t)(128 - exponent) >> 31);
    float s = from_bits_f32(exponent << 23);
    float z = r * r;
    float p = -0x1.ac3d96p-5f;
    p = fma_f32(p, z, 0x1.10fc04p-3f);
    p = fma_f32(p, z, -0x1.555544p-2f);
    float h = fma_f32(p, z * r, r);
    float more = s + 1.0f, less = s - 1.0f;
    float top = fma_f32(select_f32(upper, 2.0f, more), h, select_f32(upper, -2.0f, less));
    float limit = from_bits_f32(bits_f32(1.0f) & upper);
    float y = limit + top / fma_f32(less, h, more);
    return __builtin_copysignf(a > 10.0f ? 1.0f : y, x);
}

VMATH double tanh_f64(double x) {
    double a = abs_f64(x);
    double t = fma_f64(a - 0.07, 2.0 * LOG2E_F64, ROUND_F64);
    double n = t - ROUND_F64;
    double r = fma_f64(n, -0.5 * LN2_LOW_F64, fma_f64(n, -0.5 * LN2_HIGH_F64, a));
    uint64_t exponent = bits_f64(t) - (ROUND_BITS_F64 - 1023);
    uint64_t upper = (uint64_t)((int64_t)(1024 - exponent) >> 63);
    double s = from_bits_f64(exponent << 52);
    double z = r * r;
    double p = -0x1.5b49028baaa8ap-10;
    p = fma_f64(p, z, 0x1.d5394b6830f1dp-9);
    p = fma_f64(p, z, -0x1.2269320137e36p-7);
    p = fma_f64(p, z, 0x1.664f3738130e3p-6);
    p = fma_f64(p, z, -0x1.ba1ba19a25a65p-5);
    p = fma_f64(p, z, 0x1.11111111030bfp-3);
    p = fma_f64(p, z, -0x1.5555555555513p-2);
    double h = fma_f64(p * z, r, r);
    double more = s + 1.0, less = s - 1.0;
    double top = fma_f64(select_f64(upper, 2.0, more), h, select_f64(upper, -2.0, less));
    double limit = from_bits_f64(bits_f64(1.0) & upper);
    double y = limit + top / fma_f64(less, h, more);
    return __builtin_copysign(a > 20.0 ? 1.0 : y, x);
}

/* ---- logarithms ----------------------------------------------------------------------------
 * x = 2^k (1 + f) with f in [-1/4, 1/2), and log(x) = k ln(2) + log(1 + f).
 */

/* log(1 + f) as f - f^2/2 + f^3 P(f); P fits (log(1 + f) - f + f^2/2)/f^3, relative to
 * log(1 + f), on [-1/4, 1/2]. */
VMATH float log1p_reduced_f32(float f) {
    float p = -0x1.71407cp-5f;
    p = fma_f32(p, f, 0x1.ac907cp-4f);
    p = fma_f32(p, f, -0x1.0d8a78p-3f);
    p = fma_f32(p, f, 0x1.28847ap-3f);
    p = fma_f32(p, f, -0x1.54efdep-3f);
    p = fma_f32(p, f, 0x1.9969bp-3f);
    p = fma_f32(p, f, -0x1.00004p-2f);
    p = fma_f32(p, f, 0x1.5555a4p-2f);
    p = fma_f32(p, f, -0.5f);
    return fma_f32(f * f, p, f);
}

/* With s = f/(2 + f), log(1 + f) = log((1 + s)/(1 - s)) = 2s + s z R(z), z = s^2. R fits that,
 * relative to it, for z up to 1/25. 2s = f - s f exactly, hence f - s (f - z R); and
 * s f = f^2/2 - s f^2/2 leaves only a small term to the rounded s. */
VMATH double log1p_reduced_f64(double f) {
    double s = f / (2.0 + f);
    double z = s * s;
    double half = 0.5 * f * f;
    double p = 0x1.1b87e3c9ee553p-3;
    p = fma_f64(p, z, 0x1.0dca9e553afb3p-3);
    p = fma_f64(p, z, 0x1.3b35d0291b111p-3);
    p = fma_f64(p, z, 0x1.745c4a5c9d77ap-3);
    p = fma_f64(p, z, 0x1.c71c74920315dp-3);
    p = fma_f64(p, z, 0x1.24924921e1861p-2);
    p = fma_f64(p, z, 0x1.999999999c1adp-2);
    p = fma_f64(p, z, 0x1.555555555554fp-1);
    return f - fma_f64(-s, fma_f64(z, p, half), half);
}

/* log(1 + x) for 0 <= x <= 1, the range of e^-|z|, or NaN. (x - 1)/2 is exact above 1/2. */
VMATH float log1p_unit_f32(float x) {
    float upper = x > 0.5f ? 1.0f : 0.0f;
    float f = x > 0.5f ? 0.5f * x - 0.5f : x;
    float low = fma_f32(upper, LN2_LOW_F32, log1p_reduced_f32(f));
    return fma_f32(upper, LN2_HIGH_F32, low);
}

VMATH double log1p_unit_f64(double x) {
    double upper = x > 0.5 ? 1.0 : 0.0;
    double f = x > 0.5 ? 0.5 * x - 0.5 : x;
    double low = fma_f64(upper, LN2_LOW_F64, log1p_reduced_f64(f));
    return fma_f64(upper, LN2_HIGH_F64, low);
}

/* log(x) for x >= 1, the range of a softmax's sum, or NaN; Inf gives Inf. The exponent is taken
 * relative to 3/4 and turned into a number by setting it into the low bits of 2^52. */
VMATH double log_f64(double x) {
    uint64_t u = bits_f64(x) - UINT64_C(0x3fe8000000000000);
    double k = from_bits_f64((u >> 52) | UINT64_C(0x4330000000000000)) - 0x1p52;
    double f = from_bits_f64((u & UINT64_C(0xfffffffffffff)) + UINT64_C(0x3fe8000000000000)) - 1.0;
    double y = fma_f64(k, LN2_HIGH_F64, fma_f64(k, LN2_LOW_F64, log1p_reduced_f64(f)));
    return x - x == 0.0 ? y : x;
}

/* -log(p) for 0 < p <= 1, or NaN. 1 - p is exact from 1/2 on, so that it is accurate next to 0. */
VMATH double minus_log_f64(double p) {
    return p >= 0.5 ? log1p_unit_f64((1.0 - p) / p) : log_f64(1.0 / p);
}

#endif
