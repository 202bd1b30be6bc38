/* The tile of a matrix product: up to 6 rows by TILE_VECTORS vectors of accumulators, or up to
   TALL_ROWS rows by one vector: 6 chains alone would wait for each other.

       c[i, j] (+)= sum over p < k of a[i, p] * b[p, j]   (+ bias[j], then relu or its gradient)

   a[i, p] stands at a[i * a_row + p * a_k] (broadcast: any strides serve), row p of b at
   b + p * b_k (whole vectors), row i of c at c + i * ldc. Every output is one chain of fused
   multiply-adds over p in increasing order that starts at zero; then what c holds is added to it
   (`accumulate`), then the bias. That order is the contract that makes the bits equal on every
   instruction-set level and for every way of cutting the work. At the end, with `relu`, what is
   below zero becomes zero; with a `gate`, shaped as c, what stands where the gate is not above
   zero (relu's gradient, by its output).

   A single row has too few chains of its own to keep a processor busy: row_pair takes twice four
   vectors, which may lie in two panels.

   rows and vectors are constants in each variant and every loop over the accumulators is unrolled
   whole: otherwise the compiler keeps them in memory, at less than half the speed. */
#ifndef CYMLP_GEMM_TILE_H
#define CYMLP_GEMM_TILE_H

#include "vec.h"

#define TILE_ROWS 6
#define PAIR_VECTORS 8
#if VEC_BYTES == 64 /* elsewhere no panel is a single vector wide */
#define TALL_ROWS 12
#define TALL_VARIANTS(S) TILE_CASE(S, 7, 1) TILE_CASE(S, 8, 1) TILE_CASE(S, 9, 1) \
    TILE_CASE(S, 10, 1) TILE_CASE(S, 11, 1) TILE_CASE(S, 12, 1)
#else
#define TALL_ROWS TILE_ROWS
#define TALL_VARIANTS(S)
#endif
#define UNROLL _Pragma("GCC unroll 12")
#define TILE_INLINE static inline __attribute__((always_inline))

#define DEFINE_TILE(S, T)                                                                          \
    TILE_INLINE void tile_##S(const int rows, const int vectors, ptrdiff_t k, const T *a,          \
                              ptrdiff_t a_row, ptrdiff_t a_k, const T *b, ptrdiff_t b_k, T *c,     \
                              ptrdiff_t ldc, int accumulate, const T *bias, int relu,              \
                              const T *gate, ptrdiff_t ldg)                                        \
    {                                                                                              \
        vec_##S sum[TALL_ROWS][TILE_VECTORS];                                                      \
        UNROLL for (int i = 0; i < rows; i++)                                                      \
            UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = vec_set_##S(0);                   \
        for (ptrdiff_t p = 0; p < k; p++, a += a_k, b += b_k) {                                    \
            vec_##S right[TILE_VECTORS];                                                           \
            UNROLL for (int v = 0; v < vectors; v++)                                               \
                right[v] = vec_load_##S(b + v * VEC_LANES_##S);                                    \
            UNROLL for (int i = 0; i < rows; i++) {                                                \
                const vec_##S left = vec_set_##S(a[i * a_row]);                                    \
                UNROLL for (int v = 0; v < vectors; v++)                                           \
                    sum[i][v] = vec_fma_##S(left, right[v], sum[i][v]);                            \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int v = 0; v < vectors; v++) {                                                 \
            const ptrdiff_t column = v * VEC_LANES_##S;                                            \
            if (accumulate)                                                                        \
                UNROLL for (int i = 0; i < rows; i++)                                              \
                    sum[i][v] = vec_load_##S(c + i * ldc + column) + sum[i][v];                    \
            if (bias)                                                                              \
                UNROLL for (int i = 0; i < rows; i++)                                              \
                    sum[i][v] = sum[i][v] + vec_load_##S(bias + column);                           \
            if (relu)                                                                              \
                UNROLL for (int i = 0; i < rows; i++) sum[i][v] = vec_relu_##S(sum[i][v]);         \
            if (gate)                                                                              \
                UNROLL for (int i = 0; i < rows; i++)                                              \
                    sum[i][v] = vec_gate_##S(sum[i][v], vec_load_##S(gate + i * ldg + column));    \
            UNROLL for (int i = 0; i < rows; i++)                                                  \
                vec_store_##S(c + i * ldc + column, sum[i][v]);                                    \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    /* The variant for (rows, vectors): rows from 1 to TILE_ROWS, of a single vector TALL_ROWS. */  \
    static void gemm_tile_##S(int rows, int vectors, ptrdiff_t k, const T *a, ptrdiff_t a_row,     \
                              ptrdiff_t a_k, const T *b, ptrdiff_t b_k, T *c, ptrdiff_t ldc,       \
                              int accumulate, const T *bias, int relu, const T *gate,              \
                              ptrdiff_t ldg)                                                       \
    {                                                                                              \
        switch (rows * 8 + vectors) {                                                              \
            TILE_VARIANTS(S, 1) TILE_VARIANTS(S, 2) TILE_VARIANTS(S, 3)                            \
            TILE_VARIANTS(S, 4) TILE_VARIANTS(S, 5) TILE_VARIANTS(S, 6)                            \
            TALL_VARIANTS(S)                                                                       \
        }                                                                                          \
    }

#define DEFINE_ROW_PAIR(S, T)                                                                      \
    /* c (+)= a b + bias for one row and PAIR_VECTORS vectors; the second half's b is `other`. */  \
    static void row_pair_##S(ptrdiff_t k, const T *a, const T *b, const T *other, ptrdiff_t b_k,   \
                             T *c, int accumulate, const T *bias, int relu)                        \
    {                                                                                              \
        vec_##S sum[PAIR_VECTORS];                                                                 \
        UNROLL for (int v = 0; v < PAIR_VECTORS; v++) sum[v] = vec_set_##S(0);                     \
        for (ptrdiff_t p = 0; p < k; p++, b += b_k, other += b_k) {                                \
            const vec_##S left = vec_set_##S(a[p]);                                                \
            UNROLL for (int v = 0; v < PAIR_VECTORS; v++) {                                        \
                const T *right = v < PAIR_VECTORS / 2 ? b : other;                                 \
                const ptrdiff_t column = v % (PAIR_VECTORS / 2) * VEC_LANES_##S;                   \
                sum[v] = vec_fma_##S(left, vec_load_##S(right + column), sum[v]);                  \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int v = 0; v < PAIR_VECTORS; v++) {                                            \
            T *out = c + v * VEC_LANES_##S;                                                        \
            if (accumulate) sum[v] = vec_load_##S(out) + sum[v];                                   \
            if (bias) sum[v] = sum[v] + vec_load_##S(bias + v * VEC_LANES_##S);                    \
            vec_store_##S(out, relu ? vec_relu_##S(sum[v]) : sum[v]);                              \
        }                                                                                          \
    }

#define TILE_CASE(S, R, V)                                                                         \
    case (R) * 8 + (V):                                                                            \
        tile_##S(R, V, k, a, a_row, a_k, b, b_k, c, ldc, accumulate, bias, relu, gate, ldg);       \
        break;

#if TILE_VECTORS == 4
#define TILE_VARIANTS(S, R) TILE_CASE(S, R, 1) TILE_CASE(S, R, 2) TILE_CASE(S, R, 3) TILE_CASE(S, R, 4)
#else
#define TILE_VARIANTS(S, R) TILE_CASE(S, R, 1) TILE_CASE(S, R, 2)
#endif

DEFINE_TILE(f32, float)
DEFINE_TILE(f64, double)
DEFINE_ROW_PAIR(f32, float)
DEFINE_ROW_PAIR(f64, double)

#endif
