"""The dense kernels as calls on arrays.

Weights come as plain (inputs, outputs) arrays and the kernels want them in panels, so a few panels
at a time are packed into scratch memory, and their product made. What the kernels can read as
it stands (rows without gaps between the columns) is not copied; the rest is, in pieces of some
rows. The pieces are whole row blocks of the kernels, so the sums are those of a network.
"""
cimport numpy as cnp
from libc.string cimport memset

from cymlp.engine.binding cimport kernels_t, typed_kernels
from cymlp.engine.memory cimport Memory
from cymlp.engine.call cimport PANEL_BYTES, ROW_BLOCK, SPARSE_BYTES, panels_of
from cymlp.engine.sources cimport describe, is_native
from cymlp.engine.operands cimport borrow, give_back
from cymlp.kernels.data cimport source_t

cnp.import_array()

cdef enum:
    GROUP_BYTES = 256           # columns whose panels are packed at a time
    PIECE_ROWS = 4 * ROW_BLOCK  # dense.pyx cuts a batch's sums into such blocks
    INPUT_BLOCK = 512           # inputs whose weight gradients are held at a time
    GATHERED_ELEMENTS = 1 << 19
    LEAST_ROWS = 24

ctypedef struct matrix_t:
    source_t source
    bint direct                 # the kernels can read it where it is
    Py_ssize_t leading
    char *copy                  # of a piece, where not direct

ctypedef struct dense_t:
    const kernels_t *kernels
    Py_ssize_t item
    Py_ssize_t full             # columns that are packed at a time
    Py_ssize_t rows
    Py_ssize_t inputs
    Py_ssize_t outputs
    Py_ssize_t height           # rows of a piece
    matrix_t x
    matrix_t grad_output
    source_t weight
    source_t bias
    bint has_bias
    # scratch memory
    char *panel                 # of weights
    char *result                # of a product
    char *padded                # the bias, or columns of grad_output, up to whole vectors
    char *transposed            # the kernels' own


cdef int open_dense(dense_t *d, int dtype, cnp.ndarray x, cnp.ndarray weight) except -1:
    memset(d, 0, sizeof(dense_t))
    d.kernels = typed_kernels(dtype)
    d.item = 8 if dtype else 4
    d.full = GROUP_BYTES // d.item
    d.rows, d.inputs, d.outputs = x.shape[0], x.shape[1], weight.shape[1]
    describe_matrix(d, &d.x, x, "x")
    return describe(&d.weight, weight, "weight")


cdef int describe_matrix(dense_t *d, matrix_t *m, cnp.ndarray array, str name) except -1:
    cdef source_t *s = &m.source
    describe(s, array, name)
    m.direct = (is_native(s, d.item) and s.row_stride % d.item == 0
                and (s.column_stride == d.item or s.columns <= 1))
    m.leading = s.row_stride // d.item if m.direct else s.columns
    return 0


cdef inline Py_ssize_t piece(dense_t *d, matrix_t *m) noexcept:
    """Rows to work on at a time: fewer where they must be copied and are long."""
    cdef Py_ssize_t height = PIECE_ROWS
    if not m.direct:
        height = min(max(GATHERED_ELEMENTS // max(m.source.columns, 1), LEAST_ROWS), PIECE_ROWS)
    return min(height, max(m.source.rows, 1))


cdef Memory scratch(dense_t *d, object sizes, char ***places):
    """One block of memory, and where in it each of the parts begins."""
    cdef Memory memory = borrow(sum(size + 64 for size in sizes))
    cdef char *place = memory.data
    cdef Py_ssize_t i
    for i, size in enumerate(sizes):
        places[i][0] = place
        place += <Py_ssize_t>((size + 63) & -64)
    return memory


cdef inline source_t part(
    const source_t *whole, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
) noexcept nogil:
    """A rectangle of a matrix."""
    cdef source_t s = whole[0]
    s.data += row * s.row_stride + column * s.column_stride
    s.rows = rows
    s.columns = columns
    return s


cdef inline const char *readable(
    dense_t *d, matrix_t *m, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t column,
    Py_ssize_t columns, Py_ssize_t *leading,
) noexcept nogil:
    """A rectangle as the kernels read it: itself, or a copy."""
    cdef source_t s = part(&m.source, row, rows, column, columns)
    if m.direct:
        leading[0] = m.leading
        return s.data
    leading[0] = columns
    d.kernels.gather_rows(m.copy, columns, &s, NULL, 0, rows)
    return m.copy


cdef void pack(
    dense_t *d, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t column, Py_ssize_t columns,
) noexcept nogil:
    """A rectangle of the weights as panels, in `panel`. Each is filled row by row."""
    cdef source_t s
    cdef Py_ssize_t begin = 0, width = PANEL_BYTES // d.item, count, r
    cdef char *target = d.panel
    while begin < columns:
        count = min(columns - begin, width)
        s = part(&d.weight, row, rows, column + begin, count)
        d.kernels.gather_rows(target, width, &s, NULL, 0, rows)
        if width > count:
            for r in range(rows):
                memset(target + r * PANEL_BYTES + count * d.item, 0, (width - count) * d.item)
        begin += width
        target += rows * PANEL_BYTES


# ---- forward ----------------------------------------------------------------------------------

cdef void forward(
    dense_t *d, char *out, Py_ssize_t row_stride, Py_ssize_t column_stride,
) noexcept nogil:
    cdef Py_ssize_t row = 0, rows, column, columns, leading
    cdef const char *x
    if d.has_bias:
        d.kernels.gather_rows(d.padded, d.outputs, &d.bias, NULL, 0, 1)
    while row < d.rows:
        rows = min(d.rows - row, d.height)
        x = readable(d, &d.x, row, rows, 0, d.inputs, &leading)
        column = 0
        while column < d.outputs:
            columns = min(d.outputs - column, d.full)
            pack(d, 0, d.inputs, column, columns)
            d.kernels.dense_forward(
                d.result, d.full, x, leading, d.panel,
                d.padded + column * d.item if d.has_bias else NULL, False, d.inputs, columns,
                rows, 0, panels_of(columns, d.item), False, d.transposed)
            d.kernels.scatter_rows(out + row * row_stride + column * column_stride, row_stride,
                                   column_stride, d.result, d.full, rows, columns)
            column += columns
        row += rows


def dense_forward(cnp.ndarray out not None, cnp.ndarray x not None, cnp.ndarray weight not None,
                  bias):
    """out = x . weight + bias"""
    cdef dense_t d
    cdef Memory memory
    cdef char **places[5]
    cdef Py_ssize_t row_stride = cnp.PyArray_STRIDE(out, 0)
    cdef Py_ssize_t column_stride = cnp.PyArray_STRIDE(out, 1)
    open_dense(&d, cnp.PyArray_ITEMSIZE(out) == 8, x, weight)
    d.has_bias = bias is not None
    if d.has_bias:
        describe(&d.bias, bias[None], "bias")
    d.height = piece(&d, &d.x)
    item, inputs, height = d.item, d.inputs, d.height
    places = [&d.panel, &d.result, &d.padded, &d.x.copy, &d.transposed]
    memory = scratch(&d, [
        inputs * GROUP_BYTES, height * GROUP_BYTES,
        d.outputs * item + GROUP_BYTES if d.has_bias else 0,
        0 if d.x.direct else height * inputs * item, SPARSE_BYTES], places)
    with nogil:
        forward(&d, cnp.PyArray_BYTES(out), row_stride, column_stride)
    give_back(memory)


# ---- backward ---------------------------------------------------------------------------------

cdef void backward_input(
    dense_t *d, char *out, Py_ssize_t row_stride, Py_ssize_t column_stride,
) noexcept nogil:
    cdef Py_ssize_t row = 0, rows, column, columns, leading
    cdef const char *grad_output
    while row < d.rows:
        rows = min(d.rows - row, d.height)
        grad_output = readable(d, &d.grad_output, row, rows, 0, d.outputs, &leading)
        column = 0
        while column < d.inputs:
            columns = min(d.inputs - column, d.full)
            pack(d, column, columns, 0, d.outputs)
            if d.outputs == 0:      # the kernel adds up blocks of outputs, and there is none
                memset(d.result, 0, rows * GROUP_BYTES)
            d.kernels.dense_backward_input(
                d.result, d.full, grad_output, leading, d.panel, NULL, 0, columns, d.outputs, rows,
                0, panels_of(columns, d.item), d.transposed)
            d.kernels.scatter_rows(out + row * row_stride + column * column_stride, row_stride,
                                   column_stride, d.result, d.full, rows, columns)
            column += columns
        row += rows


cdef void backward_weight(
    dense_t *d, char *out, Py_ssize_t row_stride, Py_ssize_t column_stride,
    Py_ssize_t input, Py_ssize_t inputs, Py_ssize_t output, Py_ssize_t outputs,
) noexcept nogil:
    """The gradient by a rectangle of the weights, as wide as what is packed at a time at most."""
    cdef Py_ssize_t width = PANEL_BYTES // d.item, row = 0, rows, leading, done, count
    cdef const char *x
    cdef source_t s
    while True:
        rows = min(d.rows - row, <Py_ssize_t>PIECE_ROWS)
        s = part(&d.grad_output.source, row, rows, output, outputs)
        d.kernels.gather_rows(d.padded, d.full, &s, NULL, 0, rows)
        x = readable(d, &d.x, row, rows, input, inputs, &leading)
        d.kernels.dense_backward_weight(d.result, inputs * width, x, leading, d.padded, d.full,
                                        inputs, outputs, rows, row > 0, d.transposed,
                                        NULL, 0, 0, 0)
        row += rows
        if row >= d.rows:
            break
    done = 0
    while done < outputs:
        count = min(outputs - done, width)
        d.kernels.scatter_rows(out + input * row_stride + (output + done) * column_stride,
                               row_stride, column_stride, d.result + inputs * done * d.item, width,
                               inputs, count)
        done += width


cdef void backward_bias(
    dense_t *d, char *out, Py_ssize_t stride, Py_ssize_t output, Py_ssize_t outputs,
) noexcept nogil:
    cdef Py_ssize_t row = 0, rows
    cdef source_t s
    while True:
        rows = min(d.rows - row, <Py_ssize_t>PIECE_ROWS)
        s = part(&d.grad_output.source, row, rows, output, outputs)
        d.kernels.gather_rows(d.padded, d.full, &s, NULL, 0, rows)
        d.kernels.dense_backward_bias(d.result, d.padded, d.full, outputs, rows, row > 0)
        row += rows
        if row >= d.rows:
            break
    d.kernels.scatter_rows(out + output * stride, 0, stride, d.result, 0, 1, outputs)


def dense_backward(cnp.ndarray grad_x not None, cnp.ndarray grad_weight not None,
                   cnp.ndarray grad_bias not None, cnp.ndarray grad_output not None,
                   cnp.ndarray x not None, cnp.ndarray weight not None):
    """grad_x = grad_output . weight^T, grad_weight = x^T . grad_output, grad_bias = its sums."""
    cdef dense_t d
    cdef Memory memory
    cdef char **places[6]
    cdef char *gradients[3]
    cdef Py_ssize_t strides[5]
    cdef Py_ssize_t input, inputs, output, outputs
    gradients = [cnp.PyArray_BYTES(grad_x), cnp.PyArray_BYTES(grad_weight),
                 cnp.PyArray_BYTES(grad_bias)]
    strides = [cnp.PyArray_STRIDE(grad_x, 0), cnp.PyArray_STRIDE(grad_x, 1),
               cnp.PyArray_STRIDE(grad_weight, 0), cnp.PyArray_STRIDE(grad_weight, 1),
               cnp.PyArray_STRIDE(grad_bias, 0)]
    open_dense(&d, cnp.PyArray_ITEMSIZE(grad_x) == 8, x, weight)
    describe_matrix(&d, &d.grad_output, grad_output, "grad_output")
    d.height = piece(&d, &d.grad_output)
    item, block = d.item, min(d.rows, <Py_ssize_t>PIECE_ROWS)
    places = [&d.panel, &d.result, &d.padded, &d.transposed, &d.x.copy, &d.grad_output.copy]
    memory = scratch(&d, [
        (d.outputs * item + 64) * d.full, <Py_ssize_t>INPUT_BLOCK * GROUP_BYTES,
        block * GROUP_BYTES, SPARSE_BYTES + ROW_BLOCK * INPUT_BLOCK * item,
        0 if d.x.direct else block * INPUT_BLOCK * item,
        0 if d.grad_output.direct else max(item * d.height * d.outputs, block * GROUP_BYTES),
    ], places)
    with nogil:
        backward_input(&d, gradients[0], strides[0], strides[1])
        output = 0
        while output < d.outputs:
            outputs = min(d.outputs - output, d.full)
            input = 0
            while input < d.inputs:
                inputs = min(d.inputs - input, <Py_ssize_t>INPUT_BLOCK)
                backward_weight(&d, gradients[1], strides[2], strides[3], input, inputs, output,
                                outputs)
                input += inputs
            backward_bias(&d, gradients[2], strides[4], output, outputs)
            output += outputs
    give_back(memory)
