/* How a thread computes: rounding, traps, and what becomes of subnormal numbers.
 *
 * Within a network's calls subnormal numbers (in float32 those below 1.2e-38) are taken as zero
 * and come out as zero. The moments of a unit that has died, the tails of a softmax and of a
 * saturated sigmoid end there sooner or later and stay, and Intel's processors take some 150
 * cycles for an instruction that meets one: a training whose loss has become small would take
 * twice its time, and up to thirty times. The rounding is set too, so that the bits do not depend on
 * what the caller has set, which is there again afterwards.
 *
 * aarch64 does the same, but for one number: a result that would only be rounded up to the least
 * normal one is zero there, and that number on x86-64. */
#ifndef CYMLP_ARITHMETIC_H
#define CYMLP_ARITHMETIC_H

#include <stdint.h>

#if defined(__x86_64__)
#define ARITHMETIC_OF_NETWORKS 0x9fc0 /* all traps masked, flush to zero, subnormals are zeros */
static inline uint64_t arithmetic_now(void) { return __builtin_ia32_stmxcsr(); }
static inline void arithmetic_set(uint64_t mode) { __builtin_ia32_ldmxcsr((uint32_t)mode); }
#elif defined(__aarch64__)
#define ARITHMETIC_OF_NETWORKS (1 << 24) /* flush to zero */
static inline uint64_t arithmetic_now(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void arithmetic_set(uint64_t mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}
#else
#define ARITHMETIC_OF_NETWORKS 0
static inline uint64_t arithmetic_now(void) { return 0; }
static inline void arithmetic_set(uint64_t mode) { (void)mode; }
#endif

/* Returns what to set when the call is over. */
static inline uint64_t arithmetic_of_networks(void)
{
    uint64_t before = arithmetic_now();
    arithmetic_set(ARITHMETIC_OF_NETWORKS);
    return before;
}

#endif
