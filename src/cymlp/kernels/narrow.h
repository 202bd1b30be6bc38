/* Softmax of many short rows, of at most 32 columns: a block of rows is turned, so that a register
 * holds one column of all of them, and nothing is compared or added within a register.
 *
 * The columns are added by the tree of lanes.h, so the bits are those of row_softmax there.
 */
#ifndef CYMLP_NARROW_H
#define CYMLP_NARROW_H

#include "lanes.h"
#include "transpose.h"

#define NARROW_COLUMNS (2 * LANES) /* of a row, at most */

/* The rows of a block. */
#define NARROW_F32 BLOCK_F32
#define NARROW_F64 BLOCK_F64

#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

#define DEFINE_NARROW(suffix, real, N) \
    DEFINE_VECTOR(column_##suffix, real, N * sizeof(real)) /* of N rows */ \
    /* column (n, N) = the transpose of x (N, n). Where a block of a row ends before the next row \
     * begins, it is read whole; only the last one might end beyond the array. */ \
    LANES_INLINE void turn_in_##suffix(column_##suffix *column, const real *x, ptrdiff_t ldx, \
                                       ptrdiff_t n) { \
        for (ptrdiff_t c = 0; c < n; c += N, column += N, x += N) { \
            const ptrdiff_t left = n - c, whole = left >= N ? N : ldx >= c + N ? N - 1 : 0; \
            row_##N##_##suffix row[N]; \
            EACH(i, N) { \
                const real *from = x + i * ldx; \
                real lane[N]; \
                if (i >= whole) EACH_OF(j, N) lane[j] = j < left ? from[j] : 0; \
                __builtin_memcpy(&row[i], i < whole ? from : lane, sizeof row[i]); \
            } \
            STAGES_##N(suffix) \
            EACH(i, N) column[i] = (column_##suffix)row[i]; \
        } \
    } \
    /* y (N, n) = the transpose of column (n, N). */ \
    LANES_INLINE void turn_out_##suffix(real *y, ptrdiff_t ldy, const column_##suffix *column, \
                                        ptrdiff_t n) { \
        for (ptrdiff_t c = 0; c < n; c += N, column += N, y += N) { \
            row_##N##_##suffix row[N]; \
            real lane[N][N]; \
            EACH(i, N) row[i] = (row_##N##_##suffix)column[i]; \
            STAGES_##N(suffix) \
            if (n - c >= N) { \
                EACH(i, N) __builtin_memcpy(y + i * ldy, &row[i], sizeof row[i]); \
            } else { \
                EACH(i, N) __builtin_memcpy(lane[i], &row[i], sizeof row[i]); \
                for (int i = 0; i < N; i++) \
                    store_lanes_##suffix(y + i * ldy, lane[i], n - c); \
            } \
        } \
    } \
    /* For N rows: max and sum as row_max and row_softmax have them, and, unless y is NULL, \
     * y = factor e^(x - max) / sum. y may be x. */ \
    LANES_INLINE void narrow_softmax_##suffix(real *y, ptrdiff_t ldy, const real *x, \
                                              ptrdiff_t ldx, ptrdiff_t n, const real *factor, \
                                              real *max, real *sum) { \
        const column_##suffix zero = {0}; \
        column_##suffix column[NARROW_COLUMNS], tree[LANES], most, other, share; \
        real *flat = (real *)column; \
        turn_in_##suffix(column, x, ldx, n); \
        most = other = zero - (real)__builtin_inff(); \
        for (ptrdiff_t c = 0; c < n; c += 2) { /* two chains, for each waits for itself */ \
            most = larger_of_column_##suffix(column[c], most); \
            if (c + 1 < n) other = larger_of_column_##suffix(column[c + 1], other); \
        } \
        most = larger_of_column_##suffix(other, most); \
        for (ptrdiff_t c = 0; c < n; c++) column[c] -= most; \
        INDEPENDENT for (ptrdiff_t i = 0; i < n * N; i++) flat[i] = exp_bounded_##suffix(flat[i]); \
        EACH(i, LANES) tree[i] = i < n ? column[i] : zero; \
        for (ptrdiff_t c = LANES; c < n; c++) tree[c - LANES] += column[c]; \
        _Pragma("GCC unroll 4") for (int half = LANES / 2; half; half /= 2) \
            EACH(i, half) tree[i] += tree[half + i]; \
        __builtin_memcpy(max, &most, sizeof most); \
        __builtin_memcpy(sum, &tree[0], sizeof most); \
        if (!y) return; \
        __builtin_memcpy(&share, factor, sizeof share); \
        share /= tree[0]; \
        for (ptrdiff_t c = 0; c < n; c++) column[c] *= share; \
        turn_out_##suffix(y, ldy, column, n); \
    } \
    /* loss = weight (log(sum) + (max - chosen)), for N rows */ \
    LANES_INLINE void narrow_losses_##suffix(double *loss, const real *sum, const real *max, \
                                             const real *chosen, const double *weight) { \
        EACH_OF(i, N) \
            loss[i] = weight[i] \
                      * (log_f64((double)sum[i]) + ((double)max[i] - (double)chosen[i])); \
    }

#define DEFINE_NARROW_OF(suffix, real, N) DEFINE_NARROW(suffix, real, N) /* with N expanded */

DEFINE_NARROW_OF(f32, float, NARROW_F32)
DEFINE_NARROW_OF(f64, double, NARROW_F64)

#endif
