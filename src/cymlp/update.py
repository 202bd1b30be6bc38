"""What goes around the optimizer's step: penalties, clipping, accumulation, averages, groups."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from .checks import as_integer, as_number, shown
from .immutable import KW_ONLY, fields, immutable

__all__ = ["Group", "Update", "as_update", "check_update", "hyper_of_groups"]

LARGEST_GROUPS = 8      # engine/call.pxd, with the default one


@immutable
class Group:
    """How some parameters are updated otherwise than the rest.

    Parameters
    ----------
    pattern : str
        Names of parameters, such as ``"*.bias"`` (all biases), ``"0.*"`` (all of layer 0) or
        ``"3.weight"``; ``*`` and ``?`` as in file names.
    learning_rate_factor, weight_decay_factor : float
        What the optimizer's learning rate and weight decay are multiplied with.

    Examples
    --------
    >>> Group("*.bias", weight_decay_factor=0).fits("0.bias")
    True
    """

    pattern: str
    _: KW_ONLY
    learning_rate_factor: float = 1.0
    weight_decay_factor: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise TypeError(f"pattern: expected a pattern of names such as '*.bias', "
                            f"got {shown(self.pattern)}")
        for name in ("learning_rate_factor", "weight_decay_factor"):
            object.__setattr__(self, name, as_number(name, getattr(self, name), least=0.0))

    def fits(self, name: str) -> bool:
        """Whether a parameter's name fits the pattern."""
        return fnmatch.fnmatchcase(name, self.pattern)


@immutable
class Update:
    """What happens to a gradient before the optimizer's step, and to the parameters after it.

    In this order: the gradients of `accumulate` batches are averaged, the penalties added, values
    clipped, the norm clipped; then comes the optimizer's step, then `max_norm`, then the average
    of the parameters. The loss that is reported has no penalty in it.

    Parameters
    ----------
    clip_norm : float, optional
        The most that the norm of all gradients together may be: a larger one is scaled down, by
        ``clip_norm / (norm + 1e-6)`` as PyTorch's `clip_grad_norm_` does.
    clip_value : float, optional
        The most that each entry's magnitude may be.
    l1, l2 : float
        Penalties ``l1 * sum(abs(w)) + l2 / 2 * sum(w**2)`` over the weights of dense layers, as a
        part of the loss. Scikit-learn's ``alpha`` is `l2` times the batch size.
    accumulate : int
        The optimizer makes a step after every so many batches, with the mean of their gradients.
        Batches that are left at the end of an epoch or a call count for the next step.
    average : float or "mean", optional
        Keeps an average of the parameters, to be had by :meth:`cymlp.Network.averaged`: an
        exponential one with this decay (as Keras's `ema_momentum`), or the plain mean (stochastic
        weight averaging, Izmailov et al., UAI 2018).
    average_from, average_every : int
        The average begins after so many steps of the optimizer, and takes in every so-manieth.
    max_norm : float, optional
        The most that the norm of the weights into each unit of a dense layer may be; larger ones
        are scaled down after every step (Srivastava et al., JMLR 2014).
    groups : sequence of Group
        Parameters with a learning rate or weight decay of their own; the first that fits counts.

    Examples
    --------
    >>> Update(clip_norm=1.0, groups=[Group("*.bias", weight_decay_factor=0)]).is_plain
    False
    >>> Update(clip_norm=-1)
    Traceback (most recent call last):
    ...
    ValueError: clip_norm: expected a number finite, > 0, got -1
    """

    _: KW_ONLY
    clip_norm: float | None = None
    clip_value: float | None = None
    l1: float = 0.0
    l2: float = 0.0
    accumulate: int = 1
    average: float | str | None = None
    average_from: int = 0
    average_every: int = 1
    max_norm: float | None = None
    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in ("clip_norm", "clip_value", "max_norm"):
            if getattr(self, name) is not None:
                put(name, as_number(name, getattr(self, name), above=0.0))
        for name in ("l1", "l2"):
            put(name, as_number(name, getattr(self, name), least=0.0))
        for name, least in (("accumulate", 1), ("average_from", 0), ("average_every", 1)):
            put(name, as_integer(name, getattr(self, name), least=least, most=1 << 40))
        if isinstance(self.average, str):
            if self.average != "mean":
                raise ValueError(f"average: expected a decay below 1, 'mean' or None, "
                                 f"got {shown(self.average)}")
        elif self.average is not None:
            put("average", as_number("average", self.average, least=0.0, below=1.0))
        put("groups", _as_groups(self.groups))

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the optimizer's step happens, which can then follow at once."""
        return self == Update()

    def states(self) -> tuple[str, ...]:
        """Names of the arrays beside each parameter that this needs."""
        accumulated = ("accumulated_gradient",) if self.accumulate > 1 else ()
        return accumulated + (("average",) if self.average is not None else ())

    def group_of(self, name: str) -> int:
        """Number of the group of a parameter, 0 being the rest's."""
        return next((number for number, group in enumerate(self.groups, 1) if group.fits(name)), 0)

    def __repr__(self) -> str:
        parts = [f"{item.name}={getattr(self, item.name)!r}" for item in fields(self)
                 if getattr(self, item.name) != item.default]
        return f"Update({', '.join(parts)})"


def _as_groups(groups: Any) -> tuple[Group, ...]:
    if isinstance(groups, (str, Group, Mapping)):
        raise TypeError(f"groups: expected a sequence of Group, got {shown(groups)}")
    try:
        groups = tuple(groups)
    except TypeError:
        raise TypeError(f"groups: expected a sequence of Group, got {shown(groups)}") from None
    for number, group in enumerate(groups):
        if not isinstance(group, Group):
            raise TypeError(f"groups[{number}]: expected a Group, got {shown(group)}")
    if len(groups) >= LARGEST_GROUPS:
        raise ValueError(f"groups: expected at most {LARGEST_GROUPS - 1}, got {len(groups)}")
    return groups


def as_update(value: Any) -> Update:
    """The update that is meant; None stands for the plain one.

    >>> as_update(None)
    Update()
    """
    if value is None:
        return Update()
    if not isinstance(value, Update):
        raise TypeError(f"update: expected an Update, got {shown(value)}")
    return value


def check_update(update: Update, full_batch: bool, names: list[str]) -> None:
    """Refuse what cannot be meant for an optimizer, and for parameters of these names.

    >>> check_update(Update(groups=[Group("*.bias")]), False, ["0.bias"])
    """
    if full_batch and update != Update(l2=update.l2):
        raise ValueError(f"update: expected nothing but l2 with L-BFGS, got {update!r}")
    for number, group in enumerate(update.groups):
        if not any(group.fits(name) for name in names):
            raise ValueError(f"groups[{number}]: expected a pattern that fits a parameter, such "
                             f"as {names[0]!r}, got {group.pattern!r}")


def hyper_of_groups(optimizer: Any, update: Update, names: list[str]) -> list[list[float]]:
    """An optimizer's numbers in the order of `names`: first for the rest, then for each group.

    >>> from cymlp import SGD
    >>> update = Update(groups=[Group("*.bias", learning_rate_factor=2)])
    >>> hyper_of_groups(SGD(0.1), update, ["learning_rate", "momentum"])
    [[0.1, 0.0], [0.2, 0.0]]
    """
    numbers = optimizer.hyper()
    rows = [numbers]
    for group in update.groups:
        factors = {"learning_rate": group.learning_rate_factor,
                   "weight_decay": group.weight_decay_factor}
        rows.append({name: number * factors.get(name, 1.0) for name, number in numbers.items()})
    return [[row[name] for name in names] for row in rows]
