"""What each layer becomes: the steps of its way forward, and a function that adds those back.

A lowering takes the builder, the layer's name, the layer and the flow that comes in. It adds the
steps forward and returns the flow that goes out with a function for the way back: that takes the
name of the buffer with the output's gradient, adds steps, and returns the name of the buffer with
the input's, or None where nothing before the layer learns. A new layer is one such function, here
or in one of the modules beside this one.

Whoever needs a buffer to stay as it is holds it, and releases it afterwards; elementwise layers
work in place on what nobody else holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..layers import Activation, AlphaDropout, CustomActivation, Dense, Dropout, activation_rows

__all__ = ["Backward", "Flow", "activation_row", "lower_layers", "lowers"]


class Flow(NamedTuple):
    """What goes from layer to layer; `learns`: whether a parameter lies before it."""

    name: str
    width: int
    learns: bool


Backward = Callable[[Any], Any]

_LOWERINGS: dict[type, Callable] = {}


def lowers(*kinds: type) -> Callable:
    """Registers a function as the lowering of some kinds of layers."""
    def register(lowering: Callable) -> Callable:
        _LOWERINGS.update(dict.fromkeys(kinds, lowering))
        return lowering

    return register


def lower_layers(b, path: str, layers, flow: Flow) -> tuple[Flow, Backward]:
    """Layers one after another; `path` is what comes before their numbers in a name."""
    tape = []
    for index, layer in enumerate(layers):
        flow, back = _LOWERINGS[type(layer)](b, f"{path}{index}", layer, flow)
        tape.append(back)

    def backward(gradient):
        for back in reversed(tape):
            if gradient is None:
                break
            gradient = back(gradient)
        return gradient

    return flow, backward


def activation_row(activation):
    """What the kernels' table says of an activation; of the user's own, what that says itself."""
    custom = isinstance(activation, CustomActivation)
    return activation.row if custom else activation_rows()[activation.name]


@lowers(Dense)
def _dense(b, path, layer, x):
    """The activation follows in the same step where that loses nothing."""
    row = activation_row(layer.activation)
    out = sums = b.output(path, layer.units)
    attributes = {"inputs": x.width, "outputs": layer.units}
    operands = {"x": x.name, "weight": f"{path}.weight", "bias": b.parameter(path, "bias")}
    plain = b.activation_attributes(Activation("identity"))
    if row["kind"] >= 0 and not (b.training and row["saves"] == "input"):
        fused = b.activation_attributes(layer.activation)
        b.add("dense_forward", attributes | fused, out=out, **operands)
    else:
        if b.training:
            sums = b.buffer(f"{path}.sums", layer.units)
        b.add("dense_forward", attributes | plain, out=sums, **operands)
        b.activation_forward(layer.activation, layer.units, sums, out)
    b.release(x.name)

    def backward(gradient):
        gradient = b.activation_backward(layer.activation, path, layer.units, gradient, sums, out)
        b.hold(gradient)        # for the update, at the end
        b.add_update("dense_update", attributes, saved=gradient, **operands)
        if not x.learns:
            return None
        below = b.buffer(f"gradient.{path}", x.width)
        b.add("dense_backward_input", attributes | plain, out=below, x=gradient,
              weight=f"{path}.weight")
        return below

    return Flow(out, layer.units, True), backward


@lowers(Activation, CustomActivation)
def _activation(b, path, layer, x):
    out = b.output_over(x, path)
    b.activation_forward(layer, x.width, x.name, out)
    b.release(x.name)

    def backward(gradient):
        if not x.learns:
            return None
        return b.activation_backward(layer, path, x.width, gradient, x.name, out)

    return Flow(out, x.width, x.learns), backward


@lowers(Dropout)
def _dropout(b, path, layer, x):
    """Only in training; the way back drops the same numbers again."""
    if not b.training:
        return x, lambda gradient: gradient
    attributes = {"columns": x.width, "rate": layer.rate, "layer": b.stream(path)}
    if layer.schedule is not None:
        attributes["schedule"] = layer.schedule
    out = b.output(path, x.width)
    b.add("dropout", attributes, x=x.name, out=out)

    def backward(gradient):
        if not x.learns:
            return None
        out = b.gradient_over(gradient, path, x.width)
        b.add("dropout", attributes, x=gradient, out=out)
        return out

    return Flow(out, x.width, x.learns), backward


SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772  # where SELU tends to below


@lowers(AlphaDropout)
def _alpha_dropout(b, path, layer, x):
    """y = factor (x where kept, else the floor) + offset, written with the plain dropout.

    With m = 1 / (1 - rate) where a value is kept and 0 elsewhere that is factor (1 - rate) times
    m (x - floor) + floor, as factor and offset are such that a mean of 0 stays.
    """
    if not b.training:
        return x, lambda gradient: gradient
    columns = {"columns": x.width}
    drop = columns | {"rate": layer.rate, "layer": b.stream(path)}
    factor = (1.0 - layer.rate) ** 0.5 / (1.0 + layer.rate * SELU_FLOOR**2) ** 0.5
    out = b.output(path, x.width)
    b.add("affine", columns | {"factor": 1.0, "offset": -SELU_FLOOR}, x=x.name, out=out)
    b.add("dropout", drop, x=out, out=out)
    b.add("affine", columns | {"factor": factor, "offset": factor * SELU_FLOOR}, x=out, out=out)

    def backward(gradient):
        if not x.learns:
            return None
        out = b.gradient_over(gradient, path, x.width)
        b.add("affine", columns | {"factor": factor, "offset": 0.0}, x=gradient, out=out)
        b.add("dropout", drop, x=out, out=out)
        return out

    return Flow(out, x.width, x.learns), backward
