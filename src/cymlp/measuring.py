"""Metrics beside the loss's own: prediction into one array, and the metric over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .checks import shown
from .metrics import CustomMetric, Metric

__all__ = ["measure", "measure_epoch"]


def measure(network: Any, metrics: Sequence[Metric], X: np.ndarray, y: np.ndarray,
            weight: np.ndarray | None, labels: bool) -> dict[str, float]:
    """Values of the metrics by name, from arrays that have been checked.

    Rows of weight 0 are left out; all others count alike.

    >>> import cymlp, numpy as np
    >>> from cymlp.metrics import R2
    >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
    >>> net.parameters["0.weight"] = [[1.0]]
    >>> measure(net, [R2()], np.array([[1.0], [2.0]]), np.array([1.0, 2.0]), None, False)
    {'r2': 1.0}
    """
    if not metrics:
        return {}
    from .ops import scores

    if labels:
        y = y.reshape(-1)
    counted = None if weight is None else (np.asarray(weight) != 0).astype(np.float64)
    output = network.predict(X)
    columns = 1 if y.ndim == 1 else y.shape[1]
    if not labels and columns < network.out_features:
        output = output[:, :columns]    # the others say how sure these are
    general = {"multilabel": network.loss.output_activation != "softmax"}
    decided = {"threshold": 0.5 if network.loss.output_activation == "sigmoid" else 0.0}
    found = {}
    for metric in metrics:
        if isinstance(metric, CustomMetric):
            found[metric.name] = _computed(metric, output, y, counted)
            continue
        settings = metric.settings()
        if metric.needs in ("classes", "probabilities"):
            settings |= general
        if metric.needs == "classes" and metric.function != "auroc":
            settings |= decided
        found[metric.name] = getattr(scores, metric.function)(output, y, counted, **settings)
    return found


def _computed(metric: CustomMetric, output: np.ndarray, target: np.ndarray,
              counted: np.ndarray | None) -> float:
    """What a function of the user says."""
    if counted is not None and not counted.all():
        output, target = output[counted != 0], target[counted != 0]
    value = metric.compute(output, target)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{metric.name}: expected a function that gives a number, "
                        f"got {shown(value)}") from None


def measure_epoch(network: Any, metrics: Sequence[Metric], arrays: tuple | None,
                  validation: tuple | None) -> dict[str, float]:
    """What is measured after an epoch: of the validation data loss and metrics, with ``val_``
    before their names; where there are none, the metrics of the training data.
    """
    if validation is None:
        return measure(network, metrics, *arrays) if metrics and arrays is not None else {}
    found = network.evaluate(*validation, metrics=metrics)
    return {f"val_{name}": value for name, value in found.items()}
