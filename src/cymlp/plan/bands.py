"""Small batches for large weights: a weight is updated while it is still near.

With few rows a step of a large network is bounded by memory: every weight comes from there for the
gradient by the layer's input, and once more for its update, which is the last that a step does. So
here the two follow each other, and threads do both on one band of the weight's inputs, then on the
next: it comes once. Each sum is the same as before, and so are the bits.
"""

from __future__ import annotations

from ..immutable import replace
from .form import Step

__all__ = ["update_in_bands"]

MOST_ROWS = 32              # with more, other work hides the way to the memory
LEAST_ARENA = 16 << 20      # bytes of parameters and states: FAR_ARENA in engine/runtime.pyx
LEAST_WEIGHT = 2 << 20      # bytes: FAR_WEIGHT_BYTES in kernels/dense.pyx; a smaller one is near
LEAST_INPUTS = 512          # enough for threads to have equal shares


def update_in_bands(steps: list[Step], rows: int, arena: int, item: int) -> list[Step]:
    """The steps of a training step with some updates earlier, if that pays.

    Parameters
    ----------
    steps : list of Step
        All of them, the updates at the end.
    rows : int
        The largest batch.
    arena : int
        Bytes of all parameters and their states.
    item : int
        Bytes of a number.

    Returns
    -------
    steps : list of Step
        The same where nothing is to be gained, or where a function of the user's may still fail:
        it must find nothing changed then.
    """
    if (rows > MOST_ROWS or arena <= LEAST_ARENA
            or any(step.split == "caller" for step in steps)):
        return steps
    large = {step.operands["weight"] for step in steps
             if step.op == "dense_backward_input" and step.attributes["inputs"] >= LEAST_INPUTS
             and step.attributes["inputs"] * step.attributes["outputs"] * item >= LEAST_WEIGHT}
    updates = {step.operands["weight"]: replace(step, split="bands") for step in steps
               if step.op == "dense_update" and step.operands["weight"] in large}
    moved = []
    for step in steps:
        weight = step.operands.get("weight")
        if step.op == "dense_backward_input" and weight in updates:
            moved += [replace(step, split="bands", wait=True), updates[weight]]
        elif step.op != "dense_update" or weight not in updates:
            moved.append(step)
    return moved
