"""What all optimizers have in common: their numbers and arrays, as the kernels want them."""

from __future__ import annotations

from typing import Any, ClassVar

from ..checks import as_number, as_text, shown
from ..immutable import KW_ONLY, fields, immutable
from ..schedules import Schedule, as_schedule

__all__ = ["Optimizer", "Scheduled", "TableOptimizer", "set_betas", "set_checked"]


class Optimizer:
    """An optimizer: a plain, immutable description of a row of the kernels' table.

    A class says which row that is (``kernel``), which arrays stand beside each parameter
    (``arrays``: name, and the field without which it is not used or ``""``), and which of its
    fields the kernel does not take (``apart``).

    >>> from cymlp.optimizers import SGD
    >>> isinstance(SGD(0.1), Optimizer)
    True
    """

    __slots__ = ()

    kernel: ClassVar[str]
    arrays: ClassVar[dict[str, str]] = {}
    apart: ClassVar[tuple[str, ...]] = ()
    # Whether it works on all rows at once, with no row of the table.
    full_batch: ClassVar[bool] = False

    def hyper(self) -> dict[str, float]:
        """The kernel's hyperparameters."""
        values: dict[str, float] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "betas":
                values["beta1"], values["beta2"] = value
            elif "schedule" not in field.name and field.name not in self.apart:
                values[field.name] = float(value)
        return values

    def states(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each parameter."""
        return tuple(name for name, needed in self.arrays.items()
                     if not needed or getattr(self, needed))

    def initial_state(self, name: str) -> float:
        """The value that a state starts from."""
        if name not in self.states():
            raise ValueError(f"name: expected one of the states {self.states()}, "
                             f"got {shown(name)}")
        return 0.0


@immutable
class Scheduled(Optimizer):
    """An optimizer with a learning rate, which a schedule may change.

    Parameters
    ----------
    schedule : Schedule, optional
        How the learning rate changes (:mod:`cymlp.schedules`); None for not at all.
    weight_decay_schedule : Schedule, optional
        The same for the weight decay.

    Examples
    --------
    >>> from cymlp.optimizers import SGD
    >>> SGD(0.1).schedule is None
    True
    """

    _: KW_ONLY
    schedule: Schedule | None = None
    weight_decay_schedule: Schedule | None = None

    def __post_init__(self) -> None:
        as_schedule("schedule", self.schedule)
        as_schedule("weight_decay_schedule", self.weight_decay_schedule)


@immutable
class TableOptimizer(Scheduled):
    """A row of the kernels' table that has no class of its own, with its numbers' defaults.

    Parameters
    ----------
    kernel : str
        Its name in the table.
    learning_rate : float, optional
        Length of a step; None for the row's default.
    schedule : Schedule, optional
        How the learning rate changes over the steps or epochs (:mod:`cymlp.schedules`).

    Examples
    --------
    >>> TableOptimizer("no_such")
    Traceback (most recent call last):
    ...
    ValueError: optimizer: ... got 'no_such'
    """

    kernel: str  # type: ignore[misc]
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        # Here and not above: a description can be read without loading a kernel.
        from .. import kernels

        Scheduled.__post_init__(self)
        rows = {name: row for name, row in kernels.optimizer_table().items() if row["defaults"]}
        if not rows:
            raise ValueError("optimizer: expected the name of a class, as every row of the table "
                             f"has one, got {shown(self.kernel)}")
        defaults = rows[as_text("optimizer", self.kernel, rows)]["defaults"]
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", defaults["learning_rate"])
        set_checked(self, as_number, "learning_rate", least=0.0)

    @property
    def row(self) -> dict[str, Any]:
        """Its row of the table."""
        from .. import kernels

        return kernels.optimizer_table()[self.kernel]

    def hyper(self) -> dict[str, float]:
        """The row's defaults, and the learning rate."""
        return {**self.row["defaults"], "learning_rate": self.learning_rate}

    def states(self) -> tuple[str, ...]:
        """All that its defaults use."""
        hyper = self.hyper()
        return tuple(name for name, needed in zip(self.row["states"], self.row["needs"],
                                                  strict=True) if not needed or hyper[needed])


def set_checked(spec: Any, check: Any, *names: str, **bounds: float) -> None:
    """Put fields of an immutable object through a check.

    Examples
    --------
    >>> from cymlp.optimizers import SGD
    >>> sgd = SGD(0.5)
    >>> set_checked(sgd, as_number, "learning_rate", least=0.0)
    >>> sgd
    SGD(learning_rate=0.5)
    """
    for name in names:
        object.__setattr__(spec, name, check(name, getattr(spec, name), **bounds))


def set_betas(spec: Any) -> None:
    """Check the field `betas`: two shares from 0 up to but not including 1.

    Examples
    --------
    >>> from cymlp.optimizers import Adam
    >>> adam = Adam(betas=[0.5, 0.75])
    >>> set_betas(adam)
    >>> adam.betas
    (0.5, 0.75)
    """
    if not isinstance(spec.betas, (tuple, list)):
        raise TypeError(f"betas: expected two numbers, got {shown(spec.betas)}")
    if len(spec.betas) != 2:
        raise ValueError(f"betas: expected two numbers, got {shown(spec.betas)}")
    betas = tuple(as_number(f"betas[{i}]", beta, least=0.0, below=1.0)
                  for i, beta in enumerate(spec.betas))
    object.__setattr__(spec, "betas", betas)
