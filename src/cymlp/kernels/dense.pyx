"""Dense layers: forward, gradient by input, gradient by weight and bias, and the weights' layout.

Each product hands tiles of 6 or 12 rows to `gemm_tile.h`; what stands here is the order in which
the tiles are walked. The cuts of the long dimension (``FEATURE_BLOCK``, ``ROW_BLOCK``) are part of the
contract on the bits; everything else may be cut in any way.
"""
from libc.string cimport memcpy

from cymlp.kernels.real cimport real

cdef extern from "gemm_tile.h" nogil:
    enum:
        TILE_ROWS
        TALL_ROWS
        PAIR_VECTORS
        TILE_VECTORS
        VEC_BYTES
    void gemm_tile_f32(int rows, int vectors, Py_ssize_t k, const float *a, Py_ssize_t a_row,
                       Py_ssize_t a_k, const float *b, Py_ssize_t b_k, float *c,
                       Py_ssize_t ldc, bint accumulate, const float *bias, bint relu,
                       const float *gate, Py_ssize_t ldg) noexcept
    void gemm_tile_f64(int rows, int vectors, Py_ssize_t k, const double *a, Py_ssize_t a_row,
                       Py_ssize_t a_k, const double *b, Py_ssize_t b_k, double *c,
                       Py_ssize_t ldc, bint accumulate, const double *bias, bint relu,
                       const double *gate, Py_ssize_t ldg) noexcept

    void row_pair_f32(Py_ssize_t k, const float *a, const float *b, const float *other,
                      Py_ssize_t b_k, float *c, bint accumulate, const float *bias,
                      bint relu) noexcept
    void row_pair_f64(Py_ssize_t k, const double *a, const double *b, const double *other,
                      Py_ssize_t b_k, double *c, bint accumulate, const double *bias,
                      bint relu) noexcept

cdef extern from "transpose.h" nogil:
    enum:
        BLOCK_F32
        BLOCK_F64
    void transpose_4_f32(float *out, Py_ssize_t ldo, const float *x, Py_ssize_t ldx) noexcept
    void transpose_4_f64(double *out, Py_ssize_t ldo, const double *x, Py_ssize_t ldx) noexcept
    void transpose_block_f32(float *out, Py_ssize_t ldo, const float *x, Py_ssize_t ldx) noexcept
    void transpose_block_f64(double *out, Py_ssize_t ldo, const double *x, Py_ssize_t ldx) noexcept

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *place) noexcept nogil

cdef enum:
    PANEL_BYTES = 256
    GRANULE_BYTES = 64
    FEATURE_BLOCK = 512     # a chain over features is cut here
    FAR_BYTES = 1 << 20     # a block of x from this size on is not in a near cache
    ROW_BLOCK = 256         # a chain over the rows of a batch is cut here
    LONG_PANEL = 128        # rows of a panel from which two at a time are faster


cdef inline Py_ssize_t panel_width(Py_ssize_t panel, Py_ssize_t columns, Py_ssize_t item) noexcept nogil:
    """The columns of a panel, padding included; `item` is the size of an element in bytes."""
    cdef Py_ssize_t full = PANEL_BYTES // item, granule = GRANULE_BYTES // item
    cdef Py_ssize_t left = columns - panel * full
    return full if left >= full else (left + granule - 1) // granule * granule


cdef inline Py_ssize_t tile_rows(Py_ssize_t width, Py_ssize_t item) noexcept nogil:
    """How high a tile of a panel of so many columns may be."""
    return TALL_ROWS if width * item == VEC_BYTES else TILE_ROWS


cdef inline void strip(
    Py_ssize_t rows, Py_ssize_t width, Py_ssize_t k, const real *a, Py_ssize_t a_row,
    Py_ssize_t a_k, const real *b, Py_ssize_t b_k, real *c, Py_ssize_t ldc, bint accumulate,
    const real *bias, bint relu, const real *gate, Py_ssize_t ldg,
) noexcept nogil:
    """One panel of a product: any number of rows, cut into tiles of even height.

    32 rows are cut as 6, 6, 5, 5, 5, 5: a last tile of two rows would waste its registers.
    """
    cdef Py_ssize_t lanes = VEC_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t most = tile_rows(width, sizeof(real))
    cdef Py_ssize_t tiles = (rows + most - 1) // most
    cdef Py_ssize_t t, row = 0, height, column, vectors
    for t in range(tiles):
        height = (rows - row) // (tiles - t) + ((rows - row) % (tiles - t) != 0)
        column = 0
        while column < width:
            vectors = min((width - column) // lanes, TILE_VECTORS)
            if real is float:
                gemm_tile_f32(height, vectors, k, a + row * a_row, a_row, a_k, b + column, b_k,
                              c + row * ldc + column, ldc, accumulate,
                              NULL if bias == NULL else bias + column, relu,
                              NULL if gate == NULL else gate + row * ldg + column, ldg)
            else:
                gemm_tile_f64(height, vectors, k, a + row * a_row, a_row, a_k, b + column, b_k,
                              c + row * ldc + column, ldc, accumulate,
                              NULL if bias == NULL else bias + column, relu,
                              NULL if gate == NULL else gate + row * ldg + column, ldg)
            column += vectors * lanes
        row += height


cdef inline Py_ssize_t row_pairs(
    Py_ssize_t k, const real *x, const real *weight, Py_ssize_t panel_step, real *out,
    bint accumulate, const real *bias, bint relu, Py_ssize_t panels,
) noexcept nogil:
    """One row times as many of some full panels as pairs can be made of; returns their number.

    Where half a pair fills a panel, the other half is the next panel's; of short panels, which
    the processor begins before the last one is over, that gains nothing.
    """
    cdef Py_ssize_t full = PANEL_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t half = PAIR_VECTORS // 2 * (VEC_BYTES // <Py_ssize_t>sizeof(real))
    cdef Py_ssize_t done = panels * full // (2 * half) * (2 * half), column = 0
    cdef const real *first
    cdef const real *other
    if half == full and k < LONG_PANEL:
        return 0
    while column < done:
        first = weight + column // full * panel_step + column % full
        other = weight + (column + half) // full * panel_step + (column + half) % full
        if real is float:
            row_pair_f32(k, x, first, other, full, out + column, accumulate,
                         NULL if bias == NULL else bias + column, relu)
        else:
            row_pair_f64(k, x, first, other, full, out + column, accumulate,
                         NULL if bias == NULL else bias + column, relu)
        column += 2 * half
    return done // full


cdef void dense_forward(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, const real *weight,
    const real *bias, bint relu, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
    Py_ssize_t panel_begin, Py_ssize_t panel_end,
) noexcept nogil:
    """out (rows, outputs) = x (rows, inputs) . weight + bias, for the given panels of outputs.

    With `relu`, what is below zero becomes zero.
    """
    cdef Py_ssize_t full = PANEL_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t begin = 0, k, panel, first, width
    cdef bint last
    while True:
        k = min(inputs - begin, FEATURE_BLOCK)
        last = begin + k == inputs
        first = panel_begin
        if rows == 1:
            first += row_pairs(k, x + begin, weight + (first * inputs + begin) * full,
                               full * inputs, out + first * full, begin > 0,
                               bias + first * full if last and bias != NULL else NULL,
                               relu and last, min(panel_end, outputs // full) - first)
        for panel in range(first, panel_end):
            width = panel_width(panel, outputs, sizeof(real))
            strip(rows, width, k, x + begin, ldx, 1,
                  weight + panel * full * inputs + begin * width, width,
                  out + panel * full, ldo, begin > 0,
                  bias + panel * full if last and bias != NULL else NULL, relu and last, NULL, 0)
        begin += k
        if last:
            return


cdef inline void transpose_block(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx) noexcept nogil:
    if real is float:
        transpose_block_f32(out, ldo, x, ldx)
    else:
        transpose_block_f64(out, ldo, x, ldx)


cdef inline void transpose_4(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx) noexcept nogil:
    if real is float:
        transpose_4_f32(out, ldo, x, ldx)
    else:
        transpose_4_f64(out, ldo, x, ldx)


cdef inline void pack_transposed(
    real *packed, Py_ssize_t width, const real *weight, Py_ssize_t inputs, Py_ssize_t outputs,
    Py_ssize_t input_begin, Py_ssize_t output_begin, Py_ssize_t output_end,
) noexcept nogil:
    """packed (outputs of the block, width) = the transpose of `width` rows of the weight.

    Rows beyond `inputs` become zero. The weight is read as it lies in memory, and its padding is
    taken along with its last columns: `packed` has room for whole granules.
    """
    cdef Py_ssize_t full = PANEL_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t size = BLOCK_F32 if real is float else BLOCK_F64
    cdef Py_ssize_t count = min(width, inputs - input_begin)
    cdef Py_ssize_t output = output_begin, columns, input, i
    cdef const real *source
    cdef real *target
    while output < output_end:
        columns = panel_width(output // full, outputs, sizeof(real))
        source = weight + output * inputs + input_begin * columns
        target = packed + (output - output_begin) * width
        input = 0
        while input + size <= count:
            for i in range(columns // size):
                transpose_block(target + i * size * width + input, width,
                                source + input * columns + i * size, columns)
            input += size
        while input + 4 <= count:
            for i in range(columns // 4):
                transpose_4(target + 4 * i * width + input, width,
                            source + input * columns + 4 * i, columns)
            input += 4
        while input < width:
            for i in range(columns):
                target[i * width + input] = source[input * columns + i] if input < count else 0
            input += 1
        output += full


cdef void dense_backward_input(
    real *dx, Py_ssize_t lddx, const real *dz, Py_ssize_t ldz, const real *weight,
    const real *gate, Py_ssize_t ldg, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
    Py_ssize_t panel_begin, Py_ssize_t panel_end, real *scratch,
) noexcept nogil:
    """dx (rows, inputs) = dz (rows, outputs) . weight^T, for the given panels of inputs.

    With a `gate` of dx's shape, the output of relu, dx becomes zero where it is not above zero.
    `scratch` holds FEATURE_BLOCK * PANEL_BYTES bytes: one block of the transposed weight.
    """
    cdef Py_ssize_t full = PANEL_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t panel, begin, k, width
    cdef bint last
    for panel in range(panel_begin, panel_end):
        width = panel_width(panel, inputs, sizeof(real))
        begin = 0
        while begin < outputs:
            k = min(outputs - begin, FEATURE_BLOCK)
            pack_transposed(scratch, width, weight, inputs, outputs, panel * full, begin, begin + k)
            last = begin + k == outputs
            strip(rows, width, k, dz + begin, ldz, 1, scratch, width, dx + panel * full, lddx,
                  begin > 0, NULL, False,
                  gate + panel * full if last and gate != NULL else NULL, ldg)
            begin += k


cdef inline void prefetch_rows(
    const real *x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Have some columns of some rows brought near."""
    cdef Py_ssize_t row, column
    for row in range(rows):
        column = 0
        while column < columns:
            prefetch(x + row * ldx + column)
            column += GRANULE_BYTES // <Py_ssize_t>sizeof(real)


cdef inline void strip_far(
    Py_ssize_t inputs, Py_ssize_t width, Py_ssize_t k, const real *x, Py_ssize_t ldx,
    const real *dz, Py_ssize_t ldz, real *dweight, bint accumulate, const real *next,
    real *scratch,
) noexcept nogil:
    """A block of rows of a weight's gradient where the rows of x are far apart.

    Walking down a few columns of x misses every cache and no processor foresees it. So the block is
    copied together first; and while its tiles are computed, the next one is brought near.
    """
    cdef Py_ssize_t most = tile_rows(width, sizeof(real))
    cdef Py_ssize_t row, input, count, share = (k * most + inputs - 1) // inputs
    for row in range(k):
        memcpy(scratch + row * inputs, x + row * ldx, inputs * sizeof(real))
    row = input = 0
    while input < inputs:
        if next != NULL:
            prefetch_rows(next + row * ldx, ldx, min(share, k - row), inputs)
            row = min(row + share, k)
        count = min(inputs - input, most)
        strip(count, width, k, scratch + input, 1, inputs, dz, ldz, dweight + input * width, width,
              accumulate, NULL, False, NULL, 0)
        input += count


cdef void dense_backward_weight(
    real *dweight, const real *x, Py_ssize_t ldx, const real *dz, Py_ssize_t ldz,
    Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate,
    Py_ssize_t panel, Py_ssize_t input_begin, Py_ssize_t input_end, real *scratch,
) noexcept nogil:
    """dweight (+)= x^T (inputs, rows) . dz (rows, outputs) for some inputs of one panel.

    `dweight` points at the first of these inputs' rows in the panel. With `accumulate` the sums are
    added to what is there: batches that come in pieces of whole row blocks give the same bits.
    `scratch` holds ROW_BLOCK rows of these inputs.
    """
    cdef Py_ssize_t full = PANEL_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t width = panel_width(panel, outputs, sizeof(real))
    cdef Py_ssize_t part = input_end - input_begin
    cdef Py_ssize_t begin = 0, k
    cdef const real *next
    x += input_begin
    dz += panel * full
    while True:
        k = min(rows - begin, ROW_BLOCK)
        if k * ldx * <Py_ssize_t>sizeof(real) < FAR_BYTES:
            strip(part, width, k, x + begin * ldx, 1, ldx, dz + begin * ldz, ldz, dweight, width,
                  accumulate or begin > 0, NULL, False, NULL, 0)
        else:
            next = x + (begin + k) * ldx
            if begin + 2 * k > rows:        # then comes the next piece of the weight
                next = x + part if input_end + part <= inputs else NULL
            strip_far(part, width, k, x + begin * ldx, ldx, dz + begin * ldz, ldz, dweight,
                      accumulate or begin > 0, next, scratch)
        begin += k
        if begin >= rows:
            return


cdef void dense_backward_bias(
    real *dbias, const real *dz, Py_ssize_t ldz, Py_ssize_t outputs, Py_ssize_t rows,
    bint accumulate,
) noexcept nogil:
    """dbias (+)= the sum of dz over its rows: a weight's gradient whose input is always one."""
    cdef real one = 1
    cdef Py_ssize_t begin = 0, k
    while True:
        k = min(rows - begin, ROW_BLOCK)
        strip(1, outputs, k, &one, 0, 0, dz + begin * ldz, ldz, dbias, outputs,
              accumulate or begin > 0, NULL, False, NULL, 0)
        begin += k
        if begin >= rows:
            return


cdef void pack_panels(
    real *panels, const real *weight, Py_ssize_t row_stride, Py_ssize_t column_stride,
    Py_ssize_t inputs, Py_ssize_t outputs,
) noexcept nogil:
    """Lay a strided (inputs, outputs) matrix out in panels; the padding becomes zero."""
    cdef Py_ssize_t full = PANEL_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t panel, width, count, row, column
    cdef const real *source
    cdef real *target
    for panel in range((outputs + full - 1) // full):
        width = panel_width(panel, outputs, sizeof(real))
        count = min(full, outputs - panel * full)
        for row in range(inputs):
            source = weight + row * row_stride + panel * full * column_stride
            target = panels + panel * full * inputs + row * width
            for column in range(count):
                target[column] = source[column * column_stride]
            for column in range(count, width):
                target[column] = 0


cdef void unpack_panels(
    real *weight, Py_ssize_t row_stride, Py_ssize_t column_stride, const real *panels,
    Py_ssize_t inputs, Py_ssize_t outputs,
) noexcept nogil:
    """The inverse of `pack_panels`."""
    cdef Py_ssize_t full = PANEL_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t panel, width, count, row, column
    cdef const real *source
    cdef real *target
    for panel in range((outputs + full - 1) // full):
        width = panel_width(panel, outputs, sizeof(real))
        count = min(full, outputs - panel * full)
        for row in range(inputs):
            source = panels + panel * full * inputs + row * width
            target = weight + row * row_stride + panel * full * column_stride
            for column in range(count):
                target[column * column_stride] = source[column]
