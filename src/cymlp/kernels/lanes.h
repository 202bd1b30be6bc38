/* One row of a matrix in blocks of 16 columns: what lets the compiler vectorise the loops, and
 * sums in one fixed order.
 *
 * A row's sum is kept in 16 lanes, column c in lane c % 16, and the lanes are added as a tree of
 * halves (i with i + 8, then 4, 2, 1). No register width and no compiler changes that order.
 * The last block of a row is filled up with a neutral element, so its columns take the same way.
 */
#ifndef CYMLP_LANES_H
#define CYMLP_LANES_H

#include <stddef.h>
#include "vmath.h"

#define LANES 16
typedef float lanes_f32 __attribute__((vector_size(4 * LANES)));
typedef double lanes_f64 __attribute__((vector_size(8 * LANES)));

/* Not unrolled, or it would be taken apart before the vectoriser sees it. */
#if defined(__clang__)
#define EACH_LANE(i) _Pragma("clang loop unroll(disable) vectorize(assume_safety)") \
    for (int i = 0; i < LANES; i++)
#else
#define EACH_LANE(i) _Pragma("GCC unroll 1") for (int i = 0; i < LANES; i++)
#endif

#define LANES_INLINE static inline __attribute__((always_inline, unused))

/* A vector that fills one register. GCC compares wider ones element by element. */
#if defined(__AVX512F__)
#define REGISTER_BYTES 64
#elif defined(__AVX2__)
#define REGISTER_BYTES 32
#else
#define REGISTER_BYTES 16
#endif

/* Element by element a where it is larger, else b. */
#define LARGER(a, b) \
    const __typeof__(a > b) a_wins = a > b; \
    return (__typeof__(a))((a_wins & (__typeof__(a > b))a) | (~a_wins & (__typeof__(a > b))b));

/* Vectors of a half, a quarter, ... of the lanes. A tree that takes halves as vectors of their own
 * stays in registers, where shuffles of one wider than a register do not. */
#define DEFINE_HALVES(suffix, real) \
    typedef real register_##suffix __attribute__((vector_size(REGISTER_BYTES))); \
    LANES_INLINE register_##suffix larger_register_##suffix(register_##suffix a, \
                                                            register_##suffix b) { \
        LARGER(a, b) \
    } \
    typedef real eight_##suffix __attribute__((vector_size(8 * sizeof(real)))); \
    typedef real four_##suffix __attribute__((vector_size(4 * sizeof(real)))); \
    typedef real two_##suffix __attribute__((vector_size(2 * sizeof(real)))); \
    LANES_INLINE eight_##suffix larger_eight_##suffix(eight_##suffix a, eight_##suffix b) { \
        LARGER(a, b) \
    } \
    LANES_INLINE four_##suffix larger_four_##suffix(four_##suffix a, four_##suffix b) { \
        LARGER(a, b) \
    } \
    LANES_INLINE two_##suffix larger_two_##suffix(two_##suffix a, two_##suffix b) { \
        LARGER(a, b) \
    }

DEFINE_HALVES(f32, float)
DEFINE_HALVES(f64, double)

/* Before a loop whose arrays are either the same or apart, so that no element depends on another:
 * without it the compiler tests for overlap and runs element by element in place. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define STORE_PIECE(real, size) \
    if (n & size) { \
        __builtin_memcpy(x, lane, size * sizeof(real)); \
        x += size; \
        lane += size; \
    }

#define DEFINE_LANES(suffix, real) \
    LANES_INLINE lanes_##suffix from_array_##suffix(const real *x) { \
        lanes_##suffix v; \
        __builtin_memcpy(&v, x, sizeof v); \
        return v; \
    } \
    /* The next n columns, at most 16, then `fill`. */ \
    LANES_INLINE lanes_##suffix load_lanes_##suffix(const real *x, ptrdiff_t n, real fill) { \
        real lane[LANES]; \
        const int few = (int)n; \
        if (n >= LANES) return from_array_##suffix(x); \
        EACH_LANE(i) lane[i] = i < few ? x[i] : fill; \
        return from_array_##suffix(lane); \
    } \
    /* In pieces of 8, 4, 2 and 1: some processors are slow at masked stores. */ \
    LANES_INLINE void store_lanes_##suffix(real *x, const real *lane, ptrdiff_t n) { \
        if (n >= LANES) { \
            __builtin_memcpy(x, lane, LANES * sizeof(real)); \
            return; \
        } \
        STORE_PIECE(real, 8) \
        STORE_PIECE(real, 4) \
        STORE_PIECE(real, 2) \
        STORE_PIECE(real, 1) \
    } \
    LANES_INLINE real sum_lanes_##suffix(lanes_##suffix v) { \
        eight_##suffix a[2]; \
        four_##suffix b[2]; \
        two_##suffix c[2]; \
        __builtin_memcpy(a, &v, sizeof a); \
        a[0] += a[1]; \
        __builtin_memcpy(b, a, sizeof b); \
        b[0] += b[1]; \
        __builtin_memcpy(c, b, sizeof c); \
        c[0] += c[1]; \
        return c[0][0] + c[0][1]; \
    } \
    LANES_INLINE lanes_##suffix larger_##suffix(lanes_##suffix a, lanes_##suffix b) { \
        register_##suffix x[sizeof a / REGISTER_BYTES], y[sizeof a / REGISTER_BYTES]; \
        __builtin_memcpy(x, &a, sizeof a); \
        __builtin_memcpy(y, &b, sizeof b); \
        for (unsigned i = 0; i < sizeof a / REGISTER_BYTES; i++) \
            x[i] = larger_register_##suffix(x[i], y[i]); \
        __builtin_memcpy(&a, x, sizeof a); \
        return a; \
    } \
    LANES_INLINE real max_lanes_##suffix(lanes_##suffix v) { \
        eight_##suffix a[2]; \
        four_##suffix b[2]; \
        two_##suffix c[2]; \
        __builtin_memcpy(a, &v, sizeof a); \
        a[0] = larger_eight_##suffix(a[0], a[1]); \
        __builtin_memcpy(b, a, sizeof b); \
        b[0] = larger_four_##suffix(b[0], b[1]); \
        __builtin_memcpy(c, b, sizeof c); \
        c[0] = larger_two_##suffix(c[0], c[1]); \
        return c[0][0] > c[0][1] ? c[0][0] : c[0][1]; \
    } \
    /* The largest element; NaNs are passed over. */ \
    LANES_INLINE real row_max_##suffix(const real *x, ptrdiff_t n) { \
        const real least = -(real)__builtin_inff(); \
        lanes_##suffix max = load_lanes_##suffix(x, 0, least); \
        for (ptrdiff_t c = 0; c < n; c += LANES) \
            max = larger_##suffix(load_lanes_##suffix(x + c, n - c, least), max); \
        return max_lanes_##suffix(max); \
    } \
    LANES_INLINE real row_sum_##suffix(const real *x, ptrdiff_t n) { \
        lanes_##suffix sum = {0}; \
        for (ptrdiff_t c = 0; c < n; c += LANES) sum += load_lanes_##suffix(x + c, n - c, 0); \
        return sum_lanes_##suffix(sum); \
    } \
    /* sum of a[c] b[c] */ \
    LANES_INLINE real row_dot_##suffix(const real *a, const real *b, ptrdiff_t n) { \
        real sum[LANES] = {0}; \
        const ptrdiff_t whole = n - n % LANES; \
        for (ptrdiff_t c = 0; c < whole; c += LANES) \
            EACH_LANE(i) sum[i] = fma_##suffix(a[c + i], b[c + i], sum[i]); \
        for (ptrdiff_t c = whole; c < n; c++) \
            sum[c - whole] = fma_##suffix(a[c], b[c], sum[c - whole]); \
        return sum_lanes_##suffix(from_array_##suffix(sum)); \
    } \
    /* sum of t[c] (from - x[c]), in double */ \
    LANES_INLINE double row_distance_##suffix(const real *t, const real *x, ptrdiff_t n, \
                                              double from) { \
        double sum[LANES] = {0}; \
        const ptrdiff_t whole = n - n % LANES; \
        for (ptrdiff_t c = 0; c < whole; c += LANES) \
            EACH_LANE(i) sum[i] += t[c + i] * (from - x[c + i]); \
        for (ptrdiff_t c = whole; c < n; c++) sum[c - whole] += t[c] * (from - x[c]); \
        return sum_lanes_f64(from_array_f64(sum)); \
    } \
    /* -sum of t[c] log(t[c]), in double; 0 where t[c] is 0. log_f64 takes what is not below 1, so \
     * it is asked for 1/t, which is finite for all that counts. */ \
    LANES_INLINE double row_entropy_##suffix(const real *t, ptrdiff_t n) { \
        double sum[LANES] = {0}; \
        for (ptrdiff_t c = 0; c < n; c++) { \
            const double x = t[c]; \
            sum[c % LANES] += x < 1e-300 ? 0 : x < 1 ? x * log_f64(1 / x) : -x * log_f64(x); \
        } \
        return sum_lanes_f64(from_array_f64(sum)); \
    } \
    /* out[c] = e^(x[c] - shift), where `out` is not NULL; returns their sum. shift >= x[c]. */ \
    LANES_INLINE real row_exp_##suffix(real *out, const real *x, ptrdiff_t n, real shift) { \
        lanes_##suffix sum = {0}; \
        real stretch[16 * LANES]; \
        for (ptrdiff_t begin = 0; begin < n; begin += 16 * LANES) { \
            const ptrdiff_t size = n - begin < 16 * LANES ? n - begin : 16 * LANES; \
            real *y = out ? out + begin : stretch; \
            const ptrdiff_t whole = size - size % LANES; \
            INDEPENDENT for (ptrdiff_t c = 0; c < whole; c++) \
                y[c] = exp_bounded_##suffix(x[begin + c] - shift); \
            if (whole < size) { /* a block like the others, not one by one */ \
                const lanes_##suffix v = load_lanes_##suffix(x + begin + whole, size - whole, shift); \
                real lane[LANES]; \
                __builtin_memcpy(lane, &v, sizeof v); \
                EACH_LANE(i) lane[i] = exp_bounded_##suffix(lane[i] - shift); \
                store_lanes_##suffix(y + whole, lane, size - whole); \
            } \
            for (ptrdiff_t c = 0; c < size; c += LANES) \
                sum += load_lanes_##suffix(y + c, size - c, 0); \
        } \
        return sum_lanes_##suffix(sum); \
    } \
    /* y[c] = factor e^(x[c] - max) / sum, less `factor` at `label` (-1: nowhere); returns the \
     * sum. A row of one block stays in registers. y may be x, or NULL. */ \
    LANES_INLINE real row_softmax_##suffix(real *y, const real *x, ptrdiff_t n, real max, \
                                           real factor, ptrdiff_t label) { \
        real sum, share, lane[LANES]; \
        if (n <= LANES) { \
            const lanes_##suffix v = load_lanes_##suffix(x, n, max); \
            const int at = (int)label, few = (int)n; \
            __builtin_memcpy(lane, &v, sizeof v); \
            /* Of -Inf in place of max the exponential would be subnormal on its way: slow. */ \
            EACH_LANE(i) lane[i] = exp_bounded_##suffix(lane[i] - max); \
            EACH_LANE(i) lane[i] = i < few ? lane[i] : 0; \
            sum = sum_lanes_##suffix(from_array_##suffix(lane)); \
            share = factor / sum; \
            EACH_LANE(i) lane[i] = lane[i] * share - (i == at ? factor : 0); \
            if (y) store_lanes_##suffix(y, lane, n); \
            return sum; \
        } \
        sum = row_exp_##suffix(y, x, n, max); \
        if (y) { \
            share = factor / sum; \
            INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] *= share; \
            if (label >= 0) y[label] -= factor; \
        } \
        return sum; \
    } \
    /* out[c] = e^x[c], of any size. */ \
    LANES_INLINE void row_exponential_##suffix(real *out, const real *x, ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) out[c] = exp_##suffix(x[c]); \
    } \
    /* out[c] = a[c] b[c]; out may be either. */ \
    LANES_INLINE void row_product_##suffix(real *out, const real *a, const real *b, \
                                           ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) out[c] = a[c] * b[c]; \
    } \
    /* y[c] = (x[c] - max) - log */ \
    LANES_INLINE void row_log_softmax_##suffix(real *y, const real *x, ptrdiff_t n, real max, \
                                               real log) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) y[c] = (x[c] - max) - log; \
    } \
    /* dx[c] = dy[c] - e^y[c] sum, with y <= 0 */ \
    LANES_INLINE void row_log_softmax_backward_##suffix(real *dx, const real *dy, const real *y, \
                                                        ptrdiff_t n, real sum) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) \
            dx[c] = fma_##suffix(-exp_bounded_##suffix(y[c]), sum, dy[c]); \
    } \
    /* dx[c] = y[c] (dy[c] - dot) */ \
    LANES_INLINE void row_softmax_backward_##suffix(real *dx, const real *dy, const real *y, \
                                                    ptrdiff_t n, real dot) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) dx[c] = y[c] * (dy[c] - dot); \
    }

/* In this order: some sums of floats are doubles. */
DEFINE_LANES(f64, double)
DEFINE_LANES(f32, float)

#endif
