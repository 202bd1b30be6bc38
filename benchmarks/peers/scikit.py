"""scikit-learn's MLPClassifier."""

from __future__ import annotations

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from ..cases import LEARNING_RATES, MOMENTUM
from . import Peer, Unsupported, choose, train_until_done

ACTIVATIONS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
OPTIMIZERS = {
    "sgd": {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False},
    "momentum": {"solver": "sgd", "momentum": MOMENTUM, "nesterovs_momentum": False},
    "adam": {"solver": "adam"},
}


def classifier(case, **settings):
    """A classifier that does the same arithmetic as everyone: no decay, no early end."""
    return MLPClassifier(
        case.widths[1:-1], activation=choose(ACTIVATIONS, case.activation), alpha=0.0,
        batch_size=case.batch, learning_rate_init=LEARNING_RATES[case.optimizer], tol=0.0,
        n_iter_no_change=10**9, **choose(OPTIMIZERS, case.optimizer), **settings)


def classes(case):
    """Every class that there can be."""
    return np.arange(max(case.widths[-1], 2))


class ScikitLearn(Peer):
    """scikit-learn."""

    def __init__(self, threads):
        # That a training ends after the epochs that were asked for is no matter of warning.
        warnings.simplefilter("ignore", ConvergenceWarning)

    def version(self):
        return sklearn.__version__

    def network(self, case, weights):
        """A classifier with these weights: one step makes its arrays, which are then filled."""
        if case.task == "regression" or case.widths[-1] == 2:
            raise Unsupported("a classifier of one or of more than two outputs only")
        network = classifier(case, shuffle=False)
        rows = np.zeros((case.batch, case.widths[0]), case.dtype)
        network.partial_fit(rows, np.zeros(case.batch, int), classes=classes(case))
        for layer, (weight, bias) in enumerate(weights):
            network.coefs_[layer][...] = weight
            network.intercepts_[layer][...] = bias
        del network._optimizer      # a new one, that has seen no step, comes by itself
        return network

    def predict(self, network, case, rows):
        if case.task == "binary":
            return lambda: network.predict_proba(rows)[:, 1:]
        return lambda: network.predict_proba(rows)

    def train(self, case, weights, batch):
        if case.optimizer == "adam" and case.dtype == "float64":
            raise Unsupported("its Adam adds epsilon at another place, which shows in float64")
        network = self.network(case, weights)
        targets = batch.targets.ravel().astype(int)

        def step():
            network.partial_fit(batch.rows, targets)
            return network.loss_

        def parameters():
            pairs = zip(network.coefs_, network.intercepts_, strict=True)
            return [array for pair in pairs for array in pair]

        return step, parameters

    def fit(self, case, weights, data):
        """Its own `fit`; where an accuracy is to be reached, `partial_fit` epoch by epoch."""
        def run():
            network = classifier(case, max_iter=case.epochs)

            def train_epoch():
                return network.partial_fit(*data.train, classes=classes(case)).loss_

            if case.accuracy is None:
                network.fit(*data.train)
                loss, epochs = network.loss_, network.n_iter_
            else:
                loss, epochs = train_until_done(case, train_epoch,
                                                lambda: network.score(*data.test))
            return {"loss": loss, "accuracy": network.score(*data.test), "epochs": epochs}

        return run
