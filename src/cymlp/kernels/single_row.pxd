"""A single row times a weight: whole, or without its zeros; and which rows go one by one, too."""
from cymlp.kernels.gemm cimport (
    AHEAD_PANELS, FEATURE_BLOCK, PANEL_BYTES, ROW_PANELS, VEC_BYTES, asks_early, columns_of,
    row_tile)
from cymlp.kernels.real cimport real
from cymlp.kernels.sparse cimport (
    LEAST_WORK, LIST_COST, SPARSE_ROWS, share_of_rows, sparse_count_f32, sparse_count_f64,
    sparse_lists_f32, sparse_lists_f64, turn_t)

cdef extern from "gemm_sparse.h" nogil:
    enum:
        BITS
        SECTION_MOST
    double ALONE_COST
    double FAR_COST
    void sparse_row_tile_f32(
        int panels, Py_ssize_t k, const turn_t *list, const float *a, const float *b,
        Py_ssize_t b_panel, float *c, bint accumulate, const float *bias, bint relu) noexcept
    void sparse_row_tile_f64(
        int panels, Py_ssize_t k, const turn_t *list, const double *a, const double *b,
        Py_ssize_t b_panel, double *c, bint accumulate, const double *bias, bint relu) noexcept

cdef enum:
    LEAST_INPUTS = 32       # of a row whose zeros are left out
    FIRST_INPUTS = 64       # where it is looked for them
    SPARE = 8               # the part of its turns that must be left out for it to pay
    VERY_FEW = 20           # elements are not zero, one of so many: of any number of rows
    LIST = FEATURE_BLOCK + FEATURE_BLOCK // SECTION_MOST + 1 + BITS


cdef inline void whole_row(
    Py_ssize_t panels, Py_ssize_t inputs, const real *x, const real *weight, real *out,
    const real *bias, bint relu, bint far,
) noexcept nogil:
    """One row times some panels, each of which is read from end to end.

    Of weights that are `far` a processor that gains by it is asked for lines early, and for those
    of fewer panels at a time.
    """
    cdef Py_ssize_t full = columns_of(out), apart = full * inputs
    cdef Py_ssize_t panel = 0, count, begin, k
    cdef bint last, ahead = far and asks_early()
    cdef const real *right
    cdef const real *end_bias
    while panel < panels:
        count = min(panels - panel, AHEAD_PANELS if ahead else ROW_PANELS)
        begin = 0
        last = False
        while not last:
            k = min(inputs - begin, FEATURE_BLOCK)
            last = begin + k == inputs
            right = weight + panel * apart + begin * full
            end_bias = bias + panel * full if last and bias != NULL else NULL
            row_tile(count, ahead, k, x + begin, right, apart, out + panel * full, begin > 0,
                     end_bias, relu and last)
            begin += k
        panel += count


cdef inline bint has_zeros(const real *x, Py_ssize_t inputs) noexcept nogil:
    """Whether a single row looks as if it had many, by where it begins."""
    cdef Py_ssize_t some = min(inputs, <Py_ssize_t>FIRST_INPUTS)
    if inputs < LEAST_INPUTS:
        return False
    if real is float:
        return sparse_count_f32(some, x, x) <= some - some // SPARE
    else:
        return sparse_count_f64(some, x, x) <= some - some // SPARE


cdef inline bint row_list(
    const real *x, Py_ssize_t k, turn_t *list,
) noexcept nogil:
    """Lists the turns of a block of a row; returns whether there are so few that it pays."""
    if real is float:
        return sparse_lists_f32(1, k, SECTION_MOST, x, 0, list) <= k - k // SPARE
    else:
        return sparse_lists_f64(1, k, SECTION_MOST, x, 0, list) <= k - k // SPARE


cdef inline void sparse_row_tile(
    int panels, Py_ssize_t k, const turn_t *list, const real *a, const real *b,
    Py_ssize_t b_panel, real *c, bint accumulate, const real *bias, bint relu,
) noexcept nogil:
    """What `row_tile` does, without the turns that are not in the list."""
    if real is float:
        sparse_row_tile_f32(panels, k, list, a, b, b_panel, c, accumulate, bias, relu)
    else:
        sparse_row_tile_f64(panels, k, list, a, b, b_panel, c, accumulate, bias, relu)


cdef inline void sparse_row(
    Py_ssize_t panels, Py_ssize_t inputs, const real *x, const real *weight, real *out,
    const real *bias, bint relu,
) noexcept nogil:
    """One row times some panels of a finite weight, without the row's zeros, block by block."""
    cdef Py_ssize_t full = columns_of(out), apart = full * inputs
    cdef Py_ssize_t begin = 0, panel, count, k
    cdef turn_t list[LIST]
    cdef const real *right
    cdef const real *end_bias
    cdef bint last = False, few
    while not last:
        k = min(inputs - begin, FEATURE_BLOCK)
        last = begin + k == inputs
        few = row_list(x + begin, k, list)
        panel = 0
        while panel < panels:
            count = min(panels - panel, ROW_PANELS)
            right = weight + panel * apart + begin * full
            end_bias = bias + panel * full if last and bias != NULL else NULL
            if few:
                sparse_row_tile(count, k, list, x + begin, right, apart, out + panel * full,
                                begin > 0, end_bias, relu and last)
            else:
                row_tile(count, False, k, x + begin, right, apart, out + panel * full, begin > 0,
                         end_bias, relu and last)
            panel += count
        begin += k


cdef inline bint one_by_one(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t inputs, const real *x, Py_ssize_t ldx, bint far,
) noexcept nogil:
    """Whether it pays to take rows one by one, without their zeros, where the weight is finite.

    Counted as in `leaving_pays`. A tile of few rows waits for the weight, too.
    """
    cdef Py_ssize_t lanes = VEC_BYTES // <Py_ssize_t>sizeof(real)
    cdef double whole = <double>(columns + lanes - 1) / <double>lanes, share
    cdef double alone = FAR_COST if far else ALONE_COST
    if inputs < LEAST_INPUTS or far and VEC_BYTES < PANEL_BYTES:
        return False
    if rows * inputs * (columns // lanes) < (LEAST_WORK if rows < SPARSE_ROWS else 4 * LEAST_WORK):
        return False
    share = share_of_rows(rows, inputs, x, ldx, False)
    if rows >= SPARSE_ROWS:
        return share * VERY_FEW < 1
    return share * whole * alone + LIST_COST < 0.9 * whole * max(1.0, alone / <double>rows)


cdef inline void single_row(
    Py_ssize_t panels, Py_ssize_t inputs, const real *x, const real *weight, real *out,
    const real *bias, bint relu, bint finite, bint far,
) noexcept nogil:
    """One row times some panels of a weight.

    Zeros of the row are left out if the weight is known to be `finite`. But where few panels are
    read side by side (AVX2, four) and the weight is `far`, gaps cost more than what they save, for
    the processor does not foresee them (1.07 of the time, with half of the row zero).
    """
    if finite and (VEC_BYTES == PANEL_BYTES or not far) and has_zeros(x, inputs):
        sparse_row(panels, inputs, x, weight, out, bias, relu)
    else:
        whole_row(panels, inputs, x, weight, out, bias, relu, far)
