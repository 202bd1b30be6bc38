# cython: language_level=3, cdivision=True
"""Losses fused with their output activation, on logits, and the metrics of a row.

The pointwise losses stand in one table in losses.h; those after a softmax need a whole row at once
and are written here. All of them have the same meaning: row_loss[r] is
w_r times the sum of the row's losses, in double; grad is w_r scale times its derivative, and may
be NULL, or the logits. A weight of exactly 0 takes the row out, whatever it holds.
"""

from libc.math cimport fabs

from cymlp.kernels.lanes cimport (
    LANES, row_distance, row_entropy, row_exp, row_first_max, row_max, row_softmax, row_sum)
from cymlp.kernels.narrow cimport (
    NARROW_COLUMNS, NARROW_ROWS, narrow_losses, narrow_rows, narrow_softmax)
from cymlp.kernels.real cimport real

ctypedef double (*RowF32)(
    float *, const float *, const float *, Py_ssize_t, float, const float *,
    double *) noexcept nogil
ctypedef double (*RowF64)(
    double *, const double *, const double *, Py_ssize_t, double, const double *,
    double *) noexcept nogil

cdef extern from "vmath.h" nogil:
    double minus_log_f64(double p) noexcept

cdef extern from "losses.h":
    ctypedef struct Parameter "struct loss_parameter":
        const char *name
        double standard
    ctypedef struct Loss "struct loss":
        const char *name
        const char *output_activation
        const char *metric
        Parameter[2] parameter
        double low
        double high
        int whole
        int outputs
        RowF32 row_f32
        RowF64 row_f64
    const Loss[1] loss_table
    int LOSS_COUNT
    double log_f64(double x) noexcept nogil


cdef enum:
    WEIGHED = 256           # columns of a target that are weighed at a time
    SHORT_TARGETS = 256     # of short rows that are worked on together


cdef inline void leave_out(
        real *gradient, double *row_loss, Py_ssize_t cols) noexcept nogil:
    """A row of weight 0: no loss and no gradient."""
    cdef Py_ssize_t c
    row_loss[0] = 0.0
    if gradient != NULL:
        for c in range(cols):
            gradient[c] = 0


cdef inline void weigh(
        real *gradient, double *row_loss, double weight, double scale,
        Py_ssize_t cols) noexcept nogil:
    """A row's loss and derivative become those of its share of the mean."""
    cdef Py_ssize_t c
    if weight == 0.0:
        leave_out(gradient, row_loss, cols)
        return
    row_loss[0] *= weight
    if gradient != NULL:
        for c in range(cols):
            gradient[c] *= <real> (weight * scale)


cdef inline double values(
        int kind, real *gradient, const real *logits, const real *target, Py_ssize_t targets,
        double factor, const real *parameters, double *each) noexcept nogil:
    """A function of the table: the sum of the losses, or each of them."""
    if real is float:
        return loss_table[kind].row_f32(gradient, logits, target, targets, <float> factor,
                                        parameters, each)
    else:
        return loss_table[kind].row_f64(gradient, logits, target, targets, factor, parameters,
                                        each)


cdef void short_rows(
        int kind, real *grad, Py_ssize_t ldg, double *row_loss,
        const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
        const real *sample_weight, double scale, const real *parameters,
        Py_ssize_t rows, Py_ssize_t targets) noexcept nogil:
    """`pointwise_loss` of some rows of few targets, which lie behind each other like one row's.

    A register then holds as many of them as it has room for. Up to whole lanes there are zeros.
    """
    cdef real[2 * SHORT_TARGETS] z, slope, own
    cdef real[SHORT_TARGETS] t
    cdef double[SHORT_TARGETS] each
    cdef int outputs = loss_table[kind].outputs, half, names = 0
    cdef Py_ssize_t n = (rows * targets + LANES - 1) // LANES * LANES
    cdef Py_ssize_t r, c, place
    while names < 2 and loss_table[kind].parameter[names].name[0]:
        names += 1
    for place in range(rows * targets, n):
        t[place] = z[place] = z[n + place] = own[place] = own[n + place] = 0
    for c in range(targets):
        for r in range(rows):
            t[r * targets + c] = target[r * ldt + c]
        for half in range(outputs):
            for r in range(rows):
                z[half * n + r * targets + c] = logits[r * ldz + half * targets + c]
        for half in range(names):
            for r in range(rows):
                own[half * n + r * targets + c] = parameters[half * targets + c]
    # Of weighted rows the derivative alone: each takes its own factor below.
    values(kind, <real *> slope, <const real *> z, <const real *> t, n,
           scale if sample_weight == NULL else 1.0, <const real *> own, each)
    for r in range(rows):
        row_loss[r] = each[r] if targets == 1 else row_sum(<const double *> each + r * targets,
                                                           targets)
    if grad != NULL:
        for c in range(outputs * targets):
            place = c // targets * n + c % targets
            for r in range(rows):
                grad[r * ldg + c] = slope[place + r * targets]
    if sample_weight != NULL:
        for r in range(rows):
            weigh(grad + r * ldg if grad != NULL else NULL, row_loss + r, sample_weight[r], scale,
                  outputs * targets)


cdef void pointwise_loss(
        int kind, real *grad, Py_ssize_t ldg, double *row_loss,
        const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
        const real *sample_weight, double scale, const real *parameters,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """A loss of the table; `parameters` has its first for every target, then its second."""
    cdef Py_ssize_t targets = cols // loss_table[kind].outputs
    cdef double weight = 1.0
    cdef real *gradient = NULL
    cdef Py_ssize_t first = 0, block, r
    while 0 < targets <= NARROW_COLUMNS and first < rows:
        block = min(rows - first, SHORT_TARGETS // targets)
        short_rows(kind, grad + first * ldg if grad != NULL else NULL, ldg, row_loss + first,
                   logits + first * ldz, ldz, target + first * ldt, ldt,
                   sample_weight + first if sample_weight != NULL else NULL, scale, parameters,
                   block, targets)
        first += block
    for r in range(first, rows):
        if grad != NULL:
            gradient = grad + r * ldg
        if sample_weight != NULL:
            weight = sample_weight[r]
        if weight == 0.0:
            leave_out(gradient, row_loss + r, cols)
        else:
            row_loss[r] = weight * values(kind, gradient, logits + r * ldz, target + r * ldt,
                                          targets, weight * scale, parameters, NULL)


cdef void labels_block(
        real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
        const int *label, const real *sample_weight, double scale, Py_ssize_t cols) noexcept nogil:
    """`softmax_cross_entropy_labels` of a block of short rows."""
    cdef real[NARROW_ROWS] factor, chosen, largest, total
    cdef double[NARROW_ROWS] weight
    cdef Py_ssize_t r
    for r in range(narrow_rows(logits)):
        weight[r] = 1.0 if sample_weight == NULL else sample_weight[r]
        factor[r] = <real> (weight[r] * scale)
        chosen[r] = logits[r * ldz + label[r]] if weight[r] != 0.0 else 0
    narrow_softmax(grad, ldg, logits, ldz, cols, <const real *> factor, <real *> largest,
                   <real *> total)
    narrow_losses(row_loss, <const real *> total, <const real *> largest, <const real *> chosen,
                  <const double *> weight)
    for r in range(narrow_rows(logits)):
        if weight[r] == 0.0:
            leave_out(grad + r * ldg if grad != NULL else NULL, row_loss + r, cols)
        elif grad != NULL:
            grad[r * ldg + label[r]] -= factor[r]


cdef void softmax_cross_entropy_labels(
        real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
        const int *label, const real *sample_weight, double scale,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """loss = log(sum(e^z)) - z[label]"""
    cdef double weight = 1.0
    cdef real *gradient = NULL
    cdef const real *z
    cdef real largest, total, chosen
    cdef Py_ssize_t block = narrow_rows(logits), first = 0, r
    while cols <= NARROW_COLUMNS and first + block <= rows:
        labels_block(grad + first * ldg if grad != NULL else NULL, ldg, row_loss + first,
                     logits + first * ldz, ldz, label + first,
                     sample_weight + first if sample_weight != NULL else NULL, scale, cols)
        first += block
    for r in range(first, rows):
        z = logits + r * ldz
        if grad != NULL:
            gradient = grad + r * ldg
        if sample_weight != NULL:
            weight = sample_weight[r]
        if weight == 0.0:
            leave_out(gradient, row_loss + r, cols)
            continue
        chosen = z[label[r]]        # before the gradient, which may overwrite the logits
        largest = row_max(z, cols)
        total = row_softmax(gradient, z, cols, largest, <real> (weight * scale), label[r])
        row_loss[r] = weight * (log_f64(total) + (<double> largest - <double> chosen))


cdef void softmax_cross_entropy_dense(
        real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
        const real *target, Py_ssize_t ldt, const real *sample_weight, double scale,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """loss = sum(t (log(sum(e^z)) - z)); the targets of a row need not add up to 1."""
    cdef double weight = 1.0, far
    cdef real *gradient = NULL
    cdef const real *z
    cdef const real *t
    cdef real largest, total, mass, factor, share
    cdef Py_ssize_t r, c
    for r in range(rows):
        z = logits + r * ldz
        t = target + r * ldt
        if grad != NULL:
            gradient = grad + r * ldg
        if sample_weight != NULL:
            weight = sample_weight[r]
        if weight == 0.0:
            leave_out(gradient, row_loss + r, cols)
            continue
        largest = row_max(z, cols)
        mass = row_sum(t, cols)
        far = row_distance(t, z, cols, largest)
        total = row_exp(gradient, z, cols, largest)
        row_loss[r] = weight * (<double> mass * log_f64(total) + far)
        if gradient != NULL:
            factor = <real> (weight * scale)
            share = factor * mass / total
            for c in range(cols):
                gradient[c] = gradient[c] * share - factor * t[c]


cdef void kullback_leibler(
        real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
        const real *target, Py_ssize_t ldt, const real *sample_weight, double scale,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """loss = sum(t (log(t) - log(softmax(z)))): the cross-entropy less the target's entropy."""
    cdef double weight = 1.0
    cdef Py_ssize_t r
    softmax_cross_entropy_dense(grad, ldg, row_loss, logits, ldz, target, ldt, sample_weight,
                                scale, rows, cols)
    for r in range(rows):
        if sample_weight != NULL:
            weight = sample_weight[r]
        if weight != 0.0:
            row_loss[r] -= weight * row_entropy(target + r * ldt, cols)


cdef inline void weigh_target(
        real *weighed, const real *target, Py_ssize_t label, const real *class_weight,
        double smoothing, Py_ssize_t first, Py_ssize_t size, Py_ssize_t cols) noexcept nogil:
    """Some columns of the target as it counts, with smoothing and the weights of the classes.

    The weights belong to the terms of dense targets; a label's own weight is the row's.
    """
    cdef real share = <real> (smoothing / cols), kept = <real> (1.0 - smoothing)
    cdef Py_ssize_t c
    if target != NULL:
        for c in range(size):
            weighed[c] = class_weight[first + c] * (kept * target[first + c] + share)
        return
    for c in range(size):
        weighed[c] = class_weight[first + c] * share
    if first <= label < first + size:
        weighed[label - first] += kept * class_weight[label]


cdef void softmax_cross_entropy_weighted(
        real *grad, Py_ssize_t ldg, double *row_loss, const real *logits, Py_ssize_t ldz,
        const int *label, const real *target, Py_ssize_t ldt, const real *class_weight,
        double smoothing, const real *sample_weight, double scale,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """The cross-entropy with a target that is smoothed and weighed; labels where there are any."""
    cdef real[WEIGHED] weighed
    cdef double weight = 1.0, far
    cdef real *gradient = NULL
    cdef const real *z
    cdef const real *t = NULL
    cdef real largest, total, mass, factor, share
    cdef Py_ssize_t r, c, block, first, size, chosen = -1
    for r in range(rows):
        z = logits + r * ldz
        if label != NULL:
            chosen = label[r]
        else:
            t = target + r * ldt
        if grad != NULL:
            gradient = grad + r * ldg
        if sample_weight != NULL:
            weight = sample_weight[r]
        if weight == 0.0:
            leave_out(gradient, row_loss + r, cols)
            continue
        largest = row_max(z, cols)
        mass = 0
        far = 0
        for block in range((cols + WEIGHED - 1) // WEIGHED):
            first = block * WEIGHED
            size = min(cols - first, <Py_ssize_t> WEIGHED)
            weigh_target(&weighed[0], t, chosen, class_weight, smoothing, first, size, cols)
            mass += row_sum(&weighed[0], size)
            far += row_distance(&weighed[0], z + first, size, largest)
        total = row_exp(gradient, z, cols, largest)
        row_loss[r] = weight * (<double> mass * log_f64(total) + far)
        if gradient == NULL:
            continue
        factor = <real> (weight * scale)
        share = factor * mass / total
        for block in range((cols + WEIGHED - 1) // WEIGHED):
            first = block * WEIGHED
            size = min(cols - first, <Py_ssize_t> WEIGHED)
            weigh_target(&weighed[0], t, chosen, class_weight, smoothing, first, size, cols)
            for c in range(size):
                gradient[first + c] = gradient[first + c] * share - factor * weighed[c]


# ---- metrics -----------------------------------------------------------------------

cdef void correct_labels(
        double *row_metric, const real *logits, Py_ssize_t ldz, const int *label,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """1 where the first largest logit is the label's."""
    cdef Py_ssize_t r
    for r in range(rows):
        row_metric[r] = row_first_max(logits + r * ldz, cols, label[r])


cdef void correct_dense(
        double *row_metric, const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """1 where the first largest logit is in the column of the first largest target."""
    cdef const real *t
    cdef Py_ssize_t r, c, chosen
    for r in range(rows):
        t = target + r * ldt
        chosen = 0
        for c in range(1, cols):
            if t[c] > t[chosen]:
                chosen = c
        row_metric[r] = row_first_max(logits + r * ldz, cols, chosen)


cdef void correct_binary(
        double *row_metric, const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """1 where every logit is on its target's side: (z > 0) == (t > 1/2); a NaN is on neither."""
    cdef const real *z
    cdef const real *t
    cdef int wrong
    cdef Py_ssize_t r, c
    if cols == 1:       # without the start of a loop for each row
        for r in range(rows):
            z = logits + r * ldz
            row_metric[r] = not (((z[0] > 0) != (target[r * ldt] > 0.5)) | (z[0] != z[0]))
        return
    for r in range(rows):
        z = logits + r * ldz
        t = target + r * ldt
        wrong = 0
        for c in range(cols):
            wrong += ((z[c] > 0) != (t[c] > 0.5)) | (z[c] != z[c])
        row_metric[r] = wrong == 0


cdef void absolute_error(
        double *row_metric, const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """The mean over the columns of |z - t|."""
    cdef const real *z
    cdef const real *t
    cdef double total, difference
    cdef Py_ssize_t r, c
    if cols == 1:       # as in correct_binary
        for r in range(rows):
            row_metric[r] = fabs(<double> (logits[r * ldz] - target[r * ldt]))
        return
    for r in range(rows):
        z = logits + r * ldz
        t = target + r * ldt
        total = 0.0
        for c in range(cols):
            difference = z[c] - t[c]
            total += -difference if difference < 0 else difference
        row_metric[r] = total / cols


def table():
    """The rows of the table of pointwise losses; a row's number is its `kind`."""
    return [{"name": loss_table[kind].name.decode(),
             "kind": kind,
             "output_activation": loss_table[kind].output_activation.decode(),
             "metric": loss_table[kind].metric.decode(),
             "parameters": {loss_table[kind].parameter[i].name.decode():
                            loss_table[kind].parameter[i].standard
                            for i in range(2) if loss_table[kind].parameter[i].name[0]},
             "limits": (loss_table[kind].low, loss_table[kind].high,
                        bool(loss_table[kind].whole)),
             "outputs": loss_table[kind].outputs}
            for kind in range(LOSS_COUNT)]


cdef void minus_log(double *out, const double *p, Py_ssize_t n) noexcept nogil:
    """out = -log(p), for p in (0, 1] or NaN."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = minus_log_f64(p[i])
