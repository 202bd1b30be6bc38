"""The plan of a call: its memory and, step by step, what is done in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers import Activation, CustomActivation
from ..layers.shapes import declared_parameters, output_width, walk
from ..update import as_update
from .bands import update_in_bands
from .form import ALIGNMENT, Buffer, Parameter, Plan, Step, round_up
from .lowering import Flow, activation_row, lower_layers
from .turning import LEAST_ROWS, turn_narrow
from .updating import add_update_steps, pieces_of

__all__ = ["build_plan", "parameter_layout"]

ROW_BLOCK = 128         # rows of a batch in one chain of the weight gradient (kernels/dense.pyx)
PREDICT_ROWS = 192      # rows that one thread carries through all layers,
FAR_PREDICT_ROWS = 384  # and where all weights come from far away for each such piece
# Networks up to this size are trained in chunks of a few row blocks through all layers, so that
# activations stay in the L2 cache; for larger ones the weights' traffic counts for more.
CHUNKED_BYTES = 8 << 20
CHUNK = 2 * ROW_BLOCK
LARGEST_CHUNK = 16 * ROW_BLOCK
# Up to this size of all parameters threads take a row block each: they then share no rows, but
# add up their gradients.
APART_BYTES = 512 << 10
LARGEST_BYTES = 1 << 46

# What is counted of each metric where the output activation is not softmax.
METRICS = {"accuracy": "binary_accuracy", "mean_absolute_error": "absolute_error"}


def parameter_layout(layers, in_features: int, dtype) -> tuple[tuple[Parameter, ...], int]:
    """Every parameter in layer order with its place, and the bytes of all of them together.

    In memory what is not trained comes last, so that the trained ones are one piece. Raises
    ValueError where the sizes are more than any machine can hold.
    """
    item = np.dtype(dtype).itemsize
    granule = ALIGNMENT // item
    declared = dict(declared_parameters(layers, in_features))
    offset, places = 0, {}
    for name, wanted in sorted(declared.items(), key=lambda pair: not pair[1].trained):
        places[name] = offset
        *rows, columns = wanted.shape
        offset += int(np.prod(rows, dtype=object)) * round_up(columns, granule) * item
        if offset > LARGEST_BYTES:
            raise ValueError(
                f"layers: expected parameters of at most {LARGEST_BYTES} bytes in all, got "
                f"{name} of shape {wanted.shape} in {np.dtype(dtype)}")
    return tuple(Parameter(name, wanted.shape, places[name], wanted.layout, wanted.trained)
                 for name, wanted in declared.items()), offset


def build_plan(kind, layers, in_features, loss, optimizer, dtype, batch, *,
               target="dense", weighted=False, metric=False, update=None) -> Plan:
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
    update : Update, optional
        What goes around the optimizer's step.

    Returns
    -------
    Plan
    """
    update = as_update(update)
    states = (*optimizer.states(), *update.states()) if kind == "train" else ()
    builder = _Builder(kind, layers, in_features, loss, dtype, batch, states, update,
                       optimizer.full_batch)
    if kind in ("predict", "forward"):
        builder.prediction()
    else:
        builder.learning(target, weighted, metric)
    return builder.finish()


class _Builder:
    """Collects the buffers and steps of one plan."""

    def __init__(self, kind, layers, in_features, loss, dtype, batch, states, update,
                 full_batch):
        self.kind, self.layers, self.loss = kind, layers, loss
        self.dtype = np.dtype(dtype)
        self.batch, self.states, self.update = batch, states, update
        self.parameters, self.parameter_bytes = parameter_layout(layers, in_features, dtype)
        self.named = {parameter.name for parameter in self.parameters}
        self.in_features = in_features
        self.out_features = output_width(layers, in_features)
        self.training = kind in ("train", "gradients")
        self.whole_batch = self.training and any(
            layer.whole_batch for _, layer, _ in self._walk())
        self.chunk = self._chunk_rows()
        # Where more happens than the optimizer's step, that goes over all parameters afterwards.
        whole = kind == "train" and not update.is_plain or kind == "gradients" and full_batch
        self.flat = pieces_of(self.parameters, update, self.dtype.itemsize) if whole else ()
        # Several row blocks of a small network: threads may take one each, with their gradients.
        self.several = (batch > ROW_BLOCK and not self.whole_batch
                        and self.parameter_bytes <= APART_BYTES)
        self.keeps_gradients = self.training and (
            kind == "gradients" or bool(self.flat) or batch > self.chunk or self.several
            or any(layer.keeps_gradient for _, layer, _ in self._walk()))
        self.sample_weight: str | None = None
        self.sizes: dict[str, tuple[int, str, int]] = {}    # columns, dtype, rows (0: a chunk's)
        self.users: dict[str, int] = {}
        self.free: list[str] = []
        self.streams = 0
        self.steps: list[Step] = []
        self.updates: list[Step] = []

    def _chunk_rows(self) -> int:
        small = self.parameter_bytes <= CHUNKED_BYTES
        if self.kind in ("predict", "forward"):
            return min(self.batch, PREDICT_ROWS if small else FAR_PREDICT_ROWS)
        if self.whole_batch:
            return self.batch
        return min(self.batch, CHUNK if small else LARGEST_CHUNK)

    def _walk(self):
        return walk(self.layers, self.in_features)

    # -- buffers -----------------------------------------------------------------------------

    def buffer(self, name: str, columns: int, rows: int = 0) -> str:
        """A new array of the workspace: padded rows, one for each row of a chunk or `rows`."""
        return self._new(name, columns, self.dtype.name, rows)

    def vector(self, name: str, dtype: str) -> str:
        """A new array of the workspace with one number for each row of a chunk."""
        return self._new(name, 0, dtype, 0)

    def numbers(self, name: str, count: int) -> str:
        """A new array of the workspace with `count` numbers in float64."""
        return self._new(name, count, "float64", 1)

    def marks(self, name: str, count: int) -> str:
        """A new array of the workspace with a byte for each of `count` things."""
        return self._new(name, count, "uint8", 1)

    def _new(self, name: str, columns: int, dtype: str, rows: int) -> str:
        self.sizes[name] = (columns, dtype, rows)
        self.users[name] = 1
        return name

    def output(self, name: str, columns: int) -> str:
        """Where a layer's output goes: a buffer of its own, or one that nobody needs any more.

        Training keeps every layer's output for the way back.
        """
        if self.training:
            return self.buffer(f"{name}.output", columns)
        if not self.free:
            return self.buffer(f"slot{sum(slot.startswith('slot') for slot in self.sizes)}",
                               columns)
        slot = self.free.pop(0)
        self.users[slot] = 1
        self.sizes[slot] = (max(columns, self.sizes[slot][0]), *self.sizes[slot][1:])
        return slot

    def output_over(self, x: Flow, name: str) -> str:
        """Where the output of an elementwise layer goes: over its input, if no one needs that."""
        if self.training or self.users[x.name] > 1:
            return self.output(name, x.width)
        self.hold(x.name)       # the caller lets go of it once, as its input
        return x.name

    def gradient_over(self, gradient: str, name: str, columns: int) -> str:
        """Where an elementwise layer's gradient goes: over its output's, if no one needs that."""
        return gradient if self.users[gradient] == 1 else self.buffer(f"gradient.{name}", columns)

    def hold(self, name: str) -> None:
        """Keep a buffer as it is until one more `release`."""
        self.users[name] += 1

    def release(self, name: str) -> None:
        """Say that a buffer is needed by one less."""
        self.users[name] -= 1
        if self.users[name] == 0 and name.startswith("slot"):
            self.free.append(name)

    def stream(self, path: str) -> int:
        """The number of a layer's random numbers: its own, or one behind them within others."""
        if path.isdecimal():
            return int(path)
        self.streams += 1
        return len(self.layers) + self.streams - 1

    # -- steps -------------------------------------------------------------------------------

    def add(self, op, attributes=None, split="rows", wait=False, **operands) -> None:
        """Append a step; an operand may be None where there is none."""
        self.steps.append(self._step(op, attributes, split, wait, operands))

    def add_update(self, op, attributes=None, split="units", wait=False, **operands) -> None:
        """A step for the end of the list, where all gradients of the layers are there."""
        self.updates.append(self._step(op, attributes, split, wait, operands))

    @staticmethod
    def _step(op, attributes, split, wait, operands) -> Step:
        operands = {role: name for role, name in operands.items() if name is not None}
        return Step(op, operands, attributes or {}, split, wait)

    def parameter(self, path: str, part: str) -> str | None:
        """Name of a layer's parameter; None where it has none such."""
        name = f"{path}.{part}"
        return name if name in self.named else None

    @staticmethod
    def activation_attributes(activation) -> dict[str, Any]:
        return {"activation": activation.name, "slope": activation.parameter}

    def activation_forward(self, activation, columns, x, out) -> None:
        attributes = {"columns": columns}
        if isinstance(activation, CustomActivation):
            self.add("python_forward", attributes | {"function": activation.forward},
                     split="caller", x=x, out=out)
        elif activation_row(activation)["kind"] < 0:        # of whole rows
            self.add(f"{activation.name}_forward", attributes, x=x, out=out)
        else:
            self.add("activation_forward", attributes | self.activation_attributes(activation),
                     x=x, out=out)

    def activation_backward(self, activation, path, columns, gradient, x, output) -> str:
        """Over the gradient, if no one needs that; returns where the result is.

        It becomes the end of the product that made the gradient, if that is the last step.
        """
        row = activation_row(activation)
        saved = output if row["saves"] == "output" else x
        if activation.name == "identity":
            return gradient
        out = self.gradient_over(gradient, f"{path}.activation", columns)
        if isinstance(activation, CustomActivation):
            self.add("python_backward", {"columns": columns, "function": activation.backward},
                     split="caller", x=gradient, out=out, saved=saved)
            return out
        if row["kind"] < 0:
            self.add(f"{activation.name}_backward", {"columns": columns}, x=gradient, out=out,
                     saved=saved)
            return out
        last = self.steps[-1]
        if (last.op == "dense_backward_input" and last.attributes["activation"] == "identity"
                and last.operands["out"] == out):
            self.steps[-1] = Step(last.op, last.operands | {"saved": saved},
                                  last.attributes | self.activation_attributes(activation))
        else:
            self.add("activation_backward",
                     {"columns": columns} | self.activation_attributes(activation),
                     x=gradient, out=out, saved=saved)
        return out

    # -- whole calls -------------------------------------------------------------------------

    def forward(self):
        """The steps from the input to the logits; returns their flow and the way back.

        A row of weight 0 is taken as a row of zeros: a NaN in it would pass through the products
        with its gradient of zero.
        """
        self.add("gather_input", out=self.buffer("input", self.in_features),
                 sample_weight=self.sample_weight)
        return lower_layers(self, "", self.layers, Flow("input", self.in_features, False))

    def prediction(self) -> None:
        logits, _ = self.forward()
        if self.kind == "predict":
            self.output_activation(logits.name, logits.name)
        self.add("scatter_output", {"columns": self.out_features}, x=logits.name)
        if self.batch >= LEAST_ROWS:
            self._turn()

    def _turn(self) -> None:
        """Have the last products on turned rows where that pays; see `turning`."""
        lanes = ALIGNMENT // self.dtype.itemsize
        self.steps, columns = turn_narrow(self.steps, lanes)
        used = {name for step in self.steps for name in step.operands.values()}
        if columns:             # whole blocks of them are turned at a time
            for name in ("turned0", "turned1"):
                self.buffer(name, self.chunk, round_up(columns, lanes))
        self.sizes = {name: size for name, size in self.sizes.items() if name in used}

    def output_activation(self, x: str, out: str) -> None:
        """The activation that belongs to the loss; of some columns only, where it says so."""
        name = self.loss.output_activation
        if name in ("exp", "mean_and_variance"):
            kept = 0 if name == "exp" else self.loss.target_features(self.out_features)
            self.add("exponential", {"columns": self.out_features, "targets": kept}, x=x, out=out)
        elif name != "identity":
            self.activation_forward(Activation(name), self.out_features, x, out)

    def learning(self, target: str, weighted: bool, metric: bool) -> None:
        """Forward, loss and, unless this only evaluates, backward and update."""
        if weighted:
            self.sample_weight = self.vector("sample_weight", self.dtype.name)
            self.add("gather_weight", out=self.sample_weight)
        logits, backward = self.forward()
        outputs = self.out_features
        settings = self.loss.attributes(outputs)
        repeat = settings.pop("repeat", 1)
        operands = {"x": logits.name, "target": self.gather_target(target, repeat)}
        attributes = {"columns": outputs, "labels": target == "labels"}
        compiled = self.loss.kernel == "compiled_loss"      # it always writes a gradient
        gradient = self.buffer("gradient.logits", outputs) if self.training or compiled else None
        metric = metric and self.loss.metric is not None
        if metric:
            self.row_metric(attributes, settings.get("targets", outputs), **operands)
        self.add(self.loss.kernel, attributes | settings, out=gradient,
                 sample_weight=self.sample_weight, row_values=self.vector("row_loss", "float64"),
                 split="caller" if self.loss.kernel == "python_loss" else "rows", **operands)
        if self.training:
            backward(gradient)
        self.add("reduce", split="once", wait=True, x="row_loss", sample_weight=self.sample_weight,
                 row_values="row_metric" if metric else None)
        self.steps += self.updates
        if self.flat and self.kind == "train":
            add_update_steps(self, self.update, self.flat)
        elif self.kind == "train":
            arena = self.parameter_bytes * (1 + len(self.states))
            self.steps = update_in_bands(self.steps, self.batch, arena, self.dtype.itemsize)

    def row_metric(self, attributes, columns, x, target) -> None:
        """The loss's metric of every row; of rates it is that of the output as predicted."""
        if self.loss.output_activation == "exp":
            x, logits = self.buffer("output", self.out_features), x
            self.output_activation(logits, x)
        name = METRICS[self.loss.metric]
        if self.loss.output_activation == "softmax":
            name = "accuracy"
        self.add("row_metric", attributes | {"columns": columns, "metric": name}, x=x,
                 target=target, row_values=self.vector("row_metric", "float64"))

    def gather_target(self, target: str, repeat: int) -> str:
        if target == "labels":
            self.add("gather_labels", {"columns": self.out_features},
                     out=self.vector("labels", "int32"))
            return "labels"
        columns = repeat * self.loss.target_features(self.out_features)
        attributes = {"columns": columns, "repeat": repeat} if repeat > 1 else {}
        self.add("gather_target", attributes, out=self.buffer("target", columns))
        return "target"

    def finish(self) -> Plan:
        # The first step of a chunk overwrites what others may still read in the last chunk.
        if self.kind not in ("predict", "forward"):
            first = self.steps[0]
            self.steps[0] = Step(first.op, first.operands, first.attributes, first.split, True)
        buffers, size = self._place()
        return Plan(self.kind, self.dtype.name, self.batch, self.chunk, self.parameters,
                    self.parameter_bytes, self.states, self.keeps_gradients, self.whole_batch,
                    self._by_blocks(), buffers, size, tuple(self.steps), self.update, self.flat)

    def _by_blocks(self) -> bool:
        """Whether threads may take a row block each, and their gradients be added up afterwards.

        What the steps add up must be sums of whole row blocks, of which the next is added to the
        last, and all that follows them the optimizer's step.
        """
        return (self.kind == "train" and self.several and not self.flat
                and all(step.split in ("rows", "once")
                        or step.op == "dense_update"
                        or step.op == "column_update" and not step.attributes.get("shared")
                        for step in self.steps))

    def _place(self) -> tuple[tuple[Buffer, ...], int]:
        """All buffers with their places in the workspace, and its size."""
        offset = self.parameter_bytes if self.keeps_gradients else 0
        granule = ALIGNMENT // self.dtype.itemsize
        placed = []
        for name, (columns, dtype, rows) in self.sizes.items():
            leading = round_up(columns, granule)
            if leading > granule and leading * self.dtype.itemsize % 1024 == 0:
                leading += granule      # rows so far apart would fall into few cache sets
            columns, leading = columns or 1, leading or 1       # a vector's rows are not padded
            placed.append(Buffer(name, columns, leading, offset, dtype, rows))
            size = (rows or self.chunk) * leading * np.dtype(dtype).itemsize
            offset += round_up(size, ALIGNMENT)
        return tuple(placed), offset
