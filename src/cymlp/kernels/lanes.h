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
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define LANES 16
#define LANES_INLINE static inline __attribute__((always_inline, unused))

/* Not unrolled, or it would be taken apart before the vectoriser sees it. */
#if defined(__clang__)
#define EACH_OF(i, n) _Pragma("clang loop unroll(disable) vectorize(assume_safety)") \
    for (int i = 0; i < (n); i++)
#else
#define EACH_OF(i, n) _Pragma("GCC unroll 1") for (int i = 0; i < (n); i++)
#endif
#define EACH_LANE(i) EACH_OF(i, LANES)

/* The lanes lie in vectors that fill one register each. Of wider ones GCC makes element by element
 * comparisons, and copies through memory. */
#if defined(__AVX512F__)
#define REGISTER_BYTES 64
#elif defined(__AVX2__)
#define REGISTER_BYTES 32
#else
#define REGISTER_BYTES 16
#endif
#define REGISTER_LANES(real) ((ptrdiff_t)(REGISTER_BYTES / sizeof(real)))
#define REGISTERS(real) ((int)(LANES / REGISTER_LANES(real)))
#define EACH_REGISTER(r, count) _Pragma("GCC unroll 8") for (int r = 0; r < (count); r++)

#define DEFINE_VECTOR(name, real, bytes) \
    typedef real name __attribute__((vector_size(bytes))); \
    LANES_INLINE name sum_of_##name(name a, name b) { return a + b; }

/* Element by element a where it is larger, else b. */
#define DEFINE_LARGER(name) \
    LANES_INLINE name larger_of_##name(name a, name b) { \
        const __typeof__(a > b) a_wins = a > b; \
        return (name)((a_wins & (__typeof__(a > b))a) | (~a_wins & (__typeof__(a > b))b)); \
    }
/* The same by one instruction, which GCC does not see in a comparison of vectors. */
#define DEFINE_MAXIMUM(name, type, maximum) \
    LANES_INLINE name larger_of_##name(name a, name b) { \
        return (name)maximum((type)a, (type)b); \
    }

/* One value of all lanes, by a tree of halves; a half is a vector of its own, for a shuffle within
 * one is slower. */
#define DEFINE_TREE(tree, combined, suffix, real, OF_TWO) \
    LANES_INLINE real tree##_##suffix(lanes_##suffix v) { \
        const int lanes = (int)REGISTER_LANES(real); \
        eight_##suffix eight[2]; \
        four_##suffix four[2]; \
        two_##suffix two[2]; \
        for (int half = REGISTERS(real) / 2; half; half /= 2) \
            EACH_REGISTER(r, half) \
                v.part[r] = combined##_of_register_##suffix(v.part[r], v.part[r + half]); \
        if (lanes == 16) { \
            __builtin_memcpy(eight, v.part, REGISTER_BYTES); \
            eight[0] = combined##_of_eight_##suffix(eight[0], eight[1]); \
            __builtin_memcpy(four, eight, sizeof four); \
        } else { \
            __builtin_memcpy(four, v.part, lanes <= 8 ? REGISTER_BYTES : 0); \
        } \
        if (lanes >= 8) four[0] = combined##_of_four_##suffix(four[0], four[1]); \
        __builtin_memcpy(two, four, sizeof two); \
        if (lanes >= 4) two[0] = combined##_of_two_##suffix(two[0], two[1]); \
        return OF_TWO(two[0][0], two[0][1]); \
    }

#define SUM_OF_TWO(a, b) ((a) + (b))
#define LARGER_OF_TWO(a, b) ((a) > (b) ? (a) : (b))

#define DEFINE_VECTORS(suffix, real, integer) \
    static const integer lane_number_##suffix[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, \
                                                        8, 9, 10, 11, 12, 13, 14, 15}; \
    DEFINE_VECTOR(register_##suffix, real, REGISTER_BYTES) \
    DEFINE_VECTOR(eight_##suffix, real, 8 * sizeof(real)) \
    DEFINE_VECTOR(four_##suffix, real, 4 * sizeof(real)) \
    DEFINE_VECTOR(two_##suffix, real, 2 * sizeof(real)) \
    /* As it lies in an array of any alignment: a whole register at a time, where memcpy takes \
     * halves, for which the next load of the whole would have to wait. */ \
    typedef real stored_##suffix \
        __attribute__((vector_size(REGISTER_BYTES), aligned(sizeof(real)), may_alias)); \
    typedef integer numbers_##suffix __attribute__((vector_size(REGISTER_BYTES))); \
    typedef struct { \
        register_##suffix part[REGISTERS(real)]; \
    } lanes_##suffix; \
    /* v, with 0 beyond the first n lanes. In registers: a masked load of what has just been \
     * stored waits for it on some processors. */ \
    LANES_INLINE lanes_##suffix first_lanes_##suffix(lanes_##suffix v, ptrdiff_t n) { \
        EACH_REGISTER(r, REGISTERS(real)) { \
            numbers_##suffix number; \
            __builtin_memcpy(&number, lane_number_##suffix + r * REGISTER_LANES(real), \
                             sizeof number); \
            v.part[r] = (register_##suffix)((numbers_##suffix)v.part[r] & (number < (integer)n)); \
        } \
        return v; \
    }

DEFINE_VECTORS(f32, float, int32_t)
DEFINE_VECTORS(f64, double, int64_t)

/* Where the level has such an instruction for a vector of this size. A NaN in either is passed over or
 * kept by it as by the comparison, and of two zeros it takes b, too. */
#if defined(__AVX512F__)
DEFINE_MAXIMUM(register_f32, __m512, _mm512_max_ps)
DEFINE_MAXIMUM(register_f64, __m512d, _mm512_max_pd)
#elif defined(__AVX2__)
DEFINE_MAXIMUM(register_f32, __m256, _mm256_max_ps)
DEFINE_MAXIMUM(register_f64, __m256d, _mm256_max_pd)
#elif defined(__SSE2__)
DEFINE_MAXIMUM(register_f32, __m128, _mm_max_ps)
DEFINE_MAXIMUM(register_f64, __m128d, _mm_max_pd)
#else
DEFINE_LARGER(register_f32)
DEFINE_LARGER(register_f64)
#endif
#if defined(__AVX2__)
DEFINE_MAXIMUM(eight_f32, __m256, _mm256_max_ps)
DEFINE_MAXIMUM(four_f64, __m256d, _mm256_max_pd)
#else
DEFINE_LARGER(eight_f32)
DEFINE_LARGER(four_f64)
#endif
#if defined(__SSE2__)
DEFINE_MAXIMUM(four_f32, __m128, _mm_max_ps)
DEFINE_MAXIMUM(two_f64, __m128d, _mm_max_pd)
#else
DEFINE_LARGER(four_f32)
DEFINE_LARGER(two_f64)
#endif
DEFINE_LARGER(two_f32)
DEFINE_LARGER(eight_f64)

DEFINE_TREE(sum_lanes, sum, f32, float, SUM_OF_TWO)
DEFINE_TREE(sum_lanes, sum, f64, double, SUM_OF_TWO)
DEFINE_TREE(max_lanes, larger, f32, float, LARGER_OF_TWO)
DEFINE_TREE(max_lanes, larger, f64, double, LARGER_OF_TWO)

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
        EACH_REGISTER(r, REGISTERS(real)) \
            v.part[r] = *(const stored_##suffix *)(x + r * REGISTER_LANES(real)); \
        return v; \
    } \
    LANES_INLINE void to_array_##suffix(real *x, lanes_##suffix v) { \
        EACH_REGISTER(r, REGISTERS(real)) \
            *(stored_##suffix *)(x + r * REGISTER_LANES(real)) = v.part[r]; \
    } \
    /* The next n columns, at most 16, then `fill`. */ \
    LANES_INLINE lanes_##suffix load_lanes_##suffix(const real *x, ptrdiff_t n, real fill) { \
        lanes_##suffix v; \
        real lane[LANES]; \
        const int few = (int)n; \
        if (n >= LANES) return from_array_##suffix(x); \
        EACH_LANE(i) lane[i] = i < few ? x[i] : fill; \
        __builtin_memcpy(&v, lane, sizeof v); \
        return v; \
    } \
    /* In pieces of 8, 4, 2 and 1: some processors are slow at masked stores. */ \
    LANES_INLINE void store_lanes_##suffix(real *x, const real *lane, ptrdiff_t n) { \
        if (n >= LANES) { \
            to_array_##suffix(x, from_array_##suffix(lane)); \
            return; \
        } \
        STORE_PIECE(real, 8) \
        STORE_PIECE(real, 4) \
        STORE_PIECE(real, 2) \
        STORE_PIECE(real, 1) \
    } \
    LANES_INLINE lanes_##suffix add_##suffix(lanes_##suffix a, lanes_##suffix b) { \
        EACH_REGISTER(r, REGISTERS(real)) a.part[r] += b.part[r]; \
        return a; \
    } \
    LANES_INLINE lanes_##suffix larger_##suffix(lanes_##suffix a, lanes_##suffix b) { \
        EACH_REGISTER(r, REGISTERS(real)) \
            a.part[r] = larger_of_register_##suffix(a.part[r], b.part[r]); \
        return a; \
    } \
    /* The largest element; NaNs are passed over. */ \
    LANES_INLINE real row_max_##suffix(const real *x, ptrdiff_t n) { \
        const real least = -(real)__builtin_inff(); \
        lanes_##suffix max = load_lanes_##suffix(x, 0, least), other = max; \
        ptrdiff_t c = 0; \
        for (; c + 2 * LANES <= n; c += 2 * LANES) { /* two chains, for each waits for itself */ \
            max = larger_##suffix(from_array_##suffix(x + c), max); \
            other = larger_##suffix(from_array_##suffix(x + c + LANES), other); \
        } \
        for (; c < n; c += LANES) \
            max = larger_##suffix(load_lanes_##suffix(x + c, n - c, least), max); \
        return max_lanes_##suffix(larger_##suffix(other, max)); \
    } \
    /* Whether x[chosen] is the first largest element; not where any is a NaN. */ \
    LANES_INLINE int row_first_max_##suffix(const real *x, ptrdiff_t n, ptrdiff_t chosen) { \
        const real best = x[chosen], least = -(real)__builtin_inff(); \
        int rivals = 0; \
        for (ptrdiff_t c = 0; c < n; c += LANES) { \
            const int at = (int)(chosen - c); \
            real lane[LANES]; \
            to_array_##suffix(lane, load_lanes_##suffix(x + c, n - c, least)); \
            EACH_LANE(i) rivals |= !((lane[i] < best) | ((lane[i] == best) & (i >= at))); \
        } \
        return !rivals; \
    } \
    LANES_INLINE real row_sum_##suffix(const real *x, ptrdiff_t n) { \
        lanes_##suffix sum = {{{0}}}; \
        for (ptrdiff_t c = 0; c < n; c += LANES) \
            sum = add_##suffix(sum, load_lanes_##suffix(x + c, n - c, 0)); \
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
        lanes_##suffix sum = {{{0}}}; \
        real stretch[16 * LANES]; \
        for (ptrdiff_t begin = 0; begin < n; begin += 16 * LANES) { \
            const ptrdiff_t size = n - begin < 16 * LANES ? n - begin : 16 * LANES; \
            real *y = out ? out + begin : stretch; \
            const ptrdiff_t whole = size - size % LANES; \
            INDEPENDENT for (ptrdiff_t c = 0; c < whole; c++) \
                y[c] = exp_bounded_##suffix(x[begin + c] - shift); \
            if (whole < size) { /* a block like the others, not one by one */ \
                real lane[LANES]; \
                to_array_##suffix( \
                    lane, load_lanes_##suffix(x + begin + whole, size - whole, shift)); \
                EACH_LANE(i) lane[i] = exp_bounded_##suffix(lane[i] - shift); \
                store_lanes_##suffix(y + whole, lane, size - whole); \
            } \
            for (ptrdiff_t c = 0; c < size; c += LANES) \
                sum = add_##suffix(sum, load_lanes_##suffix(y + c, size - c, 0)); \
        } \
        return sum_lanes_##suffix(sum); \
    } \
    /* The same for a row of so many blocks at most, which then stays near the registers. */ \
    LANES_INLINE real short_softmax_##suffix(real *y, const real *x, ptrdiff_t n, real max, \
                                             real factor, ptrdiff_t label, const int blocks) { \
        const int last = (blocks - 1) * LANES, at = (int)label; \
        const ptrdiff_t size = REGISTER_LANES(real), used = (n + size - 1) / size * size; \
        real share, sum, lane[2 * LANES]; \
        lanes_##suffix total = {{{0}}}; \
        for (int c = 0; c <= last; c += LANES) \
            to_array_##suffix(lane + c, load_lanes_##suffix(x + c, n - c, max)); \
        /* Of -Inf in place of max the exponential would be subnormal on its way: slow. */ \
        if (blocks * REGISTERS(real) == 1) \
            EACH_LANE(i) lane[i] = exp_bounded_##suffix(lane[i] - max); \
        else    /* of a count that the compiler does not know: else it takes the loop apart */ \
            INDEPENDENT for (ptrdiff_t c = 0; c < used; c++) \
                lane[c] = exp_bounded_##suffix(lane[c] - max); \
        for (int c = 0; c < last; c += LANES) \
            total = add_##suffix(total, from_array_##suffix(lane + c)); \
        sum = sum_lanes_##suffix(add_##suffix( \
            total, first_lanes_##suffix(from_array_##suffix(lane + last), n - last))); \
        share = factor / sum; \
        if (!y) return sum; \
        for (int c = 0; c <= last; c += LANES) { \
            EACH_LANE(i) lane[c + i] = lane[c + i] * share - (c + i == at ? factor : 0); \
            store_lanes_##suffix(y + c, lane + c, n - c); \
        } \
        return sum; \
    } \
    /* y[c] = factor e^(x[c] - max) / sum, less `factor` at `label` (-1: nowhere); returns the \
     * sum. y may be x, or NULL. */ \
    LANES_INLINE real row_softmax_##suffix(real *y, const real *x, ptrdiff_t n, real max, \
                                           real factor, ptrdiff_t label) { \
        real sum, share; \
        if (n <= LANES) return short_softmax_##suffix(y, x, n, max, factor, label, 1); \
        if (n <= 2 * LANES) return short_softmax_##suffix(y, x, n, max, factor, label, 2); \
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
