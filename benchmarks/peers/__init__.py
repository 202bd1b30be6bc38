"""The engines that are compared, each behind the same few methods.

A peer is imported only in a process of its own (:mod:`benchmarks.worker`), after the number of
threads has been set.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ..cases import Batch, Case, Data, Kernel, Training, Weights

OURS = "cymlp"
PEERS = {
    OURS: "benchmarks.peers.ours:Ours",
    "torch": "benchmarks.peers.pytorch:Eager",
    "torch.compile": "benchmarks.peers.compiled:Compiled",
    "sklearn": "benchmarks.peers.scikit:ScikitLearn",
    "onnxruntime": "benchmarks.peers.onnx_runtime:Plain",
    "onnxruntime-bound": "benchmarks.peers.onnx_runtime:Bound",
    "jax": "benchmarks.peers.jax_jit:Jax",
    "numpy": "benchmarks.peers.plain_numpy:PlainNumpy",
}


class Unsupported(Exception):
    """The peer, or what is installed of it, has no such function."""


class Peer:
    """An engine. A method that is not overridden is something that the engine cannot do."""

    def __init__(self, threads: int) -> None:
        """Set the number of threads as far as the environment does not say it."""

    def version(self) -> str:
        """The engine's version."""
        raise NotImplementedError

    def network(self, case: Case, weights: Weights) -> Any:
        """A network for prediction, in whatever form the engine has it."""
        raise Unsupported("no networks")

    def predict(self, network: Any, case: Case, rows: np.ndarray) -> Callable[[], Any]:
        """A call that predicts the rows and returns the finished result."""
        raise Unsupported("no prediction")

    def train(self, case: Case, weights: Weights, batch: Batch
              ) -> tuple[Callable[[], float], Callable[[], list[np.ndarray]]]:
        """A call that does one training step and returns the loss before it, and one that
        returns the parameters (weight, bias, weight, ...)."""
        raise Unsupported("no training")

    def fit(self, case: Training, weights: Weights, data: Data) -> Callable[[], dict]:
        """A call that trains a new network and returns `loss`, `accuracy` and `epochs`."""
        raise Unsupported("no training")

    def kernel(self, kernel: Kernel, values: np.ndarray, other: np.ndarray
               ) -> tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]:
        """A call that runs a kernel, and one that returns what it has computed."""
        raise Unsupported("no kernels on arrays")


class EpochPeer(Peer):
    """An engine whose user writes the loop over epochs; it gives one epoch and an evaluation."""

    def learner(self, case: Training, weights: Weights, data: Data
                ) -> Callable[[], tuple[Callable[[], Any], Callable[[], float]]]:
        """A call that makes a new network and returns two more: one that trains an epoch and
        returns its mean loss, and one that returns the accuracy on the test rows."""
        raise NotImplementedError

    def fit(self, case, weights, data):
        start = self.learner(case, weights, data)

        def run():
            train_epoch, accuracy = start()
            loss, epochs = train_until_done(case, train_epoch, accuracy)
            return {"loss": float(loss), "accuracy": float(accuracy()), "epochs": epochs}

        return run


def train_until_done(case: Training, train_epoch: Callable[[], Any],
                     accuracy: Callable[[], float]) -> tuple[Any, int]:
    """(loss of the last epoch, number of epochs): until the accuracy, if any, or the last."""
    epochs, done = 0, False
    while not done:
        loss, epochs = train_epoch(), epochs + 1
        done = epochs == case.epochs or (
            case.accuracy is not None and accuracy() >= case.accuracy)
    return loss, epochs


def peer_class(name: str) -> type[Peer]:
    """The class of a peer: of `PEERS`, or given as ``module:Class``."""
    module, _, attribute = PEERS.get(name, name).partition(":")
    return getattr(import_module(module), attribute)


def choose(table: dict[str, Any], name: str) -> Any:
    """What a peer's table has under a name; Unsupported where it has nothing."""
    if name not in table:
        raise Unsupported(f"no {name}")
    return table[name]
