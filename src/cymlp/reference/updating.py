"""What goes around the optimizer's step: the same on whole arrays, one rule after the other."""

from __future__ import annotations

import numpy as np

from cymlp.reference import optimizers

__all__ = ["step_with_rules", "step_without_rules"]


def step_without_rules(optimizer, parameter, gradient, kept, step, factors=(1.0, 1.0)):
    """The optimizer's step on one parameter, in place.

    Parameters
    ----------
    optimizer : optimizer
        Its description.
    parameter, gradient : ndarray
        In float64; the parameter is changed.
    kept : dict of str to ndarray
        Its states by name, changed; what is missing is put there.
    step : int
        From 1.
    factors : tuple of two floats
        For the learning rate and the weight decay.

    Examples
    --------
    >>> from cymlp import SGD
    >>> parameter = np.array([1.0])
    >>> step_without_rules(SGD(0.5), parameter, np.array([1.0]), {}, 1)
    >>> parameter
    array([0.5])
    """
    for state in optimizer.states():
        kept.setdefault(state, np.full(parameter.shape, optimizer.initial_state(state)))
    hyper = optimizer.hyper()
    for name, factor in zip(("learning_rate", "weight_decay"), factors, strict=True):
        if name in hyper:
            hyper[name] *= factor
    function = getattr(optimizers, f"{optimizer.kernel}_update")
    states = {name: kept[name] for name in optimizer.states()}
    function(parameter, gradient, **states, step=step, **hyper)


def _penalties(update, parameters, gradients):
    for name, gradient in gradients.items():
        if name.endswith("weight") and parameters[name].ndim == 2:
            w = parameters[name]
            gradients[name] = gradient + update.l1 * np.sign(w) + update.l2 * w


def _clip(update, gradients):
    if update.clip_value is not None:
        for name in gradients:
            gradients[name] = np.clip(gradients[name], -update.clip_value, update.clip_value)
    if update.clip_norm is not None:
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        factor = min(1.0, update.clip_norm / (norm + 1e-6))
        for name in gradients:
            gradients[name] = gradients[name] * factor


def _average(update, parameter, kept, count):
    taken, rest = divmod(count - update.average_from - 1, update.average_every)
    if taken < 0 or rest:
        return
    if taken == 0:
        kept["average"] = parameter.copy()
    elif update.average == "mean":
        kept["average"] = (kept["average"] * taken + parameter) / (taken + 1)
    else:
        kept["average"] = update.average * kept["average"] + (1 - update.average) * parameter


def step_with_rules(optimizer, update, parameters, gradients, states, step):
    """One batch's step on all parameters, in place; dense layers only.

    Parameters
    ----------
    optimizer, update : optimizer, Update
        Their descriptions.
    parameters, gradients : dict of str to ndarray
        By name, in float64; the parameters are changed.
    states : dict of str to dict of str to ndarray
        Every parameter's states by name, changed; what is missing is put there.
    step : int
        Number of the batch, from 1.

    Examples
    --------
    >>> from cymlp import SGD, Update
    >>> parameters, gradients = {"0.bias": np.array([1.0])}, {"0.bias": np.array([3.0])}
    >>> step_with_rules(SGD(0.5), Update(clip_value=1.0), parameters, gradients, {}, 1)
    >>> parameters
    {'0.bias': array([0.5])}
    """
    gradients = dict(gradients)
    for name, gradient in gradients.items():
        kept = states.setdefault(name, {})
        if update.accumulate > 1:
            before = 0.0 if step % update.accumulate == 1 else kept["accumulated_gradient"]
            kept["accumulated_gradient"] = before + gradient / update.accumulate
            gradients[name] = kept["accumulated_gradient"]
    if step % update.accumulate:
        return
    count = step // update.accumulate
    _penalties(update, parameters, gradients)
    _clip(update, gradients)
    for name, gradient in gradients.items():
        group = update.group_of(name)
        factors = (1.0, 1.0) if group == 0 else (
            update.groups[group - 1].learning_rate_factor,
            update.groups[group - 1].weight_decay_factor)
        parameter = parameters[name]
        step_without_rules(optimizer, parameter, gradient, states[name], count, factors)
        if update.max_norm is not None and parameter.ndim == 2:
            norms = np.sqrt((parameter**2).sum(axis=0))
            parameter *= np.where(norms > update.max_norm, update.max_norm / norms, 1.0)
        if update.average is not None:
            _average(update, parameter, states[name], count)
