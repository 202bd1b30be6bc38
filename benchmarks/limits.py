"""The least time that this machine needs for a case, from what it was measured to do in a second.

It is a bound from below, not a forecast: a call from Python that does nothing, and then whatever
takes longest of

- the multiply-adds of the products at the rate of registers, and of a training step a square root
  and a division for every parameter, where the optimizer has them;
- the longest chain of a row, in which each multiply-add waits for the one before: the order of a
  sum is the promise that makes the bits equal;
- the parameters' way through memory, at the rate of an array of that size.

Nothing is counted for activations, losses, and the rows' own way through memory. Zeros that are
left out count as if they were multiplied, so that more than all of it can be reached.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields

import numpy as np

from . import machine
from .cases import STATES, Case

DIVIDING = ("adagrad", "rmsprop", "adam")   # optimizers with a square root and a division
LONGEST_CHAIN = 512                         # docs/design.md: then a new one begins beside it
LEAST, LARGEST = 1 << 10, 1 << 24           # elements of an array: no cache holds the largest


@dataclass(frozen=True)
class Rates:
    """What a core does, and what all threads together read and copy, in a second."""

    operations: float       # of multiply-adds that need not wait, two each
    in_turn: float          # multiply-adds that wait for each other
    roots: float            # square roots with a division, of elements
    read: float             # bytes, of an array as large as the parameters
    copied: float           # bytes, of one that is as large as what a step changes
    calls: float            # from Python

    def or_better(self, other: Rates) -> Rates:
        """The higher one of each."""
        return Rates(**{field.name: max(getattr(self, field.name), getattr(other, field.name))
                        for field in fields(Rates)})


def moved(case: Case, work: str) -> tuple[int, int]:
    """Bytes of the parameters that are read, and of what is then read and written."""
    parameters = case.parameters * np.dtype(case.dtype).itemsize
    return parameters, 0 if work == "predict" else parameters * 2 * (1 + STATES[case.optimizer])


def measure_rates(case: Case, work: str, threads: int, seconds: float, rounds: int = 3
                  ) -> Rates | None:
    """The rates that matter for a case; None where there is no C compiler."""
    library = machine.native(case.dtype)
    if library is None:
        return None
    read, changed = moved(case, work)
    # Elements of float32; what is copied lies there twice, and is read and written.
    read, copied = (min(LARGEST, max(LEAST, size)) for size in (read // 4, changed // 16))

    def most(function, *arguments):
        return machine.most_a_second(machine.repeating(function, *arguments), seconds, rounds)

    def call(count, one, other):
        for _ in range(count):
            nothing(one, other)

    def nothing(one, other):
        return operator.is_(one, other)

    return Rates(
        operations=machine.fma_peak(case.dtype, seconds, rounds),
        in_turn=most(library.multiply_add_in_turn, 0.5, 1.0),
        roots=library.roots_of_a_round() * most(library.divide_by_root, 0.5, 0.25),
        read=machine.read_bandwidth(read, threads, seconds, rounds),
        copied=machine.copy_bandwidth(copied, threads, seconds, rounds),
        calls=most(call, 1, 2))


def least_seconds(case: Case, work: str, rates: Rates, threads: int) -> float:
    """The bound of a prediction or a training step."""
    arithmetic = case.operations(work) / rates.operations
    if work == "train" and case.optimizer in DIVIDING:
        arithmetic += case.parameters / rates.roots
    chain = sum(min(inputs, LONGEST_CHAIN) for inputs, _ in case.layers) / rates.in_turn
    read, changed = moved(case, work)
    memory = read / rates.read + changed / rates.copied
    return 1 / rates.calls + max(arithmetic / threads, chain, memory)
