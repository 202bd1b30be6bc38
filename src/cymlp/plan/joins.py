"""Lowering of layers made of layers, and of those that pick columns of their input."""

from __future__ import annotations

from ..layers import Columns, Concat, Embedding, Residual
from .lowering import Flow, lower_layers, lowers


@lowers(Residual)
def _residual(b, path, layer, x):
    """The gradient goes both ways, and the two are added again."""
    attributes = {"columns": x.width}
    b.hold(x.name)
    inner, back = lower_layers(b, f"{path}.", layer.layers, x)
    out = b.output_over(inner, path)
    b.add("add", attributes, x=inner.name, saved=x.name, out=out)
    b.release(inner.name)
    b.release(x.name)

    def backward(gradient):
        b.hold(gradient)
        below = back(gradient)
        b.release(gradient)
        if below is None:
            return None
        out = b.gradient_over(below, path, x.width)
        b.add("add", attributes, x=below, saved=gradient, out=out)
        return out

    return Flow(out, x.width, x.learns or inner.learns), backward


def _copy(b, columns, begin, to, width, **operands) -> None:
    """Some columns of x (zeros where there is none) to some of out, which has `width`."""
    attributes = {"columns": columns, "begin": begin, "to": to, "width": width}
    b.add("copy_columns", attributes, **operands)


@lowers(Concat)
def _concat(b, path, layer, x):
    """Every branch's output is copied to its place; gradients are added in the branches' order."""
    width = layer.out_features(x.width)
    out, branches, place = b.output(path, width), [], 0
    for number, layers in enumerate(layer.branches):
        b.hold(x.name)
        flow, back = lower_layers(b, f"{path}.{number}.", layers, x)
        _copy(b, flow.width, 0, place, width, x=flow.name, out=out)
        b.release(flow.name)
        branches.append((f"{path}.{number}", flow, back, place))
        place += flow.width
    b.release(x.name)

    def backward(gradient):
        total = None
        for name, flow, back, place in branches:
            if not flow.learns:
                continue
            part = b.buffer(f"gradient.{name}", flow.width)
            _copy(b, flow.width, place, 0, flow.width, x=gradient, out=part)
            below = back(part)
            if total is not None and below is not None:
                out = b.gradient_over(total, f"{name}.sum", x.width)
                b.add("add", {"columns": x.width}, x=total, saved=below, out=out)
                below = out
            total = total if below is None else below
        return total

    return Flow(out, width, any(flow.learns for _, flow, _, _ in branches)), backward


def _runs(indices):
    """(first index, place, length) of every stretch of neighbours."""
    runs = []
    for place, index in enumerate(indices):
        if runs and runs[-1][0] + runs[-1][2] == index:
            first, begin, length = runs[-1]
            runs[-1] = (first, begin, length + 1)
        else:
            runs.append((index, place, 1))
    return runs


@lowers(Columns)
def _columns(b, path, layer, x):
    width, runs = len(layer.indices), _runs(layer.indices)
    out = b.output(path, width)
    for first, place, length in runs:
        _copy(b, length, first, place, width, x=x.name, out=out)
    b.release(x.name)

    def backward(gradient):
        if not x.learns:
            return None
        out = b.buffer(f"gradient.{path}", x.width)
        for first, _, length in _runs(sorted(set(range(x.width)) - set(layer.indices))):
            _copy(b, length, 0, first, x.width, out=out)    # zeros
        for first, place, length in runs:
            _copy(b, length, place, first, x.width, x=gradient, out=out)
        return out

    return Flow(out, width, x.learns), backward


@lowers(Embedding)
def _embedding(b, path, layer, x):
    """The gradient stays where it is until the update, which touches the rows in use only."""
    width = layer.out_features(x.width)
    attributes = {"inputs": layer.categories, "outputs": layer.units, "columns": x.width}
    operands = {"x": x.name, "weight": f"{path}.weight"}
    out = b.output(path, width)
    b.add("embedding_forward", attributes, out=out, **operands)
    b.release(x.name)

    def backward(gradient):
        b.hold(gradient)
        b.add_update("embedding_update", attributes, saved=gradient,
                     row_values=b.marks(f"{path}.used", layer.categories), **operands)

    return Flow(out, width, True), backward
