"""Dense layers: forward, gradient by input, gradient by weight and bias, and the weights' layout.

What stands here is the order of the products (`gemm.pxd`, `sparse.pxd`, `single_row.pxd`), and what
is laid out anew for them. The cuts of the long dimension (``FEATURE_BLOCK``, ``ROW_BLOCK``) are
part of the contract on the bits; everything else may be cut in any way.
"""
from libc.string cimport memset

from cymlp.kernels.gemm cimport (
    BY_COLUMNS, BY_ROWS, FAR_BYTES, FEATURE_BLOCK, NARROW_BYTES, PACKED, TILE_VECTORS, VEC_BYTES,
    blocks_of, columns_of, few_columns, pack, product, soon_nothing, soon_panels, soon_runs,
    soon_sooner, soon_t)
from cymlp.kernels.real cimport real
from cymlp.kernels.single_row cimport one_by_one, single_row, sparse_row
from cymlp.kernels.sparse cimport (
    SPARSE_BYTES, WAITING_ROWS, large_enough, leaving_pays, share_of_columns, share_of_rows,
    sparse_finite_f32, sparse_finite_f64, sparse_product, turn_t)
from cymlp.kernels.transpose cimport (
    BLOCK_F32, BLOCK_F64, pack_transposed, transpose_4, transpose_block, transposed_panel)

cdef extern from "sums.h" nogil:
    void column_sums_f32(Py_ssize_t rows, Py_ssize_t vectors, const float *x, Py_ssize_t ldx,
                         float *out, bint accumulate) noexcept
    void column_sums_f64(Py_ssize_t rows, Py_ssize_t vectors, const double *x, Py_ssize_t ldx,
                         double *out, bint accumulate) noexcept

cdef enum:
    ROW_BLOCK = 128         # a chain over the rows of a batch is cut here
    PACK_PANELS = 60        # from here on it pays to copy a product's rows together
    PACK_ROWS = 96
    GROUP_PANELS = 16       # of transposed weights that are packed at a time
    TURNING = 16            # what it costs to turn a row of a panel, in multiply-adds
    FEW_ROWS = 256          # for no more than these it is half as many, and the next ones come near
    FAR_WEIGHT_BYTES = 2 << 20  # hardly a second cache holds a weight of this size


cdef inline real *behind_lists(real *scratch) noexcept nogil:
    """Scratch memory, of which lists of turns take the first part."""
    return scratch + SPARSE_BYTES // sizeof(real)


cdef inline void rows_product(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k, const real *a, Py_ssize_t lda,
    const real *b, Py_ssize_t b_panel, real *c, Py_ssize_t ldc, bint accumulate, const real *bias,
    bint relu, const real *gate, Py_ssize_t ldg, bint far, bint finite, soon_t *later,
    turn_t *lists, real *packed,
) noexcept nogil:
    """A product of rows and panels that leaves zeros out if it pays.

    The panels may come from `far` away, and be known to be `finite`. `lists` has room for
    SPARSE_BYTES, or is NULL: nothing is left out. If nothing is, and `packed` is not NULL, the rows
    are copied together there first.
    """
    cdef Py_ssize_t full = columns_of(c)
    cdef double share
    if lists != NULL and large_enough(rows, columns, k, c):
        share = share_of_rows(rows, k, a, lda, True)
        if leaving_pays(share, rows, columns, k, False, far and rows < WAITING_ROWS, c):
            soon_sooner(later, share)
            sparse_product(rows, columns, k, a, lda, b, full, b_panel, c, ldc, full, accumulate,
                           bias, relu, gate, ldg, far, finite, later, lists)
            return
    if packed != NULL:
        pack(rows, k, packed, a, lda, 1)
    elif columns < PACK_PANELS * full:      # beside more of them a few columns hardly count
        columns = few_columns(rows, columns, k, a, lda, b, b_panel, c, ldc, accumulate, bias, relu,
                              gate, ldg, later)
    product(rows, columns, k, a if packed == NULL else <const real *>packed, lda,
            BY_ROWS if packed == NULL else PACKED, b, full, b_panel, c, ldc, full, accumulate,
            bias, relu, gate, ldg, later)


cdef void dense_forward(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, const real *weight,
    const real *bias, bint relu, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
    Py_ssize_t panel_begin, Py_ssize_t panel_end, bint finite, real *scratch,
) noexcept nogil:
    """out (rows, outputs) = x (rows, inputs) . weight + bias, for the given panels of outputs.

    With `relu`, what is below zero becomes zero. Where so many rows pass so many panels that it
    pays, rows are copied together for the tiles. `scratch` holds SPARSE_BYTES, and for such rows
    NEAR_MOST and one row's block more; with NULL nothing is copied, and of several rows no zero
    left out. Whether the weight is `finite`, if it is not known, is looked at for 16 rows or more;
    of fewer zeros are left out only if it is known.
    """
    cdef Py_ssize_t full = columns_of(out), panels = panel_end - panel_begin
    cdef Py_ssize_t columns, begin = 0, k, block, blocks, row, end
    cdef turn_t *lists = <turn_t *>scratch
    cdef real *packed = NULL
    cdef bint last, far = inputs * outputs * <Py_ssize_t>sizeof(real) > FAR_WEIGHT_BYTES
    weight += panel_begin * full * inputs
    out += panel_begin * full
    if bias != NULL:
        bias += panel_begin * full
    if rows == 1:
        single_row(panels, inputs, x, weight, out, bias, relu, finite, far)
        return
    columns = min(outputs - panel_begin * full, panels * full)
    if scratch != NULL and panels >= PACK_PANELS and rows >= PACK_ROWS:
        packed = behind_lists(scratch)
    if finite and one_by_one(rows, columns, inputs, x, ldx, far):
        for row in range(rows):
            sparse_row(panels, inputs, x + row * ldx, weight, out + row * ldo, bias, relu)
        return
    while True:
        k = min(inputs - begin, FEATURE_BLOCK)
        last = begin + k == inputs
        blocks = blocks_of(rows, k * sizeof(real))
        row = 0
        for block in range(blocks):
            end = rows * (block + 1) // blocks
            rows_product(end - row, columns, k, x + row * ldx + begin, ldx, weight + begin * full,
                         full * inputs, out + row * ldo, ldo, begin > 0, bias if last else NULL,
                         relu and last, NULL, 0, far, finite, &soon_nothing, lists, packed)
            row = end
        begin += k
        if last:
            return


cdef void turn_rows(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """out (columns, rows) = the transpose of x (rows, columns).

    It goes on with zeros to a multiple of 64 bytes, and whole blocks are turned where x does not
    end within them: out has a multiple of 64 bytes both ways.
    """
    cdef Py_ssize_t full = columns_of(out), most = BLOCK_F32 if real is float else BLOCK_F64
    cdef Py_ssize_t beside = (rows + full - 1) // full * full, end = (rows - 1) * ldx + columns
    cdef Py_ssize_t column = 0, size, row, r, c
    cdef const real *block
    while column < columns:
        size = 4 if columns - column <= 4 else most
        row = 0
        while row < beside:
            block = x + row * ldx + column
            if row + size <= rows and (row + size - 1) * ldx + column + size <= end:
                if size == 4:
                    transpose_4(out + row, ldo, block, ldx)
                else:
                    transpose_block(out + row, ldo, block, ldx)
            else:
                for c in range(min(columns - column, size)):
                    for r in range(size):
                        out[c * ldo + row + r] = block[r * ldx + c] if row + r < rows else 0
            row += size
        column += size
        out += size * ldo


cdef void dense_turned(
    real *out, Py_ssize_t ldo, const real *x, Py_ssize_t ldx, const real *weight, const real *bias,
    bint relu, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
) noexcept nogil:
    """out (outputs, rows) = weight^T . x (inputs, rows) + bias, on turned rows.

    With `relu`, what is below zero becomes zero. `inputs` are no more than a chain may be long, and
    `rows` a multiple of 64 bytes'. A bias lies there first and the products are added to it, which
    is the same sum the other way round.
    """
    cdef Py_ssize_t full = columns_of(out), first = 0, count, output, row
    while first < outputs:
        count = min(outputs - first, full)
        if bias != NULL:
            for output in range(count):
                for row in range(rows):
                    out[output * ldo + row] = bias[first + output] + 0     # not -0: gemm_tile.h
        product(count, rows, inputs, weight, full, BY_COLUMNS, x, ldx, full, out, ldo, full,
                bias != NULL, NULL, relu, NULL, 0, &soon_nothing)
        first += count
        weight += full * inputs
        out += full * ldo


cdef inline void transposed_product(
    real *dx, Py_ssize_t lddx, const real *dz, Py_ssize_t ldz, const real *packed,
    const real *gate, Py_ssize_t ldg, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t k,
    bint accumulate, const real *later, Py_ssize_t panel, bint far, turn_t *lists,
) noexcept nogil:
    """All rows times a packed block of a weight, which comes from `far` away.

    The block of which `later` is the first line, with `panel` elements from panel to panel of
    outputs, is brought near with the last rows; NULL: none is.
    """
    cdef Py_ssize_t full = columns_of(dx), blocks = blocks_of(rows, k * sizeof(real))
    cdef Py_ssize_t row = 0, block, end
    cdef soon_t soon
    cdef bint near
    for block in range(blocks):
        end = rows * (block + 1) // blocks
        near = later != NULL and block == blocks - 1
        if near:
            soon = soon_panels(later, 3 * panel, columns, (k + 3 * full - 1) // (3 * full),
                               end - row, columns, k, panel, 2 * panel)
        rows_product(end - row, columns, k, dz + row * ldz, ldz, packed, transposed_panel(dx, k),
                     dx + row * lddx, lddx, accumulate, <const real *>NULL, False,
                     NULL if gate == NULL else gate + row * ldg, ldg,
                     far, False, &soon if near else &soon_nothing, lists, <real *>NULL)
        row = end


cdef void dense_backward_input(
    real *dx, Py_ssize_t lddx, const real *dz, Py_ssize_t ldz, const real *weight,
    const real *gate, Py_ssize_t ldg, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
    Py_ssize_t panel_begin, Py_ssize_t panel_end, real *scratch,
) noexcept nogil:
    """dx (rows, inputs) = dz (rows, outputs) . weight^T, for the given panels of inputs.

    With a `gate` of dx's shape, the output of relu, dx becomes zero where it is not above zero.
    `scratch` holds SPARSE_BYTES, then GROUP_PANELS panels of FEATURE_BLOCK rows, or as many as
    there are, with SKEW_ROWS more each: one block of the transposed weight. Of a large weight the
    next block is brought near meanwhile.
    """
    cdef Py_ssize_t full = columns_of(dx), panel = panel_begin, begin, k, panels, columns, first
    cdef const real *later
    cdef bint few = rows <= FEW_ROWS, last
    cdef bint far = few and inputs * outputs * <Py_ssize_t>sizeof(real) > FAR_WEIGHT_BYTES
    cdef turn_t *lists = <turn_t *>scratch
    scratch = behind_lists(scratch)
    while panel < panel_end:
        panels = min(panel_end - panel, GROUP_PANELS // 2 if few else GROUP_PANELS)
        first = panel * full
        columns = min(inputs - first, panels * full)
        begin = 0
        while begin < outputs:
            k = min(outputs - begin, FEATURE_BLOCK)
            last = begin + k == outputs
            pack_transposed(scratch, weight + begin * inputs + first * full, inputs, columns, k)
            later = NULL
            if far and not last:
                later = weight + (begin + k) * inputs + first * full
            elif far and panel + panels < panel_end:
                later = weight + (first + panels * full) * full
            transposed_product(dx + first, lddx, dz + begin, ldz, <const real *>scratch,
                               gate + first if last and gate != NULL else NULL, ldg, rows, columns,
                               k, begin > 0, later, inputs * full, far, lists)
            begin += k
        panel += panels


cdef inline bint turning_pays(
    Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate, real *unused,
) noexcept nogil:
    """Whether a weight's gradient is had sooner the other way round, as outputs by inputs.

    So nothing is spent on the padding of few outputs, but the result must be turned. All is counted
    in multiply-adds of half a register; fewer than eight of them in a row wait for each other.
    """
    cdef Py_ssize_t lanes = VEC_BYTES // <Py_ssize_t>sizeof(real), whole = VEC_BYTES // NARROW_BYTES
    cdef Py_ssize_t vectors = inputs // lanes, straight = 1, turned
    if vectors == 0 or outputs == 0 or outputs >= columns_of(unused):
        return False
    if outputs * whole > lanes:
        straight = (outputs + lanes - 1) // lanes * whole
    turned = max(outputs * vectors * whole, (vectors + TILE_VECTORS - 1) // TILE_VECTORS * 8)
    return rows * (inputs * straight - turned) > TURNING * inputs * (2 if accumulate else 1)


cdef void turned_gradient(
    real *dweight, const real *x, Py_ssize_t ldx, const real *dz, Py_ssize_t ldz,
    Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate, real *scratch,
) noexcept nogil:
    """dweight^T (+)= dz^T (outputs, rows) . x (rows, inputs), for one panel of outputs.

    It is the same sums with their factors exchanged. The inputs fill whole panels, and `scratch`
    holds as many elements as `dweight`.
    """
    cdef Py_ssize_t full = columns_of(dweight), begin = 0, k
    if accumulate:
        turn_rows(scratch, inputs, dweight, full, inputs, full)
    else:
        memset(scratch + outputs * inputs, 0, (full - outputs) * inputs * sizeof(real))
    while begin < rows:
        k = min(rows - begin, ROW_BLOCK)
        product(outputs, inputs, k, dz + begin * ldz, ldz, BY_COLUMNS, x + begin * ldx, ldx, full,
                scratch, inputs, full, accumulate or begin > 0, NULL, False, NULL, 0,
                &soon_nothing)
        begin += k
    turn_rows(dweight, full, scratch, inputs, full, inputs)


cdef inline double part_left(
    const real *x, Py_ssize_t ldx, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows,
    bint waits,
) noexcept nogil:
    """The share of a gradient's turns that is left without zeros of x; 1 if that doesn't pay."""
    cdef double share
    if not large_enough(inputs, outputs, rows, x):
        return 1.0
    share = share_of_columns(inputs, rows, x, ldx)
    return share if leaving_pays(share, inputs, outputs, rows, True, waits, x) else 1.0


cdef inline bint sparse_gradient(
    real *dweight, Py_ssize_t dweight_panel, const real *x, Py_ssize_t ldx, const real *dz,
    Py_ssize_t ldz, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate,
    real *scratch, bint far, soon_t *later, turn_t *lists,
) noexcept nogil:
    """dweight (+)= x^T . dz for one block of rows, if it pays to leave out the zeros of x.

    Returns whether it did. The block is turned first, into `scratch`.
    """
    cdef Py_ssize_t full = columns_of(dweight), beside = (rows + full - 1) // full * full
    cdef double share = part_left(x, ldx, inputs, outputs, rows, far and rows < WAITING_ROWS)
    if share == 1.0:
        return False
    soon_sooner(later, share)
    turn_rows(scratch, beside, x, ldx, rows, inputs)
    sparse_product(inputs, outputs, rows, <const real *>scratch, beside, dz, ldz, full, dweight,
                   full, dweight_panel, accumulate, <const real *>NULL, False, <const real *>NULL,
                   0, False, False, later, lists)
    return True


cdef void straight_gradient(
    real *dweight, Py_ssize_t dweight_panel, const real *x, Py_ssize_t ldx, const real *dz,
    Py_ssize_t ldz, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate,
    real *scratch, const real *later, Py_ssize_t later_panel, Py_ssize_t second, Py_ssize_t third,
    turn_t *lists,
) noexcept nogil:
    """What `dense_backward_weight` does, as inputs by outputs."""
    cdef Py_ssize_t full = columns_of(dweight), begin = 0, k, left
    cdef soon_t soon
    cdef bint apart
    while begin < rows or begin == 0:
        k = min(rows - begin, ROW_BLOCK)
        left = min(rows - begin - k, ROW_BLOCK)
        soon = soon_nothing
        if later != NULL and not left:
            soon = soon_panels(later, later_panel, inputs, (outputs + full - 1) // full, inputs,
                               outputs, k, second, third)
        if not sparse_gradient(dweight, dweight_panel, x + begin * ldx, ldx, dz + begin * ldz, ldz,
                               inputs, outputs, k, accumulate or begin > 0, scratch,
                               later != NULL, &soon, lists):
            apart = k * ldx * <Py_ssize_t>sizeof(real) >= FAR_BYTES
            if apart:
                pack(inputs, k, scratch, x + begin * ldx, 1, ldx)
                if left:
                    soon = soon_runs(x + (begin + k) * ldx, (inputs + full - 1) // full,
                                     ldx * sizeof(real), left, left, k, 0, 0)
            product(inputs, outputs, k, <const real *>scratch if apart else x + begin * ldx, ldx,
                    PACKED if apart else BY_COLUMNS, dz + begin * ldz, ldz, full, dweight, full,
                    dweight_panel, accumulate or begin > 0, NULL, False, NULL, 0, &soon)
        begin += ROW_BLOCK


cdef void dense_backward_weight(
    real *dweight, Py_ssize_t dweight_panel, const real *x, Py_ssize_t ldx, const real *dz,
    Py_ssize_t ldz, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t rows, bint accumulate,
    real *scratch, const real *later, Py_ssize_t later_panel, Py_ssize_t second, Py_ssize_t third,
) noexcept nogil:
    """dweight (+)= x^T (inputs, rows) . dz (rows, outputs) for a part of a weight.

    With `accumulate` the sums are added to what is there: batches that come in pieces of whole row
    blocks give the same bits. `scratch` holds SPARSE_BYTES, then ROW_BLOCK rows of these inputs, up
    to whole panels: walking down a few columns of x misses every near cache where rows are long, so
    they are copied together first, and the next ones are brought near meanwhile.
    Where a last panel has few outputs, most of it is done the other way round.
    What is worked on `later`, this part of another array in panels and of two more, `second` and
    `third` elements further (0: none), is brought near meanwhile; NULL: nothing is.
    """
    cdef Py_ssize_t full = columns_of(dweight), whole = inputs // full * full
    cdef Py_ssize_t few = outputs % full, beside = outputs - few, block = min(rows, ROW_BLOCK)
    cdef turn_t *lists = <turn_t *>scratch
    cdef real *last = dweight + beside // full * dweight_panel
    scratch = behind_lists(scratch)
    if (turning_pays(whole, few, rows, accumulate, dweight)
            and block * ldx * <Py_ssize_t>sizeof(real) < FAR_BYTES
            and part_left(x, ldx, inputs, outputs, block,
                          later != NULL and block < WAITING_ROWS) == 1.0):
        turned_gradient(last, x, ldx, dz + beside, ldz, whole, few, rows, accumulate, scratch)
        if whole < inputs:
            straight_gradient(last + whole * full, dweight_panel, x + whole, ldx, dz + beside, ldz,
                              inputs - whole, few, rows, accumulate, scratch,
                              <const real *>NULL, 0, 0, 0, lists)
        outputs = beside
    if outputs > 0:
        straight_gradient(dweight, dweight_panel, x, ldx, dz, ldz, inputs, outputs, rows,
                          accumulate, scratch, later, later_panel, second, third, lists)


cdef void dense_backward_bias(
    real *dbias, const real *dz, Py_ssize_t ldz, Py_ssize_t outputs, Py_ssize_t rows,
    bint accumulate,
) noexcept nogil:
    """dbias (+)= the sum of dz over its rows: a weight's gradient whose input is always one.

    Up to a whole panel there are zeros.
    """
    cdef Py_ssize_t full = columns_of(dbias), lanes = VEC_BYTES // <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t vectors = (outputs + lanes - 1) // lanes, beyond = vectors * lanes
    cdef Py_ssize_t begin = 0, k
    while True:
        k = min(rows - begin, ROW_BLOCK)
        if real is float:
            column_sums_f32(k, vectors, dz + begin * ldz, ldz, dbias, accumulate or begin > 0)
        else:
            column_sums_f64(k, vectors, dz + begin * ldz, ldz, dbias, accumulate or begin > 0)
        begin += k
        if begin >= rows:
            break
    memset(dbias + beyond, 0, ((beyond + full - 1) // full * full - beyond) * sizeof(real))


cdef bint all_finite(const real *values, Py_ssize_t count) noexcept nogil:
    """Whether all of some whole lines of values are finite."""
    cdef Py_ssize_t full = columns_of(values)
    if real is float:
        return sparse_finite_f32(count // full, 1, values, full, 0)
    else:
        return sparse_finite_f64(count // full, 1, values, full, 0)


cdef void pack_panels(
    real *panels, const real *weight, Py_ssize_t row_stride, Py_ssize_t column_stride,
    Py_ssize_t inputs, Py_ssize_t outputs,
) noexcept nogil:
    """Lay a strided (inputs, outputs) matrix out in panels; the padding becomes zero."""
    cdef Py_ssize_t full = columns_of(panels)
    cdef Py_ssize_t panel, count, row, column
    cdef const real *source
    for panel in range((outputs + full - 1) // full):
        count = min(full, outputs - panel * full)
        for row in range(inputs):
            source = weight + row * row_stride + panel * full * column_stride
            for column in range(count):
                panels[column] = source[column * column_stride]
            for column in range(count, full):
                panels[column] = 0
            panels += full


cdef void unpack_panels(
    real *weight, Py_ssize_t row_stride, Py_ssize_t column_stride, const real *panels,
    Py_ssize_t inputs, Py_ssize_t outputs,
) noexcept nogil:
    """The inverse of `pack_panels`."""
    cdef Py_ssize_t full = columns_of(weight)
    cdef Py_ssize_t panel, count, row, column
    cdef real *target
    for panel in range((outputs + full - 1) // full):
        count = min(full, outputs - panel * full)
        for row in range(inputs):
            target = weight + row * row_stride + panel * full * column_stride
            for column in range(count):
                target[column * column_stride] = panels[column]
            panels += full
