/* Products of few columns: a classifier's last layer, a regression's one output, the last columns
   of widths such as 20, 50 and 100.

   A tile of one vector is bounded by its left operand, of which every element is loaded on its own
   and meets one register that is half empty. Here a register holds a column of as many rows as it
   has lanes, and meets the elements of the right operand one by one, without padding. Two blocks of
   rows go together, for few columns are few chains, which would wait for themselves. Every output is
   the same chain as in gemm_tile.h. */
#ifndef CYMLP_GEMM_FEW_H
#define CYMLP_GEMM_FEW_H

#include "gemm_tile.h"
#include "pieces.h"

#define IN_PANEL(T) ((ptrdiff_t)(PANEL_BYTES / sizeof(T)))
#define IN_PIECES(S, columns) (((columns) + PIECE_##S - 1) / PIECE_##S * PIECE_##S)

#define DEFINE_FEW(S, T)                                                                           \
    /* The sums of one or two blocks of rows, column by column; up to a whole piece zeros. */      \
    TILE_INLINE void few_##S(const int blocks, const int columns, ptrdiff_t k, const T *a,         \
                             ptrdiff_t lda, const T *b, T *sums)                                   \
    {                                                                                              \
        enum { N = VEC_LANES_##S, E = PIECE_##S };                                                 \
        vec_##S chain[2][PANEL_BYTES / sizeof(T)], left[2][E];                                     \
        UNROLL for (int block = 0; block < blocks; block++)                                        \
            UNROLL for (int j = 0; j < IN_PIECES(S, columns); j++)                                 \
                chain[block][j] = vec_set_##S(0);                                                  \
        for (ptrdiff_t p = 0; p < k; p += E) {                                                     \
            /* The last piece may begin with what has been done. */                                \
            const ptrdiff_t from = p + E <= k ? p : k - E;                                         \
            UNROLL for (int block = 0; block < blocks; block++) {                                  \
                const T *row = a + from + block * N * lda;                                         \
                columns_in_##S(left[block], row, lda, row + (N - 1) * lda);                        \
            }                                                                                      \
            UNROLL for (int i = 0; i < E; i++) {                                                   \
                if (from + i < p) continue;                                                        \
                UNROLL for (int j = 0; j < columns; j++) {                                         \
                    const vec_##S right = vec_set_##S(b[j]);                                       \
                    UNROLL for (int block = 0; block < blocks; block++)                            \
                        chain[block][j] = vec_fma_##S(left[block][i], right, chain[block][j]);     \
                }                                                                                  \
                b += IN_PANEL(T);                                                                  \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int block = 0; block < blocks; block++, sums += IN_PANEL(T) * N)               \
            UNROLL for (int j = 0; j < IN_PIECES(S, columns); j++)                                 \
                vec_store_##S(sums + j * N, chain[block][j]);                                      \
    }                                                                                              \
    /* What RESULTS makes of a tile's sums, of those of a block of rows. */                        \
    static __attribute__((noinline, unused)) void few_end_##S(                                     \
        const T *sums, ptrdiff_t columns, T *c, ptrdiff_t ldc, int accumulate, const T *bias,      \
        int relu, const T *gate, ptrdiff_t ldg)                                                    \
    {                                                                                              \
        enum { N = VEC_LANES_##S, E = PIECE_##S };                                                 \
        const vec_##S zero = vec_set_##S(0);                                                       \
        if (!accumulate) /* else the padding of c is zero already */                               \
            UNROLL for (int i = 0; i < N; i++)                                                     \
                UNROLL for (int v = 0; v < PANEL_VECTORS; v++)                                     \
                    vec_store_##S(c + i * ldc + v * N, zero);                                      \
        for (ptrdiff_t j = 0; j < columns; j += E, sums += E * N, c += E) {                        \
            vec_##S sum[E], other[E];                                                              \
            UNROLL for (int i = 0; i < E; i++) sum[i] = vec_load_##S(sums + i * N);                \
            if (accumulate) {                                                                      \
                columns_in_##S(other, c, ldc, c + (N - 1) * ldc);                                  \
                UNROLL for (int i = 0; i < E; i++) sum[i] = other[i] + sum[i];                     \
            } else if (!bias) {                                                                    \
                UNROLL for (int i = 0; i < E; i++) sum[i] = sum[i] + zero;                         \
            }                                                                                      \
            if (bias)                                                                              \
                UNROLL for (int i = 0; i < E; i++)                                                 \
                    sum[i] = sum[i] + (vec_set_##S(bias[j + i]) + zero);                           \
            if (relu)                                                                              \
                UNROLL for (int i = 0; i < E; i++) sum[i] = vec_relu_##S(sum[i]);                  \
            if (gate) {                                                                            \
                columns_in_##S(other, gate + j, ldg, gate + j + (N - 1) * ldg);                    \
                UNROLL for (int i = 0; i < E; i++) sum[i] = vec_gate_##S(sum[i], other[i]);        \
            }                                                                                      \
            columns_out_##S(c, ldc, sum);                                                          \
        }                                                                                          \
    }                                                                                              \
    /* Rows of c past some columns of one panel of b, as far as it pays: whole blocks, for as many \
     * columns as stand in FEW_VARIANTS. Returns how many. The rest of the panel becomes zero. */  \
    static ptrdiff_t gemm_few_##S(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t k, const T *a,      \
                                  ptrdiff_t lda, const T *b, T *c, ptrdiff_t ldc, int accumulate,  \
                                  const T *bias, int relu, const T *gate, ptrdiff_t ldg)           \
    {                                                                                              \
        enum { N = VEC_LANES_##S };                                                                \
        T sums[2 * PANEL_BYTES / sizeof(T) * N];                                                   \
        ptrdiff_t done = 0;                                                                        \
        while (k >= PIECE_##S && done + N <= rows) {                                               \
            const ptrdiff_t blocks = done + 2 * N <= rows ? 2 : 1;                                 \
            switch (2 * columns + blocks) {                                                        \
                FEW_VARIANTS_##S                                                                   \
                default: return 0;                                                                 \
            }                                                                                      \
            for (ptrdiff_t block = 0; block < blocks; block++, done += N) {                        \
                few_end_##S(sums + block * N * IN_PANEL(T), columns, c + done * ldc, ldc,          \
                            accumulate, bias, relu, gate ? gate + done * ldg : gate, ldg);         \
            }                                                                                      \
            a += blocks * N * lda;                                                                 \
        }                                                                                          \
        return done;                                                                               \
    }

#define FEW_CASE(S, C)                                                                             \
    case 2 * (C) + 1: few_##S(1, C, k, a, lda, b, sums); break;                                    \
    case 2 * (C) + 2: few_##S(2, C, k, a, lda, b, sums); break;

/* Measured on Zen 5; fewer registers (AVX2) hold fewer columns. Beside whole panels, whose tiles
   are wider, more than FEW_BESIDE columns take as long in a tile. */
#if VEC_BYTES == 64
#define FEW_BESIDE_f32 8
#define FEW_BESIDE_f64 4
#define FEW_VARIANTS_f32 FEW_CASE(f32, 1) FEW_CASE(f32, 2) FEW_CASE(f32, 3) FEW_CASE(f32, 4)       \
    FEW_CASE(f32, 5) FEW_CASE(f32, 6) FEW_CASE(f32, 7) FEW_CASE(f32, 8) FEW_CASE(f32, 9)           \
    FEW_CASE(f32, 10)
#define FEW_VARIANTS_f64 FEW_CASE(f64, 1) FEW_CASE(f64, 2) FEW_CASE(f64, 3) FEW_CASE(f64, 4)
#elif VEC_BYTES == 32
#define FEW_BESIDE_f32 5
#define FEW_BESIDE_f64 2
#define FEW_VARIANTS_f32 FEW_CASE(f32, 1) FEW_CASE(f32, 2) FEW_CASE(f32, 3) FEW_CASE(f32, 4)       \
    FEW_CASE(f32, 5)
#define FEW_VARIANTS_f64 FEW_CASE(f64, 1) FEW_CASE(f64, 2)
#else /* of narrower registers it was not tried */
#define FEW_BESIDE_f32 0
#define FEW_BESIDE_f64 0
#define FEW_VARIANTS_f32
#define FEW_VARIANTS_f64
#endif

DEFINE_FEW(f32, float)
DEFINE_FEW(f64, double)

#endif
