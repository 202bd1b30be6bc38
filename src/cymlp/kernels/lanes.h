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
#define EACH_LANE(i) for (int i = 0; i < LANES; i++)

/* Before a loop whose arrays are either the same or apart, so that no element depends on another:
 * without it the compiler tests for overlap and runs element by element in place. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define LANES_INLINE static inline __attribute__((always_inline, unused))

#define DEFINE_LANES(suffix, real) \
    /* The next n <= 16 columns, then `fill`. */ \
    LANES_INLINE void load_lanes_##suffix(real *lane, const real *x, ptrdiff_t n, real fill) { \
        if (n >= LANES) \
            EACH_LANE(i) lane[i] = x[i]; \
        else \
            EACH_LANE(i) lane[i] = i < n ? x[i] : fill; \
    } \
    LANES_INLINE void store_lanes_##suffix(real *x, const real *lane, ptrdiff_t n) { \
        if (n >= LANES) { \
            EACH_LANE(i) x[i] = lane[i]; \
        } else { \
            EACH_LANE(i) if (i < n) x[i] = lane[i]; \
        } \
    } \
    LANES_INLINE real sum_lanes_##suffix(const real *lane) { \
        real half[LANES / 2]; \
        for (int i = 0; i < 8; i++) half[i] = lane[i] + lane[i + 8]; \
        for (int i = 0; i < 4; i++) half[i] += half[i + 4]; \
        return (half[0] + half[2]) + (half[1] + half[3]); \
    } \
    LANES_INLINE real max_lanes_##suffix(const real *lane) { \
        real half[LANES / 2]; \
        for (int i = 0; i < 8; i++) half[i] = lane[i] > lane[i + 8] ? lane[i] : lane[i + 8]; \
        for (int i = 0; i < 4; i++) half[i] = half[i] > half[i + 4] ? half[i] : half[i + 4]; \
        for (int i = 0; i < 2; i++) half[i] = half[i] > half[i + 2] ? half[i] : half[i + 2]; \
        return half[0] > half[1] ? half[0] : half[1]; \
    } \
    /* The largest element; NaNs are passed over. */ \
    LANES_INLINE real row_max_##suffix(const real *x, ptrdiff_t n) { \
        real max[LANES], block[LANES]; \
        EACH_LANE(i) max[i] = -(real)__builtin_inff(); \
        for (ptrdiff_t c = 0; c < n; c += LANES) { \
            load_lanes_##suffix(block, x + c, n - c, -(real)__builtin_inff()); \
            EACH_LANE(i) max[i] = block[i] > max[i] ? block[i] : max[i]; \
        } \
        return max_lanes_##suffix(max); \
    } \
    LANES_INLINE real row_sum_##suffix(const real *x, ptrdiff_t n) { \
        real sum[LANES] = {0}, block[LANES]; \
        for (ptrdiff_t c = 0; c < n; c += LANES) { \
            load_lanes_##suffix(block, x + c, n - c, 0); \
            EACH_LANE(i) sum[i] += block[i]; \
        } \
        return sum_lanes_##suffix(sum); \
    } \
    /* sum of a[c] b[c] */ \
    LANES_INLINE real row_dot_##suffix(const real *a, const real *b, ptrdiff_t n) { \
        real sum[LANES] = {0}, block_a[LANES], block_b[LANES]; \
        for (ptrdiff_t c = 0; c < n; c += LANES) { \
            load_lanes_##suffix(block_a, a + c, n - c, 0); \
            load_lanes_##suffix(block_b, b + c, n - c, 0); \
            EACH_LANE(i) sum[i] = fma_##suffix(block_a[i], block_b[i], sum[i]); \
        } \
        return sum_lanes_##suffix(sum); \
    } \
    /* out[c] = e^(x[c] - shift), where `out` is not NULL; returns their sum. shift >= x[c]. */ \
    LANES_INLINE real row_exp_##suffix(real *out, const real *x, ptrdiff_t n, real shift) { \
        real sum[LANES] = {0}, block[LANES], stretch[16 * LANES]; \
        for (ptrdiff_t begin = 0; begin < n; begin += 16 * LANES) { \
            const ptrdiff_t size = n - begin < 16 * LANES ? n - begin : 16 * LANES; \
            real *y = out ? out + begin : stretch; \
            INDEPENDENT for (ptrdiff_t c = 0; c < size; c++) \
                y[c] = exp_bounded_##suffix(x[begin + c] - shift); \
            for (ptrdiff_t c = 0; c < size; c += LANES) { \
                load_lanes_##suffix(block, y + c, size - c, 0); \
                EACH_LANE(i) sum[i] += block[i]; \
            } \
        } \
        return sum_lanes_##suffix(sum); \
    } \
    /* out[c] = e^x[c], of any size. */ \
    LANES_INLINE void row_exponential_##suffix(real *out, const real *x, ptrdiff_t n) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) out[c] = exp_##suffix(x[c]); \
    } \
    /* dx[c] = y[c] (dy[c] - dot) */ \
    LANES_INLINE void row_softmax_backward_##suffix(real *dx, const real *dy, const real *y, \
                                                    ptrdiff_t n, real dot) { \
        INDEPENDENT for (ptrdiff_t c = 0; c < n; c++) dx[c] = y[c] * (dy[c] - dot); \
    }

DEFINE_LANES(f32, float)
DEFINE_LANES(f64, double)

#endif
