/* A block of 4 by 4 elements, transposed in registers: out[j][i] = in[i][j]. */
#ifndef CYMLP_TRANSPOSE_H
#define CYMLP_TRANSPOSE_H

#include <stddef.h>
#include "vec.h"

typedef float four_f32 __attribute__((vector_size(16)));
typedef double four_f64 __attribute__((vector_size(32)));

#define DEFINE_TRANSPOSE(S, T)                                                                     \
    static inline __attribute__((always_inline, unused)) void transpose_4x4_##S(                   \
        T *out, ptrdiff_t ldo, const T *in, ptrdiff_t ldi)                                         \
    {                                                                                              \
        four_##S row[4], pair[4];                                                                  \
        for (int i = 0; i < 4; i++) __builtin_memcpy(&row[i], in + i * ldi, sizeof row[i]);        \
        pair[0] = SHUFFLE_4(S, row[0], row[1], 0, 4, 1, 5);                                        \
        pair[1] = SHUFFLE_4(S, row[0], row[1], 2, 6, 3, 7);                                        \
        pair[2] = SHUFFLE_4(S, row[2], row[3], 0, 4, 1, 5);                                        \
        pair[3] = SHUFFLE_4(S, row[2], row[3], 2, 6, 3, 7);                                        \
        row[0] = SHUFFLE_4(S, pair[0], pair[2], 0, 1, 4, 5);                                       \
        row[1] = SHUFFLE_4(S, pair[0], pair[2], 2, 3, 6, 7);                                       \
        row[2] = SHUFFLE_4(S, pair[1], pair[3], 0, 1, 4, 5);                                       \
        row[3] = SHUFFLE_4(S, pair[1], pair[3], 2, 3, 6, 7);                                       \
        for (int i = 0; i < 4; i++) __builtin_memcpy(out + i * ldo, &row[i], sizeof row[i]);       \
    }

#if defined(__clang__)
#define SHUFFLE_4(S, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else /* GCC has the other one only since version 12 */
typedef int32_t index_f32 __attribute__((vector_size(16)));
typedef int64_t index_f64 __attribute__((vector_size(32)));
#define SHUFFLE_4(S, a, b, ...) __builtin_shuffle(a, b, (index_##S){__VA_ARGS__})
#endif

DEFINE_TRANSPOSE(f32, float)
DEFINE_TRANSPOSE(f64, double)

#endif
