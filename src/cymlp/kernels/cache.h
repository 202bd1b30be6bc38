/* What the system says of the processor's caches, and what follows from it. */
#ifndef CYMLP_CACHE_H
#define CYMLP_CACHE_H

#include <stddef.h>
#include <unistd.h>

/* Limits of near_bytes and first_bytes. */
enum { NEAR_LEAST = 256 << 10, NEAR_MOST = 512 << 10 };
enum { FIRST_LEAST = 24 << 10, FIRST_MOST = 48 << 10 };

/* Bytes of a core's first and second cache; 0 or less where the system does not say. */
static inline long second_cache_bytes(void)
{
#ifdef _SC_LEVEL2_CACHE_SIZE
    return sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
    return 0;
#endif
}

static inline long first_cache_bytes(void)
{
#ifdef _SC_LEVEL1_DCACHE_SIZE
    return sysconf(_SC_LEVEL1_DCACHE_SIZE);
#else
    return 0;
#endif
}

/* So much of an operand stays near while the other one passes: a quarter of the second cache. Where
   that is 2 MiB (Intel), 512 KiB took 0.95 (mnist, 32 rows) to 0.98 of the time of 256. */
static inline ptrdiff_t near_bytes(void)
{
    static ptrdiff_t known; /* asked for once; all threads find the same */
    ptrdiff_t near = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (near == 0) {
        near = second_cache_bytes() / 4;
        near = near < NEAR_LEAST ? NEAR_LEAST : near > NEAR_MOST ? NEAR_MOST : near;
        __atomic_store_n(&known, near, __ATOMIC_RELAXED);
    }
    return near;
}

/* So much of an operand stays in the first cache while the other one passes: three quarters of it.
   The smallest are of 32 KiB. */
static inline ptrdiff_t first_bytes(void)
{
    static ptrdiff_t known;
    ptrdiff_t first = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (first == 0) {
        first = first_cache_bytes() / 4 * 3;
        first = first < FIRST_LEAST ? FIRST_LEAST : first > FIRST_MOST ? FIRST_MOST : first;
        __atomic_store_n(&known, first, __ATOMIC_RELAXED);
    }
    return first;
}

/* Whether a single row's loop asks for lines of a far weight before it needs them: where the second
   cache is that large, it makes 0.89 of the time (Granite Rapids); on Zen 4 it made 1.15. */
static inline int asks_early(void) { return near_bytes() == NEAR_MOST; }

#endif
