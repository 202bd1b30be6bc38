"""L-BFGS over a network's parameters: two-loop recursion and a line search for strong Wolfe steps.

Nocedal and Wright, "Numerical optimization" (2nd edition, 2006): algorithm 7.4 gives the
direction, 3.5 and 3.6 the length of the step, by cubic interpolation. Everything happens in the
parameters' own layout, piece by piece, with sums in one order: the bits do not depend on the
threads, which share the evaluations of loss and gradient.

The pairs of differences are the optimizer's states: pair k of iteration i is k = i mod history.
A pair that says nothing about the curvature is kept as zeros.
"""
from libc.math cimport NAN, fabs, isfinite, sqrt
from libc.string cimport memcpy, memset

from cymlp.engine.call cimport piece_t
from cymlp.engine.running cimport run_call
from cymlp.engine.walk cimport batch_job, seconds

cdef enum:
    LARGEST_HISTORY = 64        # optimizers.py

cdef double SUFFICIENT = 1e-4   # share of the slope by which the loss must fall
cdef double CURVATURE = 0.9     # share of the slope that may be left


# ---- vectors: arrays of the parameters' layout ---------------------------------------------------

cdef inline char *parameters(search_t *s) noexcept nogil:
    return s.call.arena


cdef inline char *gradient(search_t *s) noexcept nogil:
    return s.call.workspace


cdef inline char *step_pair(search_t *s, long long iteration) noexcept nogil:
    """The difference of the parameters that an iteration has made."""
    return s.call.arena + (1 + iteration % s.history) * s.bytes


cdef inline char *gradient_pair(search_t *s, long long iteration) noexcept nogil:
    return s.call.arena + (1 + s.history + iteration % s.history) * s.bytes


cdef double dot(search_t *s, const char *a, const char *b) noexcept nogil:
    cdef const piece_t *p
    cdef double total = 0, part
    cdef Py_ssize_t i
    for i in range(s.call.piece_count):
        p = &s.call.pieces[i]
        s.call.kernels.gradient_dot(&part, a + p.offset, b + p.offset, p.rows, p.width, p.columns)
        total += part
    return total


cdef void add(search_t *s, char *total, const char *x, double share, bint first) noexcept nogil:
    """total = share x, or total + share x."""
    cdef const piece_t *p
    cdef Py_ssize_t i
    for i in range(s.call.piece_count):
        p = &s.call.pieces[i]
        s.call.kernels.gradient_accumulate(total + p.offset, x + p.offset, p.rows * p.width, share,
                                           first)


cdef void copy(search_t *s, char *out, const char *x) noexcept nogil:
    cdef const piece_t *p
    cdef Py_ssize_t i
    for i in range(s.call.piece_count):
        p = &s.call.pieces[i]
        memcpy(out + p.offset, x + p.offset, p.rows * p.width * s.call.item)


cdef double largest(search_t *s, const char *x) noexcept nogil:
    """The largest magnitude."""
    cdef const piece_t *p
    cdef double found = 0, value
    cdef Py_ssize_t i, row, c, k
    for i in range(s.call.piece_count):
        p = &s.call.pieces[i]
        for row in range(p.rows):
            for c in range(p.columns):
                k = row * p.width + c
                if s.call.item == 4:
                    value = fabs((<const float *>(x + p.offset))[k])
                else:
                    value = fabs((<const double *>(x + p.offset))[k])
                if not value <= found:
                    found = value
    return found


# ---- the loss ------------------------------------------------------------------------------------

cdef bint evaluate(search_t *s) noexcept nogil:
    """Loss and gradient at the parameters, penalty included; False where Ctrl-C has ended it."""
    cdef const piece_t *p
    cdef double part, total, l2 = s.call.rules.l2
    cdef Py_ssize_t i
    s.call.step = s.step + s.done       # dropout draws the same throughout an iteration
    s.threads = run_call(s.call, batch_job, s.wanted, s.tuner)
    s.evaluations += 1
    if s.call.stop:
        return False
    total = s.call.weights * s.call.value_count
    s.metric = s.call.metric_sum / s.call.counted if s.call.counted else 0.0
    s.value = s.call.loss_sum / total if total else 0.0
    if l2 > 0:
        for i in range(s.call.piece_count):
            p = &s.call.pieces[i]
            if p.penalized:
                s.call.kernels.gradient_dot(&part, parameters(s) + p.offset,
                                            parameters(s) + p.offset, p.rows, p.width, p.columns)
                s.value += 0.5 * l2 * part
                s.call.kernels.gradient_penalty(gradient(s) + p.offset, parameters(s) + p.offset,
                                                p.rows * p.width, 0.0, l2)
    return True


cdef bint evaluate_at(search_t *s, double length) noexcept nogil:
    copy(s, parameters(s), s.start)
    add(s, parameters(s), s.direction, length, False)
    return evaluate(s)


# ---- the direction -------------------------------------------------------------------------------

cdef void find_direction(search_t *s) noexcept nogil:
    """Minus the gradient times the inverse Hessian that the last pairs tell of."""
    cdef double share[LARGEST_HISTORY]
    cdef double curvature[LARGEST_HISTORY]
    cdef double scale = 0
    cdef long long now = s.step + s.done
    cdef long long oldest = max(now - s.history, 0), i
    cdef Py_ssize_t k
    add(s, s.direction, gradient(s), -1.0, True)
    for i in range(now - 1, oldest - 1, -1):
        k = i % s.history
        curvature[k] = dot(s, step_pair(s, i), gradient_pair(s, i))
        if curvature[k] <= 0:
            continue
        if scale == 0:
            scale = curvature[k] / dot(s, gradient_pair(s, i), gradient_pair(s, i))
        share[k] = dot(s, step_pair(s, i), s.direction) / curvature[k]
        add(s, s.direction, gradient_pair(s, i), -share[k], False)
    if scale > 0:
        add(s, s.direction, s.direction, scale, True)
    for i in range(oldest, now):
        k = i % s.history
        if curvature[k] > 0:
            share[k] -= dot(s, gradient_pair(s, i), s.direction) / curvature[k]
            add(s, s.direction, step_pair(s, i), share[k], False)


cdef void forget(search_t *s) noexcept nogil:
    """Forget all pairs, after a direction that led nowhere."""
    memset(s.call.arena + s.bytes, 0, 2 * s.history * s.bytes)


cdef void remember(search_t *s) noexcept nogil:
    """The pair of the step from `start` to here."""
    cdef long long now = s.step + s.done
    cdef char *moved = step_pair(s, now)
    cdef char *changed = gradient_pair(s, now)
    cdef double square
    copy(s, moved, parameters(s))
    add(s, moved, s.start, -1.0, False)
    copy(s, changed, gradient(s))
    add(s, changed, s.before, -1.0, False)
    square = dot(s, changed, changed)
    if not dot(s, moved, changed) > 2.2e-16 * square:
        memset(moved, 0, s.bytes)
        memset(changed, 0, s.bytes)


# ---- the length of the step ----------------------------------------------------------------------

cdef double cubic(
    double a, double fa, double sa, double b, double fb, double sb,
) noexcept nogil:
    """The minimum of the cubic through two values and slopes; NaN where there is none."""
    cdef double d = sa + sb - 3.0 * (fa - fb) / (a - b)
    cdef double root = d * d - sa * sb
    if a == b or not root >= 0:
        return NAN
    root = sqrt(root) if b > a else -sqrt(root)
    return b - (b - a) * ((sb + root - d) / (sb - sa + 2.0 * root))


cdef bint search(search_t *s, double length) noexcept nogil:
    """A step along the direction that satisfies the strong Wolfe conditions, or one that helps.

    On return parameters, gradient and value are those of its end; False where nothing helped, and
    then they are not.
    """
    cdef double f0 = s.value, slope0 = dot(s, gradient(s), s.direction)
    cdef double low = 0, f_low = f0, s_low = slope0       # the best so far
    cdef double high = 0, f_high = 0, s_high = 0          # the other end, once there is one
    cdef double f, slope, next, near, far
    cdef bint bracketed = False
    cdef int trial
    if not slope0 < 0:
        return False
    for trial in range(s.most):
        if not evaluate_at(s, length):
            return False
        f, slope = s.value, dot(s, gradient(s), s.direction)
        if not f <= f0 + SUFFICIENT * length * slope0 or f >= f_low:
            bracketed, high, f_high, s_high = True, length, f, slope
        elif fabs(slope) <= -CURVATURE * slope0:
            return True
        else:
            if (slope >= 0) == (length > low):
                bracketed, high, f_high, s_high = True, low, f_low, s_low
            elif not bracketed:
                high, f_high, s_high = low, f_low, s_low
            low, f_low, s_low = length, f, slope
        next = cubic(low, f_low, s_low, high, f_high, s_high)
        if bracketed:
            near, far = low + 0.1 * (high - low), low + 0.9 * (high - low)
            if not (min(near, far) <= next <= max(near, far)):
                next = (low + high) / 2 if not isfinite(next) or not isfinite(f_high) else (
                    min(near, far) if next < min(near, far) else max(near, far))
        else:
            near, far = low + 1.1 * (low - high), low + 4.0 * (low - high)
            next = min(max(next, near), far) if isfinite(next) else far
        length = next
    if low > 0 and f_low < f0:
        return evaluate_at(s, low)
    return False


# ---- iterations ----------------------------------------------------------------------------------

cdef bint iterate(search_t *s) noexcept nogil:
    """One iteration from where the gradient is known; False where it is the last."""
    cdef double value = s.value, length = 1.0, norm
    cdef bint fresh = True
    if not isfinite(value) or largest(s, gradient(s)) <= s.gradient_tolerance:
        s.converged = True
        return False
    copy(s, s.start, parameters(s))
    copy(s, s.before, gradient(s))
    while True:
        find_direction(s)
        fresh = dot(s, s.direction, s.before) == -dot(s, s.before, s.before)
        if fresh:
            norm = sqrt(dot(s, s.before, s.before))
            length = min(1.0, 1.0 / norm)
        if search(s, length):
            break
        copy(s, parameters(s), s.start)
        copy(s, gradient(s), s.before)
        s.value = value
        if s.call.stop or fresh:
            s.converged = not s.call.stop
            return False
        forget(s)
    remember(s)
    s.done += 1
    if value - s.value <= s.change_tolerance * max(fabs(value), fabs(s.value), 1.0):
        s.converged = True
    return not s.converged


cdef void lbfgs_run(search_t *s) noexcept nogil:
    """Iterations until all are made, or no more helps."""
    cdef double begun = seconds()
    cdef double value, metric
    cdef long long before
    if not evaluate(s):
        return
    while s.done < s.iterations and not s.call.stop:
        value, metric, before = s.value, s.metric, s.done
        if not iterate(s) and s.done == before:
            return
        s.results[before] = value
        s.results[s.iterations + before] = metric
        s.results[2 * s.iterations + before] = seconds() - begun
        begun = seconds()
        if s.converged:
            return
