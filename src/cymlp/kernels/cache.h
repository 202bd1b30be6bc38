/* What the system says of the processor's caches. */
#ifndef CYMLP_CACHE_H
#define CYMLP_CACHE_H

#include <unistd.h>

/* Bytes of a core's second cache; 0 or less where the system does not say. */
static inline long second_cache_bytes(void)
{
#ifdef _SC_LEVEL2_CACHE_SIZE
    return sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
    return 0;
#endif
}

#endif
