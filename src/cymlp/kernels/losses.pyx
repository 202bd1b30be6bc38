# cython: language_level=3, cdivision=True
"""Losses fused with their output activation, on logits, and the metrics of a row.

The pointwise losses stand in one table in losses.h; those after a softmax need a whole row at once
and are written here. All of them have the same meaning: row_loss[r] is
w_r times the sum of the row's losses, in double; grad is w_r scale times its derivative, and may
be NULL, or the logits. A weight of exactly 0 takes the row out, whatever it holds.
"""

from cymlp.kernels.lanes cimport (
    row_distance, row_entropy, row_exp, row_max, row_softmax, row_sum)
from cymlp.kernels.narrow cimport (
    NARROW_COLUMNS, NARROW_ROWS, narrow_losses, narrow_rows, narrow_softmax)
from cymlp.kernels.real cimport real

ctypedef double (*RowF32)(
    float *, const float *, const float *, Py_ssize_t, float, const float *) noexcept nogil
ctypedef double (*RowF64)(
    double *, const double *, const double *, Py_ssize_t, double, const double *) noexcept nogil

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
    WEIGHED = 256       # columns of a target that are weighed at a time


cdef inline void leave_out(
        real *gradient, double *row_loss, Py_ssize_t cols) noexcept nogil:
    """A row of weight 0: no loss and no gradient."""
    cdef Py_ssize_t c
    row_loss[0] = 0.0
    if gradient != NULL:
        for c in range(cols):
            gradient[c] = 0


cdef void pointwise_loss(
        int kind, real *grad, Py_ssize_t ldg, double *row_loss,
        const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
        const real *sample_weight, double scale, const real *parameters,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """A loss of the table; `parameters` has its first for every target, then its second."""
    cdef Py_ssize_t targets = cols // loss_table[kind].outputs
    cdef double weight = 1.0
    cdef real *gradient = NULL
    cdef Py_ssize_t r
    for r in range(rows):
        if grad != NULL:
            gradient = grad + r * ldg
        if sample_weight != NULL:
            weight = sample_weight[r]
        if weight == 0.0:
            leave_out(gradient, row_loss + r, cols)
        elif real is float:
            row_loss[r] = weight * loss_table[kind].row_f32(
                gradient, logits + r * ldz, target + r * ldt, targets, <float> (weight * scale),
                parameters)
        else:
            row_loss[r] = weight * loss_table[kind].row_f64(
                gradient, logits + r * ldz, target + r * ldt, targets, weight * scale,
                parameters)


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

cdef inline double is_first_maximum(
        const real *z, Py_ssize_t cols, Py_ssize_t chosen) noexcept nogil:
    """1 where z[chosen] is the first largest element, else 0; any NaN in the row gives 0."""
    cdef real best = z[chosen]
    cdef int rivals = 0
    cdef Py_ssize_t c
    for c in range(chosen):
        rivals += not z[c] < best
    for c in range(chosen, cols):
        rivals += not z[c] <= best
    return rivals == 0


cdef void correct_labels(
        double *row_metric, const real *logits, Py_ssize_t ldz, const int *label,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """1 where the first largest logit is the label's."""
    cdef Py_ssize_t r
    for r in range(rows):
        row_metric[r] = is_first_maximum(logits + r * ldz, cols, label[r])


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
        row_metric[r] = is_first_maximum(logits + r * ldz, cols, chosen)


cdef void correct_binary(
        double *row_metric, const real *logits, Py_ssize_t ldz, const real *target, Py_ssize_t ldt,
        Py_ssize_t rows, Py_ssize_t cols) noexcept nogil:
    """1 where every logit is on its target's side: (z > 0) == (t > 1/2); a NaN is on neither."""
    cdef const real *z
    cdef const real *t
    cdef int wrong
    cdef Py_ssize_t r, c
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
