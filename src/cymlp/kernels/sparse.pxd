"""Products that leave out zeros: the functions of gemm_sparse.h, and where they pay.

Which way is taken changes no bit, for all that is left out are terms of zero.
"""
from cymlp.kernels.gemm cimport (
    VEC_BYTES, columns_of, few_beside, near_bytes, soon_t, tiles_of)
from cymlp.kernels.real cimport real

cdef extern from "gemm_sparse.h" nogil:
    enum:
        PAIR
        SPARSE_PANELS
    double LIST_COST
    ctypedef unsigned char turn_t
    Py_ssize_t section_of(Py_ssize_t k, Py_ssize_t panels) noexcept
    Py_ssize_t sparse_count_f32(Py_ssize_t k, const float *one, const float *other) noexcept
    Py_ssize_t sparse_count_f64(Py_ssize_t k, const double *one, const double *other) noexcept
    Py_ssize_t sparse_beside_f32(Py_ssize_t k, const float *row) noexcept
    Py_ssize_t sparse_beside_f64(Py_ssize_t k, const double *row) noexcept
    Py_ssize_t sparse_lists_f32(Py_ssize_t rows, Py_ssize_t k, Py_ssize_t section, const float *a,
                                Py_ssize_t lda, turn_t *lists) noexcept
    Py_ssize_t sparse_lists_f64(Py_ssize_t rows, Py_ssize_t k, Py_ssize_t section, const double *a,
                                Py_ssize_t lda, turn_t *lists) noexcept
    void gemm_sparse_f32(
        Py_ssize_t rows, int panels, Py_ssize_t k, Py_ssize_t section, const turn_t *list,
        Py_ssize_t turns, float *between, const float *a, Py_ssize_t lda, const float *b,
        Py_ssize_t b_k, Py_ssize_t b_panel, float *c, Py_ssize_t ldc, Py_ssize_t c_panel,
        bint accumulate, const float *bias, bint relu, const float *gate, Py_ssize_t ldg,
        bint known, const float *next, soon_t *later) noexcept
    void gemm_sparse_f64(
        Py_ssize_t rows, int panels, Py_ssize_t k, Py_ssize_t section, const turn_t *list,
        Py_ssize_t turns, double *between, const double *a, Py_ssize_t lda, const double *b,
        Py_ssize_t b_k, Py_ssize_t b_panel, double *c, Py_ssize_t ldc, Py_ssize_t c_panel,
        bint accumulate, const double *bias, bint relu, const double *gate, Py_ssize_t ldg,
        bint known, const double *next, soon_t *later) noexcept
    bint sparse_finite_f32(Py_ssize_t k, Py_ssize_t panels, const float *b, Py_ssize_t b_k,
                           Py_ssize_t b_panel) noexcept
    bint sparse_finite_f64(Py_ssize_t k, Py_ssize_t panels, const double *b, Py_ssize_t b_k,
                           Py_ssize_t b_panel) noexcept

cdef enum:
    PART_ROWS = 128         # are taken at a time
    # Of scratch memory: their lists, and the sums that wait between two sections.
    LIST_BYTES = 36 << 10
    SPARSE_BYTES = LIST_BYTES + (64 << 10)
    SAMPLES = 4             # pairs of rows that are looked at first; of columns, rows
    LEAST_SAMPLE = 64       # turns of each
    SECTION_COST = 24       # to begin and end one, in multiply-adds of a register for each row
    CHAINS = 8              # of multiply-adds, so that none waits for another
    TURN_COST = 1           # of an element
    WAITING_ROWS = 64       # fewer wait for a weight that comes from far away
    SPARSE_ROWS = 16        # least size of a product whose left operand is looked at
    SPARSE_TURNS = 32
    LEAST_WORK = 16 << 10   # in multiply-adds of a register


cdef inline double share_of_rows(
    Py_ssize_t rows, Py_ssize_t k, const real *a, Py_ssize_t lda, bint pairs,
) noexcept nogil:
    """The share of turns that pairs of rows, or rows alone, cannot leave out, by a part of some."""
    cdef Py_ssize_t each = min(k, <Py_ssize_t>LEAST_SAMPLE), count = 0, i
    cdef const real *row
    if pairs:
        each = max(k // SAMPLES, each)
    for i in range(SAMPLES):
        row = a + rows * i // SAMPLES * lda + (k - each) * i // (SAMPLES - 1)
        if real is float:
            count += sparse_count_f32(each, row, row + lda if pairs else row)
        else:
            count += sparse_count_f64(each, row, row + lda if pairs else row)
    return <double>count / <double>(SAMPLES * each)


cdef inline double share_of_columns(
    Py_ssize_t columns, Py_ssize_t rows, const real *x, Py_ssize_t ldx,
) noexcept nogil:
    """The share of rows that pairs of columns cannot leave out, by some rows."""
    cdef Py_ssize_t count = 0, i
    for i in range(SAMPLES):
        if real is float:
            count += sparse_beside_f32(columns, x + rows * i // SAMPLES * ldx)
        else:
            count += sparse_beside_f64(columns, x + rows * i // SAMPLES * ldx)
    return <double>(PAIR * count) / <double>(SAMPLES * columns)


cdef inline bint large_enough(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, real *unused,
) noexcept nogil:
    """Whether a product is worth a look at its left operand."""
    cdef Py_ssize_t lanes = VEC_BYTES // <Py_ssize_t>sizeof(real)
    return (rows >= SPARSE_ROWS and k >= SPARSE_TURNS and columns > lanes
            and rows * k * (columns // lanes) >= LEAST_WORK)


cdef inline Py_ssize_t section_for(Py_ssize_t panels, Py_ssize_t k) noexcept nogil:
    """The turns of a section, where so many panels are taken in even groups."""
    cdef Py_ssize_t groups = tiles_of(panels, SPARSE_PANELS)
    return section_of(k, (panels + groups - 1) // groups)


cdef inline bint leaving_pays(
    double share, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, bint turned, bint waits,
    real *unused,
) noexcept nogil:
    """Whether it pays to leave zeros out, if so large a share of the turns is left.

    Counted in multiply-adds of a register for each element of the left operand: those of the turns
    that are left (in few registers they wait for each other), their places in lists, to begin and
    end the sections, to look at the right operand, and to turn the left one. Otherwise the last
    columns cost half a register where they are few. Where it `waits` for memory, it matters less
    what is done meanwhile.
    """
    cdef Py_ssize_t lanes = VEC_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t full = columns_of(unused), panels = (columns + full - 1) // full
    cdef Py_ssize_t groups = tiles_of(panels, SPARSE_PANELS), section = section_for(panels, k)
    cdef double whole = <double>(columns + lanes - 1) / <double>lanes
    cdef double left = share * max(whole, <double>(CHAINS // PAIR)) + LIST_COST
    cdef double plain = whole - 0.5 if few_beside(columns, unused) else whole
    left += <double>(SECTION_COST * groups) / <double>section + 2 * whole / <double>rows
    if turned:
        left += TURN_COST
    if waits:
        left += whole / 4
    return left < 0.95 * plain


cdef inline void sparse_part(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, const real *a, Py_ssize_t lda,
    const real *b, Py_ssize_t b_k, Py_ssize_t b_panel, real *c, Py_ssize_t ldc, Py_ssize_t c_panel,
    bint accumulate, const real *bias, bint relu, const real *gate, Py_ssize_t ldg, bint far,
    bint finite, soon_t *later, turn_t *lists,
) noexcept nogil:
    """As many rows as there is room for their lists."""
    cdef Py_ssize_t full = columns_of(c), panels = (columns + full - 1) // full, panel = 0
    cdef Py_ssize_t groups = tiles_of(panels, SPARSE_PANELS), section = section_for(panels, k)
    cdef Py_ssize_t turns, count, column
    cdef real *between = <real *>(lists + LIST_BYTES)
    cdef bint brings = far and columns * k * <Py_ssize_t>sizeof(real) > near_bytes()
    cdef const real *next
    if real is float:
        turns = sparse_lists_f32(rows, k, section, a, lda, lists)
    else:
        turns = sparse_lists_f64(rows, k, section, a, lda, lists)
    while panel < panels:
        count = (panels - panel + groups - 1) // groups
        groups -= 1
        column = panel * full
        next = b + (panel + count if panel + count < panels else 0) * b_panel if brings else NULL
        if real is float:
            gemm_sparse_f32(rows, count, k, section, lists, turns, between, a, lda,
                            b + panel * b_panel, b_k, b_panel,
                            c + panel * c_panel, ldc, c_panel, accumulate,
                            NULL if bias == NULL else bias + column, relu,
                            NULL if gate == NULL else gate + column, ldg, finite, next, later)
        else:
            gemm_sparse_f64(rows, count, k, section, lists, turns, between, a, lda,
                            b + panel * b_panel, b_k, b_panel,
                            c + panel * c_panel, ldc, c_panel, accumulate,
                            NULL if bias == NULL else bias + column, relu,
                            NULL if gate == NULL else gate + column, ldg, finite, next, later)
        panel += count


cdef inline void sparse_product(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, const real *a, Py_ssize_t lda,
    const real *b, Py_ssize_t b_k, Py_ssize_t b_panel, real *c, Py_ssize_t ldc, Py_ssize_t c_panel,
    bint accumulate, const real *bias, bint relu, const real *gate, Py_ssize_t ldg, bint far,
    bint finite, soon_t *later, turn_t *lists,
) noexcept nogil:
    """What `product` does, of a left operand BY_ROWS, without what pairs of rows leave out.

    Of panels that come from `far` away each section is asked for while the one before is worked on:
    from the second cache they come in time, and to ask for them would take a tenth of 32 rows. Where
    the right operand is not known to be `finite`, it is looked at. `lists` has room for SPARSE_BYTES.
    """
    cdef Py_ssize_t parts = tiles_of(rows, PART_ROWS), part, row = 0, end
    for part in range(parts):
        end = rows if part == parts - 1 else rows * (part + 1) // parts // PAIR * PAIR
        sparse_part(end - row, columns, k, a + row * lda, lda, b, b_k, b_panel, c + row * ldc, ldc,
                    c_panel, accumulate, bias, relu, NULL if gate == NULL else gate + row * ldg,
                    ldg, far, finite, later, lists)
        row = end
