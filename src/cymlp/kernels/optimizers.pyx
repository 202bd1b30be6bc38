# cython: language_level=3, cdivision=True
"""Optimizers: one pass over a parameter, its gradient and the optimizer's states.

A step has two halves. `prepare` turns the hyperparameters and the number of the
step into the few scalars that the update needs (once a step, in double).
`update` runs over the arrays in their own number type, with those scalars
rounded to it. Both are written here, and TABLE at the end of the file names
them: adding an optimizer means a scalar struct, a prepare, an update and a row.

The definitions are PyTorch's. No multiply-add is fused and only IEEE operations occur
(square root and division included), so all levels give the same bits.

The loops are inline functions whose first arguments are constants at every
call: the compiler makes one loop without branches of each variant.
"""

from cymlp.kernels.real cimport real

cdef extern from *:
    # The builtins become the instruction; <math.h> is a library call in places.
    float square_root_float "__builtin_sqrtf"(float) noexcept nogil
    double square_root_double "__builtin_sqrt"(double) noexcept nogil


cdef extern from *:
    # A promise that nothing else points into the array. Without it every pair of
    # arrays is compared before a loop, and clang gives up where there are five.
    ctypedef float *float_array "float *__restrict"
    ctypedef double *double_array "double *__restrict"

# `array` goes along with `real`: Cython writes out only the pairs that are called.
ctypedef fused array:
    float_array
    double_array


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return square_root_float(x)
    else:
        return square_root_double(x)


cdef inline double integer_power(double base, long long exponent) noexcept nogil:
    """base**exponent by squaring: pow of a C library differs from system to system."""
    cdef double power = 1.0
    while exponent > 0:
        if exponent & 1:
            power *= base
        base *= base
        exponent >>= 1
    return power


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


# ---- Adam ------------------------------------------------------------------------

cdef struct AdamScalars:
    double one_minus_beta1
    double beta2
    double one_minus_beta2
    double step_size
    double epsilon
    double weight_decay
    double amsgrad


cdef void adam_prepare(double *prepared, const double *hyper, long long step) noexcept nogil:
    """The bias corrections, folded into step size and epsilon.

    With c = sqrt(1 - beta2**step), the definition's
    m / (sqrt(v) / c + epsilon) is c * m / (sqrt(v) + c * epsilon): one division
    an element instead of two.
    """
    cdef AdamScalars *s = <AdamScalars *> prepared
    cdef double beta1 = hyper[1], beta2 = hyper[2]
    cdef double correction = square_root_double(1.0 - integer_power(beta2, step))
    s.one_minus_beta1 = 1.0 - beta1
    s.beta2 = beta2
    s.one_minus_beta2 = 1.0 - beta2
    s.step_size = hyper[0] / (1.0 - integer_power(beta1, step)) * correction
    s.epsilon = hyper[3] * correction
    s.weight_decay = hyper[4]
    s.amsgrad = hyper[5]


cdef inline void adam_loop(
        const bint amsgrad,
        array parameter, const real *gradient, array first_moment,
        array second_moment, array maximum_second_moment,
        Py_ssize_t n, const AdamScalars *s) noexcept nogil:
    cdef real one_minus_beta1 = <real> s.one_minus_beta1
    cdef real beta2 = <real> s.beta2
    cdef real one_minus_beta2 = <real> s.one_minus_beta2
    cdef real step_size = <real> s.step_size
    cdef real epsilon = <real> s.epsilon
    cdef real weight_decay = <real> s.weight_decay
    cdef real g, m, v, largest
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        m = first_moment[i] + one_minus_beta1 * (g - first_moment[i])
        v = beta2 * second_moment[i] + one_minus_beta2 * g * g
        first_moment[i] = m
        second_moment[i] = v
        if amsgrad:
            # A NaN in either is kept. Two choices, because an `or` is a branch to the
            # compiler and the loop would not become vector instructions.
            largest = maximum_second_moment[i]
            v = largest if largest > v else v
            v = largest if largest != largest else v
            maximum_second_moment[i] = v
        parameter[i] -= step_size * m / (square_root(v) + epsilon)


cdef void adam_update(
        real *parameter, const real *gradient, real *first_moment,
        real *second_moment, real *maximum_second_moment,
        Py_ssize_t n, const double *prepared) noexcept nogil:
    cdef const AdamScalars *s = <const AdamScalars *> prepared
    if s.amsgrad != 0.0:
        adam_loop(True, parameter, gradient, first_moment, second_moment,
                  maximum_second_moment, n, s)
    else:
        adam_loop(False, parameter, gradient, first_moment, second_moment,
                  maximum_second_moment, n, s)


# ---- the table -------------------------------------------------------------------

ctypedef void (*PrepareFunction)(double *, const double *, long long) noexcept nogil
ctypedef void (*UpdateFloat)(
    float *, const float *, float *, float *, float *,
    Py_ssize_t, const double *) noexcept nogil
ctypedef void (*UpdateDouble)(
    double *, const double *, double *, double *, double *,
    Py_ssize_t, const double *) noexcept nogil

cdef struct Optimizer:
    const char *name
    const char *hyper           # in the order in which prepare reads them
    const char *states          # name, or name:hyperparameter without which it is not used
    PrepareFunction prepare
    UpdateFloat update_float
    UpdateDouble update_double

cdef Optimizer[4] TABLE = [
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
]


def table():
    """Describe the optimizers.

    Returns
    -------
    list of dict
        For each: ``name``; ``kind``, its number for the kernels; ``hyper``, the
        hyperparameters' names in the order of the kernels' array; ``states``,
        the states' names in the order of the kernels' arguments; ``needs``, for
        each state the hyperparameter whose being zero makes it unused, or ``""``.
    """
    cdef Optimizer row
    rows = []
    for row in TABLE:
        states = [state.partition(":") for state in row.states.decode().split()]
        rows.append({
            "name": row.name.decode(),
            "kind": len(rows),
            "hyper": row.hyper.decode().split(),
            "states": [name for name, _, _ in states],
            "needs": [needed for _, _, needed in states],
        })
    return rows


cdef void optimizer_prepare(
        int kind, double *prepared, const double *hyper, long long step) noexcept nogil:
    """Fill `prepared` (room for 16) for the step numbered `step`, the first being 1."""
    TABLE[kind].prepare(prepared, hyper, step)


cdef void optimizer_update(
        int kind, real *parameter, const real *gradient,
        real *state0, real *state1, real *state2,
        Py_ssize_t n, const double *prepared) noexcept nogil:
    """Update `n` elements of a parameter and of its states, in place.

    The arrays must not overlap. A state that the variant does not use may be NULL.
    """
    if real is float:
        TABLE[kind].update_float(parameter, gradient, state0, state1, state2, n, prepared)
    else:
        TABLE[kind].update_double(parameter, gradient, state0, state1, state2, n, prepared)
