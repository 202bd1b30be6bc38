/* Columns of a block of rows, in registers.

   A piece is what 16 bytes hold of a row: four numbers of float32, two of float64. A block has as
   many rows as a register has lanes. A register takes pieces of rows that lie as far from each
   other as a piece has numbers, and then only what stands within 16 bytes changes places: two
   operations a column, however many rows there are. To turn a square block (transpose.h) takes
   four, and its rows have to be as long. */
#ifndef CYMLP_PIECES_H
#define CYMLP_PIECES_H

#include "vec.h"

#define PIECE_BYTES 16
#define PIECE_f32 4
#define PIECE_f64 2
#define PIECES (VEC_BYTES / PIECE_BYTES) /* of a register */
#define PIECES_INLINE static inline __attribute__((always_inline, unused))

/* For each element type: a register of pieces that lie so far apart, the last of which may stand
   elsewhere, and such a register stored. ZIP: what the lower (lo) or upper (hi) halves of two
   registers' pieces hold, by turns, as numbers of float32 (s) or float64 (d). */
#if VEC_BYTES == 64
#define DEFINE_PIECES(S, T, P, INTO, QUARTER)                                                      \
    PIECES_INLINE vec_##S pieces_load_##S(const T *a, ptrdiff_t apart, const T *last)              \
    {                                                                                              \
        vec_##S x = _mm512_castp##P##128_p##P##512(_mm_loadu_p##P(a));                             \
        x = _mm512_mask_broadcast_##INTO(x, QUARTER << VEC_LANES_##S / 4,                          \
                                         _mm_loadu_p##P(a + apart));                               \
        x = _mm512_mask_broadcast_##INTO(x, QUARTER << VEC_LANES_##S / 2,                          \
                                         _mm_loadu_p##P(a + 2 * apart));                           \
        return _mm512_mask_broadcast_##INTO(x, QUARTER << VEC_LANES_##S / 4 * 3,                   \
                                            _mm_loadu_p##P(last));                                 \
    }                                                                                              \
    PIECES_INLINE void pieces_store_##S(T *y, ptrdiff_t apart, vec_##S x)                          \
    {                                                                                              \
        _mm_storeu_p##P(y, _mm512_castp##P##512_p##P##128(x));                                     \
        _mm_storeu_p##P(y + apart, _mm512_extract##INTO##_p##P(x, 1));                             \
        _mm_storeu_p##P(y + 2 * apart, _mm512_extract##INTO##_p##P(x, 2));                         \
        _mm_storeu_p##P(y + 3 * apart, _mm512_extract##INTO##_p##P(x, 3));                         \
    }
DEFINE_PIECES(f32, float, s, f32x4, 0x000f)
DEFINE_PIECES(f64, double, d, f64x2, 0x03)
#define ZIP(P, half, a, b) _mm512_unpack##half##_p##P(a, b)
#define AS_BOTH(a) _mm512_castps_pd(a)
#define AS_ONE(a) _mm512_castpd_ps(a)
#elif VEC_BYTES == 32
#define DEFINE_PIECES(S, T, P)                                                                     \
    PIECES_INLINE vec_##S pieces_load_##S(const T *a, ptrdiff_t apart, const T *last)              \
    {                                                                                              \
        return (void)apart, _mm256_insertf128_p##P(                                                \
            _mm256_castp##P##128_p##P##256(_mm_loadu_p##P(a)), _mm_loadu_p##P(last), 1);           \
    }                                                                                              \
    PIECES_INLINE void pieces_store_##S(T *y, ptrdiff_t apart, vec_##S x)                          \
    {                                                                                              \
        _mm_storeu_p##P(y, _mm256_castp##P##256_p##P##128(x));                                     \
        _mm_storeu_p##P(y + apart, _mm256_extractf128_p##P(x, 1));                                 \
    }
DEFINE_PIECES(f32, float, s)
DEFINE_PIECES(f64, double, d)
#define ZIP(P, half, a, b) _mm256_unpack##half##_p##P(a, b)
#define AS_BOTH(a) _mm256_castps_pd(a)
#define AS_ONE(a) _mm256_castpd_ps(a)
#else
#define DEFINE_PIECES(S, T)                                                                        \
    PIECES_INLINE vec_##S pieces_load_##S(const T *a, ptrdiff_t apart, const T *last)              \
    {                                                                                              \
        return (void)a, (void)apart, vec_load_##S(last);                                           \
    }                                                                                              \
    PIECES_INLINE void pieces_store_##S(T *y, ptrdiff_t apart, vec_##S x)                          \
    {                                                                                              \
        (void)apart, vec_store_##S(y, x);                                                          \
    }
DEFINE_PIECES(f32, float)
DEFINE_PIECES(f64, double)
#if defined(__aarch64__)
#define ZIP(P, half, a, b) ZIP_##half(P, a, b)
#define ZIP_lo(P, a, b) vzip1q_##P(a, b)
#define ZIP_hi(P, a, b) vzip2q_##P(a, b)
#define vzip1q_s vzip1q_f32
#define vzip2q_s vzip2q_f32
#define vzip1q_d vzip1q_f64
#define vzip2q_d vzip2q_f64
#define AS_BOTH(a) vreinterpretq_f64_f32(a)
#define AS_ONE(a) vreinterpretq_f32_f64(a)
#else
#define ZIP(P, half, a, b) _mm_unpack##half##_p##P(a, b)
#define AS_BOTH(a) _mm_castps_pd(a)
#define AS_ONE(a) _mm_castpd_ps(a)
#endif
#endif

/* Element j of piece i exchanged with element i of piece j, in all pieces of some registers. */
PIECES_INLINE void pieces_turn_f32(vec_f32 *x)
{
    const vec_f64 low = AS_BOTH(ZIP(s, lo, x[0], x[1])), high = AS_BOTH(ZIP(s, hi, x[0], x[1]));
    const vec_f64 low_2 = AS_BOTH(ZIP(s, lo, x[2], x[3]));
    const vec_f64 high_2 = AS_BOTH(ZIP(s, hi, x[2], x[3]));
    x[0] = AS_ONE(ZIP(d, lo, low, low_2));
    x[1] = AS_ONE(ZIP(d, hi, low, low_2));
    x[2] = AS_ONE(ZIP(d, lo, high, high_2));
    x[3] = AS_ONE(ZIP(d, hi, high, high_2));
}
PIECES_INLINE void pieces_turn_f64(vec_f64 *x)
{
    const vec_f64 low = ZIP(d, lo, x[0], x[1]);
    x[1] = ZIP(d, hi, x[0], x[1]);
    x[0] = low;
}

#define DEFINE_COLUMNS(S, T)                                                                       \
    /* As many columns of a block as a piece has; the last row's may stand elsewhere. */           \
    PIECES_INLINE void columns_in_##S(vec_##S *column, const T *x, ptrdiff_t ldx, const T *last)   \
    {                                                                                              \
        enum { E = PIECE_##S };                                                                    \
        for (int i = 0; i < E; i++) /* unrolled by every compiler: it is 2 or 4 */                 \
            column[i] = pieces_load_##S(x + i * ldx, E * ldx,                                      \
                                        i == E - 1 ? last : x + (i + E * (PIECES - 1)) * ldx);     \
        pieces_turn_##S(column);                                                                   \
    }                                                                                              \
    /* And back; the columns are changed. */                                                       \
    PIECES_INLINE void columns_out_##S(T *y, ptrdiff_t ldy, vec_##S *column)                       \
    {                                                                                              \
        enum { E = PIECE_##S };                                                                    \
        pieces_turn_##S(column);                                                                   \
        for (int i = 0; i < E; i++) pieces_store_##S(y + i * ldy, E * ldy, column[i]);             \
    }

DEFINE_COLUMNS(f32, float)
DEFINE_COLUMNS(f64, double)

#endif
