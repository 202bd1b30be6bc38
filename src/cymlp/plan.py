"""Lowering: a network's description becomes a plan, a flat list of steps over blocks of memory.

A plan is plain data: which kernel runs when, on which arrays, how its work may be divided, and
where the threads wait for each other. It can be printed, compared, pickled and run by two
machines: the engine (:mod:`cymlp.engine`) and, step by step in float64, the reference
(:mod:`cymlp.reference`). All shape logic is here; the engine adds nothing but addresses.

Memory comes in two blocks. The **arena** belongs to the network: all parameters, then one copy of
the same layout for each optimizer state. The **workspace** belongs to a call: gradients (same
layout again, where they are kept), then the activations of one chunk of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .layers import Activation, Dense, Dropout, activation_rows

__all__ = ["Buffer", "Parameter", "Plan", "Step", "build_plan", "parameter_layout",
           "separate_results"]

ALIGNMENT = 64          # bytes: every array begins at a multiple, every row is padded to one
PANEL_BYTES = 256       # bytes of columns in a panel of weights (kernels/dense.pyx)
ROW_BLOCK = 256         # rows of a batch in one chain of the weight gradient (kernels/dense.pyx)
PREDICT_ROWS = 192      # rows that one thread carries through all layers
# Networks up to this size are trained in chunks of ROW_BLOCK rows through all layers, so that
# activations stay in the L2 cache; for larger ones the weights' traffic counts for more.
CHUNKED_BYTES = 8 << 20
LARGEST_CHUNK = 8 * ROW_BLOCK
LARGEST_BYTES = 1 << 46

# What is counted beside each loss.
METRICS = {"softmax_cross_entropy": "accuracy", "binary_cross_entropy": "binary_accuracy",
           "mean_squared_error": "absolute_error"}

ROLES = ("out", "x", "saved", "target", "sample_weight", "row_values", "weight", "bias")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A weight (inputs, outputs) or a bias (outputs,), and where it stands in the arena."""

    name: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """An array (rows of a chunk, columns) of the workspace; `leading` elements from row to row."""

    name: str
    columns: int
    leading: int
    offset: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a kernel.

    `operands` names a buffer or parameter for each role; `split` says how threads share the work:
    "rows" of the chunk, "units" (pieces of the parameters) or "once"; where `wait` is true, every
    thread waits for all others before it begins.
    """

    op: str
    operands: dict[str, str]
    attributes: dict[str, Any] = field(default_factory=dict)
    split: str = "rows"
    wait: bool = False

    def __str__(self) -> str:
        roles = [role for role in ROLES if role in self.operands and role != "out"]
        inputs = ", ".join(f"{role}={self.operands[role]}" for role in roles)
        extras = ", ".join(f"{key}={value}" for key, value in self.attributes.items())
        out = self.operands.get("out", "")
        call = f"{self.op}({', '.join(part for part in (inputs, extras) if part)})"
        return f"{out} = {call}" if out else call


@dataclass(frozen=True, slots=True)
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
    buffers: tuple[Buffer, ...]
    workspace_bytes: int
    steps: tuple[Step, ...]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all matrix products, for one row."""
        shapes = {p.name: p.shape for p in self.parameters}
        products = {"dense_forward": 1, "dense_backward_input": 1, "dense_update": 1}
        return sum(products.get(step.op, 0) * int(np.prod(shapes[step.operands["weight"]]))
                   for step in self.steps if "weight" in step.operands)

    def __str__(self) -> str:
        lines = [
            f"plan {self.kind}, {self.dtype}, batch {self.batch} in chunks of {self.chunk} rows",
            f"arena      {self.parameter_bytes * (1 + len(self.states)):>12,} bytes: "
            + " | ".join(("parameters",) + self.states),
        ]
        lines += [f"  {p.offset:>10}  {p.name} {list(p.shape)}" for p in self.parameters]
        gradients = "gradients | activations" if self.keeps_gradients else "activations"
        lines += [f"workspace  {self.workspace_bytes:>12,} bytes: {gradients}"]
        lines += [f"  {b.offset:>10}  {b.name} [{self.chunk}, {b.columns}] "
                  f"leading {b.leading} {b.dtype}" for b in self.buffers]
        lines += ["steps"]
        lines += [f"  {number:>3} {'wait' if step.wait else '    '} {step.split:<5}  {step}"
                  for number, step in enumerate(self.steps)]
        return "\n".join(lines)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def parameter_layout(layers, in_features: int, dtype) -> tuple[tuple[Parameter, ...], int]:
    """Every parameter in layer order with its place, and the bytes of all of them together.

    Raises ValueError where the sizes are more than any machine can hold.
    """
    item = np.dtype(dtype).itemsize
    granule = ALIGNMENT // item
    parameters, offset, width = [], 0, in_features
    for index, layer in enumerate(layers):
        if not isinstance(layer, Dense):
            continue
        padded = _round_up(layer.units, granule)
        parameters.append(Parameter(f"{index}.weight", (width, layer.units), offset))
        offset += width * padded * item
        if layer.bias:
            parameters.append(Parameter(f"{index}.bias", (layer.units,), offset))
            offset += padded * item
        if offset > LARGEST_BYTES:
            raise ValueError(
                f"layers: expected parameters of at most {LARGEST_BYTES} bytes in all, got layer "
                f"{index} of shape ({width}, {layer.units}) in {np.dtype(dtype)}")
        width = layer.units
    return tuple(parameters), offset


def build_plan(kind, layers, in_features, loss, optimizer, dtype, batch, *,
               target="dense", weighted=False, metric=False) -> Plan:
    """The plan of one kind of call.

    Parameters
    ----------
    kind : {"train", "gradients", "evaluate", "predict", "forward"}
        "predict" ends with the output activation, "forward" with the logits.
    layers, in_features, loss, optimizer, dtype
        The network's description.
    batch : int
        The most rows that come at a time.
    target : {"labels", "dense"}
        Integer labels, or one row of numbers for each row of the input.
    weighted : bool
        Whether rows carry a sample weight.
    metric : bool
        Whether the loss's metric is counted too.

    Returns
    -------
    Plan
    """
    builder = _Builder(kind, layers, in_features, loss, dtype, batch,
                       optimizer.states() if kind == "train" else ())
    if kind in ("predict", "forward"):
        builder.prediction()
    else:
        builder.learning(target, weighted, metric)
    return builder.finish()


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
        if name in written:
            operands["out"] = latest[name] = f"{name}#{number}"
            buffers[latest[name]] = replace(buffers[name], name=latest[name])
        elif name is not None:
            written.add(name)
        steps.append(replace(step, operands=operands))
    offset, placed = plan.parameter_bytes if plan.keeps_gradients else 0, []
    for buffer in buffers.values():
        placed.append(replace(buffer, offset=offset))
        size = rows * buffer.leading * np.dtype(buffer.dtype).itemsize
        offset += _round_up(size, ALIGNMENT)
    return replace(plan, batch=rows, chunk=rows, buffers=tuple(placed), workspace_bytes=offset,
                   steps=tuple(steps))


class _Builder:
    """Collects the buffers and steps of one plan."""

    def __init__(self, kind, layers, in_features, loss, dtype, batch, states):
        self.kind, self.layers, self.loss = kind, layers, loss
        self.dtype = np.dtype(dtype)
        self.batch, self.states = batch, states
        self.parameters, self.parameter_bytes = parameter_layout(layers, in_features, dtype)
        self.in_features = in_features
        self.chunk = self._chunk_rows()
        self.pieces = -(-batch // self.chunk) if kind in ("train", "gradients") else 1
        self.keeps_gradients = kind == "gradients" or self.pieces > 1
        self.offset = self.parameter_bytes if self.keeps_gradients else 0
        self.buffers: dict[str, Buffer] = {}
        self.steps: list[Step] = []

    def _chunk_rows(self) -> int:
        if self.kind in ("predict", "forward"):
            return min(self.batch, PREDICT_ROWS)
        small = self.parameter_bytes <= CHUNKED_BYTES
        return min(self.batch, ROW_BLOCK if small else LARGEST_CHUNK)

    def buffer(self, name: str, columns: int) -> str:
        """A new array of the workspace with a padded row for each row of a chunk."""
        granule = ALIGNMENT // self.dtype.itemsize
        leading = _round_up(columns, granule)
        if leading > granule and leading * self.dtype.itemsize % 2048 == 0:
            leading += granule      # rows 2 KiB apart would fall into the same cache sets
        return self._place(Buffer(name, columns, leading, self.offset, self.dtype.name))

    def vector(self, name: str, dtype: str) -> str:
        """A new array of the workspace with one number for each row of a chunk."""
        return self._place(Buffer(name, 1, 1, self.offset, dtype))

    def _place(self, buffer: Buffer) -> str:
        self.buffers[buffer.name] = buffer
        size = self.chunk * buffer.leading * np.dtype(buffer.dtype).itemsize
        self.offset += _round_up(size, ALIGNMENT)
        return buffer.name

    def add(self, op, attributes=None, split="rows", wait=False, **operands) -> None:
        operands = {role: name for role, name in operands.items() if name is not None}
        self.steps.append(Step(op, operands, attributes or {}, split, wait))

    def parameter(self, layer: int, part: str) -> str | None:
        name = f"{layer}.{part}"
        return name if any(p.name == name for p in self.parameters) else None

    # -- forward -----------------------------------------------------------------------------

    def forward(self, training: bool, weight: str | None = None) -> str:
        """The steps from the input to the logits; returns the buffer of the logits.

        Training keeps every layer's output. Otherwise two buffers serve all layers in turn. A row
        of weight 0 is taken as a row of zeros: a NaN in it would pass through the products with
        its gradient of zero.
        """
        self.add("gather_input", out=self.buffer("input", self.in_features), sample_weight=weight)
        current, width = "input", self.in_features
        self.inputs, self.outputs, self.widths = [], [], []
        if not training:
            widths = [layer.units for layer in self.layers if isinstance(layer, Dense)]
            slots = [self.buffer(f"slot{i}", max(widths[i::2], default=1)) for i in range(2)]
            dense = 0
        for index, layer in enumerate(self.layers):
            self.inputs.append(current)
            self.widths.append(width)
            if isinstance(layer, Dense):
                if training:
                    out = self.buffer(f"{index}.output", layer.units)
                else:
                    out, dense = slots[dense % 2], dense + 1
                self.dense_forward(index, layer, width, current, out, training)
                current, width = out, layer.units
            elif isinstance(layer, Activation):
                out = self.buffer(f"{index}.output", width) if training else current
                self.activation_forward(layer, width, current, out)
                current = out
            elif training:
                out = self.buffer(f"{index}.output", width)
                self.add("dropout", {"columns": width, "rate": layer.rate, "layer": index},
                         x=current, out=out)
                current = out
            self.outputs.append(current)
        self.out_features = width
        return current

    def dense_forward(self, index, layer, inputs, x, out, training) -> None:
        """A dense layer; its activation follows in the same step where that loses nothing."""
        row = activation_rows()[layer.activation.name]
        attributes = {"inputs": inputs, "outputs": layer.units}
        operands = {"x": x, "weight": f"{index}.weight", "bias": self.parameter(index, "bias")}
        fused = row["kind"] >= 0 and not (training and row["saves"] == "input")
        if fused:
            attributes |= self.activation_attributes(layer.activation)
            self.add("dense_forward", attributes, out=out, **operands)
            return
        sums = self.buffer(f"{index}.sums", layer.units) if training else out
        self.add("dense_forward", attributes | self.activation_attributes(Activation("identity")),
                 out=sums, **operands)
        self.activation_forward(layer.activation, layer.units, sums, out)

    @staticmethod
    def activation_attributes(activation) -> dict[str, Any]:
        return {"activation": activation.name, "slope": activation.parameter}

    def activation_forward(self, activation, columns, x, out) -> None:
        attributes = {"columns": columns}
        if activation.name == "softmax":
            self.add("softmax_forward", attributes, x=x, out=out)
        else:
            self.add("activation_forward", attributes | self.activation_attributes(activation),
                     x=x, out=out)

    def prediction(self) -> None:
        logits = self.forward(training=False)
        if self.kind == "predict" and self.loss.output_activation != "identity":
            self.activation_forward(Activation(self.loss.output_activation), self.out_features,
                                    logits, logits)
        self.add("scatter_output", {"columns": self.out_features}, x=logits)

    # -- loss and backward -------------------------------------------------------------------

    def learning(self, target: str, weighted: bool, metric: bool) -> None:
        """Forward, loss and, unless this only evaluates, backward and update."""
        backward = self.kind != "evaluate"
        weight = self.vector("sample_weight", self.dtype.name) if weighted else None
        if weighted:
            self.add("gather_weight", out=weight)
        logits = self.forward(training=backward, weight=weight)
        outputs = self.out_features
        operands = {"x": logits, "target": self.gather_target(target, outputs)}
        attributes = {"columns": outputs, "labels": target == "labels"}
        if weighted:
            operands["sample_weight"] = weight
        gradient = self.buffer("gradient.logits", outputs) if backward else None
        if metric:
            self.add("row_metric", attributes | {"metric": METRICS[self.loss.kernel]},
                     row_values=self.vector("row_metric", "float64"),
                     **{role: operands[role] for role in ("x", "target")})
        self.add(self.loss.kernel, attributes, out=gradient,
                 row_values=self.vector("row_loss", "float64"), **operands)
        updates = self.backward(gradient) if backward else []
        self.add("reduce", split="once", wait=True, x="row_loss", sample_weight=weight,
                 row_values="row_metric" if metric else None)
        for operands, attributes in updates:
            self.add("dense_update", attributes, split="units", **operands)

    def gather_target(self, target: str, outputs: int) -> str:
        if target == "labels":
            self.add("gather_labels", {"columns": outputs}, out=self.vector("labels", "int32"))
            return "labels"
        self.add("gather_target", out=self.buffer("target", outputs))
        return "target"

    def backward(self, gradient: str) -> list:
        """The steps from the logits' gradient down to every layer's; the updates come after.

        Elementwise layers work in place on the gradient of their output.
        """
        updates = []
        first = min(i for i, layer in enumerate(self.layers) if isinstance(layer, Dense))
        for index in range(len(self.layers) - 1, first - 1, -1):
            layer, x, width = self.layers[index], self.inputs[index], self.widths[index]
            if isinstance(layer, Dropout):
                self.add("dropout", {"columns": width, "rate": layer.rate, "layer": index},
                         x=gradient, out=gradient)
            elif isinstance(layer, Activation):
                self.activation_backward(layer, width, gradient, x, self.outputs[index])
            else:
                self.activation_backward(layer.activation, layer.units, gradient,
                                         f"{index}.sums", f"{index}.output")
                attributes = {"inputs": width, "outputs": layer.units}
                updates.append(({"x": x, "saved": gradient, "weight": f"{index}.weight",
                                 "bias": self.parameter(index, "bias")}, attributes))
                if index > first:
                    below = self.buffer(f"gradient.{index}", width)
                    self.add("dense_backward_input",
                             attributes | self.activation_attributes(Activation("identity")),
                             out=below, x=gradient, weight=f"{index}.weight")
                    gradient = below
        return updates

    def activation_backward(self, activation, columns, gradient, x, output) -> None:
        """In place; as the end of the product that made the gradient, if that is the last step."""
        row = activation_rows()[activation.name]
        saved = output if row["saves"] == "output" else x
        if activation.name == "softmax":
            self.add("softmax_backward", {"columns": columns}, x=gradient, out=gradient,
                     saved=saved)
        elif activation.name != "identity":
            last = self.steps[-1]
            if last.op == "dense_backward_input" and last.attributes["activation"] == "identity":
                self.steps[-1] = Step(
                    last.op, last.operands | {"saved": saved},
                    last.attributes | self.activation_attributes(activation))
            else:
                self.add("activation_backward",
                         {"columns": columns} | self.activation_attributes(activation),
                         x=gradient, out=gradient, saved=saved)

    def finish(self) -> Plan:
        # The first step of a chunk overwrites what others may still read in the last chunk.
        if self.kind not in ("predict", "forward"):
            first = self.steps[0]
            self.steps[0] = Step(first.op, first.operands, first.attributes, first.split, True)
        return Plan(self.kind, self.dtype.name, self.batch, self.chunk, self.parameters,
                    self.parameter_bytes, self.states, self.keeps_gradients,
                    tuple(self.buffers.values()), self.offset, tuple(self.steps))
