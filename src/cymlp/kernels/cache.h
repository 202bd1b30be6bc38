/* What the system says of the processor's caches, and what follows from it. */
#ifndef CYMLP_CACHE_H
#define CYMLP_CACHE_H

#include <stddef.h>
#include <unistd.h>

/* Limits of near_bytes and first_bytes. */
enum { NEAR_LEAST = 256 << 10, NEAR_MOST = 512 << 10 };
enum { FIRST_LEAST = 24 << 10, FIRST_MOST = 48 << 10 };

/* Bytes of a core's first or second cache; 0 or less where the system does not say. */
static inline long cache_bytes(int level)
{
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
    return sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE);
#else
    return (void)level, 0;
#endif
}

/* So many quarters of a cache, within limits. The system is asked once, and the answer is kept in
   `known`; all threads find the same. */
static inline ptrdiff_t quarters_of(int level, int quarters, ptrdiff_t least, ptrdiff_t most,
                                    ptrdiff_t *known)
{
    ptrdiff_t bytes = __atomic_load_n(known, __ATOMIC_RELAXED);
    if (bytes == 0) {
        bytes = cache_bytes(level) / 4 * quarters;
        bytes = bytes < least ? least : bytes > most ? most : bytes;
        __atomic_store_n(known, bytes, __ATOMIC_RELAXED);
    }
    return bytes;
}

/* So much of an operand stays near while the other one passes: a quarter of the second cache. Where
   that is 2 MiB (Intel), 512 KiB took 0.95 (mnist, 32 rows) to 0.98 of the time of 256. */
static inline ptrdiff_t near_bytes(void)
{
    static ptrdiff_t known;
    return quarters_of(2, 1, NEAR_LEAST, NEAR_MOST, &known);
}

/* So much of an operand stays in the first cache while the other one passes: three quarters of it.
   The smallest are of 32 KiB. */
static inline ptrdiff_t first_bytes(void)
{
    static ptrdiff_t known;
    return quarters_of(1, 3, FIRST_LEAST, FIRST_MOST, &known);
}

/* Whether a single row's loop asks for lines of a far weight before it needs them: where the second
   cache is that large, it makes 0.89 of the time (Granite Rapids); on Zen 4 it made 1.15. */
static inline int asks_early(void) { return near_bytes() == NEAR_MOST; }

#endif
