/* Softmax of many short rows, of at most 32 columns: a block of rows is turned, so that a register
 * holds one column of all of them, and nothing is compared or added within a register.
 *
 * The columns are added by the tree of lanes.h, so the bits are those of row_softmax there.
 */
#ifndef CYMLP_NARROW_H
#define CYMLP_NARROW_H

#include "lanes.h"
#include "pieces.h"

#define NARROW_COLUMNS (2 * LANES) /* of a row, at most */

/* The rows of a block. */
#define NARROW_F32 VEC_LANES_f32
#define NARROW_F64 VEC_LANES_f64

#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

/* Where the piece of column c begins: the last one with columns that have been done, if it is not
 * whole. */
#define PIECE_FROM(c, n, E) ((n) - (c) < (E) && (n) > (E) ? (n) - (E) : (c))

#define DEFINE_NARROW(suffix, real, N) \
    /* Rows of less than a piece. Where one ends before the next row begins, it is read whole; only \
     * the last one might end beyond the array. */ \
    LANES_INLINE void narrow_in_##suffix(vec_##suffix *part, const real *x, ptrdiff_t ldx, \
                                         ptrdiff_t n) { \
        enum { E = PIECE_##suffix }; \
        const ptrdiff_t whole = ldx >= E ? N - 1 : 0; \
        real copy[N * E]; \
        for (ptrdiff_t i = whole; i < N; i++) \
            EACH_OF(j, E) copy[i * E + j] = j < n ? x[i * ldx + j] : 0; \
        columns_in_##suffix(part, whole ? x : copy, whole ? ldx : E, copy + (N - 1) * E); \
    } \
    LANES_INLINE void narrow_out_##suffix(real *y, ptrdiff_t ldy, vec_##suffix *part, \
                                          ptrdiff_t n) { \
        enum { E = PIECE_##suffix }; \
        real copy[N * E]; \
        columns_out_##suffix(copy, E, part); \
        for (int i = 0; i < N; i++) store_lanes_##suffix(y + i * ldy, copy + i * E, n); \
    } \
    /* column (n, N) = the transpose of x (N, n), up to a whole piece. */ \
    LANES_INLINE void turn_in_##suffix(register_##suffix *column, const real *x, ptrdiff_t ldx, \
                                       ptrdiff_t n) { \
        enum { E = PIECE_##suffix }; \
        for (ptrdiff_t c = 0; c < n; c += E) { \
            const ptrdiff_t from = PIECE_FROM(c, n, E); \
            vec_##suffix part[E]; \
            if (n < E) narrow_in_##suffix(part, x, ldx, n); \
            else columns_in_##suffix(part, x + from, ldx, x + from + (N - 1) * ldx); \
            EACH(i, E) column[from + i] = (register_##suffix)part[i]; \
        } \
    } \
    /* y (N, n) = the transpose of column (n, N). */ \
    LANES_INLINE void turn_out_##suffix(real *y, ptrdiff_t ldy, const register_##suffix *column, \
                                        ptrdiff_t n) { \
        enum { E = PIECE_##suffix }; \
        for (ptrdiff_t c = 0; c < n; c += E) { \
            const ptrdiff_t from = PIECE_FROM(c, n, E); \
            vec_##suffix part[E]; \
            EACH(i, E) part[i] = (vec_##suffix)column[from + i]; \
            if (n < E) narrow_out_##suffix(y, ldy, part, n); \
            else columns_out_##suffix(y + from, ldy, part); \
        } \
    } \
    /* For N rows: max and sum as row_max and row_softmax have them, and, unless y is NULL, \
     * y = factor e^(x - max) / sum. y may be x. */ \
    LANES_INLINE void narrow_softmax_##suffix(real *y, ptrdiff_t ldy, const real *x, \
                                              ptrdiff_t ldx, ptrdiff_t n, const real *factor, \
                                              real *max, real *sum) { \
        const register_##suffix zero = {0}; \
        register_##suffix column[NARROW_COLUMNS], tree[LANES], most, other, share; \
        real *flat = (real *)column; \
        turn_in_##suffix(column, x, ldx, n); \
        most = other = zero - (real)__builtin_inff(); \
        for (ptrdiff_t c = 0; c < n; c += 2) { /* two chains, for each waits for itself */ \
            most = larger_of_register_##suffix(column[c], most); \
            if (c + 1 < n) other = larger_of_register_##suffix(column[c + 1], other); \
        } \
        most = larger_of_register_##suffix(other, most); \
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

DEFINE_NARROW(f32, float, NARROW_F32)
DEFINE_NARROW(f64, double, NARROW_F64)

#endif
