"""A network's description: checks of the arguments that give it, and its summary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .checks import as_integer, as_text, choices, shown
from .layers import Dense
from .layers.shapes import as_layers as as_layer_sequence
from .layers.shapes import walk
from .losses import TASKS, CompiledLoss, as_loss

__all__ = ["FIXED", "as_dtype", "as_generator", "as_layers", "as_task_and_loss", "check_output",
           "summary_text"]

# Attributes of a network that its engine has been set up for, so that they stay as they are.
FIXED = {"in_features", "out_features", "layers", "task", "loss", "optimizer", "update", "dtype",
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


def as_layers(layers: Any, in_features: int) -> tuple:
    """A tuple of layers, at least one of them dense."""
    layers = as_layer_sequence("layers", layers)
    everywhere = [layer for _, layer, _ in walk(layers, in_features)]
    if not any(isinstance(layer, Dense) for layer in everywhere):
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
    if loss is None:
        return task, chosen
    if type(as_loss(loss)) is not type(chosen):
        raise ValueError(f"loss: expected {type(chosen).__name__} for task {task!r}, or only one "
                         f"of the two, got {shown(loss)}")
    return task, as_loss(loss)


def check_output(layers, task, loss, out_features, dtype) -> int:
    """Refuse what cannot be meant at the output; returns the columns of a dense target."""
    if task == "binary" and out_features != 1:
        raise ValueError(f"layers: expected a last Dense layer of 1 unit for task 'binary' (or "
                         f"task 'multilabel'), got {out_features} units")
    applied = [layer.output_activation for layer in layers]
    last = [name for name in applied if name is not None][-1]
    if last == loss.output_activation != "identity":
        raise ValueError(f"layers: expected logits from the last layer, as {loss.name} applies "
                         f"{last} itself, got activation {last!r} there too")
    if isinstance(loss, CompiledLoss) and loss.dtype != dtype:
        raise ValueError(f"loss: expected a compiled loss of dtype '{dtype}', as the network has, "
                         f"got one of '{loss.dtype}'")
    loss.attributes(out_features)
    return loss.target_features(out_features)


def summary_text(network: Any) -> str:
    """What :meth:`cymlp.Network.summary` prints."""
    total = 0
    lines = [f"{'layer':<34}{'output':>11}{'parameters':>12}",
             f"{'input':<34}{network.in_features:>11}"]
    for path, layer, width in walk(network.layers, network.in_features):
        count = sum(math.prod(p.shape) for p in layer.parameters(width) if p.trained)
        total += count
        depth = path.count(".") // 2
        name = f"{'  ' * depth}{path + ' ':<3}{layer.short_text()}"
        if len(name) > 33:
            name = f"{name[:30]}..."
        lines.append(f"{name:<34}{layer.out_features(width):>11}{count:>12,}")
    lines += [f"{network.loss.output_activation}, {network.loss.name}, {network.optimizer}",
              f"{total:,} parameters in {network.dtype}"]
    return "\n".join(lines)
