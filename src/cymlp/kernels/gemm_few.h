/* Products of few columns: a classifier's last layer, a regression's one output.

   A tile of one vector is bounded by its left operand, of which every element is loaded on its own
   and meets one register that is half empty. Here a block of rows is turned in registers, so that
   one holds what is beside each other in as many rows, and meets the elements of the right operand
   one by one: as many chains as there are columns, without padding. The sums are turned back. Every
   output is the same chain as in gemm_tile.h. */
#ifndef CYMLP_GEMM_FEW_H
#define CYMLP_GEMM_FEW_H

#include "gemm_tile.h"
#include "transpose.h"

#define FEW_TURN(S)                                                                                \
    UNROLL for (int j = 0; j < columns; j++)                                                       \
        chain[j] = vec_fma_##S(left, vec_set_##S(b[j]), chain[j]);

#define DEFINE_FEW(S, T, N)                                                                        \
    /* A block turned into memory: no variant needs a copy of its own. */                          \
    static __attribute__((noinline, unused)) void few_turned_##S(T *out, const T *a,               \
                                                                 ptrdiff_t lda)                    \
    {                                                                                              \
        transpose_##N##_##S(out, N, a, lda);                                                       \
    }                                                                                              \
    /* The sums of a block of rows, column by column: out (columns, N). */                         \
    TILE_INLINE void few_##S(const int columns, ptrdiff_t k, const T *a, ptrdiff_t lda,            \
                             const T *b, T *out)                                                   \
    {                                                                                              \
        vec_##S chain[PANEL_BYTES / sizeof(T)];                                                    \
        row_##N##_##S row[N];                                                                      \
        T rest[N * N];                                                                             \
        UNROLL for (int j = 0; j < columns; j++) chain[j] = vec_set_##S(0);                        \
        for (ptrdiff_t turns = k / N; turns > 0; turns--, a += N) {                                \
            UNROLL for (int i = 0; i < N; i++)                                                     \
                __builtin_memcpy(&row[i], a + i * lda, sizeof row[i]);                             \
            STAGES_##N(S)                                                                          \
            UNROLL for (int p = 0; p < N; p++, b += PANEL_BYTES / sizeof(T)) {                     \
                const vec_##S left = (vec_##S)row[p];                                              \
                FEW_TURN(S)                                                                        \
            }                                                                                      \
        }                                                                                          \
        if (k % N) { /* the last ones again, of which those before are done */                     \
            few_turned_##S(rest, a + k % N - N, lda);                                              \
            for (ptrdiff_t p = N - k % N; p < N; p++, b += PANEL_BYTES / sizeof(T)) {              \
                const vec_##S left = vec_load_##S(rest + p * N);                                   \
                FEW_TURN(S)                                                                        \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int j = 0; j < columns; j++) vec_store_##S(out + j * N, chain[j]);             \
    }                                                                                              \
    /* They become rows, beyond which `sums` holds zeros. */                                       \
    TILE_INLINE void few_end_##S(const T *sums, T *c, ptrdiff_t ldc, int accumulate,               \
                                 const T *bias, int relu, const T *gate, ptrdiff_t ldg)            \
    {                                                                                              \
        enum { rows = N, vectors = PANEL_VECTORS, c_panel = 0 };                                   \
        vec_##S sum[N][PANEL_VECTORS];                                                             \
        UNROLL for (int v = 0; v < vectors; v++) {                                                 \
            row_##N##_##S row[N];                                                                  \
            UNROLL for (int j = 0; j < N; j++)                                                     \
                __builtin_memcpy(&row[j], sums + (v * N + j) * N, sizeof row[j]);                  \
            STAGES_##N(S)                                                                          \
            UNROLL for (int i = 0; i < N; i++) sum[i][v] = (vec_##S)row[i];                        \
        }                                                                                          \
        RESULTS(S, T)                                                                              \
    }                                                                                              \
    /* Rows of c past some columns of one panel of b, as far as it pays: whole blocks, for as many \
     * columns as stand in FEW_VARIANTS. Returns how many. The rest of the panel becomes zero. */  \
    static ptrdiff_t gemm_few_##S(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t k, const T *a,      \
                                  ptrdiff_t lda, const T *b, T *c, ptrdiff_t ldc, int accumulate,  \
                                  const T *bias, int relu, const T *gate, ptrdiff_t ldg)           \
    {                                                                                              \
        T sums[PANEL_BYTES / sizeof(T) * N] = {0};                                                 \
        ptrdiff_t done = 0;                                                                        \
        for (; k >= N && done + N <= rows; done += N) {                                            \
            switch (columns) {                                                                     \
                FEW_VARIANTS_##S                                                                   \
                default: return 0;                                                                 \
            }                                                                                      \
            few_end_##S(sums, c, ldc, accumulate, bias, relu, gate, ldg);                          \
            a += N * lda;                                                                          \
            c += N * ldc;                                                                          \
            if (gate) gate += N * ldg;                                                             \
        }                                                                                          \
        return done;                                                                               \
    }

#define FEW_CASE(S, C)                                                                             \
    case C: few_##S(C, k, a, lda, b, sums); break;

/* Measured on Zen 5; with half as many rows in a register (AVX2) it pays for fewer columns. */
#if VEC_BYTES == 64
#define FEW_VARIANTS_f32 FEW_CASE(f32, 1) FEW_CASE(f32, 2) FEW_CASE(f32, 3) FEW_CASE(f32, 4)       \
    FEW_CASE(f32, 5) FEW_CASE(f32, 6) FEW_CASE(f32, 7) FEW_CASE(f32, 8) FEW_CASE(f32, 9)           \
    FEW_CASE(f32, 10)
#define FEW_VARIANTS_f64 FEW_CASE(f64, 1) FEW_CASE(f64, 2) FEW_CASE(f64, 3) FEW_CASE(f64, 4)
DEFINE_FEW(f32, float, 16)
DEFINE_FEW(f64, double, 8)
#elif VEC_BYTES == 32
#define FEW_VARIANTS_f32 FEW_CASE(f32, 1) FEW_CASE(f32, 2) FEW_CASE(f32, 3)
#define FEW_VARIANTS_f64
DEFINE_FEW(f32, float, 8)
DEFINE_FEW(f64, double, 4)
#else /* of narrower registers it was not tried */
#define DEFINE_NONE(S, T)                                                                          \
    static ptrdiff_t gemm_few_##S(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t k, const T *a,      \
                                  ptrdiff_t lda, const T *b, T *c, ptrdiff_t ldc, int accumulate,  \
                                  const T *bias, int relu, const T *gate, ptrdiff_t ldg)           \
    {                                                                                              \
        return 0;                                                                                  \
    }
DEFINE_NONE(f32, float)
DEFINE_NONE(f64, double)
#endif

#endif
