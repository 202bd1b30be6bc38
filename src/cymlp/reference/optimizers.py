"""Optimizers' updates, by PyTorch's definitions and with its defaults.

Every function does one step on one parameter. `parameter` and the states are
float64 arrays of the gradient's shape and are changed in place; states start
as zeros (Adagrad's may start higher). `step` is the number of the step, the
first being 1.
"""

import numpy as np

__all__ = ["adadelta_update", "adagrad_update", "adam_update", "adamax_update", "adamw_update",
           "lion_update", "nadam_update", "radam_update", "rmsprop_update", "sgd_update"]


def _checked(gradient, **arrays):
    """The gradient as float64, after checking that the arrays to change can be."""
    gradient = np.asarray(gradient, dtype=np.float64)
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            given = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name}: expected a float64 ndarray to change in place, got {given}")
        if array.shape != gradient.shape:
            raise ValueError(
                f"{name}: expected the gradient's shape {gradient.shape}, got {array.shape}")
    return gradient


def _decayed(g, parameter, learning_rate, weight_decay, decoupled):
    """The gradient with its weight decay; a decoupled one goes to the parameter at once."""
    if not decoupled:
        return g + weight_decay * parameter
    parameter -= learning_rate * weight_decay * parameter
    return g


def sgd_update(parameter, gradient, momentum_buffer=None, *, step=1, learning_rate=1e-3,
               momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    """Stochastic gradient descent (`torch.optim.SGD`).

    With g = gradient + weight_decay * parameter, the momentum buffer b becomes g
    in the first step and momentum * b + (1 - dampening) * g afterwards; the
    parameter loses learning_rate * d, where d is g without momentum, b with
    it and g + momentum * b with Nesterov's.

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    momentum_buffer : ndarray of float64, optional
        State, changed in place; needed where `momentum` is not 0.
    step : int
        Number of the step, from 1.
    learning_rate, momentum, dampening, weight_decay : float
        Hyperparameters.
    nesterov : bool
        Nesterov's momentum.

    Examples
    --------
    >>> parameter, momentum_buffer = np.array([1.0]), np.zeros(1)
    >>> sgd_update(parameter, [4.0], momentum_buffer, learning_rate=0.25, momentum=0.5)
    >>> parameter, momentum_buffer
    (array([0.]), array([4.]))
    """
    if momentum == 0:
        g = _checked(gradient, parameter=parameter) + weight_decay * parameter
        parameter -= learning_rate * g
        return
    g = _checked(gradient, parameter=parameter, momentum_buffer=momentum_buffer)
    g = g + weight_decay * parameter
    if step == 1:
        momentum_buffer[...] = g
    else:
        momentum_buffer[...] = momentum * momentum_buffer + (1 - dampening) * g
    direction = g + momentum * momentum_buffer if nesterov else momentum_buffer
    parameter -= learning_rate * direction


def adagrad_update(parameter, gradient, sum, *, step=1, learning_rate=1e-2,
                   learning_rate_decay=0.0, weight_decay=0.0, epsilon=1e-10):
    """Adagrad (Duchi, Hazan and Singer 2011; `torch.optim.Adagrad`).

    With g = gradient + weight_decay * parameter, `sum` gains g**2 and the
    parameter loses r * g / (sqrt(sum) + epsilon), where r is learning_rate /
    (1 + (step - 1) * learning_rate_decay).

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    sum : ndarray of float64
        State: the sum of squared gradients, changed in place.
    step : int
        Number of the step, from 1.
    learning_rate, learning_rate_decay, weight_decay, epsilon : float
        Hyperparameters.

    Examples
    --------
    >>> parameter, total = np.array([1.0]), np.zeros(1)
    >>> adagrad_update(parameter, [4.0], total, learning_rate=0.25, epsilon=0.0)
    >>> parameter, total
    (array([0.75]), array([16.]))
    """
    g = _checked(gradient, parameter=parameter, sum=sum) + weight_decay * parameter
    decayed_rate = learning_rate / (1 + (step - 1) * learning_rate_decay)
    sum += g**2
    parameter -= decayed_rate * g / (np.sqrt(sum) + epsilon)


def rmsprop_update(parameter, gradient, square_average, momentum_buffer=None,
                   gradient_average=None, *, step=1, learning_rate=1e-2, alpha=0.99,
                   epsilon=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    """RMSprop (Tieleman and Hinton 2012, centred: Graves 2013; `torch.optim.RMSprop`).

    With g = gradient + weight_decay * parameter, `square_average` is the moving
    average of g**2 and `gradient_average` that of g, both with factor `alpha`.
    d = g / (sqrt(v) + epsilon), where v is square_average, less
    gradient_average**2 if centred. The parameter loses learning_rate * d, or with
    momentum learning_rate * b after b became momentum * b + d.

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    square_average : ndarray of float64
        State, changed in place.
    momentum_buffer, gradient_average : ndarray of float64, optional
        States, changed in place; needed where `momentum` is not 0 and where
        `centered` is true.
    step : int
        Number of the step; not looked at.
    learning_rate, alpha, epsilon, weight_decay, momentum : float
        Hyperparameters.
    centered : bool
        Divide by the standard deviation instead of the root mean square.

    Examples
    --------
    >>> parameter, square_average = np.array([1.0]), np.zeros(1)
    >>> rmsprop_update(parameter, [4.0], square_average, learning_rate=0.5, alpha=0.75)
    >>> parameter.round(6), square_average
    (array([0.]), array([4.]))
    """
    g = _checked(gradient, parameter=parameter, square_average=square_average)
    g = g + weight_decay * parameter
    if momentum != 0:
        _checked(g, momentum_buffer=momentum_buffer)
    if centered:
        _checked(g, gradient_average=gradient_average)
    square_average[...] = alpha * square_average + (1 - alpha) * g**2
    variance = square_average
    if centered:
        gradient_average[...] = alpha * gradient_average + (1 - alpha) * g
        variance = square_average - gradient_average**2
    direction = g / (np.sqrt(variance) + epsilon)
    if momentum != 0:
        momentum_buffer[...] = momentum * momentum_buffer + direction
        direction = momentum_buffer
    parameter -= learning_rate * direction


def adam_update(parameter, gradient, first_moment, second_moment, maximum_second_moment=None,
                *, step=1, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8,
                weight_decay=0.0, amsgrad=False):
    """Adam (Kingma and Ba 2015, AMSGrad: Reddi, Kale and Kumar 2018; `torch.optim.Adam`).

    With g = gradient + weight_decay * parameter, the moments are moving averages
    of g (factor beta1) and of g**2 (beta2). Divided by 1 - beta**step they are
    unbiased: m and v. The parameter loses learning_rate * m / (sqrt(v) + epsilon).
    With AMSGrad v comes from the largest second moment so far.

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray of float64
        States, changed in place.
    maximum_second_moment : ndarray of float64, optional
        State, changed in place; needed where `amsgrad` is true.
    step : int
        Number of the step, from 1.
    learning_rate, beta1, beta2, epsilon, weight_decay : float
        Hyperparameters.
    amsgrad : bool
        Use the largest second moment.

    Examples
    --------
    >>> parameter, first_moment, second_moment = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam_update(parameter, [4.0], first_moment, second_moment, learning_rate=0.5)
    >>> parameter.round(6), first_moment.round(6), second_moment.round(6)
    (array([0.5]), array([0.4]), array([0.016]))
    """
    g = _checked(gradient, parameter=parameter, first_moment=first_moment,
                 second_moment=second_moment)
    g = g + weight_decay * parameter
    if amsgrad:
        _checked(g, maximum_second_moment=maximum_second_moment)
    first_moment[...] = beta1 * first_moment + (1 - beta1) * g
    second_moment[...] = beta2 * second_moment + (1 - beta2) * g**2
    largest = second_moment
    if amsgrad:
        np.maximum(maximum_second_moment, second_moment, out=maximum_second_moment)
        largest = maximum_second_moment
    m = first_moment / (1 - beta1**step)
    v = largest / (1 - beta2**step)
    parameter -= learning_rate * m / (np.sqrt(v) + epsilon)


def adamw_update(parameter, gradient, first_moment, second_moment, maximum_second_moment=None,
                 *, step=1, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8,
                 weight_decay=1e-2, amsgrad=False):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019; `torch.optim.AdamW`).

    The parameter loses learning_rate * weight_decay of itself; then comes Adam's step by the
    gradient as it is.

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray of float64
        States, changed in place.
    maximum_second_moment : ndarray of float64, optional
        State, changed in place; needed where `amsgrad` is true.
    step : int
        Number of the step, from 1.
    learning_rate, beta1, beta2, epsilon, weight_decay : float
        Hyperparameters.
    amsgrad : bool
        Use the largest second moment.

    Examples
    --------
    >>> parameter, first_moment, second_moment = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adamw_update(parameter, [4.0], first_moment, second_moment, learning_rate=0.5,
    ...              weight_decay=1.0)
    >>> parameter.round(6), first_moment.round(6), second_moment.round(6)
    (array([0.]), array([0.4]), array([0.016]))
    """
    gradient = _checked(gradient, parameter=parameter, first_moment=first_moment,
                        second_moment=second_moment)
    if amsgrad:
        _checked(gradient, maximum_second_moment=maximum_second_moment)
    parameter -= learning_rate * weight_decay * parameter
    adam_update(parameter, gradient, first_moment, second_moment, maximum_second_moment,
                step=step, learning_rate=learning_rate, beta1=beta1, beta2=beta2,
                epsilon=epsilon, amsgrad=amsgrad)


def nadam_update(parameter, gradient, first_moment, second_moment, *, step=1,
                 learning_rate=2e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0,
                 momentum_decay=4e-3, decoupled_weight_decay=False):
    """Adam with Nesterov's momentum (Dozat 2016; `torch.optim.NAdam`).

    The momentum of step t is mu(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2), and P(t) the
    product of mu(1) to mu(t). With g and the moments as in Adam, v unbiased as there, the
    parameter loses learning_rate * d / (sqrt(v) + epsilon), where d is
    (1 - mu(t)) * g / (1 - P(t)) + mu(t + 1) * first_moment / (1 - P(t + 1)).

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray of float64
        States, changed in place.
    step : int
        Number of the step, from 1.
    learning_rate, beta1, beta2, epsilon, weight_decay, momentum_decay : float
        Hyperparameters.
    decoupled_weight_decay : bool
        Shrink the parameter instead of adding to the gradient.

    Examples
    --------
    >>> parameter, first_moment, second_moment = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> nadam_update(parameter, [4.0], first_moment, second_moment, learning_rate=0.5)
    >>> parameter.round(6), first_moment.round(6), second_moment.round(6)
    (array([0.471774]), array([0.4]), array([0.016]))
    """
    g = _checked(gradient, parameter=parameter, first_moment=first_moment,
                 second_moment=second_moment)
    g = _decayed(g, parameter, learning_rate, weight_decay, decoupled_weight_decay)
    momenta = beta1 * (1 - 0.96 ** (np.arange(1, step + 2) * momentum_decay) / 2)
    first_moment[...] = beta1 * first_moment + (1 - beta1) * g
    second_moment[...] = beta2 * second_moment + (1 - beta2) * g**2
    v = second_moment / (1 - beta2**step)
    direction = ((1 - momenta[-2]) * g / (1 - np.prod(momenta[:-1]))
                 + momenta[-1] * first_moment / (1 - np.prod(momenta)))
    parameter -= learning_rate * direction / (np.sqrt(v) + epsilon)


def radam_update(parameter, gradient, first_moment, second_moment, *, step=1,
                 learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0,
                 decoupled_weight_decay=False):
    """Rectified Adam (Liu et al. 2020; `torch.optim.RAdam`).

    With g and the moments as in Adam, m and v unbiased as there: n = 2 / (1 - beta2) - 1 is the
    longest length of the second moment's average, and
    k = n - 2 * step * beta2**step / (1 - beta2**step) the one so far. Up to k = 5 the parameter
    loses learning_rate * m, from there on r * learning_rate * m / (sqrt(v) + e), where
    r**2 = (k - 4) (k - 2) n / ((n - 4) (n - 2) k) and e = epsilon / sqrt(1 - beta2**step).

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray of float64
        States, changed in place.
    step : int
        Number of the step, from 1.
    learning_rate, beta1, beta2, epsilon, weight_decay : float
        Hyperparameters.
    decoupled_weight_decay : bool
        Shrink the parameter instead of adding to the gradient.

    Examples
    --------
    >>> parameter, first_moment, second_moment = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> radam_update(parameter, [4.0], first_moment, second_moment, learning_rate=0.125)
    >>> parameter.round(6), first_moment.round(6), second_moment.round(6)
    (array([0.5]), array([0.4]), array([0.016]))
    """
    g = _checked(gradient, parameter=parameter, first_moment=first_moment,
                 second_moment=second_moment)
    g = _decayed(g, parameter, learning_rate, weight_decay, decoupled_weight_decay)
    first_moment[...] = beta1 * first_moment + (1 - beta1) * g
    second_moment[...] = beta2 * second_moment + (1 - beta2) * g**2
    correction = 1 - beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / correction
    direction = first_moment / (1 - beta1**step)
    if length > 5:
        rectified = np.sqrt((length - 4) * (length - 2) * longest
                            / ((longest - 4) * (longest - 2) * length))
        direction = (rectified * direction
                     / (np.sqrt(second_moment / correction) + epsilon / np.sqrt(correction)))
    parameter -= learning_rate * direction


def adamax_update(parameter, gradient, first_moment, largest, *, step=1, learning_rate=2e-3,
                  beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0):
    """Adamax (Kingma and Ba 2015, section 7.1; `torch.optim.Adamax`).

    With g = gradient + weight_decay * parameter, the first moment is a moving average of g
    (factor beta1), and `largest` becomes max(beta2 * largest, |g| + epsilon). The parameter loses
    learning_rate * m / largest, where m is the first moment over 1 - beta1**step.

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, largest : ndarray of float64
        States, changed in place.
    step : int
        Number of the step, from 1.
    learning_rate, beta1, beta2, epsilon, weight_decay : float
        Hyperparameters.

    Examples
    --------
    >>> parameter, first_moment, largest = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adamax_update(parameter, [4.0], first_moment, largest, learning_rate=0.5)
    >>> parameter.round(6), first_moment.round(6), largest.round(6)
    (array([0.5]), array([0.4]), array([4.]))
    """
    g = _checked(gradient, parameter=parameter, first_moment=first_moment, largest=largest)
    g = g + weight_decay * parameter
    first_moment[...] = beta1 * first_moment + (1 - beta1) * g
    largest[...] = np.maximum(beta2 * largest, np.abs(g) + epsilon)
    parameter -= learning_rate / (1 - beta1**step) * first_moment / largest


def adadelta_update(parameter, gradient, square_average, step_average, *, step=1,
                    learning_rate=1.0, rho=0.9, epsilon=1e-6, weight_decay=0.0):
    """Adadelta (Zeiler 2012; `torch.optim.Adadelta`).

    With g = gradient + weight_decay * parameter, `square_average` is the moving average of g**2
    (factor rho). d = sqrt(step_average + epsilon) / sqrt(square_average + epsilon) * g, after
    which `step_average` takes in d**2. The parameter loses learning_rate * d.

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    square_average, step_average : ndarray of float64
        States, changed in place.
    step : int
        Number of the step; not looked at.
    learning_rate, rho, epsilon, weight_decay : float
        Hyperparameters.

    Examples
    --------
    >>> parameter, square_average, step_average = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adadelta_update(parameter, [4.0], square_average, step_average, rho=0.5, epsilon=1.0)
    >>> parameter.round(6), square_average.round(6), step_average.round(6)
    (array([-0.333333]), array([8.]), array([0.888889]))
    """
    g = _checked(gradient, parameter=parameter, square_average=square_average,
                 step_average=step_average)
    g = g + weight_decay * parameter
    square_average[...] = rho * square_average + (1 - rho) * g**2
    direction = np.sqrt(step_average + epsilon) / np.sqrt(square_average + epsilon) * g
    step_average[...] = rho * step_average + (1 - rho) * direction**2
    parameter -= learning_rate * direction


def lion_update(parameter, gradient, first_moment, *, step=1, learning_rate=1e-4, beta1=0.9,
                beta2=0.99, weight_decay=0.0):
    """Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2).

    The parameter loses learning_rate * (sign(c) + weight_decay * parameter), where c is
    beta1 * first_moment + (1 - beta1) * gradient; then the first moment takes in the gradient
    with factor beta2.

    Parameters
    ----------
    parameter : ndarray of float64
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment : ndarray of float64
        State, changed in place.
    step : int
        Number of the step; not looked at.
    learning_rate, beta1, beta2, weight_decay : float
        Hyperparameters.

    Examples
    --------
    >>> parameter, first_moment = np.array([1.0]), np.zeros(1)
    >>> lion_update(parameter, [4.0], first_moment, learning_rate=0.25)
    >>> parameter.round(6), first_moment.round(6)
    (array([0.75]), array([0.04]))
    """
    g = _checked(gradient, parameter=parameter, first_moment=first_moment)
    direction = np.sign(beta1 * first_moment + (1 - beta1) * g)
    parameter -= learning_rate * (direction + weight_decay * parameter)
    first_moment[...] = beta2 * first_moment + (1 - beta2) * g
