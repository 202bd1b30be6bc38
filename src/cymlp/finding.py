"""Where the first number that is not finite arose: an epoch gone through once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .layers.shapes import walk
from .plan import separate_results

__all__ = ["find_bad"]


def find_bad(run: Any, before: Any, place: np.ndarray, order: np.ndarray) -> tuple:
    """The step of an epoch in which the first number that is not finite arose, and where in it.

    Parameters
    ----------
    run : cymlp.running.Run
        Whose rows the epoch went through.
    before : cymlp.Network
        A copy from before the epoch; it is left as it was before the step.
    place, order : numpy.ndarray
        Where in the epoch the copy stands, and the order of its rows; both are changed.

    Returns
    -------
    step : int or None
        Counted from 1; None where the number was there before, or did not come from a step.
    where : str
        In words.
    """
    name = _bad_parameter(before)
    if name is not None:
        return None, f"{_kind(before.parameters[name])} in {name} before the epoch"
    trial, begin, steps = before.copy(), place.copy(), 0
    while True:
        run.repeat(trial, place, order, 1)
        if not np.isfinite(place[6]) or _bad_parameter(trial) is not None:
            break
        if place[0] == 0:
            return None, "a number that is not finite, but not by the steps of the epoch"
        steps += 1
    if steps:
        run.repeat(before, begin, order, steps)
    rows, *batch = run.batch(order, int(begin[0]))
    found = _first_bad(before, rows, *batch)
    if found is None:
        name = _bad_parameter(trial)
        found = (f"{_kind(trial.parameters[name])} first in {name} after the update, "
                 "its gradient was finite" if name else "a loss that is not finite")
    return before._engine.step + 1, found


def _first_bad(network: Any, rows: np.ndarray, X: Any, y: Any, weight: Any) -> str | None:
    """Which result of a step is the first that is not finite, of all that the plan names."""
    plan = separate_results(network._gradient_plan(X, y, weight), len(rows))
    _, gradients, results = network._gradients(X, y, weight, plan)
    layers = {name: f"layer {name} ({type(layer).__name__})"
              for name, layer, _ in walk(network.layers, network.in_features)}
    for step in plan.steps:
        if step.op == "copy_columns":       # writes a part of a result; what it copies is seen
            continue
        names = [step.operands.get(role) for role in ("row_values", "out", "weight", "bias")]
        known = gradients if step.op.endswith("_update") else results
        for name in names:
            if name in known and not np.isfinite(known[name]).all():
                return f"{_kind(known[name])} first in " + _text(name, known, rows, layers)
    return None


def _text(name: str, known: Mapping[str, np.ndarray], rows: np.ndarray, layers: dict) -> str:
    """A result of a step in words."""
    if name in ("input", "target", "sample_weight"):
        row = rows[np.argwhere(~np.isfinite(known[name]))[0][0]]
        text = {"input": "the input X", "target": "the target y"}.get(name, "sample_weight")
        return f"{text}, row {row}"
    if name in ("row_loss", "gradient.logits"):
        return "the loss, the network's output was finite"
    path = name.removeprefix("gradient.").partition("#")[0]
    while path and path not in layers:
        path = path.rpartition(".")[0]
    layer = layers.get(path, name)
    if name.startswith("gradient."):
        return f"the gradient by the input of {layer}, all results forward were finite"
    if known[name].ndim == 2 and "output" in name or "sums" in name:
        return f"the output of {layer}, its input was finite"
    if "weight" in name or "bias" in name:
        return f"the gradient of {name}"
    return f"{name} of {layer}"


def _bad_parameter(network: Any) -> str | None:
    """The first array of the network that is not finite all over."""
    return next((name for name, array in network.parameters.items()
                 if not np.isfinite(array).all()), None)


def _kind(array: np.ndarray) -> str:
    return "NaN" if np.isnan(array).any() else "infinity"
