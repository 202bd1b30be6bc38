"""Every kernel but the dense ones as a call on arrays, without the GIL.

What comes in has been checked by `cymlp.ops`: all arrays of a call have the shape of its result,
which nothing else overlaps (or it is the argument that may be changed in place). The element type
is that of the array that is written; the others may have any real type.
"""
cimport numpy as cnp
from libc.string cimport memset

from cymlp.engine.binding cimport common_kernels, kernels_t, typed_kernels
from cymlp.engine.memory cimport Memory
from cymlp.engine.sources cimport are_apart, describe, is_plain
from cymlp.engine.operands cimport (
    READ, WRITE, add, block_job, borrow, give_back, plan, run, walk_t)
from cymlp.kernels.data cimport source_t

cnp.import_array()

cdef enum:
    MAX_HYPER = 16
    LOG_OF_SOFTMAX = 1
    KULLBACK_LEIBLER = 1        # the kind of a softmax's loss that is not the cross-entropy
    CORRECT_LABELS = 0
    CORRECT_DENSE = 1
    CORRECT_BINARY = 2
    ABSOLUTE_ERROR = 3

METRICS = {"correct_labels": CORRECT_LABELS, "correct_dense": CORRECT_DENSE,
           "correct_binary": CORRECT_BINARY, "absolute_error": ABSOLUTE_ERROR}

ctypedef struct job_t:
    # What a kernel takes besides its matrices.
    const kernels_t *kernels
    Py_ssize_t item
    int kind
    double parameter            # of an activation; the dropout rate; the scale of a loss
    const void *parameters      # of a loss: for every target, or the weights of the classes
    double smoothing
    double *row_value
    char *weight
    int *label
    double prepared[MAX_HYPER]
    int slot[3]                 # which operand is the optimizer's state; -1: none
    unsigned long long key
    long long step
    long long first_row
    int layer


cdef inline int dtype_of(cnp.ndarray array) noexcept:
    return cnp.PyArray_ITEMSIZE(array) == 8


cdef int open_job(job_t *job, walk_t *walk, int dtype, int kind) except -1:
    memset(job, 0, sizeof(job_t))
    memset(walk, 0, sizeof(walk_t))
    job.kernels = typed_kernels(dtype)
    job.item = 8 if dtype else 4
    job.kind = kind
    walk.kind = kind
    return 0


cdef int finish(
    job_t *job, walk_t *walk, block_job kernel, int dtype, bint whole_rows,
) except -1:
    """Run a kernel that needs no memory but that of the walk."""
    cdef char *unused
    cdef Memory memory = plan(walk, dtype, whole_rows, 0, &unused)
    with nogil:
        run(walk, kernel, job)
    return give_back(memory)


cdef bint is_alike(out, array) noexcept:
    """Both plain, of one type and shape."""
    cdef int dimensions = cnp.PyArray_NDIM(out)
    return (is_plain(array, dimensions) and cnp.PyArray_TYPE(array) == cnp.PyArray_TYPE(out)
            and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(array), cnp.PyArray_DIMS(out),
                                         dimensions))


cdef bint is_changeable(array) noexcept:
    """A contiguous array of float32 or float64 in native order that can be written to."""
    return (cnp.PyArray_CheckExact(array) and is_plain(array, cnp.PyArray_NDIM(array))
            and cnp.PyArray_ISWRITEABLE(array)
            and (cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT
                 or cnp.PyArray_TYPE(array) == cnp.NPY_DOUBLE))


def fit_together(out, first, second=None):
    """Whether arrays need no closer look.

    They do not where all are contiguous, of one floating dtype and one shape, and `out` can be
    written to and is `first` itself or apart from the others.
    """
    if not is_changeable(out) or not is_alike(out, first):
        return False
    if out is not first and not are_apart(out, first):
        return False
    return second is None or (is_alike(out, second) and are_apart(out, second))


def stand_apart(parameter, gradient, list states not None, tuple unused not None):
    """Whether the arrays of an optimizer's step need no closer look.

    They do not where all are contiguous, of one floating dtype and one shape, and the parameter
    and its states (not those in places of `unused`) can be written to and share no memory.
    """
    cdef list seen = [gradient]
    if not is_changeable(parameter) or not is_alike(parameter, gradient):
        return False
    for array in [parameter, *[s for i, s in enumerate(states) if i not in unused]]:
        if not is_changeable(array) or not is_alike(parameter, array):
            return False
        for other in seen:
            if not are_apart(array, other):
                return False
        seen.append(array)
    return True


# ---- activations ------------------------------------------------------------------------------

cdef void forward_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef job_t *job = <job_t *>context
    job.kernels.activation_forward(
        job.kind, data[0], leading[0], data[1], leading[1], rows, columns, job.parameter)


cdef void backward_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef job_t *job = <job_t *>context
    job.kernels.activation_backward(
        job.kind, data[0], leading[0], data[1], leading[1], data[2], leading[2], rows, columns,
        job.parameter)


cdef void exp_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    (<job_t *>context).kernels.exponential(
        data[0], leading[0], data[1], leading[1], rows, columns)


cdef void softmax_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef const job_t *job = <const job_t *>context
    if job.kind == LOG_OF_SOFTMAX:
        job.kernels.log_softmax_forward(data[0], leading[0], data[1], leading[1], rows, columns)
    else:
        job.kernels.softmax_forward(data[0], leading[0], data[1], leading[1], rows, columns)


cdef void softmax_backward_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef const job_t *job = <const job_t *>context
    if job.kind == LOG_OF_SOFTMAX:
        job.kernels.log_softmax_backward(
            data[0], leading[0], data[1], leading[1], data[2], leading[2], rows, columns)
    else:
        job.kernels.softmax_backward(
            data[0], leading[0], data[1], leading[1], data[2], leading[2], rows, columns)


def activation_forward(int kind, cnp.ndarray out not None, cnp.ndarray x not None,
                       double parameter):
    """out = f(x), f being a row of the table of activations."""
    cdef job_t job
    cdef walk_t walk
    open_job(&job, &walk, dtype_of(out), kind)
    job.parameter = parameter
    add(&walk, out, WRITE)
    add(&walk, x, READ)
    finish(&job, &walk, forward_job, dtype_of(out), False)


def activation_backward(int kind, cnp.ndarray out not None, cnp.ndarray grad_output not None,
                        cnp.ndarray saved not None, double parameter):
    """out = grad_output f'(x), from what the table's row says is saved."""
    cdef job_t job
    cdef walk_t walk
    open_job(&job, &walk, dtype_of(out), kind)
    job.parameter = parameter
    add(&walk, out, WRITE)
    add(&walk, grad_output, READ)
    add(&walk, saved, READ)
    finish(&job, &walk, backward_job, dtype_of(out), False)


def exp(cnp.ndarray out not None, cnp.ndarray x not None):
    """out = e**x"""
    cdef job_t job
    cdef walk_t walk
    open_job(&job, &walk, dtype_of(out), 0)
    add(&walk, out, WRITE)
    add(&walk, x, READ)
    finish(&job, &walk, exp_job, dtype_of(out), False)


def softmax(bint log, cnp.ndarray out not None, cnp.ndarray x not None):
    """Softmax, or its logarithm, of every row along the last dimension."""
    cdef job_t job
    cdef walk_t walk
    open_job(&job, &walk, dtype_of(out), LOG_OF_SOFTMAX if log else 0)
    add(&walk, out, WRITE)
    add(&walk, x, READ)
    finish(&job, &walk, softmax_job, dtype_of(out), True)


def softmax_backward(bint log, cnp.ndarray out not None, cnp.ndarray grad_output not None,
                     cnp.ndarray saved not None):
    """The Jacobian of softmax, or of its logarithm, times every row of grad_output."""
    cdef job_t job
    cdef walk_t walk
    open_job(&job, &walk, dtype_of(out), LOG_OF_SOFTMAX if log else 0)
    add(&walk, out, WRITE)
    add(&walk, grad_output, READ)
    add(&walk, saved, READ)
    finish(&job, &walk, softmax_backward_job, dtype_of(out), True)


# ---- losses and metrics -----------------------------------------------------------------------

cdef void pointwise_loss_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef job_t *job = <job_t *>context
    cdef char *weight = NULL if job.weight == NULL else job.weight + row * job.item
    job.kernels.pointwise_loss(
        job.kind, data[0], leading[0], job.row_value + row, data[1], leading[1], data[2],
        leading[2], weight, job.parameter, job.parameters, rows, columns)


cdef void softmax_loss_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef job_t *job = <job_t *>context
    cdef char *weight = NULL if job.weight == NULL else job.weight + row * job.item
    if job.kind == KULLBACK_LEIBLER:
        job.kernels.kullback_leibler(
            data[0], leading[0], job.row_value + row, data[1], leading[1], data[2], leading[2],
            weight, job.parameter, rows, columns)
    elif job.parameters != NULL:
        job.kernels.softmax_cross_entropy_weighted(
            data[0], leading[0], job.row_value + row, data[1], leading[1],
            NULL if job.label == NULL else job.label + row,
            NULL if job.label != NULL else data[2], 0 if job.label != NULL else leading[2],
            job.parameters, job.smoothing, weight, job.parameter, rows, columns)
    elif job.label != NULL:
        job.kernels.softmax_cross_entropy_labels(
            data[0], leading[0], job.row_value + row, data[1], leading[1], job.label + row,
            weight, job.parameter, rows, columns)
    else:
        job.kernels.softmax_cross_entropy_dense(
            data[0], leading[0], job.row_value + row, data[1], leading[1], data[2], leading[2],
            weight, job.parameter, rows, columns)


cdef void metric_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef job_t *job = <job_t *>context
    cdef const kernels_t *k = job.kernels
    cdef double *value = job.row_value + row
    if job.kind == CORRECT_LABELS:
        k.correct_labels(value, data[0], leading[0], job.label + row, rows, columns)
    elif job.kind == CORRECT_DENSE:
        k.correct_dense(value, data[0], leading[0], data[1], leading[1], rows, columns)
    elif job.kind == CORRECT_BINARY:
        k.correct_binary(value, data[0], leading[0], data[1], leading[1], rows, columns)
    else:
        k.absolute_error(value, data[0], leading[0], data[1], leading[1], rows, columns)


cdef double sum_of(
    const source_t *weight, const job_t *job, Py_ssize_t rows, bint labelled,
) noexcept nogil:
    """What the mean is taken by: the weights in double, times those of labels, in their order."""
    cdef double total = 0, value = 1
    cdef Py_ssize_t row
    cdef bint of_classes = labelled and job.parameters != NULL
    for row in range(rows):
        if weight != NULL:
            typed_kernels(1).gather_rows(&value, 1, weight, NULL, row, 1)
        if not of_classes or value == 0:
            total += value
        elif job.item == 8:
            total += value * (<const double *>job.parameters)[job.label[row]]
        else:
            total += value * (<const float *>job.parameters)[job.label[row]]
    return total


def loss(kind, cnp.ndarray grad not None, cnp.ndarray logits not None,
         cnp.ndarray target not None, weight, cnp.ndarray parameters, double smoothing,
         Py_ssize_t values):
    """Mean loss of the rows; its gradient goes to `grad`.

    `kind` is a row of the table of pointwise losses; or "softmax_cross_entropy", whose target may
    be labels (one dimension), or "kullback_leibler". `parameters` (None: none) are contiguous and
    of the type of `grad`; a row's loss is the mean of `values`.
    """
    cdef job_t job
    cdef walk_t walk
    cdef source_t weights, labels
    cdef char *extra = NULL
    cdef int dtype = dtype_of(grad)
    cdef bint softmax = isinstance(kind, str), weighted = weight is not None
    cdef bint labelled = softmax and target.ndim == 1
    cdef Py_ssize_t rows = grad.shape[0], row
    cdef double weight_sum, total = 0
    cdef Memory memory
    open_job(&job, &walk, dtype, <int>(KULLBACK_LEIBLER * (kind == "kullback_leibler")) if softmax
             else kind)
    job.smoothing = smoothing
    if parameters is not None:
        job.parameters = cnp.PyArray_DATA(parameters)
    add(&walk, grad, WRITE)
    add(&walk, logits, READ)
    if labelled:
        describe(&labels, target, "target")
    else:
        add(&walk, target, READ)
    if weighted:
        describe(&weights, weight, "sample_weight")
    memory = plan(&walk, dtype, True, rows * (8 + 8 + 4), &extra)
    if memory is None:
        return 0.0              # no row
    job.row_value = <double *>extra
    with nogil:
        if weighted:
            job.weight = extra + 8 * rows
            job.kernels.gather_rows(job.weight, 1, &weights, NULL, 0, rows)
        if labelled:
            job.label = <int *>(extra + 16 * rows)
            common_kernels().gather_labels(job.label, &labels, NULL, 0, rows, grad.shape[1])
        weight_sum = sum_of(&weights if weighted else NULL, &job, rows, labelled) * values
        job.parameter = 1.0 / weight_sum if weight_sum != 0 else 0.0
        run(&walk, softmax_loss_job if softmax else pointwise_loss_job, &job)
        for row in range(rows):
            total += job.row_value[row]
    give_back(memory)
    return total / weight_sum if weight_sum != 0 else 0.0


def row_metric(int kind, cnp.ndarray out not None, cnp.ndarray logits not None,
               cnp.ndarray target not None, int dtype):
    """A number (float64) for every row of the logits; `kind` is one of METRICS."""
    cdef job_t job
    cdef walk_t walk
    cdef source_t labels
    cdef char *extra = NULL
    cdef Py_ssize_t rows = logits.shape[0]
    cdef Memory memory
    open_job(&job, &walk, dtype, kind)
    add(&walk, logits, READ)
    if kind == CORRECT_LABELS:
        describe(&labels, target, "label")
    else:
        add(&walk, target, READ)
    memory = plan(&walk, dtype, True, rows * (8 + 4), &extra)
    if memory is None:
        return
    job.row_value = <double *>extra
    with nogil:
        if kind == CORRECT_LABELS:
            job.label = <int *>(extra + 8 * rows)
            common_kernels().gather_labels(job.label, &labels, NULL, 0, rows, logits.shape[1])
        run(&walk, metric_job, &job)
        typed_kernels(1).scatter_rows(
            cnp.PyArray_BYTES(out), cnp.PyArray_STRIDE(out, 0), 8, job.row_value, 1, rows, 1)
    give_back(memory)


def bad_label(cnp.ndarray labels not None, long long classes):
    """The first place of a label that is no integer from 0 to classes - 1, or -1."""
    cdef source_t source
    cdef long long place
    describe(&source, labels, "target")
    with nogil:
        place = common_kernels().find_bad_label(&source, classes)
    return place


def outside(cnp.ndarray values not None, double low, double high, bint whole=False):
    """The first row with a NaN or a value outside low ... high (or no whole number), or -1."""
    cdef source_t source
    cdef long long row
    describe(&source, values, "target")
    with nogil:
        row = common_kernels().find_outside(&source, low, high)
        if whole and row < 0:
            row = common_kernels().find_fraction(&source)
    return row


# ---- optimizers -------------------------------------------------------------------------------

cdef void update_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef job_t *job = <job_t *>context
    cdef void *state[3]
    cdef Py_ssize_t r
    cdef int i
    for r in range(rows):
        for i in range(3):
            state[i] = NULL
            if job.slot[i] >= 0:
                state[i] = <char *>data[job.slot[i]] + r * leading[job.slot[i]] * job.item
        job.kernels.optimizer_update(
            job.kind, <char *>data[0] + r * leading[0] * job.item,
            <char *>data[1] + r * leading[1] * job.item, state[0], state[1], state[2], columns,
            job.prepared)


def optimizer_update(int kind, list hyper not None, long long step,
                     cnp.ndarray parameter not None, cnp.ndarray gradient not None,
                     list states not None):
    """One step on a parameter and its states, in place; a state that is not used is None."""
    cdef job_t job
    cdef walk_t walk
    cdef double values[MAX_HYPER]
    cdef int i
    cdef int dtype = dtype_of(parameter)
    if len(hyper) > MAX_HYPER or len(states) > 3:
        raise ValueError(f"hyper and states: expected at most {MAX_HYPER} and 3, "
                         f"got {len(hyper)} and {len(states)}")
    open_job(&job, &walk, dtype, kind)
    add(&walk, parameter, READ | WRITE)
    add(&walk, gradient, READ)
    for i in range(3):
        job.slot[i] = -1
    for i, state in enumerate(states):
        if state is not None:
            job.slot[i] = walk.operands
            add(&walk, state, READ | WRITE)
    for i, value in enumerate(hyper):
        values[i] = value
    common_kernels().optimizer_prepare(kind, job.prepared, values, step)
    finish(&job, &walk, update_job, dtype, False)


# ---- random numbers ---------------------------------------------------------------------------

cdef void dropout_job(
    void *context, void **data, const Py_ssize_t *leading, Py_ssize_t row, Py_ssize_t rows,
    Py_ssize_t columns,
) noexcept nogil:
    cdef job_t *job = <job_t *>context
    row += job.first_row
    job.kernels.dropout(data[0], leading[0], data[1], leading[1], row, row + rows, columns,
                        job.parameter, job.key, job.step, job.layer)


def dropout(cnp.ndarray out not None, cnp.ndarray x not None, double rate,
            unsigned long long key, long long step, int layer, long long first_row):
    """Zero some elements and scale the others."""
    cdef job_t job
    cdef walk_t walk
    open_job(&job, &walk, dtype_of(out), 0)
    job.parameter = rate
    job.key = key
    job.step = step
    job.layer = layer
    job.first_row = first_row
    add(&walk, out, WRITE)
    add(&walk, x, READ)
    finish(&job, &walk, dropout_job, dtype_of(out), True)


def permutation(cnp.ndarray out not None, unsigned long long key, long long epoch):
    """Fill an array of int64 with a random order of its places."""
    cdef Py_ssize_t n = out.shape[0], stride = cnp.PyArray_STRIDE(out, 0), i
    cdef char *place = cnp.PyArray_BYTES(out)
    cdef bint direct = stride == sizeof(long long) or n < 2
    cdef Memory memory = None if direct else borrow(n * sizeof(long long))
    cdef long long *order = <long long *>(place if direct else memory.data)
    with nogil:
        common_kernels().permutation(order, n, key, epoch)
        if not direct:
            for i in range(n):
                (<long long *>(place + i * stride))[0] = order[i]
    give_back(memory)
