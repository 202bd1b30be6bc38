"""A network's description: checks of the arguments that give it, and its summary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .checks import as_integer, as_text, choices, shown
from .layers import Activation, Dense, Dropout
from .losses import TASKS, as_loss

__all__ = ["FIXED", "as_dtype", "as_generator", "as_layers", "as_task_and_loss", "check_output",
           "summary_text"]

# Attributes of a network that its engine has been set up for, so that they stay as they are.
FIXED = {"in_features", "out_features", "layers", "task", "loss", "optimizer", "dtype",
          "parameters"}


def as_generator(rng: Any) -> np.random.Generator:
    """A source of random numbers: a new one from a seed, or the one that was given."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None:
        rng = as_integer("rng", rng, least=0)
    return np.random.default_rng(rng)


def as_dtype(dtype: Any) -> np.dtype:
    """float32 or float64."""
    try:
        found = np.dtype(dtype)
    except Exception:  # NumPy asks the object itself, so anything may come out
        found = None
    if dtype is None or found not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {shown(dtype)}")
    return found


def as_layers(layers: Any) -> tuple:
    """A tuple of layers, at least one of them dense."""
    if isinstance(layers, (str, bytes, Dense, Dropout, Activation)) or not isinstance(
            layers, Iterable):
        raise TypeError(f"layers: expected a sequence of layers, got {shown(layers)}")
    layers = tuple(layers)
    for index, layer in enumerate(layers):
        if not isinstance(layer, (Dense, Dropout, Activation)):
            raise TypeError(f"layers[{index}]: expected Dense, Dropout or Activation, "
                            f"got {shown(layer)}")
    if not any(isinstance(layer, Dense) for layer in layers):
        raise ValueError("layers: expected at least one Dense layer, got none")
    return layers


def as_task_and_loss(task: Any, loss: Any) -> tuple:
    """The task (None where only a loss was given) and its loss."""
    if task is None:
        if loss is None:
            raise ValueError(f"task: expected {choices(TASKS)}, or a loss; got neither")
        return None, as_loss(loss)
    as_text("task", task, TASKS)
    chosen = TASKS[task][1]
    if loss is not None and as_loss(loss) != chosen:
        raise ValueError(f"loss: expected {chosen!r} for task {task!r}, or only one of the two, "
                         f"got {shown(loss)}")
    return task, chosen


def check_output(layers, task, loss, out_features) -> None:
    """Refuse what cannot be meant at the output."""
    if task == "binary" and out_features != 1:
        raise ValueError(f"layers: expected a last Dense layer of 1 unit for task 'binary' (or "
                         f"task 'multilabel'), got {out_features} units")
    last = [getattr(layer, "activation", layer) for layer in layers
            if not isinstance(layer, Dropout)][-1]
    if last.name == loss.output_activation != "identity":
        raise ValueError(f"layers: expected logits from the last layer, as {loss.name} applies "
                         f"{last.name} itself, got activation {last.name!r} there too")


def summary_text(network: Any) -> str:
    """What :meth:`cymlp.Network.summary` prints."""
    width, total = network.in_features, 0
    lines = [f"{'layer':<34}{'output':>11}{'parameters':>12}", f"{'input':<34}{width:>11}"]
    for index, layer in enumerate(network.layers):
        count, name = 0, repr(layer)
        if isinstance(layer, Dense):
            count = (width + layer.bias) * layer.units
            width, total = layer.units, total + count
            activation = layer.activation.name
            name = f"Dense({width}{'' if activation == 'identity' else ', ' + activation})"
        lines.append(f"{index:<3}{name:<31}{width:>11}{count:>12,}")
    lines += [f"{network.loss.output_activation}, {network.loss.name}, {network.optimizer}",
              f"{total:,} parameters in {network.dtype}"]
    return "\n".join(lines)
