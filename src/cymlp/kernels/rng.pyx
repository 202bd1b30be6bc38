# cython: language_level=3, cdivision=True
"""Random numbers by counter: dropout masks and permutations.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
1, 2, 3", 2011) maps a 64-bit key and a 128-bit counter to four random words. It
has no state to carry along, so a mask depends on where an element stands
and not on which thread asks, nor in which order.

Blocks of counters are worked on at once, one word of all of them beside the
other, so that the compiler turns the ten rounds into vector instructions.
"""

from cymlp.kernels.real cimport real

cdef extern from *:
    ctypedef unsigned int uint32 "uint32_t"
    ctypedef unsigned long long uint64 "uint64_t"
    ctypedef unsigned long long uint128 "unsigned __int128"

cdef extern from "rng.h":
    enum: PHILOX_LANES
    void philox_lanes(uint32 *word, long stride, uint64 key) noexcept nogil

cdef enum:
    BLOCK = 64                  # counters at once; a multiple of PHILOX_LANES
    PERMUTATION = 0xFFFFFFFF    # third counter word, where dropout has its layer

cdef struct Words:
    uint32[4][BLOCK] word


cdef void philox(Words *words, int n, uint64 key) noexcept nogil:
    """Replace the first `n` counters (rounded up to whole vectors) by their random words."""
    cdef int i
    for i in range((n + PHILOX_LANES - 1) // PHILOX_LANES):
        philox_lanes(&words.word[0][i * PHILOX_LANES], BLOCK, key)


# ---- dropout ---------------------------------------------------------------------

cdef struct Mask:
    uint64 key
    uint32 step
    uint32 layer
    uint32 threshold            # an element is dropped where its word is less
    double scale                # what the kept elements are multiplied by


cdef inline void keep_or_drop(
        real *y, const real *x, const uint32 *word, Py_ssize_t n,
        const Mask *mask) noexcept nogil:
    cdef real scale = <real> mask.scale
    cdef uint32 threshold = mask.threshold
    cdef real kept
    cdef Py_ssize_t i
    for i in range(n):
        kept = x[i] * scale     # before the choice: a load without a condition is a vector load
        y[i] = kept if word[i] >= threshold else <real> 0


cdef void dropout_block(
        real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
        Py_ssize_t row, Py_ssize_t rows, Py_ssize_t begin, Py_ssize_t end,
        Py_ssize_t cols, const Mask *mask) noexcept nogil:
    """Counters `begin ... end` of `rows` rows; `y` and `x` are at the first, numbered `row`."""
    cdef Words words
    cdef Py_ssize_t quarter = (cols + 3) // 4
    cdef Py_ssize_t width = end - begin
    cdef Py_ssize_t r, i, q, n
    for r in range(rows):
        for i in range(width):
            words.word[0][r * width + i] = <uint32> (begin + i)
            words.word[1][r * width + i] = <uint32> (row + r)
    for i in range(rows * width):
        words.word[2][i] = mask.layer
        words.word[3][i] = mask.step
    philox(&words, <int> (rows * width), mask.key)
    for q in range(4):
        n = min(end, cols - q * quarter) - begin
        i = q * quarter + begin
        for r in range(rows):
            keep_or_drop(
                y + r * ldy + i, x + r * ldx + i, &words.word[q][r * width], n, mask)


cdef void dropout(
        real *y, Py_ssize_t ldy, const real *x, Py_ssize_t ldx,
        Py_ssize_t row_begin, Py_ssize_t row_end, Py_ssize_t cols,
        double rate, unsigned long long key, long long step, int layer) noexcept nogil:
    """Zero elements with probability `rate` (0 <= rate < 1), scale the others by 1 / (1 - rate).

    `y` and `x` point at row `row_begin` of the batch; `y` may be `x`. Counter
    (j, row, layer, step) serves the columns j, j + quarter, j + 2 quarter and
    j + 3 quarter of its row, quarter being cols / 4 rounded up.
    """
    cdef Mask mask
    cdef Py_ssize_t quarter = (cols + 3) // 4
    cdef Py_ssize_t row = row_begin, rows = 1, begin, end
    mask.key = key
    mask.step = <uint32> step
    mask.layer = <uint32> layer
    mask.threshold = <uint32> (rate * 4294967296.0)
    mask.scale = 1.0 / (1.0 - rate)
    while row < row_end:
        if 0 < quarter < BLOCK:
            rows = min(row_end - row, BLOCK // quarter)
        begin = 0
        while begin < quarter:
            end = min(begin + BLOCK, quarter)
            dropout_block(y, ldy, x, ldx, row, rows, begin, end, cols, &mask)
            begin = end
        row += rows
        y += rows * ldy
        x += rows * ldx


# ---- permutation -----------------------------------------------------------------

cdef void permutation(
        long long *order, long long n, unsigned long long key, long long epoch) noexcept nogil:
    """Write a random order of 0 ... n - 1, the same for the same key and epoch.

    Fisher and Yates' shuffle from the end. The partner of place i is the high
    half of u * (i + 1), u being the first 64 bits of counter
    (i low, i high, PERMUTATION, epoch): of n < 2**32 numbers none is
    preferred by more than one part in 2**32.
    """
    cdef Words words
    cdef long long i, j, last = n - 1
    cdef int k, count
    cdef uint64 u
    for i in range(n):
        order[i] = i
    while last > 0:
        count = <int> min(last, <long long> BLOCK)
        for k in range(count):
            words.word[0][k] = <uint32> (last - k)
            words.word[1][k] = <uint32> (<uint64> (last - k) >> 32)
            words.word[2][k] = PERMUTATION
            words.word[3][k] = <uint32> epoch
        philox(&words, count, key)
        for k in range(count):
            i = last - k
            u = <uint64> words.word[1][k] << 32 | words.word[0][k]
            j = <long long> (<uint128> u * <uint128> (i + 1) >> 64)
            order[i], order[j] = order[j], order[i]
        last -= count
