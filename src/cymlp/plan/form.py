"""What a plan is made of: parameters, buffers and steps, all of it plain data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..immutable import factory, immutable, replace
from ..update import Update

__all__ = ["ALIGNMENT", "Buffer", "Parameter", "Piece", "Plan", "Step", "round_up",
           "separate_results"]

ALIGNMENT = 64          # bytes: every array begins at a multiple, every row is padded to one

ROLES = ("out", "x", "saved", "target", "sample_weight", "row_values", "statistics",
         "means", "gate", "weight", "bias")


@immutable
class Parameter:
    """An array of the arena and where it stands there.

    `layout` is how it lies there: a matrix in "panels" of columns, as the products want it, or
    "rows", each padded; or a "vector". What is not `trained` has no gradient and no optimizer
    state: the running statistics of a normalisation.
    """

    name: str
    shape: tuple[int, ...]
    offset: int
    layout: str = "panels"
    trained: bool = True


@immutable
class Piece:
    """Some rows of a parameter that one thread updates at a time.

    They lie one after another, `width` numbers each, of which the first `columns` are real.
    `group` is the number of the parameter's group in the update; a `sparse` row is left as it is
    where its gradient is zero.
    """

    offset: int
    rows: int
    width: int
    columns: int
    group: int
    penalized: bool
    sparse: bool


@immutable
class Buffer:
    """An array of the workspace, `leading` elements from row to row.

    It has a row for each row of the chunk, or `rows` rows where that is not 0.
    """

    name: str
    columns: int
    leading: int
    offset: int
    dtype: str
    rows: int = 0


@immutable
class Step:
    """One call of a kernel.

    `operands` names a buffer or parameter for each role; `split` says how threads share the work:
    "rows" of the chunk, "columns", "units" (pieces of the parameters that a layer updates),
    "bands" (of a weight's inputs, of which the step and the one behind it are done together),
    "pieces" (those of all parameters) or "once"; where `wait` is true, every thread waits for all
    others before it begins.
    """

    op: str
    operands: dict[str, str]
    attributes: dict[str, Any] = factory(dict)
    split: str = "rows"
    wait: bool = False

    def __str__(self) -> str:
        roles = [role for role in ROLES if role in self.operands and role != "out"]
        inputs = ", ".join(f"{role}={self.operands[role]}" for role in roles)
        extras = ", ".join(f"{key}={value}" for key, value in self.attributes.items())
        out = self.operands.get("out", "")
        call = f"{self.op}({', '.join(part for part in (inputs, extras) if part)})"
        return f"{out} = {call}" if out else call


@immutable
class Plan:
    """The steps of one call, and the memory that they work on. Printing it gives a listing.

    >>> import cymlp
    >>> plan = cymlp.mlp(4, [], 1, task="regression").plan_for("forward", 1)
    >>> plan.multiply_adds, [str(step) for step in plan.steps][::2]
    (4, ['input = gather_input()', 'scatter_output(x=slot0, columns=1)'])
    """

    kind: str
    dtype: str
    batch: int
    chunk: int
    parameters: tuple[Parameter, ...]
    parameter_bytes: int
    states: tuple[str, ...]
    keeps_gradients: bool
    whole_batch: bool
    by_blocks: bool
    buffers: tuple[Buffer, ...]
    workspace_bytes: int
    steps: tuple[Step, ...]
    update: Update = Update()
    pieces: tuple[Piece, ...] = ()

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all matrix products, for one row."""
        shapes = {p.name: p.shape for p in self.parameters}
        products = ("dense_forward", "dense_turned", "dense_backward_input", "dense_update")
        return sum(int(np.prod(shapes[step.operands["weight"]]))
                   for step in self.steps if step.op in products)

    def __str__(self) -> str:
        each = " or, where there are several threads, blocks for each" if self.by_blocks else ""
        lines = [
            f"plan {self.kind}, {self.dtype}, batch {self.batch} in chunks of {self.chunk} rows"
            + each,
            f"arena      {self.parameter_bytes * (1 + len(self.states)):>12,} bytes: "
            + " | ".join(("parameters",) + self.states),
        ]
        lines += [f"  {p.offset:>10}  {p.name} {list(p.shape)}" for p in self.parameters]
        gradients = "gradients | activations" if self.keeps_gradients else "activations"
        lines += [f"workspace  {self.workspace_bytes:>12,} bytes: {gradients}"]
        lines += [f"  {b.offset:>10}  {b.name} [{b.rows or self.chunk}, {b.columns}] "
                  f"leading {b.leading} {b.dtype}" for b in self.buffers]
        lines += ["steps"]
        lines += [f"  {number:>3} {'wait' if step.wait else '    '} {step.split:<7}  {step}"
                  for number, step in enumerate(self.steps)]
        return "\n".join(lines)


def round_up(number: int, multiple: int) -> int:
    """The least multiple that is not below a number.

    >>> round_up(17, 16)
    32
    """
    return -(-number // multiple) * multiple


def separate_results(plan: Plan, rows: int) -> Plan:
    """The same plan for `rows` in one chunk, with each step's result in a buffer of its own.

    After a run all results can then be looked at, also those that steps in place or later layers
    would have overwritten.
    """
    buffers = {buffer.name: buffer for buffer in plan.buffers}
    steps, written, latest = [], set(), {}
    for number, step in enumerate(plan.steps):
        operands = {role: latest.get(name, name) for role, name in step.operands.items()}
        name = step.operands.get("out")
        # Copies of some columns fill a buffer together.
        if name in written and step.op != "copy_columns":
            operands["out"] = latest[name] = f"{name}#{number}"
            buffers[latest[name]] = replace(buffers[name], name=latest[name])
        elif name is not None:
            written.add(name)
        steps.append(replace(step, operands=operands))
    offset, placed = plan.parameter_bytes if plan.keeps_gradients else 0, []
    for buffer in buffers.values():
        placed.append(replace(buffer, offset=offset))
        size = (buffer.rows or rows) * buffer.leading * np.dtype(buffer.dtype).itemsize
        offset += round_up(size, ALIGNMENT)
    return replace(plan, batch=rows, chunk=rows, buffers=tuple(placed), workspace_bytes=offset,
                   steps=tuple(steps))
