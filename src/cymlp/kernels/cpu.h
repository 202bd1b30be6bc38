/* Which x86-64 level (as the psABI defines v1 ... v4) the processor and the operating system
 * support together. The bits below are those of the CPUID instruction; a vector extension counts
 * only where XGETBV says that the operating system also saves its registers. */
#ifndef CYMLP_CPU_H
#define CYMLP_CPU_H

#if defined(__x86_64__)
#include <cpuid.h>

#define CPU_BIT(n) (1u << (n))
#define CPU_HAS(word, mask) (((word) & (mask)) == (mask))

/* Leaf 1, ECX: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; leaf 0x80000001, ECX: LAHF. */
#define V2_LEAF1_ECX \
    (CPU_BIT(0) | CPU_BIT(9) | CPU_BIT(13) | CPU_BIT(19) | CPU_BIT(20) | CPU_BIT(23))
#define V2_EXTENDED_ECX CPU_BIT(0)

/* Leaf 1, ECX: FMA, MOVBE, OSXSAVE, AVX, F16C; leaf 7, EBX: BMI1, AVX2, BMI2; extended: LZCNT. */
#define V3_LEAF1_ECX (CPU_BIT(12) | CPU_BIT(22) | CPU_BIT(27) | CPU_BIT(28) | CPU_BIT(29))
#define V3_LEAF7_EBX (CPU_BIT(3) | CPU_BIT(5) | CPU_BIT(8))
#define V3_EXTENDED_ECX CPU_BIT(5)
#define V3_SAVED 0x06u /* XMM, YMM */

/* Leaf 7, EBX: AVX512F, AVX512DQ, AVX512CD, AVX512BW, AVX512VL. */
#define V4_LEAF7_EBX (CPU_BIT(16) | CPU_BIT(17) | CPU_BIT(28) | CPU_BIT(30) | CPU_BIT(31))
#define V4_SAVED 0xe6u /* and opmask, both halves of ZMM */

static unsigned cpu_saved_registers(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int cpu_x86_64_level(void)
{
    unsigned eax, ebx, leaf1 = 0, leaf7 = 0, extended = 0, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &leaf1, &edx)) return 1;
    __get_cpuid_count(7, 0, &eax, &leaf7, &ecx, &edx);
    __get_cpuid(0x80000001u, &eax, &ebx, &extended, &edx);

    if (!CPU_HAS(leaf1, V2_LEAF1_ECX) || !CPU_HAS(extended, V2_EXTENDED_ECX)) return 1;
    if (!CPU_HAS(leaf1, V3_LEAF1_ECX) || !CPU_HAS(leaf7, V3_LEAF7_EBX)
        || !CPU_HAS(extended, V3_EXTENDED_ECX)) return 2;
    unsigned saved = cpu_saved_registers(); /* allowed: V3_LEAF1_ECX includes OSXSAVE */
    if (!CPU_HAS(saved, V3_SAVED)) return 2;
    return CPU_HAS(leaf7, V4_LEAF7_EBX) && CPU_HAS(saved, V4_SAVED) ? 4 : 3;
}

#else
static int cpu_x86_64_level(void) { return 0; }
#endif

#if defined(__aarch64__)
static int cpu_is_aarch64(void) { return 1; }
#else
static int cpu_is_aarch64(void) { return 0; }
#endif

#endif
