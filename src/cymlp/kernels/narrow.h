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

#define DEFINE_NARROW(suffix, real, N) \
    /* column (columns, N) = the transpose of row (N, width), or the other way round. */ \
    LANES_INLINE void turn_##suffix(real *column, real *row, ptrdiff_t width, ptrdiff_t columns, \
                                    int back) { \
        if (columns <= 4) { \
            for (int r = 0; r < N; r += 4) { \
                if (back) transpose_4_##suffix(row + r * width, width, column + r, N); \
                else transpose_4_##suffix(column + r, N, row + r * width, width); \
            } \
            return; \
        } \
        for (ptrdiff_t c = 0; c < columns; c += N) { \
            if (back) transpose_block_##suffix(row + c, width, column + c * N, N); \
            else transpose_block_##suffix(column + c * N, N, row + c, width); \
        } \
    } \
    /* For N rows: max and sum as row_max and row_softmax have them, and, unless y is NULL, \
     * y = factor e^(x - max) / sum. y may be x. */ \
    LANES_INLINE void narrow_softmax_##suffix(real *y, ptrdiff_t ldy, const real *x, \
                                              ptrdiff_t ldx, ptrdiff_t n, const real *factor, \
                                              real *max, real *sum) { \
        const ptrdiff_t width = n <= LANES ? LANES : NARROW_COLUMNS; \
        real row[N * NARROW_COLUMNS], column[NARROW_COLUMNS * N], tree[LANES * N], share[N]; \
        for (ptrdiff_t r = 0; r < N; r++) \
            for (ptrdiff_t c = 0; c < width; c += LANES) \
                to_array_##suffix(row + r * width + c, load_lanes_##suffix(x + r * ldx + c, \
                                                                           n - c, 0)); \
        turn_##suffix(column, row, width, n, 0); \
        EACH_OF(i, N) max[i] = -(real)__builtin_inff(); \
        for (ptrdiff_t c = 0; c < n; c++) \
            EACH_OF(i, N) max[i] = column[c * N + i] > max[i] ? column[c * N + i] : max[i]; \
        for (ptrdiff_t c = 0; c < n; c++) \
            EACH_OF(i, N) column[c * N + i] -= max[i]; \
        INDEPENDENT for (ptrdiff_t i = 0; i < n * N; i++) \
            column[i] = exp_bounded_##suffix(column[i]); \
        for (ptrdiff_t c = n; c < width; c++) \
            EACH_OF(i, N) column[c * N + i] = 0; \
        if (width == LANES) { \
            EACH_OF(i, 8 * N) tree[i] = column[i] + column[8 * N + i]; \
        } else { /* columns of one lane first */ \
            EACH_OF(i, LANES * N) tree[i] = column[i] + column[LANES * N + i]; \
            EACH_OF(i, 8 * N) tree[i] += tree[8 * N + i]; \
        } \
        EACH_OF(i, 4 * N) tree[i] += tree[4 * N + i]; \
        EACH_OF(i, 2 * N) tree[i] += tree[2 * N + i]; \
        EACH_OF(i, N) sum[i] = tree[i] + tree[N + i]; \
        if (!y) return; \
        EACH_OF(i, N) share[i] = factor[i] / sum[i]; \
        for (ptrdiff_t c = 0; c < n; c++) \
            EACH_OF(i, N) column[c * N + i] *= share[i]; \
        turn_##suffix(column, row, width, n, 1); \
        for (ptrdiff_t r = 0; r < N; r++) \
            for (ptrdiff_t c = 0; c < width; c += LANES) \
                store_lanes_##suffix(y + r * ldy + c, row + r * width + c, n - c); \
    } \
    /* loss = weight (log(sum) + (max - chosen)), for N rows */ \
    LANES_INLINE void narrow_losses_##suffix(double *loss, const real *sum, const real *max, \
                                             const real *chosen, const double *weight) { \
        EACH_OF(i, N) \
            loss[i] = weight[i] \
                      * (log_f64((double)sum[i]) + ((double)max[i] - (double)chosen[i])); \
    }

DEFINE_NARROW(f32, float, NARROW_F32)
DEFINE_NARROW(f64, double, NARROW_F64)

#endif
