/* Sums of the columns of a matrix: a bias' gradient. */
#ifndef CYMLP_SUMS_H
#define CYMLP_SUMS_H

#include "gemm_tile.h"

#define SUM_VECTORS 8 /* at a time, so that one addition does not wait for the other */

#define DEFINE_SUMS(S, T)                                                                          \
    TILE_INLINE void sums_##S(const int vectors, ptrdiff_t rows, const T *x, ptrdiff_t ldx,        \
                              T *out, int accumulate)                                              \
    {                                                                                              \
        vec_##S sum[SUM_VECTORS];                                                                  \
        UNROLL for (int v = 0; v < vectors; v++) sum[v] = vec_set_##S(0);                          \
        for (; rows > 0; rows--, x += ldx)                                                         \
            UNROLL for (int v = 0; v < vectors; v++)                                               \
                sum[v] = sum[v] + vec_load_##S(x + v * VEC_LANES_##S);                             \
        UNROLL for (int v = 0; v < vectors; v++) {                                                 \
            T *end = out + v * VEC_LANES_##S;                                                      \
            if (accumulate) sum[v] = vec_load_##S(end) + sum[v];                                   \
            vec_store_##S(end, sum[v]);                                                            \
        }                                                                                          \
    }                                                                                              \
    /* out (+)= the sum of some rows of x, for so many vectors of columns: one chain each, as a    \
     * product with ones has it. */                                                                \
    static void column_sums_##S(ptrdiff_t rows, ptrdiff_t vectors, const T *x, ptrdiff_t ldx,      \
                                T *out, int accumulate)                                            \
    {                                                                                              \
        for (; vectors >= SUM_VECTORS; vectors -= SUM_VECTORS) {                                   \
            sums_##S(SUM_VECTORS, rows, x, ldx, out, accumulate);                                  \
            x += SUM_VECTORS * VEC_LANES_##S;                                                      \
            out += SUM_VECTORS * VEC_LANES_##S;                                                    \
        }                                                                                          \
        switch (vectors) {                                                                         \
            SUMS_CASE(S, 1) SUMS_CASE(S, 2) SUMS_CASE(S, 3) SUMS_CASE(S, 4) SUMS_CASE(S, 5)        \
            SUMS_CASE(S, 6) SUMS_CASE(S, 7)                                                        \
        }                                                                                          \
    }

#define SUMS_CASE(S, V)                                                                            \
    case V: sums_##S(V, rows, x, ldx, out, accumulate); break;

DEFINE_SUMS(f32, float)
DEFINE_SUMS(f64, double)

#endif
