/* Lists of the turns of a product's loop in which a pair of rows has anything but zeros.

   A list is the number of its turns, then the turns. */
#ifndef CYMLP_ZEROS_H
#define CYMLP_ZEROS_H

#include "vec.h"

typedef uint8_t turn_t;

#define PAIR 2
#define BITS 16 /* elements that are looked at together */
#define SECTION_MOST 192 /* turns of a list: less than a turn_t holds */
/* What it costs to look at an element for a list, in multiply-adds of a register; and what one of
   these costs a single row, which waits for the weight, from the second cache or from far away. */
#define LIST_COST (VEC_BYTES == 64 ? 0.75 : VEC_BYTES == 32 ? 1.5 : 2.0)
#define ALONE_COST (VEC_BYTES == 64 ? 2.8 : 1.4)
#define FAR_COST (2 * ALONE_COST)

/* Marks: bit i is set where element i of BITS is not zero. For each of them a turn, `first` and i, is
   put to the end of a list; BITS of them may be written. */
#if defined(__AVX512F__)
static inline unsigned marks_f32(const float *a)
{
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(a), _mm512_setzero_ps(), _CMP_NEQ_UQ);
}
static inline unsigned marks_f64(const double *a)
{
    const __m512d zero = _mm512_setzero_pd();
    return _mm512_cmp_pd_mask(_mm512_loadu_pd(a), zero, _CMP_NEQ_UQ)
           | (unsigned)_mm512_cmp_pd_mask(_mm512_loadu_pd(a + 8), zero, _CMP_NEQ_UQ) << 8;
}
static inline turn_t *append(turn_t *end, unsigned bits, ptrdiff_t first)
{
    const __m512i each = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i turns = _mm512_add_epi32(each, _mm512_set1_epi32((int)first));
    const __m512i chosen = _mm512_maskz_compress_epi32((__mmask16)bits, turns);
    _mm_storeu_si128((__m128i *)end, _mm512_cvtepi32_epi8(chosen));
    return end + __builtin_popcount(bits);
}
#elif defined(__AVX2__) && defined(__BMI2__)
static inline unsigned marks_f32(const float *a)
{
    const __m256 zero = _mm256_setzero_ps();
    return _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(a), zero, _CMP_NEQ_UQ))
           | _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(a + 8), zero, _CMP_NEQ_UQ)) << 8;
}
static inline unsigned marks_f64(const double *a)
{
    const __m256d zero = _mm256_setzero_pd();
    unsigned bits = 0;
    for (int i = 0; i < BITS; i += 4)
        bits |= _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(a + i), zero, _CMP_NEQ_UQ)) << i;
    return bits;
}
static inline turn_t *append(turn_t *end, unsigned bits, ptrdiff_t first)
{
    for (int i = 0; i < BITS; i += 8, bits >>= 8) {
        /* A byte of ones for each bit picks the bytes of 0, 1, 2, ..., 7. */
        const uint64_t bytes = _pdep_u64(bits & 0xff, 0x0101010101010101u) * 0xff;
        const uint64_t chosen = _pext_u64(0x0706050403020100u, bytes);
        const uint64_t turns = chosen + 0x0101010101010101u * (uint64_t)(first + i);
        __builtin_memcpy(end, &turns, sizeof turns);
        end += __builtin_popcount(bits & 0xff);
    }
    return end;
}
#else
#define DEFINE_MARKS(S, T)                                                                         \
    static inline unsigned marks_##S(const T *a)                                                   \
    {                                                                                              \
        unsigned bits = 0;                                                                         \
        for (int i = 0; i < BITS; i++) bits |= (unsigned)(a[i] != 0) << i;                         \
        return bits;                                                                               \
    }
DEFINE_MARKS(f32, float)
DEFINE_MARKS(f64, double)
static inline turn_t *append(turn_t *end, unsigned bits, ptrdiff_t first)
{
    for (int i = 0; i < BITS; i++, bits >>= 1) {
        *end = (turn_t)(first + i);
        end += bits & 1;
    }
    return end;
}
#endif

#define DEFINE_LISTS(S, T)                                                                         \
    /* Bit i is set where element i of `count`, no more than BITS, is not zero. */                 \
    static inline unsigned some_marks_##S(const T *a, ptrdiff_t count)                             \
    {                                                                                              \
        unsigned bits = 0;                                                                         \
        if (count == BITS) return marks_##S(a);                                                    \
        for (int i = 0; i < count; i++) bits |= (unsigned)(a[i] != 0) << i;                        \
        return bits;                                                                               \
    }                                                                                              \
                                                                                                   \
    /* How many of k turns have anything in one of two rows. */                                    \
    static ptrdiff_t sparse_count_##S(ptrdiff_t k, const T *one, const T *other)                   \
    {                                                                                              \
        ptrdiff_t count = 0;                                                                       \
        for (ptrdiff_t p = 0; p < k; p += BITS) {                                                  \
            const ptrdiff_t some = k - p < BITS ? k - p : BITS;                                    \
            count += __builtin_popcount(some_marks_##S(one + p, some)                              \
                                        | some_marks_##S(other + p, some));                        \
        }                                                                                          \
        return count;                                                                              \
    }                                                                                              \
                                                                                                   \
    /* How many pairs of neighbours of a row have anything. */                                     \
    static ptrdiff_t sparse_beside_##S(ptrdiff_t k, const T *row)                                  \
    {                                                                                              \
        ptrdiff_t count = 0;                                                                       \
        for (ptrdiff_t p = 0; p < k; p += BITS) {                                                  \
            const unsigned bits = some_marks_##S(row + p, k - p < BITS ? k - p : BITS);            \
            count += __builtin_popcount((bits | bits >> 1) & 0x5555);                              \
        }                                                                                          \
        return count;                                                                              \
    }                                                                                              \
                                                                                                   \
    /* The lists of all pairs of some rows of k, section by section; returns how many turns they   \
     * have. Each pair's rows are read from end to end, which a processor foresees. Sections are   \
     * whole BITS, so that what is written beyond the end of a list is still in its room. */       \
    static ptrdiff_t sparse_lists_##S(ptrdiff_t rows, ptrdiff_t k, ptrdiff_t section, const T *a,  \
                                      ptrdiff_t lda, turn_t *lists)                                \
    {                                                                                              \
        const ptrdiff_t pairs = (rows + PAIR - 1) / PAIR, room = 1 + section;                      \
        ptrdiff_t turns = 0;                                                                       \
        for (ptrdiff_t row = 0; row < rows; row += PAIR, lists += room) {                          \
            const T *one = a + row * lda, *other = row + 1 < rows ? one + lda : one;               \
            turn_t *list = lists;                                                                  \
            for (ptrdiff_t begin = 0; begin < k; begin += section, list += pairs * room) {         \
                const ptrdiff_t count = k - begin < section ? k - begin : section;                 \
                turn_t *end = list + 1;                                                            \
                for (ptrdiff_t p = 0; p < count; p += BITS) {                                      \
                    const ptrdiff_t some = count - p < BITS ? count - p : BITS;                    \
                    end = append(end, some_marks_##S(one + begin + p, some)                        \
                                      | some_marks_##S(other + begin + p, some), p);               \
                }                                                                                  \
                *list = (turn_t)(end - list - 1);                                                  \
                turns += *list;                                                                    \
            }                                                                                      \
        }                                                                                          \
        return turns;                                                                              \
    }

DEFINE_LISTS(f32, float)
DEFINE_LISTS(f64, double)

#endif
