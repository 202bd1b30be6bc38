"""How training goes in each layer: gradients, updates, dead and saturated units, drift."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .layers.shapes import walk
from .plan import Plan, separate_results

__all__ = ["Diagnosis", "diagnose"]

# Activations that are bounded on both sides, with their bounds.
_BOUNDS = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0),
           "hard_tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0)}
_EDGE = 0.025       # share of the range, from each bound, that counts as saturated
_ZERO = ("relu", "relu6")   # they are zero on a whole side, with a gradient of zero
_FAINT = 1e-6       # of the largest root mean square gradient among the layers: it has vanished
_DEAD = 0.5         # share of a layer's units


class Diagnosis(Mapping[str, dict[str, float]]):
    """Numbers of each layer by its name (``"0"``, ``"2.0"`` within layer 2); prints as a table.

    A layer has those that mean something for it:

    - ``gradient_norm``, ``update_norm``, ``weight_norm``: Euclidean norms over its parameters,
      of the gradient, of the change by the next step, and of the values;
      ``gradient_rms`` is the gradient's root mean square;
    - ``update_ratio``: update_norm / weight_norm; around 1e-3 is usual;
    - ``mean``, ``deviation``: of its output, over rows and units;
    - ``mean_drift``, ``deviation_ratio``: against an earlier diagnosis, the mean's change in
      units of the earlier deviation, and the deviation as a multiple of the earlier one;
    - ``dead``: share of units of a ReLU that are zero for every row;
    - ``saturated``: share of the values of a bounded activation that lie within 2.5 % of its
      range from a bound.

    Attributes
    ----------
    loss : float
        The batch's mean loss.
    kinds : dict of str to str
        The layers' classes.

    Examples
    --------
    >>> Diagnosis(0.5, {"0": {"mean": 1.0, "dead": 0.25}}, {"0": "Dense"})
    layer      mean  dead
    0 Dense       1  0.25
    """

    def __init__(self, loss: float, values: dict[str, dict[str, float]],
                 kinds: dict[str, str]) -> None:
        self.loss, self._values, self.kinds = loss, values, kinds

    def __getitem__(self, name: str) -> dict[str, float]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        columns = list(dict.fromkeys(name for entry in self.values() for name in entry))
        table = [["layer", *columns]]
        table += [[f"{name} {self.kinds[name]}",
                   *(f"{entry[column]:.3g}" if column in entry else "" for column in columns)]
                  for name, entry in self.items()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join("  ".join([row[0].ljust(widths[0]),
                                    *(cell.rjust(width) for cell, width in
                                      zip(row[1:], widths[1:], strict=True))]).rstrip()
                         for row in table)

    def warnings(self) -> dict[str, str]:
        """What does not look well: a line for each kind of trouble, by its name.

        ``vanishing``: a layer's gradient_rms is below 1e-6 of the largest layer's; ``dead``: at
        least half of a layer's units.

        >>> Diagnosis(0.5, {"0": {"dead": 0.75}}, {"0": "Dense"}).warnings()["dead"]
        'dying ReLU: 75 % of the units of layer 0 (Dense) are zero for every row'
        """
        found = {}
        rms = {name: entry["gradient_rms"] for name, entry in self.items()
               if "gradient_rms" in entry}
        most = max(rms.values(), default=0.0)
        for name, value in rms.items():
            if value < _FAINT * most:
                found.setdefault("vanishing", f"vanishing gradient: that of layer {name} "
                                 f"({self.kinds[name]}) is {value:.2g}, the largest is {most:.2g}")
        for name, entry in self.items():
            if entry.get("dead", 0.0) >= _DEAD:
                found.setdefault("dead", f"dying ReLU: {100 * entry['dead']:.0f} % of the units "
                                 f"of layer {name} ({self.kinds[name]}) are zero for every row")
        return found


def diagnose(network: Any, X: Any, y: Any, sample_weight: Any = None,
             since: Diagnosis | None = None) -> Diagnosis:
    """What :meth:`cymlp.Network.diagnose` does.

    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
    >>> list(diagnose(net, [[1.0], [2.0]], [1.0, 2.0]))
    ['0']
    """
    X, y, sample_weight, _ = network._learning_arrays(X, y, sample_weight)
    plan = separate_results(network._gradient_plan(X, y, sample_weight), len(X))
    loss, gradients, results = network._gradients(X, y, sample_weight, plan)
    twin = network.copy()
    twin.train_step(X, y, sample_weight)
    activations = _activations(plan)
    values, kinds = {}, {}
    for name, layer, _ in walk(network.layers, network.in_features):
        entry = _of_parameters(network, twin, gradients, name)
        output = results.get(f"{name}.output")
        if output is not None:
            entry |= _of_output(output.astype(np.float64), activations.get(f"{name}.output"))
            if since is not None and "mean" in since.get(name, ()):
                entry |= _drift(entry, since[name])
        values[name], kinds[name] = entry, type(layer).__name__
    return Diagnosis(loss, values, kinds)


def _activations(plan: Plan) -> dict[str, str]:
    """The activation that an array of the way forward has last gone through."""
    return {step.operands["out"]: step.attributes["activation"] for step in plan.steps
            if step.op in ("dense_forward", "activation_forward")}


def _of_parameters(network: Any, twin: Any, gradients: Mapping[str, np.ndarray],
                   name: str) -> dict[str, float]:
    """Norms over the trained parameters of one layer."""
    names = [parameter.name for parameter in network._layout
             if parameter.trained and parameter.name.rpartition(".")[0] == name]
    if not names:
        return {}
    before = [np.asarray(network.parameters[key], np.float64).ravel() for key in names]
    after = [np.asarray(twin.parameters[key], np.float64).ravel() for key in names]
    gradient = np.concatenate([np.asarray(gradients[key], np.float64).ravel() for key in names])
    weight, update = np.concatenate(before), np.concatenate(after) - np.concatenate(before)
    norms = [float(np.linalg.norm(values)) for values in (gradient, update, weight)]
    return {"gradient_norm": norms[0], "gradient_rms": norms[0] / math.sqrt(gradient.size),
            "update_norm": norms[1], "weight_norm": norms[2],
            "update_ratio": norms[1] / norms[2] if norms[2] else math.inf if norms[1] else 0.0}


def _of_output(output: np.ndarray, activation: str | None) -> dict[str, float]:
    entry = {"mean": float(output.mean()), "deviation": float(output.std())}
    if activation in _ZERO:
        entry["dead"] = float((output == 0).all(axis=0).mean())
    if activation in _BOUNDS:
        low, high = _BOUNDS[activation]
        edge = _EDGE * (high - low)
        entry["saturated"] = float(((output < low + edge) | (output > high - edge)).mean())
    return entry


def _drift(entry: Mapping[str, float], earlier: Mapping[str, float]) -> dict[str, float]:
    deviation = earlier["deviation"]
    if not deviation:
        return {}
    return {"mean_drift": (entry["mean"] - earlier["mean"]) / deviation,
            "deviation_ratio": entry["deviation"] / deviation}
