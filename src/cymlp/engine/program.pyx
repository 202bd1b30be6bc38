"""A plan made ready to run, and the walk over it.

Every thread walks the same list of steps. Work is divided by rows of the chunk (each row of a
result depends on its own row alone), by panels of outputs where there are few rows, or by pieces
of the parameters; never in a way that could change the order of a sum. So the number of threads
does not show in the bits.
"""
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdlib cimport calloc, free
from libc.time cimport time_t

from cymlp.engine.binding cimport common_kernels, typed_kernels
from cymlp.engine.threads cimport team_barrier

from cymlp import kernels as levels

cdef extern from "<time.h>" nogil:
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec *now) noexcept

cdef extern from *:
    # Leaves the exception set, to be raised by the caller when the walk has ended.
    int check_signals "PyErr_CheckSignals"() noexcept

cdef enum:
    GATHER_INPUT
    GATHER_TARGET
    GATHER_LABELS
    GATHER_WEIGHT
    DENSE_FORWARD
    ACTIVATION_FORWARD
    SOFTMAX_FORWARD
    DROPOUT
    POINTWISE_LOSS
    SOFTMAX_CROSS_ENTROPY
    ROW_METRIC
    REDUCE
    SOFTMAX_BACKWARD
    ACTIVATION_BACKWARD
    DENSE_BACKWARD_INPUT
    DENSE_UPDATE
    SCATTER_OUTPUT

cdef enum:
    ACCURACY
    ACCURACY_BINARY
    ABSOLUTE_ERROR

cdef enum:
    UNIT_INPUTS = 48            # rows of a weight's panel that are one piece of work
    PANEL_BYTES = 256
    GRANULE_BYTES = 64
    ROWS_PER_THREAD = 24        # with fewer, threads share a product by panels

cdef double CHECK_SECONDS = 0.05

_OPS = {
    "gather_input": GATHER_INPUT, "gather_target": GATHER_TARGET,
    "gather_labels": GATHER_LABELS, "gather_weight": GATHER_WEIGHT,
    "dense_forward": DENSE_FORWARD, "activation_forward": ACTIVATION_FORWARD,
    "softmax_forward": SOFTMAX_FORWARD, "dropout": DROPOUT,
    "softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY, "row_metric": ROW_METRIC, "reduce": REDUCE,
    "softmax_backward": SOFTMAX_BACKWARD, "activation_backward": ACTIVATION_BACKWARD,
    "dense_backward_input": DENSE_BACKWARD_INPUT, "dense_update": DENSE_UPDATE,
    "scatter_output": SCATTER_OUTPUT,
}

_METRICS = {"accuracy": ACCURACY, "binary_accuracy": ACCURACY_BINARY,
            "absolute_error": ABSOLUTE_ERROR}


cdef double seconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <double>now.tv_sec + 1e-9 * <double>now.tv_nsec


cdef void look_for_signals(call_t *c) noexcept nogil:
    """On thread 0, which is the caller: has Ctrl-C been pressed? At most every 50 ms."""
    cdef double now = seconds()
    cdef unsigned long outer
    if now - c.checked < CHECK_SECONDS:
        return
    c.checked = now
    with gil:
        outer = c.handling[0]
        c.handling[0] = PyThread_get_thread_ident()
        if check_signals() != 0:
            c.stop = 1
        c.handling[0] = outer


cdef inline char *at(call_t *c, batch_t *b, const place_t *place, Py_ssize_t row) noexcept nogil:
    """The address of a row of an array; NULL where the step has no such array."""
    if place.space < 0:
        return NULL
    return (c.arena if place.space == 0 else b.workspace) + place.offset + row * place.row_bytes


cdef inline Py_ssize_t padded(call_t *c, Py_ssize_t columns) noexcept nogil:
    """Columns with their padding, so that vectors need no remainder."""
    cdef Py_ssize_t granule = GRANULE_BYTES // c.item
    return (columns + granule - 1) // granule * granule


cdef inline Py_ssize_t panels(call_t *c, Py_ssize_t columns) noexcept nogil:
    return (columns * c.item + PANEL_BYTES - 1) // PANEL_BYTES


cdef void dense_forward(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t panel, Py_ssize_t panel_end,
) noexcept nogil:
    cdef Py_ssize_t full = PANEL_BYTES // c.item
    cdef Py_ssize_t first = panel * full
    cdef Py_ssize_t columns = min(panel_end * full, padded(c, s.outputs)) - first
    cdef char *out = at(c, b, &s.out, row)
    if rows == 0 or panel == panel_end:
        return
    c.kernels.dense_forward(out, s.out.leading, at(c, b, &s.x, row), s.x.leading,
                            at(c, b, &s.weight, 0), at(c, b, &s.bias, 0), s.inputs, s.outputs,
                            rows, panel, panel_end)
    if s.kind > 0:
        out += first * c.item
        c.kernels.activation_forward(s.kind, out, s.out.leading, out, s.out.leading, rows, columns,
                                     s.parameter)


cdef void dense_backward_input(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t panel, Py_ssize_t panel_end,
) noexcept nogil:
    cdef Py_ssize_t full = PANEL_BYTES // c.item
    cdef Py_ssize_t first = panel * full
    cdef Py_ssize_t columns = min(panel_end * full, padded(c, s.inputs)) - first
    cdef char *out = at(c, b, &s.out, row)
    if rows == 0 or panel == panel_end:
        return
    c.kernels.dense_backward_input(out, s.out.leading, at(c, b, &s.x, row), s.x.leading,
                                   at(c, b, &s.weight, 0), s.inputs, s.outputs, rows, panel,
                                   panel_end, b.scratch)
    if s.kind > 0:
        out += first * c.item
        c.kernels.activation_backward(
            s.kind, out, s.out.leading, out, s.out.leading,
            at(c, b, &s.saved, row) + first * c.item, s.saved.leading, rows, columns, s.parameter)


cdef void row_metric(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    cdef double *value = <double *>at(c, b, &s.row_values, row)
    cdef char *logits = at(c, b, &s.x, row)
    cdef char *target = at(c, b, &s.target, row)
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


cdef void loss(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    cdef char *out = at(c, b, &s.out, row)
    cdef double *row_loss = <double *>at(c, b, &s.row_values, row)
    cdef char *logits = at(c, b, &s.x, row)
    cdef char *target = at(c, b, &s.target, row)
    cdef char *weight = at(c, b, &s.sample_weight, row)
    cdef double total = b.weight_sum * c.value_count
    cdef double scale = 1.0 / total if total != 0 else 0.0
    if s.op == POINTWISE_LOSS:
        c.kernels.pointwise_loss(s.kind, out, s.out.leading, row_loss, logits, s.x.leading, target,
                                 s.target.leading, weight, scale, rows, s.columns)
    elif s.labels:
        c.kernels.softmax_cross_entropy_labels(out, s.out.leading, row_loss, logits, s.x.leading,
                                               <const int *>target, weight, scale, rows, s.columns)
    else:
        c.kernels.softmax_cross_entropy_dense(out, s.out.leading, row_loss, logits, s.x.leading,
                                              target, s.target.leading, weight, scale, rows,
                                              s.columns)


cdef void reduce(const step_t *s, call_t *c, batch_t *b) noexcept nogil:
    """Add the rows' losses in their order, which no number of threads changes."""
    cdef const double *row_loss = <const double *>at(c, b, &s.x, 0)
    cdef const double *row_metric = <const double *>at(c, b, &s.row_values, 0)
    cdef Py_ssize_t row
    for row in range(b.piece_rows):
        b.loss += row_loss[row]
    if row_metric != NULL:
        for row in range(b.piece_rows):
            b.metric += row_metric[row]


cdef void by_rows(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t row, Py_ssize_t rows,
) noexcept nogil:
    """A step on some rows of the piece."""
    cdef long long place = b.first + b.piece_first + row
    cdef char *out = at(c, b, &s.out, row)
    cdef char *x = at(c, b, &s.x, row)
    if s.op == DENSE_FORWARD:
        dense_forward(s, c, b, row, rows, 0, panels(c, s.outputs))
    elif s.op == DENSE_BACKWARD_INPUT:
        dense_backward_input(s, c, b, row, rows, 0, panels(c, s.inputs))
    elif s.op == GATHER_INPUT:
        c.kernels.gather_rows(out, s.out.leading, &c.x, c.order, place, rows)
    elif s.op == GATHER_TARGET:
        c.kernels.gather_rows(out, s.out.leading, &c.target, c.order, place, rows)
    elif s.op == GATHER_LABELS:
        common_kernels().gather_labels(<int *>out, &c.target, c.order, place, rows)
    elif s.op == GATHER_WEIGHT:
        c.kernels.gather_rows(out, 1, &c.sample_weight, c.order, place, rows)
    elif s.op == ACTIVATION_FORWARD:
        c.kernels.activation_forward(s.kind, out, s.out.leading, x, s.x.leading, rows,
                                     padded(c, s.columns), s.parameter)
    elif s.op == ACTIVATION_BACKWARD:
        c.kernels.activation_backward(s.kind, out, s.out.leading, x, s.x.leading,
                                      at(c, b, &s.saved, row), s.saved.leading, rows,
                                      padded(c, s.columns), s.parameter)
    elif s.op == SOFTMAX_FORWARD:
        c.kernels.softmax_forward(out, s.out.leading, x, s.x.leading, rows, s.columns)
    elif s.op == SOFTMAX_BACKWARD:
        c.kernels.softmax_backward(out, s.out.leading, x, s.x.leading, at(c, b, &s.saved, row),
                                   s.saved.leading, rows, s.columns)
    elif s.op == DROPOUT:
        c.kernels.dropout(out, s.out.leading, x, s.x.leading, b.piece_first + row,
                          b.piece_first + row + rows, s.columns, s.parameter, c.key, b.step,
                          s.layer)
    elif s.op == ROW_METRIC:
        row_metric(s, c, b, row, rows)
    elif s.op == SCATTER_OUTPUT:
        c.kernels.scatter_rows(c.out + <Py_ssize_t>place * c.out_row_stride, c.out_row_stride,
                               c.out_column_stride, x, s.x.leading, rows, s.columns)
    else:
        loss(s, c, b, row, rows)


cdef void update(
    call_t *c, batch_t *b, char *gradient, Py_ssize_t offset, Py_ssize_t count,
) noexcept nogil:
    """The optimizer's step on `count` parameters from `offset` on, while their gradient is hot."""
    cdef char *parameter = c.arena + offset
    cdef char *state[MAX_STATES]
    cdef int i
    for i in range(MAX_STATES):
        state[i] = NULL if c.state_offset[i] < 0 else parameter + c.state_offset[i]
    c.kernels.optimizer_update(c.optimizer, parameter, gradient, state[0], state[1], state[2],
                               count, b.prepared)


cdef void dense_update(
    const step_t *s, call_t *c, batch_t *b, Py_ssize_t unit,
) noexcept nogil:
    """One piece of a layer: some inputs of a panel of its weight, and once per panel the bias."""
    cdef Py_ssize_t full = PANEL_BYTES // c.item
    cdef Py_ssize_t panel = unit // s.groups
    cdef Py_ssize_t begin = unit % s.groups * UNIT_INPUTS
    cdef Py_ssize_t end = min(begin + UNIT_INPUTS, s.inputs)
    cdef Py_ssize_t width = min(full, padded(c, s.outputs) - panel * full)
    cdef Py_ssize_t offset = s.weight.offset + (panel * full * s.inputs + begin * width) * c.item
    cdef char *gradient = b.workspace + offset if c.keeps_gradients else b.scratch
    cdef char *dz = at(c, b, &s.saved, 0)
    cdef bint accumulate = b.piece_first > 0
    c.kernels.dense_backward_weight(gradient, at(c, b, &s.x, 0), s.x.leading, dz, s.saved.leading,
                                    s.inputs, s.outputs, b.piece_rows, accumulate, panel, begin,
                                    end)
    if c.updates and b.last_piece:
        update(c, b, gradient, offset, (end - begin) * width)
    if begin == 0 and s.bias.space >= 0:
        offset = s.bias.offset + panel * full * c.item
        gradient = b.workspace + offset if c.keeps_gradients else b.scratch
        c.kernels.dense_backward_bias(gradient, dz + panel * full * c.item, s.saved.leading, width,
                                      b.piece_rows, accumulate)
        if c.updates and b.last_piece:
            update(c, b, gradient, offset, width)


cdef void by_units(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads,
) noexcept nogil:
    """This thread's share of all pieces, as far as they belong to this step."""
    cdef Py_ssize_t begin = max(c.units * thread // threads - s.first_unit, 0)
    cdef Py_ssize_t end = min(c.units * (thread + 1) // threads - s.first_unit, s.units)
    cdef Py_ssize_t unit
    for unit in range(begin, end):
        dense_update(s, c, b, unit)


cdef void by_panels(
    const step_t *s, call_t *c, batch_t *b, int thread, int threads,
) noexcept nogil:
    """A step on a piece of few rows, shared by panels; everybody needs the whole result next."""
    cdef Py_ssize_t n = panels(c, s.outputs if s.op == DENSE_FORWARD else s.inputs)
    cdef Py_ssize_t row = b.piece_rows * thread // threads
    if s.op == DENSE_FORWARD:
        dense_forward(s, c, b, 0, b.piece_rows, n * thread // threads, n * (thread + 1) // threads)
    elif s.op == DENSE_BACKWARD_INPUT:
        dense_backward_input(s, c, b, 0, b.piece_rows, n * thread // threads,
                             n * (thread + 1) // threads)
    else:
        by_rows(s, c, b, row, b.piece_rows * (thread + 1) // threads - row)
    team_barrier(threads)


cdef void run_piece(call_t *c, batch_t *b, int thread, int threads) noexcept nogil:
    """All steps on one piece of a batch."""
    cdef bint few = threads > 1 and b.piece_rows < ROWS_PER_THREAD * threads
    cdef Py_ssize_t row = b.piece_rows * thread // threads
    cdef Py_ssize_t rows = b.piece_rows * (thread + 1) // threads - row
    cdef const step_t *s
    cdef int i
    for i in range(c.step_count):
        s = &c.steps[i]
        if s.wait:
            team_barrier(threads)
        if s.op == DENSE_UPDATE:
            by_units(s, c, b, thread, threads)
        elif s.op == REDUCE:
            if thread == 0:
                reduce(s, c, b)
        elif few:
            by_panels(s, c, b, thread, threads)
        elif rows > 0:
            by_rows(s, c, b, row, rows)


cdef double weight_sum(call_t *c, batch_t *b) noexcept nogil:
    """The batch's sample weights in order; the number of rows where there are none."""
    cdef double total = 0, weight
    cdef long long row
    if not c.weighted:
        return <double>b.rows
    for row in range(b.rows):
        typed_kernels(1).gather_rows(&weight, 1, &c.sample_weight, c.order, b.first + row, 1)
        total += weight
    return total


cdef void run_batch(call_t *c, batch_t *b, int thread, int threads) noexcept nogil:
    """All pieces of a batch: the walk of one thread."""
    b.loss = b.metric = 0
    b.weight_sum = weight_sum(c, b)
    if c.updates:
        common_kernels().optimizer_prepare(c.optimizer, b.prepared, c.hyper, b.step)
    b.piece_first = 0
    while b.piece_first < b.rows:
        b.piece_rows = min(c.chunk, b.rows - b.piece_first)
        b.last_piece = b.piece_first + b.piece_rows == b.rows
        run_piece(c, b, thread, threads)
        b.piece_first += b.piece_rows
        if not c.updates:           # a training step is never left in the middle
            if thread == 0:
                look_for_signals(c)
            team_barrier(threads)
            if c.stop:
                return


cdef void open_batch(call_t *c, batch_t *b, int thread) noexcept nogil:
    b.first = 0
    b.rows = c.rows
    b.step = c.step
    b.workspace = c.workspace
    b.scratch = c.scratch + thread * SCRATCH_BYTES


cdef void batch_job(void *context, int thread, int threads) noexcept nogil:
    """One batch: a training step, gradients, or an evaluation of any number of rows."""
    cdef call_t *c = <call_t *>context
    cdef batch_t b
    open_batch(c, &b, thread)
    b.step += 1
    run_batch(c, &b, thread, threads)
    if thread == 0:
        c.step = b.step
        c.epoch_loss[0] = b.loss
        c.epoch_metric[0] = b.metric


cdef void begin_epoch(call_t *c, int thread, int threads) noexcept nogil:
    if thread == 0:
        c.loss_sum = c.metric_sum = c.weights = 0
        c.begun = seconds()
        if c.shuffle:
            common_kernels().permutation(c.order, c.rows, c.key, c.first_epoch + c.epochs_done)
    if c.shuffle:
        team_barrier(threads)


cdef void account(call_t *c, batch_t *b, bint epoch_ends) noexcept nogil:
    """On thread 0 after a batch: what it brought, and whether to go on."""
    cdef double total
    c.step = b.step
    c.loss_sum += b.loss
    c.metric_sum += b.metric
    c.weights += b.weight_sum
    c.rows_done += b.rows
    c.position = b.first + b.rows
    if epoch_ends:
        total = c.weights * c.value_count
        c.epoch_loss[c.epochs_done] = c.loss_sum / total if total else 0.0
        c.epoch_metric[c.epochs_done] = c.metric_sum
        c.epoch_seconds[c.epochs_done] = seconds() - c.begun
        c.epochs_done += 1
        c.position = 0
    look_for_signals(c)
    c.pause = seconds() > c.job_end


cdef void train_job(void *context, int thread, int threads) noexcept nogil:
    """Batches of all epochs, from where the last job stopped until the time for this one is over.

    It ends between two steps, so that the number of threads can be changed there, and Ctrl-C
    leaves the parameters as a step left them.
    """
    cdef call_t *c = <call_t *>context
    cdef batch_t b
    cdef long long epoch = c.epochs_done
    cdef bint epoch_ends
    open_batch(c, &b, thread)
    b.first = c.position
    while epoch < c.epochs:
        if b.first == 0:
            begin_epoch(c, thread, threads)
        b.rows = min(c.batch_size, c.rows - b.first)
        b.step += 1
        run_batch(c, &b, thread, threads)
        epoch_ends = c.rows - b.first - b.rows < (c.batch_size if c.drop_last else 1)
        if thread == 0:
            account(c, &b, epoch_ends)
        team_barrier(threads)
        if c.stop or c.pause:
            return
        b.first += b.rows
        if epoch_ends:
            b.first = 0
            epoch += 1


cdef void predict_job(void *context, int thread, int threads) noexcept nogil:
    """Rows through all layers: each thread its own, or all together where there are few."""
    cdef call_t *c = <call_t *>context
    cdef batch_t b
    open_batch(c, &b, thread)
    if c.rows < ROWS_PER_THREAD * threads and c.rows <= c.chunk:
        run_batch(c, &b, thread, threads)
        return
    b.workspace += thread * c.workspace_bytes
    b.first = c.rows * thread // threads
    b.rows = c.rows * (thread + 1) // threads - b.first
    b.piece_first = 0
    while b.piece_first < b.rows and not c.stop:
        b.piece_rows = min(c.chunk, b.rows - b.piece_first)
        run_piece(c, &b, 0, 1)
        b.piece_first += b.piece_rows
        if thread == 0:
            look_for_signals(c)


cdef place_t place(dict places, dict operands, str role):
    cdef place_t found
    found.space = -1
    found.offset = found.row_bytes = found.leading = 0
    name = operands.get(role)
    if name is not None:
        found.space, found.offset, found.row_bytes, found.leading = places[name]
    return found


cdef int kind_of(step, activations, losses) except -2:
    """The row of the kernels' table that a step uses."""
    attributes = step.attributes
    if "activation" in attributes:
        return activations[attributes["activation"]]["kind"]
    if step.op in losses:
        return losses[step.op]["kind"]
    if step.op == "row_metric":
        return _METRICS[attributes["metric"]]
    return 0


cdef class Program:
    """The engine's form of a :class:`cymlp.plan.Plan`.

    Parameters
    ----------
    plan : Plan
        What to run.
    """

    def __init__(self, plan):
        self.plan = plan
        self.spare = []
        self.chunk = plan.chunk
        self.workspace_bytes = plan.workspace_bytes
        self.multiply_adds = plan.multiply_adds
        self.steps = <step_t *>calloc(max(len(plan.steps), 1), sizeof(step_t))
        if self.steps == NULL:
            raise MemoryError("no memory for the steps of a plan")
        cdef Py_ssize_t item = 4 if plan.dtype == "float32" else 8
        sizes = {"float32": 4, "float64": 8, "int32": 4}
        places = {p.name: (0, p.offset, 0, 0) for p in plan.parameters}
        for b in plan.buffers:
            places[b.name] = (1, b.offset, b.leading * sizes[b.dtype], b.leading)
        self.step_count = 0
        self.units = 0
        for step in plan.steps:
            self._add(step, places, PANEL_BYTES // item)

    cdef int _add(self, step, dict places, Py_ssize_t panel_columns) except -1:
        cdef step_t *s = &self.steps[self.step_count]
        losses = levels.loss_table()
        attributes = step.attributes
        operands = step.operands
        s.op = POINTWISE_LOSS if step.op in losses else _OPS[step.op]
        s.kind = kind_of(step, levels.activation_table(), losses)
        s.wait = step.wait
        s.out = place(places, operands, "out")
        s.x = place(places, operands, "x")
        s.saved = place(places, operands, "saved")
        s.target = place(places, operands, "target")
        s.sample_weight = place(places, operands, "sample_weight")
        s.row_values = place(places, operands, "row_values")
        s.weight = place(places, operands, "weight")
        s.bias = place(places, operands, "bias")
        s.inputs = attributes.get("inputs", 0)
        s.outputs = attributes.get("outputs", 0)
        s.columns = attributes.get("columns", 0)
        s.labels = attributes.get("target") == "labels"
        s.parameter = attributes.get("rate", attributes.get("slope", 0.0))
        s.layer = attributes.get("layer", 0)
        if s.op == DENSE_UPDATE:
            s.groups = (s.inputs + UNIT_INPUTS - 1) // UNIT_INPUTS
            s.first_unit = self.units
            s.units = s.groups * ((s.outputs + panel_columns - 1) // panel_columns)
            self.units += s.units
        self.step_count += 1
        return 0

    def __dealloc__(self):
        free(self.steps)

    cdef void fill(self, call_t *call) noexcept:
        call.steps = self.steps
        call.step_count = self.step_count
        call.units = self.units
        call.chunk = self.chunk
        call.workspace_bytes = self.workspace_bytes
