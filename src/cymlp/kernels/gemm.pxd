"""Matrix products: the functions of gemm_tile.h, for either element type, tile by tile."""
from cymlp.kernels.real cimport real

cdef extern from "gemm_tile.h" nogil:
    enum:
        PANEL_BYTES
        FAR_BYTES
        ROW_PANELS
        AHEAD_PANELS
        TILE_ROWS
        TILE_VECTORS
        VEC_BYTES
        NARROW_BYTES
        BY_ROWS
        BY_COLUMNS
        PACKED
    ctypedef struct soon_t:
        pass
    Py_ssize_t tiles_of(Py_ssize_t rows, int most) noexcept
    soon_t soon_nothing
    soon_t soon_runs(
        const void *next, Py_ssize_t lines, Py_ssize_t apart, Py_ssize_t runs, Py_ssize_t tiles,
        Py_ssize_t turns, Py_ssize_t second, Py_ssize_t third) noexcept
    void soon_sooner(soon_t *soon, double part) noexcept
    void gemm_column_f32(
        Py_ssize_t rows, int vectors, Py_ssize_t k, const float *a, Py_ssize_t lda, int left,
        const float *b, Py_ssize_t b_k, Py_ssize_t b_panel, float *c, Py_ssize_t ldc,
        Py_ssize_t c_panel, bint accumulate, const float *bias, bint relu, const float *gate,
        Py_ssize_t ldg, const float *next, soon_t *later) noexcept
    void gemm_column_f64(
        Py_ssize_t rows, int vectors, Py_ssize_t k, const double *a, Py_ssize_t lda, int left,
        const double *b, Py_ssize_t b_k, Py_ssize_t b_panel, double *c, Py_ssize_t ldc,
        Py_ssize_t c_panel, bint accumulate, const double *bias, bint relu, const double *gate,
        Py_ssize_t ldg, const double *next, soon_t *later) noexcept
    void gemm_blank_f32(Py_ssize_t rows, int vectors, float *c, Py_ssize_t ldc) noexcept
    void gemm_blank_f64(Py_ssize_t rows, int vectors, double *c, Py_ssize_t ldc) noexcept
    void gemm_pack_f32(Py_ssize_t rows, Py_ssize_t k, float *out, const float *a,
                       Py_ssize_t a_row, Py_ssize_t a_k) noexcept
    void gemm_pack_f64(Py_ssize_t rows, Py_ssize_t k, double *out, const double *a,
                       Py_ssize_t a_row, Py_ssize_t a_k) noexcept
    void row_tile_f32(int panels, bint ahead, Py_ssize_t k, const float *a, const float *b,
                      Py_ssize_t b_panel, float *c, bint accumulate, const float *bias,
                      bint relu) noexcept
    void row_tile_f64(int panels, bint ahead, Py_ssize_t k, const double *a, const double *b,
                      Py_ssize_t b_panel, double *c, bint accumulate, const double *bias,
                      bint relu) noexcept

cdef extern from "gemm_few.h" nogil:
    enum:
        FEW_BESIDE_f32
        FEW_BESIDE_f64
    Py_ssize_t gemm_few_f32(
        Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, const float *a, Py_ssize_t lda,
        const float *b, float *c, Py_ssize_t ldc, bint accumulate, const float *bias, bint relu,
        const float *gate, Py_ssize_t ldg) noexcept
    Py_ssize_t gemm_few_f64(
        Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, const double *a, Py_ssize_t lda,
        const double *b, double *c, Py_ssize_t ldc, bint accumulate, const double *bias, bint relu,
        const double *gate, Py_ssize_t ldg) noexcept

cdef extern from "cache.h" nogil:
    enum:
        NEAR_LEAST
    Py_ssize_t near_bytes() noexcept
    bint asks_early() noexcept


cdef enum:
    FEATURE_BLOCK = 512     # a chain over features is cut here: part of the contract on the bits


cdef inline Py_ssize_t columns_of(real *unused) noexcept nogil:
    """The columns of a panel."""
    return PANEL_BYTES // <Py_ssize_t>sizeof(real)


cdef inline Py_ssize_t blocks_of(Py_ssize_t rows, Py_ssize_t row_bytes) noexcept nogil:
    """In how many blocks rows are taken, so that one stays near."""
    return max((rows * row_bytes + near_bytes() - 1) // near_bytes(), 1)


cdef inline void product(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, const real *a, Py_ssize_t lda, int left,
    const real *b, Py_ssize_t b_k, Py_ssize_t b_panel, real *c, Py_ssize_t ldc, Py_ssize_t c_panel,
    bint accumulate, const real *bias, bint relu, const real *gate, Py_ssize_t ldg, soon_t *later,
) noexcept nogil:
    """Some columns of a product: all rows pass a tile's width of them, then the next.

    Where the right operand needs no help, what comes `later` is brought near meanwhile. The padding
    up to a whole panel becomes zero, without vectors that hold nothing else; where half a vector
    holds the last columns, that is taken.
    """
    cdef Py_ssize_t full = columns_of(c), lanes = VEC_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t narrow = NARROW_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t column = 0, vectors, width
    cdef const real *right
    cdef const real *next
    cdef real *out
    # A small right operand is near after the first rows, and to bring it would only cost; rows that
    # lie far apart are met by no processor's own foresight.
    cdef Py_ssize_t near = near_bytes() if b_k == full else <Py_ssize_t>NEAR_LEAST
    cdef bint far = columns * k * <Py_ssize_t>sizeof(real) > near
    while column < columns:
        vectors = min((columns - column + lanes - 1 - narrow % lanes) // lanes, TILE_VECTORS)
        width = vectors * lanes if vectors else narrow
        next = NULL
        if far and column + width < columns:
            next = b + (column + width) // full * b_panel
        right = b + column // full * b_panel + column % full
        out = c + column // full * c_panel + column % full
        if real is float:
            gemm_column_f32(rows, vectors, k, a, lda, left, right, b_k, b_panel, out, ldc,
                            c_panel, accumulate, NULL if bias == NULL else bias + column, relu,
                            NULL if gate == NULL else gate + column, ldg, next, later)
        else:
            gemm_column_f64(rows, vectors, k, a, lda, left, right, b_k, b_panel, out, ldc,
                            c_panel, accumulate, NULL if bias == NULL else bias + column, relu,
                            NULL if gate == NULL else gate + column, ldg, next, later)
        column += width
    if column % full:
        vectors = (full - column % full) // narrow
        out = c + column // full * c_panel + column % full
        if real is float:
            gemm_blank_f32(rows, vectors, out, ldc)
        else:
            gemm_blank_f64(rows, vectors, out, ldc)


cdef inline bint few_beside(Py_ssize_t columns, real *unused) noexcept nogil:
    """Whether a product's last columns are few, beside whole panels."""
    cdef Py_ssize_t full = columns_of(unused)
    cdef Py_ssize_t most = FEW_BESIDE_f32 if real is float else FEW_BESIDE_f64
    return columns > full and 0 < columns % full <= most


cdef inline Py_ssize_t few_columns(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, const real *a, Py_ssize_t lda,
    const real *b, Py_ssize_t b_panel, real *c, Py_ssize_t ldc, bint accumulate, const real *bias,
    bint relu, const real *gate, Py_ssize_t ldg, soon_t *later,
) noexcept nogil:
    """A last panel's columns, if they are so few that there is a better way; how many are left.

    Its last rows, which make no block, are done as ever.
    """
    cdef Py_ssize_t full = columns_of(c), left = columns // full * full, done
    if left and not few_beside(columns, c):
        return columns
    columns -= left
    b += left // full * b_panel
    c += left
    if bias != NULL:
        bias += left
    if gate != NULL:
        gate += left
    if real is float:
        done = gemm_few_f32(rows, columns, k, a, lda, b, c, ldc, accumulate, bias, relu, gate, ldg)
    else:
        done = gemm_few_f64(rows, columns, k, a, lda, b, c, ldc, accumulate, bias, relu, gate, ldg)
    if done == 0:
        return left + columns
    if done < rows:
        product(rows - done, columns, k, a + done * lda, lda, BY_ROWS, b, full, b_panel,
                c + done * ldc, ldc, full, accumulate, bias, relu,
                NULL if gate == NULL else gate + done * ldg, ldg, later)
    return left


cdef inline soon_t soon_panels(
    const real *next, Py_ssize_t panel, Py_ssize_t lines, Py_ssize_t panels, Py_ssize_t rows,
    Py_ssize_t columns, Py_ssize_t k, Py_ssize_t second, Py_ssize_t third,
) noexcept nogil:
    """So many lines of each of these panels, for the tiles of a product to bring.

    The product's shape is (rows, k) . (k, columns). With each panel the same lines of two others
    come, `second` and `third` elements further (0: none).
    """
    cdef Py_ssize_t width = TILE_VECTORS * VEC_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t tiles = (columns + width - 1) // width * tiles_of(rows, TILE_ROWS)
    return soon_runs(next, lines, panel * sizeof(real), panels, tiles, k, second * sizeof(real),
                     third * sizeof(real))


cdef inline void pack(
    Py_ssize_t rows, Py_ssize_t k, real *out, const real *a, Py_ssize_t a_row, Py_ssize_t a_k,
) noexcept nogil:
    """A left operand copied together, as `product` reads it."""
    if real is float:
        gemm_pack_f32(rows, k, out, a, a_row, a_k)
    else:
        gemm_pack_f64(rows, k, out, a, a_row, a_k)


cdef inline void row_tile(
    int panels, bint ahead, Py_ssize_t k, const real *a, const real *b, Py_ssize_t b_panel,
    real *c, bint accumulate, const real *bias, bint relu,
) noexcept nogil:
    """A single row times some panels."""
    if real is float:
        row_tile_f32(panels, ahead, k, a, b, b_panel, c, accumulate, bias, relu)
    else:
        row_tile_f64(panels, ahead, k, a, b, b_panel, c, accumulate, bias, relu)
