"""Optimizers' updates, by PyTorch's definitions and with its defaults.

Every function does one step on one parameter, in place: `parameter` and the states are writable
arrays of one shape and one dtype, float32 or float64, of any strides. States start as zeros
(Adagrad's may start higher). `step` is the number of the step, the first being 1. The definitions
stand in `cymlp.reference`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_changeable, as_real_array, check_apart
from ..checks import as_integer, as_number
from ..engine import calls
from ..kernels import optimizer_table
from ..optimizers.adam import Adam, Adamax, AdamW, Lion, NAdam, RAdam
from ..optimizers.base import Optimizer
from ..optimizers.plain import SGD, Adadelta, Adagrad, RMSprop

__all__ = ["adadelta_update", "adagrad_update", "adam_update", "adamax_update", "adamw_update",
           "lion_update", "nadam_update", "radam_update", "rmsprop_update", "sgd_update"]


def _changeable(name: str, value: Any, like: NDArray | None = None) -> NDArray:
    array = as_changeable(name, value)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: expected an array of float32 or float64, "
                        f"got dtype {array.dtype}")
    if like is not None and (array.shape != like.shape or array.dtype != like.dtype):
        raise ValueError(
            f"{name}: expected shape {like.shape} and dtype {like.dtype}, as parameter has, "
            f"got shape {array.shape} and dtype {array.dtype}")
    return array


class _Described(NamedTuple):
    """What a step needs to know of its optimizer and settings."""

    row: dict[str, Any]             # of the kernels' table
    hyper: list[float]              # checked, in its order
    unused: tuple[int, ...]         # places of the states that these settings do without


def _described(make: type[Optimizer], *settings: Any) -> _Described:
    """Of an optimizer, with its settings in the order of the kernels' table."""
    row = optimizer_table()[make.kernel]
    named = dict(zip(row["hyper"], settings, strict=True))
    if "beta1" in named:
        named["betas"] = named.pop("beta1"), named.pop("beta2")
    spec = make(**named)
    hyper, needed = spec.hyper(), spec.states()
    unused = [place for place, name in enumerate(row["states"]) if name not in needed]
    return _Described(row, [hyper[name] for name in row["hyper"]], tuple(unused))


# Most steps have the settings of the step before, and to check them takes longer than to do one
# for some ten thousand numbers. With `typed`, as True is no rate though it equals 1.
_described_before = lru_cache(maxsize=64, typed=True)(_described)


def _update(make: type[Optimizer], step: int, parameter: NDArray, gradient: ArrayLike,
            states: list[NDArray | None], *settings: Any) -> None:
    """A step of an optimizer; the states and settings in the order of the kernels' table."""
    try:
        described = _described_before(make, *settings)
    except TypeError:       # of a setting that is no key for the cache, or not allowed
        described = _described(make, *settings)
    _step(described, step, parameter, gradient, states)


def _step(described: _Described, step: int, parameter: NDArray, gradient: ArrayLike,
          states: list[NDArray | None]) -> None:
    row, hyper, unused = described
    step = as_integer("step", step, least=1, most=2**63 - 1)
    for place in unused:
        states[place] = None
    if not calls.stand_apart(parameter, gradient, states, unused):
        parameter, gradient, states = _checked(described, parameter, gradient, states)
    calls.optimizer_update(row["kind"], hyper, step, parameter, gradient, states)


def _checked(described: _Described, parameter: NDArray, gradient: ArrayLike,
             states: list[NDArray | None]) -> tuple[NDArray, NDArray, list[NDArray | None]]:
    """The arrays of a step, looked at one by one."""
    parameter = _changeable("parameter", parameter)
    gradient = as_real_array("gradient", gradient)
    if gradient.shape != parameter.shape:
        raise ValueError(f"gradient: expected shape {parameter.shape}, as parameter has, "
                         f"got shape {gradient.shape}")
    names = described.row["states"]
    states = [None if place in described.unused else _changeable(names[place], state, parameter)
              for place, state in enumerate(states)]
    seen = {"gradient": gradient}
    for name, array in zip(("parameter", *names), (parameter, *states), strict=True):
        if array is not None:
            check_apart(name, array, seen)
            seen[name] = array
    return parameter, gradient, states


def sgd_update(parameter: NDArray, gradient: ArrayLike, momentum_buffer: NDArray | None = None, *,
               step: int = 1, learning_rate: float = 1e-3, momentum: float = 0.0,
               dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> None:
    """Stochastic gradient descent (`cymlp.SGD`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    momentum_buffer : ndarray, optional
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
    _update(SGD, step, parameter, gradient, [momentum_buffer], learning_rate, momentum, dampening,
            weight_decay, nesterov)


def adagrad_update(parameter: NDArray, gradient: ArrayLike, sum: NDArray, *, step: int = 1,
                   learning_rate: float = 1e-2, learning_rate_decay: float = 0.0,
                   weight_decay: float = 0.0, epsilon: float = 1e-10) -> None:
    """Adagrad (`cymlp.Adagrad`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    sum : ndarray
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
    _update(Adagrad, step, parameter, gradient, [sum], learning_rate, learning_rate_decay,
            weight_decay, epsilon)


def rmsprop_update(parameter: NDArray, gradient: ArrayLike, square_average: NDArray,
                   momentum_buffer: NDArray | None = None,
                   gradient_average: NDArray | None = None, *, step: int = 1,
                   learning_rate: float = 1e-2, alpha: float = 0.99, epsilon: float = 1e-8,
                   weight_decay: float = 0.0, momentum: float = 0.0,
                   centered: bool = False) -> None:
    """RMSprop (`cymlp.RMSprop`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    square_average : ndarray
        State, changed in place.
    momentum_buffer, gradient_average : ndarray, optional
        States, changed in place; needed where `momentum` is not 0 and where `centered` is true.
    step : int
        Number of the step; the update does not depend on it.
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
    _update(RMSprop, step, parameter, gradient,
            [square_average, momentum_buffer, gradient_average], learning_rate, alpha, epsilon,
            weight_decay, momentum, centered)


def adam_update(parameter: NDArray, gradient: ArrayLike, first_moment: NDArray,
                second_moment: NDArray, maximum_second_moment: NDArray | None = None, *,
                step: int = 1, learning_rate: float = 1e-3, beta1: float = 0.9,
                beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.0,
                amsgrad: bool = False) -> None:
    """Adam (`cymlp.Adam`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray
        States, changed in place.
    maximum_second_moment : ndarray, optional
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
    _update(Adam, step, parameter, gradient, [first_moment, second_moment, maximum_second_moment],
            learning_rate, beta1, beta2, epsilon, weight_decay, amsgrad)


def adamw_update(parameter: NDArray, gradient: ArrayLike, first_moment: NDArray,
                 second_moment: NDArray, maximum_second_moment: NDArray | None = None, *,
                 step: int = 1, learning_rate: float = 1e-3, beta1: float = 0.9,
                 beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 1e-2,
                 amsgrad: bool = False) -> None:
    """AdamW (`cymlp.AdamW`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray
        States, changed in place.
    maximum_second_moment : ndarray, optional
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
    _update(AdamW, step, parameter, gradient, [first_moment, second_moment, maximum_second_moment],
            learning_rate, beta1, beta2, epsilon, weight_decay, amsgrad)


def nadam_update(parameter: NDArray, gradient: ArrayLike, first_moment: NDArray,
                 second_moment: NDArray, *, step: int = 1, learning_rate: float = 2e-3,
                 beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
                 weight_decay: float = 0.0, momentum_decay: float = 4e-3,
                 decoupled_weight_decay: bool = False) -> None:
    """NAdam (`cymlp.NAdam`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray
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
    _update(NAdam, step, parameter, gradient, [first_moment, second_moment], learning_rate, beta1,
            beta2, epsilon, weight_decay, momentum_decay, decoupled_weight_decay)


def radam_update(parameter: NDArray, gradient: ArrayLike, first_moment: NDArray,
                 second_moment: NDArray, *, step: int = 1, learning_rate: float = 1e-3,
                 beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
                 weight_decay: float = 0.0, decoupled_weight_decay: bool = False) -> None:
    """RAdam (`cymlp.RAdam`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, second_moment : ndarray
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
    _update(RAdam, step, parameter, gradient, [first_moment, second_moment], learning_rate, beta1,
            beta2, epsilon, weight_decay, decoupled_weight_decay)


def adamax_update(parameter: NDArray, gradient: ArrayLike, first_moment: NDArray,
                  largest: NDArray, *, step: int = 1, learning_rate: float = 2e-3,
                  beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
                  weight_decay: float = 0.0) -> None:
    """Adamax (`cymlp.Adamax`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment, largest : ndarray
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
    _update(Adamax, step, parameter, gradient, [first_moment, largest], learning_rate, beta1,
            beta2, epsilon, weight_decay)


def adadelta_update(parameter: NDArray, gradient: ArrayLike, square_average: NDArray,
                    step_average: NDArray, *, step: int = 1, learning_rate: float = 1.0,
                    rho: float = 0.9, epsilon: float = 1e-6, weight_decay: float = 0.0) -> None:
    """Adadelta (`cymlp.Adadelta`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    square_average, step_average : ndarray
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
    _update(Adadelta, step, parameter, gradient, [square_average, step_average], learning_rate,
            rho, epsilon, weight_decay)


def lion_update(parameter: NDArray, gradient: ArrayLike, first_moment: NDArray, *, step: int = 1,
                learning_rate: float = 1e-4, beta1: float = 0.9, beta2: float = 0.99,
                weight_decay: float = 0.0) -> None:
    """Lion (`cymlp.Lion`).

    Parameters
    ----------
    parameter : ndarray
        Changed in place.
    gradient : array_like
        Gradient of the loss by the parameter.
    first_moment : ndarray
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
    _update(Lion, step, parameter, gradient, [first_moment], learning_rate, beta1, beta2,
            weight_decay)


# ---- rows of the table without a class ---------------------------------------------------------

_OF_ROW = """Optimizer {name}, as `cymlp.reference.{name}_update`.

Parameters
----------
parameter : ndarray
    Changed in place.
gradient : array_like
    Gradient of the loss by the parameter.
{states}step : int
    Number of the step, from 1.
{hyper} : float
    Hyperparameters.

Examples
--------
>>> from cymlp import ops
>>> ops.{name}_update(np.ones(3), np.ones(3){zeros})
"""
_STATES_OF_ROW = """{states} : ndarray
    States, changed in place.
"""


def _function_of_row(row: dict[str, Any]) -> Callable[..., None]:
    """The function of a row that gives its hyperparameters defaults: these go by name."""
    Argument = inspect.Parameter
    arguments = [Argument(name, Argument.POSITIONAL_OR_KEYWORD)
                 for name in ("parameter", "gradient", *row["states"])]
    arguments += [Argument(name, Argument.KEYWORD_ONLY, default=default)
                  for name, default in {"step": 1, **row["defaults"]}.items()]
    signature = inspect.Signature(arguments)

    def update(*given: Any, **named: Any) -> None:
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        values = bound.arguments
        hyper = {name: as_number(name, values[name]) for name in row["hyper"]}
        unused = [place for place, condition in enumerate(row["needs"])
                  if condition and not hyper[condition]]
        _step(_Described(row, [*hyper.values()], tuple(unused)), values["step"],
              values["parameter"], values["gradient"], [values[name] for name in row["states"]])

    update.__signature__ = signature  # type: ignore[attr-defined]
    update.__name__ = update.__qualname__ = f"{row['name']}_update"
    states = ", ".join(row["states"])
    update.__doc__ = _OF_ROW.format(
        name=row["name"], hyper=", ".join(row["hyper"]),
        zeros=", np.zeros(3)" * len(row["states"]),
        states=_STATES_OF_ROW.format(states=states) if states else "")
    return update


for _row in optimizer_table().values():
    if _row["defaults"]:
        globals()[f"{_row['name']}_update"] = _function_of_row(_row)
        __all__.append(f"{_row['name']}_update")
