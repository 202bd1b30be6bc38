"""Lowering of normalisations, and of layers that hold a number for each column."""

from __future__ import annotations

from ..layers import GLU, BatchNorm, LayerNorm, PReLU, RMSNorm, Scale
from .lowering import Flow, lowers


def _update_columns(b, attributes, gradient, saved, parameter) -> None:
    """The update of a parameter with a number for each column, if there is one."""
    if parameter is not None:
        b.hold(gradient)
        b.add_update("column_update", attributes, x=gradient, saved=saved, weight=parameter)


def _column_layer(kind):
    def lower(b, path, layer, x):
        attributes = {"columns": x.width, "layer_kind": kind}
        if getattr(layer, "shared", False):
            attributes["shared"] = True
        weight = f"{path}.weight"
        out = b.output_over(x, path)
        b.add("column_forward", attributes, x=x.name, weight=weight, out=out)
        b.release(x.name)

        def backward(gradient):
            _update_columns(b, attributes, gradient, x.name, weight)
            if not x.learns:
                return None
            out = b.gradient_over(gradient, path, x.width)
            b.add("column_backward", attributes, x=gradient, saved=x.name, weight=weight, out=out)
            return out

        return Flow(out, x.width, True), backward

    return lower


lowers(Scale)(_column_layer("scale"))
lowers(PReLU)(_column_layer("prelu"))


@lowers(GLU)
def _glu(b, path, layer, x):
    width = x.width // 2
    attributes = {"columns": width} | b.activation_attributes(layer.activation)
    gate = b.buffer(f"{path}.gate", width) if b.training else None
    out = b.output(path, width)
    b.add("glu_forward", attributes, x=x.name, saved=gate, out=out)
    b.release(x.name)

    def backward(gradient):
        if not x.learns:
            return None
        out = b.buffer(f"gradient.{path}", x.width)
        b.add("glu_backward", attributes, x=gradient, saved=x.name, gate=gate, out=out)
        return out

    return Flow(out, width, x.learns), backward


def _scale_and_shift(b, path) -> dict:
    return {"weight": b.parameter(path, "weight"), "bias": b.parameter(path, "bias")}


def _update_scale_and_shift(b, path, gradient, normalized, columns) -> None:
    parameters = _scale_and_shift(b, path)
    for kind, saved, part in [("scale", normalized, "weight"), ("shift", gradient, "bias")]:
        _update_columns(b, {"columns": columns, "layer_kind": kind}, gradient, saved,
                        parameters[part])


@lowers(LayerNorm, RMSNorm)
def _row_norm(b, path, layer, x):
    attributes = {"columns": x.width, "centered": isinstance(layer, LayerNorm)}
    parameters = _scale_and_shift(b, path)
    kept = {}
    if b.training:
        kept = {"saved": b.buffer(f"{path}.normalized", x.width),
                "row_values": b.vector(f"{path}.factors", "float64")}
    out = b.output_over(x, path)
    b.add("normalize_rows", attributes | {"epsilon": layer.epsilon}, x=x.name, out=out, **kept,
          **parameters)
    b.release(x.name)

    def backward(gradient):
        _update_scale_and_shift(b, path, gradient, kept["saved"], x.width)
        if not x.learns:
            return None
        out = b.gradient_over(gradient, path, x.width)
        b.add("normalize_rows_backward", attributes, x=gradient, out=out,
              weight=parameters["weight"], **kept)
        return out

    return Flow(out, x.width, x.learns or any(parameters.values())), backward


@lowers(BatchNorm)
def _batch_norm(b, path, layer, x):
    """Statistics are taken down the columns of a whole batch, or loaded from the running ones."""
    columns, parameters = {"columns": x.width}, _scale_and_shift(b, path)
    running = {"weight": f"{path}.running_mean", "bias": f"{path}.running_var"}
    statistics = b.buffer(f"{path}.statistics", x.width, rows=4)
    of_batch = columns | {"epsilon": layer.epsilon}
    normalized = None
    if b.training:
        normalized = b.buffer(f"{path}.normalized", x.width)
        b.add("batch_statistics", of_batch, split="columns", wait=True, x=x.name,
              sample_weight=b.sample_weight, out=statistics)
    else:
        b.add("batch_load", of_batch, split="columns", wait=True, out=statistics, **running)
    out = b.output_over(x, path)
    b.add("batch_normalize", columns, wait=True, x=x.name, statistics=statistics,
          saved=normalized, out=out, **parameters)
    b.release(x.name)

    def backward(gradient):
        _update_scale_and_shift(b, path, gradient, normalized, x.width)
        if b.kind == "train":
            b.add_update("batch_running", columns | {"momentum": layer.momentum}, split="columns",
                         statistics=statistics, **running)
        if not x.learns:
            return None
        means = b.buffer(f"gradient.{path}.means", x.width, rows=2)
        b.add("batch_sums", columns, split="columns", wait=True, x=gradient, saved=normalized,
              sample_weight=b.sample_weight, out=means)
        out = b.gradient_over(gradient, path, x.width)
        b.add("batch_normalize_backward", columns, wait=True, x=gradient, saved=normalized,
              statistics=statistics, means=means, weight=parameters["weight"],
              sample_weight=b.sample_weight, out=out)
        return out

    return Flow(out, x.width, x.learns or any(parameters.values())), backward
