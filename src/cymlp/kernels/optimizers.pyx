# cython: language_level=3, cdivision=True
"""Optimizers: one pass over a parameter, its gradient and the optimizer's states.

A step has two halves. `prepare` turns the hyperparameters and the number of the
step into the few scalars that the update needs (once a step, in double).
`update` runs over the arrays in their own number type, with those scalars
rounded to it. Both are written here or, for all that keeps a running mean of the gradient,
in `adam_family.pxd`, and TABLE at the end of the file names
them: adding an optimizer means a scalar struct, a prepare, an update and a row. The learning
rate is the first hyperparameter of every row: a schedule sets it anew for each step.

The definitions are PyTorch's. No multiply-add is fused and only IEEE operations occur
(square root and division included), so all levels give the same bits.

The loops are inline functions whose first arguments are constants at every
call: the compiler makes one loop without branches of each variant.
"""

from cymlp.kernels.adam_family cimport (
    adam_prepare, adam_update, adamax_prepare, adamax_update, adamw_prepare, lion_prepare,
    lion_update, nadam_prepare, nadam_update, radam_prepare, radam_update)
from cymlp.kernels.optimizer_math cimport array, square_root
from cymlp.kernels.real cimport real


# ---- stochastic gradient descent -------------------------------------------------

cdef struct SGDScalars:
    double learning_rate
    double momentum
    double undamped             # 1 - dampening
    double weight_decay
    double nesterov
    double first_step


cdef void sgd_prepare(double *prepared, const double *hyper, long long step) noexcept nogil:
    cdef SGDScalars *s = <SGDScalars *> prepared
    s.learning_rate = hyper[0]
    s.momentum = hyper[1]
    s.undamped = 1.0 - hyper[2]
    s.weight_decay = hyper[3]
    s.nesterov = hyper[4]
    s.first_step = step == 1


cdef inline void sgd_loop(
        const bint first_step, const bint nesterov,
        array parameter, const real *gradient, array momentum_buffer,
        Py_ssize_t n, const SGDScalars *s) noexcept nogil:
    cdef real learning_rate = <real> s.learning_rate
    cdef real momentum = <real> s.momentum
    cdef real undamped = <real> s.undamped
    cdef real weight_decay = <real> s.weight_decay
    cdef real g, b
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        b = g
        if not first_step:
            b = momentum * momentum_buffer[i] + undamped * g
        momentum_buffer[i] = b
        if nesterov:
            b = g + momentum * b
        parameter[i] -= learning_rate * b


cdef void sgd_update(
        real *parameter, const real *gradient, real *momentum_buffer,
        real *unused1, real *unused2, Py_ssize_t n, const double *prepared) noexcept nogil:
    cdef const SGDScalars *s = <const SGDScalars *> prepared
    cdef real learning_rate = <real> s.learning_rate
    cdef real weight_decay = <real> s.weight_decay
    cdef Py_ssize_t i
    if s.momentum == 0.0:
        for i in range(n):
            parameter[i] -= learning_rate * (gradient[i] + weight_decay * parameter[i])
    elif s.first_step != 0.0:
        if s.nesterov != 0.0:
            sgd_loop(True, True, parameter, gradient, momentum_buffer, n, s)
        else:
            sgd_loop(True, False, parameter, gradient, momentum_buffer, n, s)
    elif s.nesterov != 0.0:
        sgd_loop(False, True, parameter, gradient, momentum_buffer, n, s)
    else:
        sgd_loop(False, False, parameter, gradient, momentum_buffer, n, s)


# ---- Adagrad ---------------------------------------------------------------------

cdef struct AdagradScalars:
    double learning_rate        # after its decay
    double weight_decay
    double epsilon


cdef void adagrad_prepare(double *prepared, const double *hyper, long long step) noexcept nogil:
    cdef AdagradScalars *s = <AdagradScalars *> prepared
    s.learning_rate = hyper[0] / (1.0 + <double> (step - 1) * hyper[1])
    s.weight_decay = hyper[2]
    s.epsilon = hyper[3]


cdef void adagrad_update(
        real *parameter, const real *gradient, real *sum,
        real *unused1, real *unused2, Py_ssize_t n, const double *prepared) noexcept nogil:
    cdef const AdagradScalars *s = <const AdagradScalars *> prepared
    cdef real learning_rate = <real> s.learning_rate
    cdef real weight_decay = <real> s.weight_decay
    cdef real epsilon = <real> s.epsilon
    cdef real g, total
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        total = sum[i] + g * g
        sum[i] = total
        parameter[i] -= learning_rate * g / (square_root(total) + epsilon)


# ---- RMSprop ---------------------------------------------------------------------

cdef struct RMSpropScalars:
    double learning_rate
    double alpha
    double one_minus_alpha
    double epsilon
    double weight_decay
    double momentum
    double centered


cdef void rmsprop_prepare(double *prepared, const double *hyper, long long step) noexcept nogil:
    cdef RMSpropScalars *s = <RMSpropScalars *> prepared
    s.learning_rate = hyper[0]
    s.alpha = hyper[1]
    s.one_minus_alpha = 1.0 - hyper[1]
    s.epsilon = hyper[2]
    s.weight_decay = hyper[3]
    s.momentum = hyper[4]
    s.centered = hyper[5]


cdef inline void rmsprop_loop(
        const bint with_momentum, const bint centered,
        array parameter, const real *gradient, array square_average,
        array momentum_buffer, array gradient_average,
        Py_ssize_t n, const RMSpropScalars *s) noexcept nogil:
    cdef real learning_rate = <real> s.learning_rate
    cdef real alpha = <real> s.alpha
    cdef real one_minus_alpha = <real> s.one_minus_alpha
    cdef real epsilon = <real> s.epsilon
    cdef real weight_decay = <real> s.weight_decay
    cdef real momentum = <real> s.momentum
    cdef real g, variance, mean, b
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        variance = alpha * square_average[i] + one_minus_alpha * g * g
        square_average[i] = variance
        if centered:
            mean = gradient_average[i] + one_minus_alpha * (g - gradient_average[i])
            gradient_average[i] = mean
            variance -= mean * mean
        if with_momentum:
            b = momentum * momentum_buffer[i] + g / (square_root(variance) + epsilon)
            momentum_buffer[i] = b
            parameter[i] -= learning_rate * b
        else:
            parameter[i] -= learning_rate * g / (square_root(variance) + epsilon)


cdef void rmsprop_update(
        real *parameter, const real *gradient, real *square_average,
        real *momentum_buffer, real *gradient_average,
        Py_ssize_t n, const double *prepared) noexcept nogil:
    cdef const RMSpropScalars *s = <const RMSpropScalars *> prepared
    if s.momentum > 0.0:
        if s.centered != 0.0:
            rmsprop_loop(True, True, parameter, gradient, square_average,
                         momentum_buffer, gradient_average, n, s)
        else:
            rmsprop_loop(True, False, parameter, gradient, square_average,
                         momentum_buffer, gradient_average, n, s)
    elif s.centered != 0.0:
        rmsprop_loop(False, True, parameter, gradient, square_average,
                     momentum_buffer, gradient_average, n, s)
    else:
        rmsprop_loop(False, False, parameter, gradient, square_average,
                     momentum_buffer, gradient_average, n, s)


# ---- Adadelta --------------------------------------------------------------------

cdef struct AdadeltaScalars:
    double learning_rate
    double rho
    double one_minus_rho
    double epsilon
    double weight_decay


cdef void adadelta_prepare(double *prepared, const double *hyper, long long step) noexcept nogil:
    cdef AdadeltaScalars *s = <AdadeltaScalars *> prepared
    s.learning_rate = hyper[0]
    s.rho = hyper[1]
    s.one_minus_rho = 1.0 - hyper[1]
    s.epsilon = hyper[2]
    s.weight_decay = hyper[3]


cdef inline void adadelta_loop(
        array parameter, const real *gradient, array square_average, array step_average,
        Py_ssize_t n, const AdadeltaScalars *s) noexcept nogil:
    cdef real learning_rate = <real> s.learning_rate
    cdef real rho = <real> s.rho
    cdef real one_minus_rho = <real> s.one_minus_rho
    cdef real epsilon = <real> s.epsilon
    cdef real weight_decay = <real> s.weight_decay
    cdef real g, v, d
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        v = rho * square_average[i] + one_minus_rho * g * g
        d = square_root(step_average[i] + epsilon) / square_root(v + epsilon) * g
        square_average[i] = v
        step_average[i] = rho * step_average[i] + one_minus_rho * d * d
        parameter[i] -= learning_rate * d


cdef void adadelta_update(
        real *parameter, const real *gradient, real *square_average, real *step_average,
        real *unused, Py_ssize_t n, const double *prepared) noexcept nogil:
    adadelta_loop(parameter, gradient, square_average, step_average, n,
                  <const AdadeltaScalars *> prepared)


# ---- the table -------------------------------------------------------------------

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *line) noexcept nogil

cdef enum:
    LINE_BYTES = 64
    # Arrays that come from the main memory are worked on a few elements at a time, and what lies
    # so far ahead is asked for: processors foresee less of three to five arrays at once.
    FAR_ELEMENTS = 1 << 18
    TOGETHER = 64
    AHEAD_BYTES = 2048

ctypedef void (*PrepareFunction)(double *, const double *, long long) noexcept nogil
ctypedef void (*UpdateFloat)(
    float *, const float *, float *, float *, float *,
    Py_ssize_t, const double *) noexcept nogil
ctypedef void (*UpdateDouble)(
    double *, const double *, double *, double *, double *,
    Py_ssize_t, const double *) noexcept nogil

cdef struct Optimizer:
    const char *name
    const char *hyper           # in the order in which prepare reads them: name, or name=default
                                # in a row that no class of cymlp.optimizers stands for
    const char *states          # name, or name:hyperparameter without which it is not used
    PrepareFunction prepare
    UpdateFloat update_float
    UpdateDouble update_double

cdef Optimizer[10] TABLE = [
    Optimizer(
        b"sgd",
        b"learning_rate momentum dampening weight_decay nesterov",
        b"momentum_buffer:momentum",
        sgd_prepare, sgd_update[float], sgd_update[double]),
    Optimizer(
        b"adagrad",
        b"learning_rate learning_rate_decay weight_decay epsilon",
        b"sum",
        adagrad_prepare, adagrad_update[float], adagrad_update[double]),
    Optimizer(
        b"rmsprop",
        b"learning_rate alpha epsilon weight_decay momentum centered",
        b"square_average momentum_buffer:momentum gradient_average:centered",
        rmsprop_prepare, rmsprop_update[float], rmsprop_update[double]),
    Optimizer(
        b"adam",
        b"learning_rate beta1 beta2 epsilon weight_decay amsgrad",
        b"first_moment second_moment maximum_second_moment:amsgrad",
        adam_prepare, adam_update[float], adam_update[double]),
    Optimizer(
        b"adamw",
        b"learning_rate beta1 beta2 epsilon weight_decay amsgrad",
        b"first_moment second_moment maximum_second_moment:amsgrad",
        adamw_prepare, adam_update[float], adam_update[double]),
    Optimizer(
        b"nadam",
        b"learning_rate beta1 beta2 epsilon weight_decay momentum_decay decoupled_weight_decay",
        b"first_moment second_moment",
        nadam_prepare, nadam_update[float], nadam_update[double]),
    Optimizer(
        b"radam",
        b"learning_rate beta1 beta2 epsilon weight_decay decoupled_weight_decay",
        b"first_moment second_moment",
        radam_prepare, radam_update[float], radam_update[double]),
    Optimizer(
        b"adamax",
        b"learning_rate beta1 beta2 epsilon weight_decay",
        b"first_moment largest",
        adamax_prepare, adamax_update[float], adamax_update[double]),
    Optimizer(
        b"adadelta",
        b"learning_rate rho epsilon weight_decay",
        b"square_average step_average",
        adadelta_prepare, adadelta_update[float], adadelta_update[double]),
    Optimizer(
        b"lion",
        b"learning_rate beta1 beta2 weight_decay",
        b"first_moment",
        lion_prepare, lion_update[float], lion_update[double]),
]


def table():
    """Describe the optimizers.

    Returns
    -------
    list of dict
        For each: ``name``; ``kind``, its number for the kernels; ``hyper``, the
        hyperparameters' names in the order of the kernels' array; ``states``,
        the states' names in the order of the kernels' arguments; ``needs``, for
        each state the hyperparameter whose being zero makes it unused, or ``""``;
        ``defaults``, the values of the hyperparameters that the row itself gives.
    """
    cdef Optimizer row
    rows = []
    for row in TABLE:
        hyper = [number.partition("=") for number in row.hyper.decode().split()]
        states = [state.partition(":") for state in row.states.decode().split()]
        rows.append({
            "name": row.name.decode(),
            "kind": len(rows),
            "hyper": [name for name, _, _ in hyper],
            "defaults": {name: float(value) for name, _, value in hyper if value},
            "states": [name for name, _, _ in states],
            "needs": [needed for _, _, needed in states],
        })
    return rows


cdef void optimizer_prepare(
        int kind, double *prepared, const double *hyper, long long step) noexcept nogil:
    """Fill `prepared` (room for 16) for the step numbered `step`, the first being 1."""
    TABLE[kind].prepare(prepared, hyper, step)


cdef inline void bring(const real *elements) noexcept nogil:
    """What is worked on a while after these TOGETHER elements comes near."""
    cdef Py_ssize_t line
    if elements != NULL:
        for line in range(TOGETHER * <Py_ssize_t>sizeof(real) // LINE_BYTES):
            prefetch(<const char *>elements + AHEAD_BYTES + line * LINE_BYTES)


cdef inline void update_some(
        int kind, real *parameter, const real *gradient,
        real *state0, real *state1, real *state2,
        Py_ssize_t begin, Py_ssize_t count, bint ahead, const double *prepared) noexcept nogil:
    """Update `count` elements from `begin` on, and bring those that lie `ahead` near."""
    parameter += begin
    gradient += begin
    if state0 != NULL:
        state0 += begin
    if state1 != NULL:
        state1 += begin
    if state2 != NULL:
        state2 += begin
    if ahead:
        bring(<const real *>parameter)
        bring(gradient)
        bring(<const real *>state0)
        bring(<const real *>state1)
        bring(<const real *>state2)
    if real is float:
        TABLE[kind].update_float(parameter, gradient, state0, state1, state2, count, prepared)
    else:
        TABLE[kind].update_double(parameter, gradient, state0, state1, state2, count, prepared)


cdef void optimizer_update(
        int kind, real *parameter, const real *gradient,
        real *state0, real *state1, real *state2,
        Py_ssize_t n, const double *prepared) noexcept nogil:
    """Update `n` elements of a parameter and of its states, in place.

    The arrays must not overlap. A state that the variant does not use may be NULL. What stands
    before the first whole line of the parameter is done first: NumPy's large arrays begin 16 bytes
    into one, all of them alike, and every register's elements would lie in two.
    """
    cdef Py_ssize_t begin = (-<size_t>parameter % LINE_BYTES) // sizeof(real), count
    cdef bint far = n >= FAR_ELEMENTS
    if 0 < begin < n:
        update_some(kind, parameter, gradient, state0, state1, state2, 0, begin, False, prepared)
    else:
        begin = 0
    while begin < n:
        count = min(n - begin, <Py_ssize_t>TOGETHER) if far else n - begin
        update_some(kind, parameter, gradient, state0, state1, state2, begin, count, far, prepared)
        begin += count
