"""The steps from the logits to the loss and its gradient, and those of a user's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from cymlp.plan import Plan
from cymlp.reference import class_losses, losses, value_losses
from cymlp.reference.operands import operand

__all__ = ["LOSS_STEPS", "count", "loss_step"]

# Attributes of a loss's step that are not arguments of its function.
_OF_THE_PLAN = {"columns", "labels", "values", "targets"}


def _function(name: str) -> Any:
    for module in (losses, class_losses, value_losses):
        if name in module.__all__:
            return getattr(module, name)
    raise ValueError(f"plan: expected steps of the reference, got {name!r}, compiled code")


def loss_step(step, values, call):
    """Each row's loss, weighted and summed over its values; the gradient of the mean."""
    settings = {name: value for name, value in step.attributes.items()
                if name not in _OF_THE_PLAN}
    loss = _function(step.op)
    logits, target = operand(step, values, "x"), operand(step, values, "target")
    weight = operand(step, values, "sample_weight")
    if step.op == "softmax_cross_entropy":
        rows = losses.softmax_rows(logits, target, **settings)[0]
    else:
        rows = step.attributes["values"] * np.array(
            [loss(z[None], t[None], **settings)[0] for z, t in zip(logits, target, strict=True)])
    results = {step.operands["row_values"]: _counted(rows, weight)}
    if "out" in step.operands:
        results[step.operands["out"]] = loss(logits, target, weight, **settings)[1]
    return results


def _python_loss(step, values, call):
    """As `loss_step`, of a function that gives the plain mean's gradient."""
    function = step.attributes["function"]
    logits, target = operand(step, values, "x"), operand(step, values, "target")
    weight = operand(step, values, "sample_weight")
    found = [function(z[None], t[None]) for z, t in zip(logits, target, strict=True)]
    rows = np.array([np.ravel(loss)[0] for loss, _ in found])
    results = {step.operands["row_values"]: _counted(rows, weight)}
    if "out" in step.operands:
        share = np.ones(len(rows)) if weight is None else weight
        share = share / share.sum() if share.any() else share
        gradient = np.concatenate([gradient for _, gradient in found])
        results[step.operands["out"]] = _counted(gradient.T, share).T
    return results


def _counted(values, weight):
    """The values by the weights along the last axis; nothing of a weight of 0, whatever it is."""
    if weight is None:
        return values
    return np.multiply(values, weight, where=weight != 0, out=np.zeros(values.shape))


def count(plan: Plan, name: str, values, call) -> float:
    """What the sum over the rows is divided by to give the mean."""
    weight = values.get("sample_weight")
    if name == "metric":
        return float(len(call.X) if weight is None else max(np.count_nonzero(weight), 1))
    loss = next(step for step in plan.steps if "values" in step.attributes)
    weight = np.ones(len(call.X)) if weight is None else weight
    if "class_weight" in loss.attributes and loss.attributes["labels"]:
        weight = weight * np.asarray(loss.attributes["class_weight"])[operand(loss, values,
                                                                             "target")]
    return weight.sum() * loss.attributes["values"] or 1.0


def _gather_target(step, values, call):
    target = np.asarray(call.y, np.float64).reshape(len(call.X), -1)
    return {step.operands["out"]: np.repeat(target, step.attributes.get("repeat", 1), axis=1)}


def _exponential(step, values, call):
    """From column `targets` on."""
    x, kept = operand(step, values, "x"), step.attributes["targets"]
    return {step.operands["out"]: np.hstack([x[:, :kept], np.exp(x[:, kept:])])}


def _row_metric(step, values, call):
    name = {"accuracy": "correct_dense", "binary_accuracy": "correct_binary",
            "absolute_error": "absolute_error"}[step.attributes["metric"]]
    if step.attributes["labels"]:
        name = "correct_labels"
    x, target = operand(step, values, "x"), operand(step, values, "target")
    if name == "absolute_error":
        x = x[:, :step.attributes["columns"]]
    return {step.operands["row_values"]: getattr(losses, name)(x, target)}


def _python_forward(step, values, call):
    return {step.operands["out"]: step.attributes["function"](operand(step, values, "x"))}


def _python_backward(step, values, call):
    return {step.operands["out"]: step.attributes["function"](operand(step, values, "x"),
                                                              operand(step, values, "saved"))}


LOSS_STEPS = {"python_forward": _python_forward, "python_backward": _python_backward,
              "gather_target": _gather_target, "exponential": _exponential,
              "row_metric": _row_metric, "python_loss": _python_loss}
