"""The work of one step: addresses from offsets, and the kernels called on them.

A step is done by rows of the chunk (each row of a result depends on its own row alone), by panels
of outputs where there are few rows, or by pieces of the parameters; never in a way that could
change the order of a sum. So the number of threads does not show in the bits.
"""
from libc.string cimport memcpy, memset

from cymlp.engine.binding cimport common_kernels
from cymlp.engine.call cimport *
from cymlp.engine.layer_steps cimport column_update, embedding_update, layer_by_rows
from cymlp.engine.updates cimport update


cdef void dense_forward(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t panel, Py_ssize_t panel_end,
) noexcept nogil:
    cdef Py_ssize_t full = PANEL_BYTES // c.item
    cdef Py_ssize_t first = panel * full
    cdef Py_ssize_t columns = min(panel_end * full, padded(c, s.outputs)) - first
    cdef char *out = at(b, &s.out, row)
    if rows == 0 or panel == panel_end:
        return
    c.kernels.dense_forward(out, s.out.leading, at(b, &s.x, row), s.x.leading,
                            at(b, &s.weight, 0), at(b, &s.bias, 0), s.relu, s.inputs,
                            s.outputs, rows, panel, panel_end, c.finite, b.scratch)
    if s.kind > 0 and not s.relu:
        out += first * c.item
        c.kernels.activation_forward(s.kind, out, s.out.leading, out, s.out.leading, rows, columns,
                                     s.parameter)


cdef void turned(const step_t *s, call_t *c, batch_t *b, Py_ssize_t rows) noexcept nogil:
    """A step of a prediction whose rows lie beside each other: it takes all rows of the piece."""
    cdef char *out = at(b, &s.out, 0)
    cdef char *x = at(b, &s.x, 0)
    cdef Py_ssize_t beside = padded(c, rows)
    if s.op == TURN:
        c.kernels.turn_rows(out, s.out.leading, x, s.x.leading, rows, s.inputs)
    elif s.op == DENSE_TURNED:
        c.kernels.dense_turned(out, s.out.leading, x, s.x.leading, at(b, &s.weight, 0),
                               at(b, &s.bias, 0), s.relu, s.inputs, s.outputs, beside)
        if s.kind > 0 and not s.relu:
            c.kernels.activation_forward(s.kind, out, s.out.leading, out, s.out.leading, s.outputs,
                                         beside, s.parameter)
    elif out != NULL:       # back into rows
        c.kernels.scatter_rows(out, c.item, s.out.row_bytes, x, s.x.leading, s.outputs, rows)
    else:                   # and to the caller
        out = c.out + <Py_ssize_t>(b.first + b.piece_first) * c.out_row_stride
        c.kernels.scatter_rows(out, c.out_column_stride, c.out_row_stride, x, s.x.leading,
                               s.outputs, rows)


cdef void dense_backward_input(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t panel, Py_ssize_t panel_end,
) noexcept nogil:
    cdef Py_ssize_t full = PANEL_BYTES // c.item
    cdef Py_ssize_t first = panel * full
    cdef Py_ssize_t columns = min(panel_end * full, padded(c, s.inputs)) - first
    cdef char *out = at(b, &s.out, row)
    if rows == 0 or panel == panel_end:
        return
    c.kernels.dense_backward_input(out, s.out.leading, at(b, &s.x, row), s.x.leading,
                                   at(b, &s.weight, 0),
                                   at(b, &s.saved, row) if s.relu else NULL, s.saved.leading,
                                   s.inputs, s.outputs, rows, panel, panel_end, b.scratch)
    if s.kind > 0 and not s.relu:
        out += first * c.item
        c.kernels.activation_backward(
            s.kind, out, s.out.leading, out, s.out.leading,
            at(b, &s.saved, row) + first * c.item, s.saved.leading, rows, columns, s.parameter)


cdef void row_metric(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    cdef double *value = <double *>at(b, &s.row_values, row)
    cdef char *logits = at(b, &s.x, row)
    cdef char *target = at(b, &s.target, row)
    if s.labels:
        c.kernels.correct_labels(value, logits, s.x.leading, <const int *>target, rows, s.columns)
    elif s.kind == ACCURACY:
        c.kernels.correct_dense(value, logits, s.x.leading, target, s.target.leading, rows,
                                s.columns)
    elif s.kind == ACCURACY_BINARY:
        c.kernels.correct_binary(value, logits, s.x.leading, target, s.target.leading, rows,
                                 s.columns)
    else:
        c.kernels.absolute_error(value, logits, s.x.leading, target, s.target.leading, rows,
                                 s.columns)


cdef inline double weight_of(const call_t *c, const char *weight, Py_ssize_t row) noexcept nogil:
    """A row's weight; 1 where there are none."""
    if weight == NULL:
        return 1.0
    return (<const float *>weight)[row] if c.item == 4 else (<const double *>weight)[row]


cdef void compiled_loss(
    const step_t *s, call_t *c, char *out, double *row_loss, const char *x, const char *target,
    const char *sample_weight, double scale, Py_ssize_t rows,
) noexcept nogil:
    """The user's function, row by row; its gradient becomes that of the weighted mean."""
    cdef double weight
    cdef char *gradient
    cdef Py_ssize_t row, column
    for row in range(rows):
        weight = weight_of(c, sample_weight, row)
        gradient = out + row * s.out.row_bytes
        memset(gradient, 0, s.columns * c.item)
        row_loss[row] = 0.0
        if weight == 0.0:
            continue
        (<row_loss_t>s.function)(gradient, row_loss + row, x + row * s.x.row_bytes,
                                 target + row * s.target.row_bytes, s.columns, s.targets)
        row_loss[row] *= weight
        for column in range(s.columns):
            if c.item == 4:
                (<float *>gradient)[column] *= <float>(weight * scale)
            else:
                (<double *>gradient)[column] *= weight * scale


cdef void repeat_columns(
    const step_t *s, const call_t *c, char *out, Py_ssize_t rows,
) noexcept nogil:
    """Each column of the target `repeat` times in a row, from the last on: in place."""
    cdef Py_ssize_t row, column
    for row in range(rows):
        for column in range(s.columns - 1, -1, -1):
            if c.item == 4:
                (<float *>out)[column] = (<float *>out)[column // s.repeat]
            else:
                (<double *>out)[column] = (<double *>out)[column // s.repeat]
        out += s.out.row_bytes


cdef void loss(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    cdef char *out = at(b, &s.out, row)
    cdef double *row_loss = <double *>at(b, &s.row_values, row)
    cdef char *logits = at(b, &s.x, row)
    cdef char *target = at(b, &s.target, row)
    cdef char *weight = at(b, &s.sample_weight, row)
    cdef double total = b.weight_sum * c.value_count
    cdef double scale = 1.0 / total if total != 0 else 0.0
    if s.op == POINTWISE_LOSS:
        c.kernels.pointwise_loss(s.kind, out, s.out.leading, row_loss, logits, s.x.leading, target,
                                 s.target.leading, weight, scale, s.parameters, rows, s.columns)
    elif s.op == COMPILED_LOSS:
        compiled_loss(s, c, out, row_loss, logits, target, weight, scale, rows)
    elif s.op == KULLBACK_LEIBLER:
        c.kernels.kullback_leibler(out, s.out.leading, row_loss, logits, s.x.leading, target,
                                   s.target.leading, weight, scale, rows, s.columns)
    elif s.parameters != NULL:
        c.kernels.softmax_cross_entropy_weighted(
            out, s.out.leading, row_loss, logits, s.x.leading,
            <const int *>target if s.labels else NULL, target, s.target.leading, s.parameters,
            s.parameter, weight, scale, rows, s.columns)
    elif s.labels:
        c.kernels.softmax_cross_entropy_labels(out, s.out.leading, row_loss, logits, s.x.leading,
                                               <const int *>target, weight, scale, rows, s.columns)
    else:
        c.kernels.softmax_cross_entropy_dense(out, s.out.leading, row_loss, logits, s.x.leading,
                                              target, s.target.leading, weight, scale, rows,
                                              s.columns)


cdef void exponential(
    const step_t *s, call_t *c, char *out, const char *x, Py_ssize_t rows,
) noexcept nogil:
    """e^x from column `targets` on; the columns before are left as they are."""
    cdef Py_ssize_t row
    cdef Py_ssize_t kept = s.targets * c.item
    if out != x and kept > 0:
        for row in range(rows):
            memcpy(out + row * s.out.row_bytes, x + row * s.x.row_bytes, kept)
    c.kernels.exponential(out + kept, s.out.leading, x + kept, s.x.leading, rows,
                          s.columns - s.targets)


cdef inline bint is_zero(const call_t *c, const char *weight, Py_ssize_t row) noexcept nogil:
    return ((<const float *>weight)[row] if c.item == 4 else (<const double *>weight)[row]) == 0


cdef void gather_input(
    const step_t *s, call_t *c, batch_t *b, char *out, const char *weight, long long place,
    Py_ssize_t rows,
) noexcept nogil:
    """The rows' numbers; zeros for a row that does not count, whatever it holds."""
    cdef Py_ssize_t row
    c.kernels.gather_rows(out, s.out.leading, &c.x, c.order, place, rows)
    if weight != NULL:
        for row in range(rows):
            if is_zero(c, weight, row):
                memset(out + row * s.out.row_bytes, 0, c.x.columns * c.item)


cdef void reduce(const step_t *s, call_t *c, batch_t *b) noexcept nogil:
    """Add the rows' losses in their order, which no number of threads changes."""
    cdef const double *row_loss = <const double *>at(b, &s.x, 0)
    cdef const double *row_metric = <const double *>at(b, &s.row_values, 0)
    cdef const char *weight = at(b, &s.sample_weight, 0)
    cdef Py_ssize_t row
    for row in range(b.piece_rows):
        b.loss += row_loss[row]
    if row_metric != NULL:
        for row in range(b.piece_rows):
            if weight == NULL or not is_zero(c, weight, row):
                b.metric += row_metric[row]
                b.counted += 1


cdef double dropout_rate(const step_t *s, const call_t *c, const batch_t *b) noexcept nogil:
    """The rate of this step, which a schedule may change."""
    if s.schedule == NULL:
        return s.parameter
    return min(max(s.parameter * common_kernels().schedule_factor(
        s.schedule, b.step - 1, c.first_epoch + c.epochs_done, c.rows), 0.0), 0.99)


cdef inline bint goes_to_caller(const step_t *s, const call_t *c) noexcept nogil:
    """Whether a step's result, or what a later one would bring there, is in the caller's array."""
    return s.to_caller and c.out_column_stride == c.item


cdef void softmax_forward(
    const step_t *s, call_t *c, long long place, char *out, const char *x, Py_ssize_t rows,
) noexcept nogil:
    if goes_to_caller(s, c):
        c.kernels.softmax_forward(c.out + <Py_ssize_t>place * c.out_row_stride,
                                  c.out_row_stride // c.item, x, s.x.leading, rows, s.columns)
    else:
        c.kernels.softmax_forward(out, s.out.leading, x, s.x.leading, rows, s.columns)


cdef void other_by_rows(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    """What is neither a product nor a layer of its own."""
    cdef long long place = b.first + b.piece_first + row
    cdef char *out = at(b, &s.out, row)
    cdef char *x = at(b, &s.x, row)
    if TURN <= s.op <= TURN_BACK:
        turned(s, c, b, rows)
    elif s.op == GATHER_INPUT:
        gather_input(s, c, b, out, at(b, &s.sample_weight, row), place, rows)
    elif s.op == GATHER_TARGET:
        c.kernels.gather_rows(out, s.out.leading, &c.target, c.order, place, rows)
        if s.repeat > 1:
            repeat_columns(s, c, out, rows)
    elif s.op == GATHER_LABELS:
        common_kernels().gather_labels(<int *>out, &c.target, c.order, place, rows,
                                        s.columns)
    elif s.op == GATHER_WEIGHT:
        c.kernels.gather_rows(out, 1, &c.sample_weight, c.order, place, rows)
    elif s.op == ACTIVATION_FORWARD:
        c.kernels.activation_forward(s.kind, out, s.out.leading, x, s.x.leading, rows,
                                     padded(c, s.columns), s.parameter)
    elif s.op == ACTIVATION_BACKWARD:
        c.kernels.activation_backward(s.kind, out, s.out.leading, x, s.x.leading,
                                      at(b, &s.saved, row), s.saved.leading, rows,
                                      padded(c, s.columns), s.parameter)
    elif s.op == SOFTMAX_FORWARD:
        softmax_forward(s, c, place, out, x, rows)
    elif s.op == SOFTMAX_BACKWARD:
        c.kernels.softmax_backward(out, s.out.leading, x, s.x.leading, at(b, &s.saved, row),
                                   s.saved.leading, rows, s.columns)
    elif s.op == EXPONENTIAL:
        exponential(s, c, out, x, rows)
    elif s.op == LOG_SOFTMAX_FORWARD:
        c.kernels.log_softmax_forward(out, s.out.leading, x, s.x.leading, rows, s.columns)
    elif s.op == LOG_SOFTMAX_BACKWARD:
        c.kernels.log_softmax_backward(out, s.out.leading, x, s.x.leading,
                                       at(b, &s.saved, row), s.saved.leading, rows, s.columns)
    elif s.op == DROPOUT:
        c.kernels.dropout(out, s.out.leading, x, s.x.leading, b.piece_first + row,
                          b.piece_first + row + rows, s.columns, dropout_rate(s, c, b), c.key,
                          b.step, s.layer)
    elif s.op == ROW_METRIC:
        row_metric(s, c, b, row, rows)
    elif s.op == SCATTER_OUTPUT:
        if goes_to_caller(s, c):
            return
        c.kernels.scatter_rows(c.out + <Py_ssize_t>place * c.out_row_stride, c.out_row_stride,
                               c.out_column_stride, x, s.x.leading, rows, s.columns)
    else:
        loss(s, c, b, row, rows)


cdef void by_rows(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    """A step on some rows of the piece."""
    if s.op == DENSE_FORWARD:
        dense_forward(s, c, b, row, rows, 0, panels_of(s.outputs, c.item))
    elif s.op == DENSE_BACKWARD_INPUT:
        dense_backward_input(s, c, b, row, rows, 0, panels_of(s.inputs, c.item))
    elif s.op >= FIRST_LAYER_OP:
        layer_by_rows(s, c, b, row, rows)
    else:
        other_by_rows(s, c, b, row, rows)


cdef inline Py_ssize_t state_of(const call_t *c, int state) noexcept nogil:
    """How many elements behind a parameter its state lies; 0 where there is none."""
    return max(c.state_offset[state], 0) // c.item


cdef void dense_update(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t begin, Py_ssize_t inputs,
    Py_ssize_t first, Py_ssize_t count,
) noexcept nogil:
    """A rectangle of a layer's weight: some inputs of some panels.

    With the first inputs of a panel goes its bias.
    """
    cdef Py_ssize_t full = PANEL_BYTES // c.item, panel
    cdef Py_ssize_t outputs = min(count * full, s.outputs - first * full)
    cdef Py_ssize_t apart = s.inputs * full             # from panel to panel
    cdef Py_ssize_t offset = s.weight.offset + (first * apart + begin * full) * c.item
    cdef Py_ssize_t step = apart if c.keeps_gradients else inputs * full
    cdef char *gradient = b.workspace + offset if c.keeps_gradients else b.scratch
    cdef char *dz = at(b, &s.saved, 0) + first * PANEL_BYTES
    cdef char *later = c.arena + offset if c.far and c.fused and b.last_piece else NULL
    c.kernels.dense_backward_weight(gradient, step, at(b, &s.x, 0) + begin * c.item,
                                    s.x.leading, dz, s.saved.leading, inputs, outputs, b.piece_rows,
                                    b.accumulate, b.scratch + inputs * count * PANEL_BYTES,
                                    later, apart, state_of(c, 0), state_of(c, 1))
    if c.fused and b.last_piece:
        for panel in range(count):
            update(c, b, gradient + panel * step * c.item, offset + panel * apart * c.item,
                   inputs * full, 0)
    if begin == 0 and s.bias.space != NOWHERE:
        offset = s.bias.offset + first * PANEL_BYTES
        gradient = b.workspace + offset if c.keeps_gradients else b.scratch
        c.kernels.dense_backward_bias(gradient, dz, s.saved.leading, outputs, b.piece_rows,
                                      b.accumulate)
        if c.fused and b.last_piece:
            update(c, b, gradient, offset, count * full, 0)


cdef Py_ssize_t dense_units(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t unit, Py_ssize_t left,
) noexcept nogil:
    """The first rectangle of this unit and `left` - 1 others; returns how many units it has.

    Units are counted in bands of UNITS_HIGH units below each other, in a band column by column.
    """
    cdef Py_ssize_t band = unit // (UNITS_HIGH * s.row_units)
    cdef Py_ssize_t band_height = min(s.column_units - band * UNITS_HIGH, <Py_ssize_t>UNITS_HIGH)
    cdef Py_ssize_t place = unit - band * UNITS_HIGH * s.row_units
    cdef Py_ssize_t column = place // band_height, row = place % band_height
    cdef Py_ssize_t height = min(band_height - row, left), width = 1, begin, inputs, panel, count
    if height == band_height:
        width = min(min(left // height, s.row_units - column),
                    <Py_ssize_t>UNITS_WIDE if b.piece_rows > ROW_BLOCK else UNITS_NARROW)
    begin = (band * UNITS_HIGH + row) * UNIT_INPUTS
    inputs = min(height * UNIT_INPUTS, s.inputs - begin)
    panel = column * UNIT_PANELS
    count = min(width * UNIT_PANELS, panels_of(s.outputs, c.item) - panel)
    dense_update(s, c, b, begin, inputs, panel, count)
    return height * width


cdef void by_units(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads,
) noexcept nogil:
    """This thread's share of all pieces, as far as they belong to this step."""
    cdef Py_ssize_t unit = max(c.units * thread // threads - s.first_unit, 0)
    cdef Py_ssize_t end = min(c.units * (thread + 1) // threads - s.first_unit, s.units)
    while unit < end:
        if s.op == DENSE_UPDATE:
            unit += dense_units(s, c, b, unit, end - unit)
            continue
        if s.op == COLUMN_UPDATE:
            column_update(s, c, b, unit)
        else:
            embedding_update(s, c, b, unit)
        unit += 1


cdef void by_panels(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads,
) noexcept nogil:
    """A product of few rows, shared by panels of its result; as many together as a tile takes."""
    cdef Py_ssize_t columns = s.outputs if s.op == DENSE_FORWARD else s.inputs
    cdef Py_ssize_t n = units_of(columns, c.item), most = panels_of(columns, c.item)
    cdef Py_ssize_t begin = n * thread // threads * UNIT_PANELS
    cdef Py_ssize_t end = min(n * (thread + 1) // threads * UNIT_PANELS, most)
    if s.op == DENSE_FORWARD:
        dense_forward(s, c, b, 0, b.piece_rows, begin, end)
    else:
        dense_backward_input(s, c, b, 0, b.piece_rows, begin, end)


cdef void by_bands(
    const step_t *s, const step_t *change, call_t *c, batch_t *b, int thread, int threads,
) noexcept nogil:
    """A gradient by a layer's input and the `change` of its weight, some inputs after the others.

    Of each band the gradient comes first, which needs the weight as it was.
    """
    cdef Py_ssize_t full = PANEL_BYTES // c.item, most = UNITS_HIGH * UNIT_INPUTS // full
    cdef Py_ssize_t inputs = panels_of(s.inputs, c.item), outputs = panels_of(s.outputs, c.item)
    cdef Py_ssize_t begin = inputs * thread // threads, share = inputs * (thread + 1) // threads
    cdef Py_ssize_t end, height, panel, width
    while begin < share:
        end = min(begin + most, share)
        height = min(end * full, s.inputs) - begin * full
        dense_backward_input(s, c, b, 0, b.piece_rows, begin, end)
        panel = 0
        while panel < outputs:
            width = min(outputs - panel, <Py_ssize_t>UNITS_NARROW * UNIT_PANELS)
            dense_update(change, c, b, begin * full, height, panel, width)
            panel += width
        begin = end
