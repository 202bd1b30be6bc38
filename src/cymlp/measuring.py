"""Evaluation: the loss and its own metric by the engine, other metrics over all predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .blocks import check_weights_of_blocks, checked_blocks
from .checks import shown
from .metrics import CustomMetric, Metric, as_metrics

__all__ = ["evaluate", "measure", "measure_epoch"]


def evaluate(network: Any, X: Any, y: Any, sample_weight: Any, class_weight: Any,
             metrics: Any) -> dict[str, float]:
    """What :meth:`cymlp.Network.evaluate` does."""
    metrics = as_metrics(metrics, network.loss)
    if y is not None or isinstance(X, np.ndarray):
        parts = [network._learning_arrays(X, y, sample_weight, class_weight)]
    else:
        check_weights_of_blocks(sample_weight, class_weight)
        parts = checked_blocks(network, X, class_weight)
    sums, outcomes = np.zeros(4), []
    for X, y, weight, labels in parts:
        program = network._program("evaluate", len(X), labels, weight is not None, True)
        sums += network._engine.evaluate(program, X, y, weight, labels)
        if metrics:
            outcome = _outcome(network, X, y, weight, labels)
            # A copy of the targets, as a block may be reused.
            outcomes.append((outcome[0], np.array(outcome[1]), outcome[2]))
    loss, weights, metric, counted = sums.tolist()
    found = {"loss": loss / weights if weights else 0.0}
    if network.loss.metric:
        found[network.loss.metric] = metric / counted if counted else 0.0
    return found | _measured(network, metrics, outcomes)


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
    return _measured(network, metrics,
                     [_outcome(network, X, y, weight, labels)] if metrics else [])


def _outcome(network: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None,
             labels: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(outputs, targets, 1 for each row that counts), arrays of their own but for the targets."""
    if labels:
        y = y.reshape(-1)
    counted = None if weight is None else (np.asarray(weight) != 0).astype(np.float64)
    output = network.predict(X)
    columns = 1 if y.ndim == 1 else y.shape[1]
    if not labels and columns < network.out_features:
        output = output[:, :columns]    # the others say how sure these are
    return output, y, counted


def _measured(network: Any, metrics: Sequence[Metric], outcomes: list) -> dict[str, float]:
    """The metrics over some outcomes, one after the other."""
    if not metrics:
        return {}
    from .ops import scores

    output, y, counted = outcomes[0] if len(outcomes) == 1 else _joined(outcomes)
    general = {"multilabel": network.loss.output_activation != "softmax"}
    decided = {"threshold": 0.5 if network.loss.output_activation == "sigmoid" else 0.0}
    found = {}
    for metric in metrics:
        if isinstance(metric, CustomMetric):
            found[metric.label] = _computed(metric, output, y, counted)
            continue
        settings = metric.settings()
        if metric.needs in ("classes", "probabilities"):
            settings |= general
        if metric.needs == "classes" and metric.function != "auroc":
            settings |= decided
        found[metric.label] = getattr(scores, metric.function)(output, y, counted, **settings)
    return found


def _joined(outcomes: list) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    outputs, targets, counts = zip(*outcomes, strict=True)
    if len({target.shape[1:] for target in targets}) > 1:
        raise ValueError("y: expected targets of one kind in all blocks")
    counted = None
    if any(count is not None for count in counts):
        counted = np.concatenate([np.ones(len(output)) if count is None else count
                                  for output, count in zip(outputs, counts, strict=True)])
    return np.concatenate(outputs), np.concatenate(targets), counted


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
