/* What a core does in a second: fused multiply-adds, square roots with a division, and reads.
 * All on vectors of the processor's full width.
 */

#include <tgmath.h>

#ifndef ELEMENT
#define ELEMENT float
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#define LANES (VECTOR_BYTES / (int)sizeof(ELEMENT))
#define CHAINS 12       /* more than latency times throughput asks for, and still in registers */
#define NEAR 1024       /* elements that lie in the first cache */

typedef ELEMENT vector __attribute__((vector_size(VECTOR_BYTES)));
typedef vector anywhere __attribute__((aligned(sizeof(ELEMENT)), may_alias));

/* The sum of all lanes is returned so that no compiler leaves the work out. */
static double sum_of(const vector *values, int count)
{
    double sum = 0.0;
    for (int i = 0; i < count; i++)
        for (int lane = 0; lane < LANES; lane++)
            sum += values[i][lane];
    return sum;
}

int operations_of_a_round(void)
{
    return 2 * CHAINS * LANES;
}

/* Independent chains of multiply-adds, all of them in registers. */
double multiply_add(long rounds, ELEMENT factor, ELEMENT addend)
{
    /* Not lane by lane, which leaves a factor in memory, and at a wrong alignment it is late. */
    const vector factors = (vector){0} + factor, addends = (vector){0} + addend;
    vector chains[CHAINS];
    for (int chain = 0; chain < CHAINS; chain++)
        chains[chain] = addends * (ELEMENT)chain;
    for (long round = 0; round < rounds; round++)
        for (int chain = 0; chain < CHAINS; chain++)
            chains[chain] = chains[chain] * factors + addends;
    return sum_of(chains, CHAINS);
}

/* One chain, in which each waits for the one before. */
double multiply_add_in_turn(long rounds, ELEMENT factor, ELEMENT addend)
{
    const vector factors = (vector){0} + factor, addends = (vector){0} + addend;
    vector chain = addends;
    for (long round = 0; round < rounds; round++)
        chain = chain * factors + addends;
    return sum_of(&chain, 1);
}

int roots_of_a_round(void)
{
    return NEAR;
}

/* What an optimizer such as Adam does at least for each parameter. */
double divide_by_root(long rounds, ELEMENT above, ELEMENT below)
{
    static ELEMENT numerators[NEAR], squares[NEAR], quotients[NEAR];
    for (int i = 0; i < NEAR; i++) {
        numerators[i] = above * (ELEMENT)i;
        squares[i] = below * (ELEMENT)i;
    }
    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < NEAR; i++)
            quotients[i] = numerators[i] / (sqrt(squares[i]) + below);
        numerators[round % NEAR] = quotients[NEAR - 1];
    }
    return quotients[1];
}

/* All elements are read so many times; those beyond whole rounds of the chains are left out. */
double read_all(long rounds, const ELEMENT *values, long count)
{
    vector chains[CHAINS] = {0};
    for (long round = 0; round < rounds; round++)
        for (long i = 0; i + CHAINS * LANES <= count; i += CHAINS * LANES)
            for (int chain = 0; chain < CHAINS; chain++)
                chains[chain] += *(const anywhere *)(values + i + chain * LANES);
    return sum_of(chains, CHAINS);
}
