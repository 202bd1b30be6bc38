/* How many floating-point operations a core does in a second: independent chains of fused
 * multiply-adds on vectors of the processor's full width, all of them in registers.
 */

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

typedef ELEMENT vector __attribute__((vector_size(VECTOR_BYTES)));

int operations_of_a_round(void)
{
    return 2 * CHAINS * LANES;
}

/* The sum of all lanes is returned so that no compiler leaves the work out. */
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
    double sum = 0.0;
    for (int chain = 0; chain < CHAINS; chain++)
        for (int lane = 0; lane < LANES; lane++)
            sum += chains[chain][lane];
    return sum;
}
