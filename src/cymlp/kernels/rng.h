/* Philox4x32-10 on a vector of counters at once.
 *
 * The generator's one costly operation is the full product of two 32-bit words.
 * Vector units have it for every second word (vpmuludq), and compilers do not
 * find it by themselves: dropout by the plain loop takes more than twice as
 * long. So a vector of 32-bit counters is split into its even and its odd words,
 * each in a lane of 64 bits. The upper half of a lane needs no clearing
 * between the rounds because the product reads the lower half only.
 */
#ifndef CYMLP_RNG_H
#define CYMLP_RNG_H

#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define PHILOX_BYTES 64
#elif defined(__AVX2__)
#define PHILOX_BYTES 32
#else
#define PHILOX_BYTES 16
#endif

enum { PHILOX_LANES = PHILOX_BYTES / 4 };   /* counters in a vector */

typedef uint64_t philox_vector __attribute__((vector_size(PHILOX_BYTES)));
typedef uint64_t philox_memory
    __attribute__((vector_size(PHILOX_BYTES), aligned(4), may_alias));

/* Four words of PHILOX_LANES / 2 counters. */
typedef struct {
    philox_vector w0, w1, w2, w3;
} philox_state;

/* The 64-bit products of the lower halves of the lanes with a constant. */
static inline philox_vector philox_product(philox_vector a, uint32_t constant)
{
    philox_vector b = (philox_vector){0} + constant;
#if defined(__AVX512F__)
    return (philox_vector)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (philox_vector)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (philox_vector)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xFFFFFFFFu) * b;
#endif
}

static inline philox_state philox_round(philox_state c, uint32_t key0, uint32_t key1)
{
    philox_vector product0 = philox_product(c.w0, 0xD2511F53u);
    philox_vector product1 = philox_product(c.w2, 0xCD9E8D57u);
    return (philox_state){
        (product1 >> 32) ^ (c.w1 ^ key0), product1, (product0 >> 32) ^ (c.w3 ^ key1), product0};
}

static inline philox_vector philox_join(philox_vector even, philox_vector odd)
{
    return (even & 0xFFFFFFFFu) | (odd << 32);
}

/* Replace PHILOX_LANES counters by their random words: word w of them all at word + w * stride. */
static inline void philox_lanes(uint32_t *word, long stride, uint64_t key)
{
    philox_memory *memory0 = (philox_memory *)word;
    philox_memory *memory1 = (philox_memory *)(word + stride);
    philox_memory *memory2 = (philox_memory *)(word + 2 * stride);
    philox_memory *memory3 = (philox_memory *)(word + 3 * stride);
    philox_state even = {*memory0, *memory1, *memory2, *memory3};
    philox_state odd = {even.w0 >> 32, even.w1 >> 32, even.w2 >> 32, even.w3 >> 32};
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        even = philox_round(even, key0, key1);
        odd = philox_round(odd, key0, key1);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    *memory0 = philox_join(even.w0, odd.w0);
    *memory1 = philox_join(even.w1, odd.w1);
    *memory2 = philox_join(even.w2, odd.w2);
    *memory3 = philox_join(even.w3, odd.w3);
}

#endif
