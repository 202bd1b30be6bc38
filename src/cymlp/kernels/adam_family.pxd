"""Adam and what has come from it: optimizers with running means of the gradient.

`optimizers.pyx` says what a prepare and an update are; its table names those here. All have a
weight decay of either kind: `weight_decay` is added to the gradient in proportion to the parameter,
`kept` is what a decoupled decay leaves of the parameter itself. One of the two is off, and changes
no bit then.
"""
from cymlp.kernels.optimizer_math cimport (
    absolute, array, integer_power, larger, square_root, square_root_double)
from cymlp.kernels.real cimport real

cdef extern from "vmath.h" nogil:
    double exp_f64(double x) noexcept


# ---- Adam and AdamW --------------------------------------------------------------

cdef struct AdamScalars:
    double one_minus_beta1
    double beta2
    double one_minus_beta2
    double step_size
    double epsilon
    double weight_decay
    double kept
    double amsgrad


cdef inline void adam_prepare(
        double *prepared, const double *hyper, long long step) noexcept nogil:
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
    s.kept = 1.0
    s.amsgrad = hyper[5]


cdef inline void adamw_prepare(
        double *prepared, const double *hyper, long long step) noexcept nogil:
    cdef AdamScalars *s = <AdamScalars *> prepared
    adam_prepare(prepared, hyper, step)
    s.weight_decay = 0.0
    s.kept = 1.0 - hyper[0] * hyper[4]


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
    cdef real kept = <real> s.kept
    cdef real g, m, v
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        m = first_moment[i] + one_minus_beta1 * (g - first_moment[i])
        v = beta2 * second_moment[i] + one_minus_beta2 * g * g
        first_moment[i] = m
        second_moment[i] = v
        if amsgrad:
            v = larger(maximum_second_moment[i], v)
            maximum_second_moment[i] = v
        parameter[i] = kept * parameter[i] - step_size * m / (square_root(v) + epsilon)


cdef inline void adam_update(
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


# ---- NAdam -----------------------------------------------------------------------

cdef struct NAdamScalars:
    double one_minus_beta1
    double beta2
    double one_minus_beta2
    double gradient_size        # step sizes of the gradient and of its mean
    double moment_size
    double epsilon
    double weight_decay
    double kept


cdef inline void nadam_prepare(
        double *prepared, const double *hyper, long long step) noexcept nogil:
    """The momenta of this step and the next, and the product of all so far.

    The product is made anew in every step, so that a step depends on its number only. It stops
    where it is too small to count beside 1.
    """
    cdef NAdamScalars *s = <NAdamScalars *> prepared
    cdef double beta1 = hyper[1], beta2 = hyper[2]
    cdef double correction = square_root_double(1.0 - integer_power(beta2, step))
    cdef double shrinking = exp_f64(-0.040821994520255166 * hyper[5])   # of ln 0.96
    cdef double momentum = beta1 * (1.0 - 0.5 * integer_power(shrinking, step))
    cdef double next = beta1 * (1.0 - 0.5 * integer_power(shrinking, step + 1))
    cdef double product = 1.0, power = 1.0
    cdef long long i = 0
    while i < step and product > 1e-18:
        power *= shrinking
        product *= beta1 * (1.0 - 0.5 * power)
        i += 1
    s.one_minus_beta1 = 1.0 - beta1
    s.beta2 = beta2
    s.one_minus_beta2 = 1.0 - beta2
    s.gradient_size = hyper[0] * (1.0 - momentum) / (1.0 - product) * correction
    s.moment_size = hyper[0] * next / (1.0 - product * next) * correction
    s.epsilon = hyper[3] * correction
    s.weight_decay = 0.0 if hyper[6] != 0.0 else hyper[4]
    s.kept = 1.0 - hyper[0] * hyper[4] if hyper[6] != 0.0 else 1.0


cdef inline void nadam_loop(
        array parameter, const real *gradient, array first_moment, array second_moment,
        Py_ssize_t n, const NAdamScalars *s) noexcept nogil:
    cdef real one_minus_beta1 = <real> s.one_minus_beta1
    cdef real beta2 = <real> s.beta2
    cdef real one_minus_beta2 = <real> s.one_minus_beta2
    cdef real gradient_size = <real> s.gradient_size
    cdef real moment_size = <real> s.moment_size
    cdef real epsilon = <real> s.epsilon
    cdef real weight_decay = <real> s.weight_decay
    cdef real kept = <real> s.kept
    cdef real g, m, v
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        m = first_moment[i] + one_minus_beta1 * (g - first_moment[i])
        v = beta2 * second_moment[i] + one_minus_beta2 * g * g
        first_moment[i] = m
        second_moment[i] = v
        parameter[i] = (kept * parameter[i]
                        - (gradient_size * g + moment_size * m) / (square_root(v) + epsilon))


cdef inline void nadam_update(
        real *parameter, const real *gradient, real *first_moment, real *second_moment,
        real *unused, Py_ssize_t n, const double *prepared) noexcept nogil:
    nadam_loop(parameter, gradient, first_moment, second_moment, n,
               <const NAdamScalars *> prepared)


# ---- RAdam -----------------------------------------------------------------------

cdef struct RAdamScalars:
    double one_minus_beta1
    double beta2
    double one_minus_beta2
    double step_size
    double epsilon
    double weight_decay
    double kept
    double adaptive


cdef inline void radam_prepare(
        double *prepared, const double *hyper, long long step) noexcept nogil:
    """Step size with the rectification, where the variance can be told at all."""
    cdef RAdamScalars *s = <RAdamScalars *> prepared
    cdef double beta1 = hyper[1], beta2 = hyper[2]
    cdef double power = integer_power(beta2, step)
    cdef double longest = 2.0 / (1.0 - beta2) - 1.0
    cdef double length = longest - 2.0 * <double> step * power / (1.0 - power)
    s.one_minus_beta1 = 1.0 - beta1
    s.beta2 = beta2
    s.one_minus_beta2 = 1.0 - beta2
    s.step_size = hyper[0] / (1.0 - integer_power(beta1, step))
    s.epsilon = hyper[3]
    s.weight_decay = 0.0 if hyper[5] != 0.0 else hyper[4]
    s.kept = 1.0 - hyper[0] * hyper[4] if hyper[5] != 0.0 else 1.0
    s.adaptive = length > 5.0
    if s.adaptive != 0.0:
        s.step_size *= square_root_double(
            (1.0 - power) * ((length - 4.0) * (length - 2.0) * longest)
            / ((longest - 4.0) * (longest - 2.0) * length))


cdef inline void radam_loop(
        const bint adaptive,
        array parameter, const real *gradient, array first_moment, array second_moment,
        Py_ssize_t n, const RAdamScalars *s) noexcept nogil:
    cdef real one_minus_beta1 = <real> s.one_minus_beta1
    cdef real beta2 = <real> s.beta2
    cdef real one_minus_beta2 = <real> s.one_minus_beta2
    cdef real step_size = <real> s.step_size
    cdef real epsilon = <real> s.epsilon
    cdef real weight_decay = <real> s.weight_decay
    cdef real kept = <real> s.kept
    cdef real g, m, v
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        m = first_moment[i] + one_minus_beta1 * (g - first_moment[i])
        v = beta2 * second_moment[i] + one_minus_beta2 * g * g
        first_moment[i] = m
        second_moment[i] = v
        if adaptive:
            m /= square_root(v) + epsilon
        parameter[i] = kept * parameter[i] - step_size * m


cdef inline void radam_update(
        real *parameter, const real *gradient, real *first_moment, real *second_moment,
        real *unused, Py_ssize_t n, const double *prepared) noexcept nogil:
    cdef const RAdamScalars *s = <const RAdamScalars *> prepared
    if s.adaptive != 0.0:
        radam_loop(True, parameter, gradient, first_moment, second_moment, n, s)
    else:
        radam_loop(False, parameter, gradient, first_moment, second_moment, n, s)


# ---- Adamax ----------------------------------------------------------------------

cdef struct AdamaxScalars:
    double one_minus_beta1
    double beta2
    double step_size
    double epsilon
    double weight_decay


cdef inline void adamax_prepare(
        double *prepared, const double *hyper, long long step) noexcept nogil:
    cdef AdamaxScalars *s = <AdamaxScalars *> prepared
    s.one_minus_beta1 = 1.0 - hyper[1]
    s.beta2 = hyper[2]
    s.step_size = hyper[0] / (1.0 - integer_power(hyper[1], step))
    s.epsilon = hyper[3]
    s.weight_decay = hyper[4]


cdef inline void adamax_loop(
        array parameter, const real *gradient, array first_moment, array largest,
        Py_ssize_t n, const AdamaxScalars *s) noexcept nogil:
    cdef real one_minus_beta1 = <real> s.one_minus_beta1
    cdef real beta2 = <real> s.beta2
    cdef real step_size = <real> s.step_size
    cdef real epsilon = <real> s.epsilon
    cdef real weight_decay = <real> s.weight_decay
    cdef real g, m, u
    cdef Py_ssize_t i
    for i in range(n):
        g = gradient[i] + weight_decay * parameter[i]
        m = first_moment[i] + one_minus_beta1 * (g - first_moment[i])
        u = larger(beta2 * largest[i], absolute(g) + epsilon)
        first_moment[i] = m
        largest[i] = u
        parameter[i] -= step_size * m / u


cdef inline void adamax_update(
        real *parameter, const real *gradient, real *first_moment, real *largest,
        real *unused, Py_ssize_t n, const double *prepared) noexcept nogil:
    adamax_loop(parameter, gradient, first_moment, largest, n,
                <const AdamaxScalars *> prepared)


# ---- Lion ------------------------------------------------------------------------

cdef struct LionScalars:
    double one_minus_beta1
    double one_minus_beta2
    double learning_rate
    double kept


cdef inline void lion_prepare(
        double *prepared, const double *hyper, long long step) noexcept nogil:
    cdef LionScalars *s = <LionScalars *> prepared
    s.learning_rate = hyper[0]
    s.one_minus_beta1 = 1.0 - hyper[1]
    s.one_minus_beta2 = 1.0 - hyper[2]
    s.kept = 1.0 - hyper[0] * hyper[3]


cdef inline void lion_loop(
        array parameter, const real *gradient, array first_moment,
        Py_ssize_t n, const LionScalars *s) noexcept nogil:
    cdef real one_minus_beta1 = <real> s.one_minus_beta1
    cdef real one_minus_beta2 = <real> s.one_minus_beta2
    cdef real learning_rate = <real> s.learning_rate
    cdef real kept = <real> s.kept
    cdef real m, direction
    cdef Py_ssize_t i
    for i in range(n):
        m = first_moment[i]
        direction = m + one_minus_beta1 * (gradient[i] - m)
        first_moment[i] = m + one_minus_beta2 * (gradient[i] - m)
        # The sign; a zero and a NaN stay what they are.
        direction = <real> 1.0 if direction > 0 else direction
        direction = <real> -1.0 if direction < 0 else direction
        parameter[i] = kept * parameter[i] - learning_rate * direction


cdef inline void lion_update(
        real *parameter, const real *gradient, real *first_moment,
        real *unused1, real *unused2, Py_ssize_t n, const double *prepared) noexcept nogil:
    lion_loop(parameter, gradient, first_moment, n, <const LionScalars *> prepared)
