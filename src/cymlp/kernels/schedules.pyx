# cython: language_level=3, cdivision=True
"""The factor that a schedule gives the learning rate at a step.

A schedule is a row of numbers: its kind, what it counts, and its parameters, as `cymlp.schedules`
writes them. The factor is a function of the counters alone, so it is the same wherever training
began, and after it has been gone on with. Nothing of a C library is called and only IEEE
operations occur: the bits are the same on every system.
"""
from cymlp.kernels.optimizer_math cimport integer_power, square_root_double

cdef enum:
    # In the order of `cymlp.schedules.KINDS` and `UNITS`.
    CONSTANT
    STEP
    MULTI_STEP
    EXPONENTIAL
    POLYNOMIAL
    INVERSE_SCALING
    COSINE
    WARM_RESTARTS
    ONE_CYCLE
    COS_LOG_4
    WARMUP

cdef enum:
    STEPS
    EPOCHS
    ROWS

cdef extern from *:
    double down "__builtin_floor"(double) noexcept nogil

cdef double PI = 3.141592653589793
cdef double LN2_HIGH = 6.93147180369123816490e-01   # 33 bits: its small multiples are exact
cdef double LN2_LOW = 1.90821492927058770002e-10


cdef double series(double y2, double term, int n) noexcept nogil:
    """The terms of the cosine's (n = 0) or sine's (n = 1) series, from `term` on."""
    cdef double total = 0.0
    cdef int i
    for i in range(n + 1, n + 19, 2):
        total += term
        term *= -y2 / <double> (i * (i + 1))
    return total


cdef double cosine(double x) noexcept nogil:
    """cos(pi x) for x from 0 to 1."""
    cdef double y
    if x > 0.5:
        return -cosine(1.0 - x)
    if x > 0.25:
        y = PI * (0.5 - x)
        return series(y * y, y, 1)
    y = PI * x
    return series(y * y, 1.0, 0)


cdef double logarithm(double x) noexcept nogil:
    """The natural one, of x above 0: by twos to about 1, then the series of artanh."""
    cdef double z, power, total = 0.0
    cdef int twos = 0, i
    while x > 1.5:
        x *= 0.5
        twos += 1
    while x < 0.75:
        x *= 2.0
        twos -= 1
    z = (x - 1.0) / (x + 1.0)
    power = z
    for i in range(1, 31, 2):
        total += power / <double> i
        power *= z * z
    return twos * LN2_HIGH + (twos * LN2_LOW + 2.0 * total)


cdef double exponential(double x) noexcept nogil:
    """e^x for x up to 0."""
    cdef double twos, total = 1.0, r
    cdef int i
    if x < -745.0:
        return 0.0
    twos = down(x / (LN2_HIGH + LN2_LOW) + 0.5)
    r = x - twos * LN2_HIGH - twos * LN2_LOW
    for i in range(15, 0, -1):
        total = 1.0 + r / <double> i * total
    return total * integer_power(0.5, <long long> -twos)


cdef double power(double base, double exponent) noexcept nogil:
    """base**exponent for a base from 0 to 1 and an exponent from 0."""
    if exponent == 0.0 or base == 1.0:
        return 1.0
    if base == 0.0:
        return 0.0
    if exponent == 0.5:
        return square_root_double(base)
    if exponent < 64.0 and exponent == down(exponent):
        return integer_power(base, <long long> exponent)
    return exponential(exponent * logarithm(base))


cdef double between(double begin, double end, double share) noexcept nogil:
    """From `begin` to `end` on half a cosine."""
    return end + (begin - end) * 0.5 * (1.0 + cosine(share))


cdef double multi_step(const double *p, double t) noexcept nogil:
    cdef long long passed = 0
    cdef int i
    for i in range(<int> p[1]):
        passed += t >= p[2 + i]
    return integer_power(p[0], passed)


cdef double warm_restarts(double length, const double *p, double t) noexcept nogil:
    """Cycles, each p[0] times as long as the one before, down to p[1]."""
    if p[0] == 1.0:
        t -= down(t / length) * length
    while t >= length:
        t -= length
        length *= p[0]
    return between(1.0, p[1], t / length)


cdef double one_cycle(double length, const double *p, double t) noexcept nogil:
    """From p[1] up to 1 at the share p[0] of the way, and down to p[2]; p[3]: straight."""
    cdef double peak = p[0] * length - 1.0, last = length - 1.0
    cdef double begin = p[1], end = 1.0, share
    if t <= peak:
        share = t / peak
    else:
        begin, end = 1.0, p[2]
        share = min((t - peak) / (last - peak), 1.0)
    if p[3] != 0.0:
        return begin + (end - begin) * share
    return between(begin, end, share)


cdef double coslog4(double share) noexcept nogil:
    """(1 - cos(2 pi log2(1 + 15 share))) / 2: four waves, each twice as long as the last."""
    cdef double waves = logarithm(1.0 + 15.0 * share) / (LN2_HIGH + LN2_LOW)
    cdef double turn = 2.0 * (waves - down(waves))
    return 0.5 * (1.0 - cosine(turn if turn <= 1.0 else 2.0 - turn))


cdef double schedule_factor(
    const double *numbers, long long step, long long epoch, long long rows,
) noexcept nogil:
    """The factor of the step numbered `step` from 0, in an epoch from 0 of so many rows."""
    cdef int kind = <int> numbers[0], unit = <int> numbers[1]
    cdef double length = numbers[2], share
    cdef const double *p = numbers + 3
    cdef double t = <double> (step if unit == STEPS else epoch)
    if unit == ROWS:
        t *= <double> rows
    share = min(t / length, 1.0)
    if kind == STEP:
        return integer_power(p[0], <long long> down(t / length))
    if kind == MULTI_STEP:
        return multi_step(p, t)
    if kind == EXPONENTIAL:
        return integer_power(p[0], <long long> t)
    if kind == POLYNOMIAL:
        return power(1.0 - share, p[0])
    if kind == INVERSE_SCALING:
        return power(1.0 / (t + 1.0), p[0])
    if kind == COSINE:
        return between(1.0, p[0], share)
    if kind == WARM_RESTARTS:
        return warm_restarts(length, p, t)
    if kind == ONE_CYCLE:
        return one_cycle(length, p, t)
    if kind == COS_LOG_4:
        return coslog4(share)
    if kind == WARMUP:
        return (p[0] + (1.0 - p[0]) * share) * schedule_factor(p + 1, step, epoch, rows)
    return 1.0


def factor(bytes numbers not None, long long step, long long epoch, long long rows):
    """The factor of a schedule's numbers, packed as doubles, at a step and in an epoch from 0."""
    return schedule_factor(<const double *> <const char *> numbers, step, epoch, rows)
