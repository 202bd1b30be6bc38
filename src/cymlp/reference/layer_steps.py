"""The steps of layers that are not dense, by the reference's functions."""

from __future__ import annotations

import numpy as np

from cymlp.layers import activation_rows
from cymlp.reference import layers
from cymlp.reference.operands import activation_of, operand, slope_of

__all__ = ["LAYER_STEPS"]


def _pair(step, values):
    return operand(step, values, "weight"), operand(step, values, "bias")


def _add(step, values, call):
    return {step.operands["out"]: operand(step, values, "x") + operand(step, values, "saved")}


def _affine(step, values, call):
    return {step.operands["out"]: step.attributes["factor"] * operand(step, values, "x")
            + step.attributes["offset"]}


def _copy_columns(step, values, call):
    """Only some columns are written; what others have written stays."""
    begin, to, columns, width = (
        step.attributes[name] for name in ("begin", "to", "columns", "width"))
    x, before = operand(step, values, "x"), operand(step, values, "out")
    if before is None or before.shape[1] != width:     # a buffer that was another's before
        before = np.zeros((len(call.X), width))
    out = before.copy()
    out[:, to:to + columns] = 0.0 if x is None else x[:, begin:begin + columns]
    return {step.operands["out"]: out}


def _column_forward(step, values, call):
    return {step.operands["out"]: layers.column_forward(
        step.attributes["layer_kind"], operand(step, values, "x"),
        operand(step, values, "weight"))}


def _column_backward(step, values, call):
    return {step.operands["out"]: layers.column_backward(
        step.attributes["layer_kind"], operand(step, values, "x"),
        operand(step, values, "saved"), operand(step, values, "weight"))}


def _column_update(step, values, call):
    return {step.operands["weight"]: layers.column_sums(
        step.attributes["layer_kind"], operand(step, values, "x"),
        operand(step, values, "saved"), operand(step, values, "weight"))}


def _gate(step):
    """The gate's activation and its derivative, as functions of what comes in."""
    name, slope = step.attributes["activation"], slope_of(step)
    forward, backward = activation_of(name), activation_of(f"{name}_backward")

    def derivative(x):
        saved = x if activation_rows()[name]["saves"] == "input" else forward(x, *slope)
        return backward(np.ones_like(x), saved, *slope)

    return lambda x: forward(x, *slope), derivative


def _glu_forward(step, values, call):
    x, (activation, _) = operand(step, values, "x"), _gate(step)
    results = {step.operands["out"]: layers.glu(x, activation)}
    if "saved" in step.operands:
        results[step.operands["saved"]] = activation(x[:, x.shape[1] // 2:])
    return results


def _glu_backward(step, values, call):
    return {step.operands["out"]: layers.glu_backward(
        operand(step, values, "x"), operand(step, values, "saved"), *_gate(step))}


def _normalize_rows(step, values, call):
    normalized, factors = layers.normalize_rows(
        operand(step, values, "x"), step.attributes["epsilon"], step.attributes["centered"])
    results = {step.operands["out"]: layers.scale_and_shift(normalized, *_pair(step, values))}
    if "saved" in step.operands:
        results |= {step.operands["saved"]: normalized, step.operands["row_values"]: factors}
    return results


def _normalize_rows_backward(step, values, call):
    gradient = layers.scale_and_shift(operand(step, values, "x"), operand(step, values, "weight"))
    return {step.operands["out"]: layers.normalize_rows_backward(
        gradient, operand(step, values, "saved"), operand(step, values, "row_values"),
        step.attributes["centered"])}


def _counted(step, values):
    """The rows that count."""
    weight = operand(step, values, "sample_weight")
    rows = len(operand(step, values, "x"))
    return np.full(rows, True) if weight is None else weight != 0


def _batch_statistics(step, values, call):
    x = operand(step, values, "x")[_counted(step, values)]
    if len(x) == 0:
        x = np.zeros((1, x.shape[1]))
        count = 0
    else:
        count = len(x)
    variance = x.var(axis=0)
    return {step.operands["out"]: np.stack([
        x.mean(axis=0), 1.0 / np.sqrt(variance + step.attributes["epsilon"]),
        variance * count / max(count - 1, 1), np.full(x.shape[1], count)])}


def _batch_load(step, values, call):
    mean, variance = _pair(step, values)
    loaded = np.stack([mean, 1.0 / np.sqrt(variance + step.attributes["epsilon"]),
                       np.zeros_like(mean), np.zeros_like(mean)])
    return {step.operands["out"]: loaded}


def _batch_normalize(step, values, call):
    mean, factor = operand(step, values, "statistics")[:2]
    normalized = (operand(step, values, "x") - mean) * factor
    results = {step.operands["out"]: layers.scale_and_shift(normalized, *_pair(step, values))}
    if "saved" in step.operands:
        results[step.operands["saved"]] = normalized
    return results


def _batch_sums(step, values, call):
    counted = _counted(step, values)
    count = max(np.count_nonzero(counted), 1)
    gradient = operand(step, values, "x")[counted]
    normalized = operand(step, values, "saved")[counted]
    return {step.operands["out"]: np.stack([
        gradient.sum(axis=0) / count, (gradient * normalized).sum(axis=0) / count])}


def _batch_normalize_backward(step, values, call):
    gradient = layers.scale_and_shift(operand(step, values, "x"), operand(step, values, "weight"))
    return {step.operands["out"]: layers.normalize_batch_backward(
        gradient, operand(step, values, "saved"), operand(step, values, "statistics")[1],
        _counted(step, values))}


def _batch_running(step, values, call):
    mean, _, variance, count = operand(step, values, "statistics")
    share = step.attributes["momentum"] * (count > 0)
    old_mean, old_variance = _pair(step, values)
    return {step.operands["weight"]: old_mean + share * (mean - old_mean),
            step.operands["bias"]: old_variance + share * (variance - old_variance)}


def _embedding_forward(step, values, call):
    return {step.operands["out"]: layers.embedding(
        operand(step, values, "x"), operand(step, values, "weight"))}


def _embedding_update(step, values, call):
    return {step.operands["weight"]: layers.embedding_backward(
        operand(step, values, "saved"), operand(step, values, "x"),
        operand(step, values, "weight"))}


LAYER_STEPS = {
    "add": _add, "affine": _affine, "copy_columns": _copy_columns,
    "column_forward": _column_forward, "column_backward": _column_backward,
    "column_update": _column_update, "glu_forward": _glu_forward, "glu_backward": _glu_backward,
    "normalize_rows": _normalize_rows, "normalize_rows_backward": _normalize_rows_backward,
    "batch_statistics": _batch_statistics, "batch_load": _batch_load,
    "batch_normalize": _batch_normalize, "batch_sums": _batch_sums,
    "batch_normalize_backward": _batch_normalize_backward, "batch_running": _batch_running,
    "embedding_forward": _embedding_forward, "embedding_update": _embedding_update,
}
