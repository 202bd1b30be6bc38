"""Schedules: how the learning rate changes over the steps or epochs.

A schedule is a plain, immutable description, given to an optimizer beside its learning rate:
``Adam(1e-3, schedule=Cosine(epochs=20))``. It gives a factor that the learning rate is multiplied
with, as a function of the number of the step or epoch, both from 0. Native code evaluates it at
every step, so that whole epochs stay one call, and it needs no state: a run that is gone on with
finds its place by the counters. Each says what it counts: a length in `epochs` or in `steps` (of
the optimizer), or a `unit`. Steps and epochs count on from one :meth:`cymlp.Network.fit` to the
next; :meth:`cymlp.Network.train_step` by itself counts steps alone.

What follows the loss is a callback: :class:`cymlp.ReduceOnPlateau`, :class:`cymlp.AdaptiveRate`;
so is a function of one's own, :class:`cymlp.RateFunction`.

>>> [round(Cosine(epochs=4).factor(epoch=epoch), 3) for epoch in range(5)]
[1.0, 0.854, 0.5, 0.146, 0.0]
"""

from __future__ import annotations

from typing import Any

from .checks import as_integer, as_number, as_text, shown
from .immutable import KW_ONLY, immutable

__all__ = ["SCHEDULES", "Constant", "CosLog4", "Cosine", "Exponential", "InverseScaling",
           "MultiStep", "OneCycle", "Polynomial", "Schedule", "Step", "WarmRestarts", "Warmup",
           "as_schedule"]

# In the order of kernels/schedules.pyx.
KINDS = ("Constant", "Step", "MultiStep", "Exponential", "Polynomial", "InverseScaling", "Cosine",
         "WarmRestarts", "OneCycle", "CosLog4", "Warmup")
UNITS = ("steps", "epochs", "rows")
LONGEST = 1 << 40


class Schedule:
    """What all schedules can do.

    >>> isinstance(Constant(), Schedule)
    True
    """

    __slots__ = ()

    def factor(self, step: int = 0, epoch: int = 0, rows: int = 0) -> float:
        """What the learning rate is multiplied with, by the engine's own arithmetic.

        Parameters
        ----------
        step, epoch : int
            How many steps of the optimizer and how many epochs lie behind.
        rows : int
            Rows of an epoch; asked for by the unit "rows" alone.

        Returns
        -------
        float

        Examples
        --------
        >>> Step(0.5, epochs=10).factor(epoch=25)
        0.25
        """
        import numpy as np

        from . import kernels

        counts = [as_integer(name, value, least=0, most=LONGEST)
                  for name, value in (("step", step), ("epoch", epoch), ("rows", rows))]
        numbers = np.array(self.numbers()).tobytes()
        return kernels.module("schedules").factor(numbers, *counts)

    def numbers(self) -> list[float]:
        """The description as native code takes it."""
        unit, length = self._span()
        kind = KINDS.index(type(self).__name__)
        return [float(kind), float(UNITS.index(unit)), float(length), *self._parameters()]

    def _span(self) -> tuple[str, int]:
        """What is counted, and the length."""
        return getattr(self, "unit", "steps"), 1

    def _parameters(self) -> list[float]:
        return []


@immutable
class _Long(Schedule):
    """A schedule with a length, in epochs or in steps."""

    _: KW_ONLY
    epochs: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"epochs: expected one of epochs and steps, "
                             f"got epochs={shown(self.epochs)}, steps={shown(self.steps)}")
        name = "steps" if self.epochs is None else "epochs"
        _put(self, name, as_integer(name, getattr(self, name), least=1, most=LONGEST))

    def _span(self) -> tuple[str, int]:
        if self.epochs is not None:
            return "epochs", self.epochs
        return "steps", self.steps or 1


def _put(spec: Any, name: str, value: Any) -> None:
    object.__setattr__(spec, name, value)


def _check(spec: Any, *names: str, **bounds: float) -> None:
    for name in names:
        _put(spec, name, as_number(name, getattr(spec, name), **bounds))


@immutable
class Constant(Schedule):
    """The learning rate as it is.

    >>> Constant().factor(step=1000)
    1.0
    """


@immutable
class Step(_Long):
    """Times `rate` after every so many epochs or steps (PyTorch's `StepLR`).

    Parameters
    ----------
    rate : float
        What each change multiplies with.
    epochs, steps : int
        From one change to the next; one of the two.

    Examples
    --------
    >>> [Step(0.5, epochs=2).factor(epoch=epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        _Long.__post_init__(self)
        _check(self, "rate", least=0.0)

    def _parameters(self) -> list[float]:
        return [self.rate]


@immutable
class MultiStep(Schedule):
    """Times `rate` at each of some places (PyTorch's `MultiStepLR`).

    Parameters
    ----------
    at : sequence of int
        The places.
    rate : float
        What each change multiplies with.
    unit : {"epochs", "steps"}
        What the places count.

    Examples
    --------
    >>> schedule = MultiStep([2, 3], 0.5, unit="epochs")
    >>> [schedule.factor(epoch=epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    at: tuple[int, ...]
    rate: float = 0.1
    _: KW_ONLY
    unit: str

    def __post_init__(self) -> None:
        if not isinstance(self.at, (tuple, list)):
            raise TypeError(f"at: expected a sequence of integers, got {shown(self.at)}")
        _put(self, "at", tuple(as_integer(f"at[{i}]", place, least=0, most=LONGEST)
                               for i, place in enumerate(self.at)))
        _check(self, "rate", least=0.0)
        as_text("unit", self.unit, UNITS[:2])

    def _parameters(self) -> list[float]:
        return [self.rate, float(len(self.at)), *map(float, self.at)]


@immutable
class Exponential(Schedule):
    """Times `rate` after every epoch or step (PyTorch's `ExponentialLR`).

    Parameters
    ----------
    rate : float
        What each change multiplies with.
    unit : {"epochs", "steps"}
        After what.

    Examples
    --------
    >>> Exponential(0.5, unit="epochs").factor(epoch=3)
    0.125
    """

    rate: float
    _: KW_ONLY
    unit: str

    def __post_init__(self) -> None:
        _check(self, "rate", least=0.0)
        as_text("unit", self.unit, UNITS[:2])

    def _parameters(self) -> list[float]:
        return [self.rate]


@immutable
class Polynomial(_Long):
    """Down to 0 as ``(1 - t / length)**power`` (PyTorch's `PolynomialLR`).

    Parameters
    ----------
    power : float
        1 for a straight line.
    epochs, steps : int
        Length; from there on the factor is 0; one of the two.

    Examples
    --------
    >>> Polynomial(2, epochs=4).factor(epoch=1)
    0.5625
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        _Long.__post_init__(self)
        _check(self, "power", least=0.0)

    def _parameters(self) -> list[float]:
        return [self.power]


@immutable
class InverseScaling(Schedule):
    """One over a power: ``1 / (t + 1)**power`` (scikit-learn's "invscaling").

    Parameters
    ----------
    power : float
        The exponent; scikit-learn's `power_t`.
    unit : {"rows", "epochs", "steps"}
        What t counts: the rows of the epochs that are over, as scikit-learn does, or those epochs
        or steps themselves.

    Examples
    --------
    >>> InverseScaling(unit="steps").factor(step=3)
    0.5
    >>> InverseScaling().factor(epoch=1, rows=99)
    0.1
    """

    power: float = 0.5
    _: KW_ONLY
    unit: str = "rows"

    def __post_init__(self) -> None:
        _check(self, "power", least=0.0)
        as_text("unit", self.unit, UNITS)

    def _parameters(self) -> list[float]:
        return [self.power]


@immutable
class Cosine(_Long):
    """Down half a cosine (Loshchilov and Hutter 2017; PyTorch's `CosineAnnealingLR`).

    After its length the factor stays at the end; PyTorch's rises again.

    Parameters
    ----------
    end : float
        The factor at the end, from 0 to 1.
    epochs, steps : int
        Length; one of the two.

    Examples
    --------
    >>> Cosine(0.5, steps=10).factor(step=5), Cosine(0.5, steps=10).factor(step=20)
    (0.75, 0.5)
    """

    end: float = 0.0

    def __post_init__(self) -> None:
        _Long.__post_init__(self)
        _check(self, "end", least=0.0, most=1.0)

    def _parameters(self) -> list[float]:
        return [self.end]


@immutable
class WarmRestarts(_Long):
    """Half cosines, one after another (PyTorch's `CosineAnnealingWarmRestarts`).

    Parameters
    ----------
    longer : int
        How many times as long as the last each half cosine is.
    end : float
        The factor at the end of each, from 0 to 1.
    epochs, steps : int
        Length of the first; one of the two.

    Examples
    --------
    >>> schedule = WarmRestarts(2, epochs=2)
    >>> [round(schedule.factor(epoch=epoch), 2) for epoch in range(7)]
    [1.0, 0.5, 1.0, 0.85, 0.5, 0.15, 1.0]
    """

    longer: int = 1
    end: float = 0.0

    def __post_init__(self) -> None:
        _Long.__post_init__(self)
        _put(self, "longer", as_integer("longer", self.longer, least=1, most=1000))
        _check(self, "end", least=0.0, most=1.0)

    def _parameters(self) -> list[float]:
        return [float(self.longer), self.end]


@immutable
class OneCycle(_Long):
    """Up to the learning rate, then down far below (PyTorch's `OneCycleLR`, rates only).

    Smith and Topin 2018. The momentum does not change along.

    Parameters
    ----------
    rise : float
        Share of the length until the learning rate is reached, between 0 and 1; the rise must
        take longer than one epoch or step.
    start : float
        The factor at the beginning (one over PyTorch's `div_factor`).
    end : float
        The factor at the end (PyTorch's is ``start / final_div_factor``).
    shape : {"cosine", "line"}
        Of the rise and of the fall.
    epochs, steps : int
        Length; the last is at the end; one of the two.

    Examples
    --------
    >>> schedule = OneCycle(0.5, start=0.25, end=0.0, shape="line", steps=6)
    >>> [round(schedule.factor(step=step), 3) for step in range(6)]
    [0.25, 0.625, 1.0, 0.667, 0.333, 0.0]
    """

    rise: float = 0.3
    start: float = 0.04
    end: float = 4e-6
    shape: str = "cosine"

    def __post_init__(self) -> None:
        _Long.__post_init__(self)
        _check(self, "rise", above=0.0, below=1.0)
        _check(self, "start", "end", least=0.0, most=1.0)
        as_text("shape", self.shape, ["cosine", "line"])
        if self.rise * self._span()[1] <= 1:
            raise ValueError(f"rise: expected a share of the length above 1 epoch or step, "
                             f"got {self.rise:g} of {self._span()[1]}")

    def _parameters(self) -> list[float]:
        return [self.rise, self.start, self.end, float(self.shape == "line")]


@immutable
class CosLog4(_Long):
    """Four waves from 0 to 1 and back, each twice as long as the last.

    ``1/2 (1 - cos(2 pi log2(1 + 15 t)))`` with t the share of the length: coslog4 of Holzmüller
    et al. 2024 ("Better by default: strong pre-tuned MLPs and boosted trees on tabular data").

    Parameters
    ----------
    epochs, steps : int
        Length; from there on the factor is 0; one of the two.

    Examples
    --------
    >>> CosLog4(steps=100).factor(step=0)
    0.0
    """


@immutable
class Warmup(_Long):
    """A straight rise before any other schedule (PyTorch's `LinearLR`).

    The factor is ``start + (1 - start) * t / length``, times that of `then`, which counts from the
    beginning of training as well.

    Parameters
    ----------
    then : Schedule, optional
        What follows; None for the learning rate as it is.
    start : float
        The factor at the beginning, from 0 to 1.
    epochs, steps : int
        Length of the rise; one of the two.

    Examples
    --------
    >>> schedule = Warmup(Step(0.5, epochs=3), start=0.5, epochs=2)
    >>> [schedule.factor(epoch=epoch) for epoch in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.5]
    """

    then: Schedule | None = None
    start: float = 1 / 3

    def __post_init__(self) -> None:
        _Long.__post_init__(self)
        _check(self, "start", least=0.0, most=1.0)
        as_schedule("then", self.then)
        if isinstance(self.then, Warmup):
            raise ValueError(f"then: expected another schedule than a Warmup, "
                             f"got {shown(self.then)}")

    def _parameters(self) -> list[float]:
        return [self.start, *(self.then or Constant()).numbers()]


SCHEDULES: tuple[type, ...] = (Constant, Step, MultiStep, Exponential, Polynomial, InverseScaling,
                               Cosine, WarmRestarts, OneCycle, CosLog4, Warmup)


def as_schedule(name: str, value: Any) -> Schedule | None:
    """A schedule, or None where there is none.

    Examples
    --------
    >>> as_schedule("schedule", Cosine(epochs=10))
    Cosine(epochs=10)
    """
    if value is None or isinstance(value, Schedule):
        return value
    raise TypeError(f"{name}: expected a schedule such as Cosine(epochs=20), or None, "
                    f"got {shown(value)}")
