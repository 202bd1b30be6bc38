"""cymlp itself."""

from __future__ import annotations

import itertools

import numpy as np

import cymlp
from cymlp import ops

from ..cases import LEARNING_RATES, MOMENTUM
from . import Peer, choose

OPTIMIZERS = {
    "sgd": cymlp.SGD(LEARNING_RATES["sgd"]),
    "momentum": cymlp.SGD(LEARNING_RATES["momentum"], momentum=MOMENTUM),
    "adagrad": cymlp.Adagrad(LEARNING_RATES["adagrad"]),
    "rmsprop": cymlp.RMSprop(LEARNING_RATES["rmsprop"]),
    "adam": cymlp.Adam(LEARNING_RATES["adam"]),
}


class _Stop(cymlp.Callback):
    """Ends training at an accuracy on held-out rows."""

    def __init__(self, accuracy):
        self.accuracy = accuracy

    def on_epoch_end(self, network, epoch, logs):
        return logs["val_accuracy"] >= self.accuracy


class Ours(Peer):
    """cymlp."""

    def __init__(self, threads):
        cymlp.set_num_threads(threads)

    def version(self):
        return cymlp.__version__

    def network(self, case, weights, rng=0):
        network = cymlp.mlp(
            case.widths[0], case.widths[1:-1], case.widths[-1], activation=case.activation,
            task=case.task, optimizer=OPTIMIZERS[case.optimizer], dtype=case.dtype, rng=rng)
        for layer, (weight, bias) in enumerate(weights):
            network.parameters[f"{layer}.weight"] = weight
            network.parameters[f"{layer}.bias"] = bias
        return network

    def predict(self, network, case, rows):
        out = np.empty((rows.shape[0], case.widths[-1]), case.dtype)
        return lambda: network.predict(rows, out=out)

    def train(self, case, weights, batch):
        network = self.network(case, weights)
        return lambda: network.train_step(*batch), lambda: list(network.parameters.values())

    def fit(self, case, weights, data):
        seeds = itertools.count()       # another order of the rows in every run

        def run():
            network = self.network(case, weights, next(seeds))
            until = {}
            if case.accuracy is not None:
                until = {"validation_data": data.test, "callbacks": [_Stop(case.accuracy)]}
            history = network.fit(*data.train, epochs=case.epochs, batch_size=case.batch, **until)
            return {"loss": history["loss"][-1], "epochs": len(history["loss"]),
                    "accuracy": network.evaluate(*data.test)["accuracy"]}

        return run

    def kernel(self, kernel, values, other):
        out = np.empty_like(values)
        if kernel.kind == "activation":
            function = choose(vars(ops), kernel.name)
            return lambda: function(values, out=out), lambda: [out]
        if kernel.kind == "loss":
            function = choose(vars(ops), kernel.name)
            return (lambda: function(values, other, out=out),
                    lambda: [np.array(function(values, other, out=out)[0]), out])
        return self._update(kernel, values.copy(), other)

    @staticmethod
    def _update(kernel, parameter, gradient):
        spec = OPTIMIZERS[kernel.name]
        function = getattr(ops, f"{spec.kernel}_update")
        hyper = {"learning_rate": LEARNING_RATES[kernel.name]}
        if kernel.name == "momentum":
            hyper["momentum"] = MOMENTUM
        states = {name: np.zeros_like(parameter) for name in spec.states()}
        step = 0

        def run():
            nonlocal step
            step += 1
            function(parameter, gradient, **states, step=step, **hyper)

        return run, lambda: [parameter]
