/* A square block of elements, transposed in registers: out[j][i] = in[i][j].

   Stage d (1, 2, 4, ...) takes the rows i and i + d, in whose numbers bit d alone differs, and
   exchanges among them what stands in columns with the other value of that bit. */
#ifndef CYMLP_TRANSPOSE_H
#define CYMLP_TRANSPOSE_H

#include <stddef.h>
#include "vec.h"

#if defined(__clang__)
#define SHUFFLE(S, N, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else /* GCC has the other one only since version 12 */
#define SHUFFLE(S, N, a, b, ...) __builtin_shuffle(a, b, (index_##N##_##S){__VA_ARGS__})
#endif

#define STAGE(S, N, D, LOW, HIGH)                                                                  \
    _Pragma("GCC unroll 16") for (int i = 0; i < N; i++)                                           \
    {                                                                                              \
        if (i & D) continue;                                                                       \
        const row_##N##_##S low = SHUFFLE(S, N, row[i], row[i + D], LOW);                          \
        row[i + D] = SHUFFLE(S, N, row[i], row[i + D], HIGH);                                      \
        row[i] = low;                                                                              \
    }

#define LIST(...) __VA_ARGS__
#define STAGES_4(S)                                                                                \
    STAGE(S, 4, 1, LIST(0, 4, 2, 6), LIST(1, 5, 3, 7))                                             \
    STAGE(S, 4, 2, LIST(0, 1, 4, 5), LIST(2, 3, 6, 7))
#define STAGES_8(S)                                                                                \
    STAGE(S, 8, 1, LIST(0, 8, 2, 10, 4, 12, 6, 14), LIST(1, 9, 3, 11, 5, 13, 7, 15))               \
    STAGE(S, 8, 2, LIST(0, 1, 8, 9, 4, 5, 12, 13), LIST(2, 3, 10, 11, 6, 7, 14, 15))               \
    STAGE(S, 8, 4, LIST(0, 1, 2, 3, 8, 9, 10, 11), LIST(4, 5, 6, 7, 12, 13, 14, 15))
#define STAGES_16(S)                                                                               \
    STAGE(S, 16, 1, LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),               \
          LIST(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))                         \
    STAGE(S, 16, 2, LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),                \
          LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))                        \
    STAGE(S, 16, 4, LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),                \
          LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))                        \
    STAGE(S, 16, 8, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),                  \
          LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))

#define DEFINE_TRANSPOSE(S, T, I, N)                                                               \
    typedef T row_##N##_##S __attribute__((vector_size(N * sizeof(T))));                           \
    typedef I index_##N##_##S __attribute__((vector_size(N * sizeof(T))));                         \
    static inline __attribute__((always_inline, unused)) void transpose_##N##_##S(                 \
        T *out, ptrdiff_t ldo, const T *in, ptrdiff_t ldi)                                         \
    {                                                                                              \
        row_##N##_##S row[N];                                                                      \
        _Pragma("GCC unroll 16") for (int i = 0; i < N; i++)                                       \
            __builtin_memcpy(&row[i], in + i * ldi, sizeof row[i]);                                \
        STAGES_##N(S)                                                                              \
        _Pragma("GCC unroll 16") for (int i = 0; i < N; i++)                                       \
            __builtin_memcpy(out + i * ldo, &row[i], sizeof row[i]);                               \
    }

DEFINE_TRANSPOSE(f32, float, int32_t, 4)
DEFINE_TRANSPOSE(f64, double, int64_t, 4)

/* The largest block that the level's registers hold. */
#if VEC_BYTES == 64
DEFINE_TRANSPOSE(f32, float, int32_t, 16)
DEFINE_TRANSPOSE(f64, double, int64_t, 8)
#define BLOCK_F32 16
#define BLOCK_F64 8
#define transpose_block_f32 transpose_16_f32
#define transpose_block_f64 transpose_8_f64
#elif VEC_BYTES == 32
DEFINE_TRANSPOSE(f32, float, int32_t, 8)
#define BLOCK_F32 8
#define BLOCK_F64 4
#define transpose_block_f32 transpose_8_f32
#define transpose_block_f64 transpose_4_f64
#else
#define BLOCK_F32 4
#define BLOCK_F64 4
#define transpose_block_f32 transpose_4_f32
#define transpose_block_f64 transpose_4_f64
#endif

#endif
