"""The same bits: on any number of threads, on every level with FMA, for any cut of the rows.

As a program this file prints the hashes of all cases, so that another level can be compared.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import cymlp
from cymlp import Activation, AlphaDropout, Dense, Dropout, kernels, losses, metrics, reference
from cymlp.engine import threads
from cymlp.layers import BatchNorm, LayerNorm, PReLU, RMSNorm, Scale, SwiGLU, activation_rows
from cymlp.layers.combinators import Columns, Concat, Embedding, Residual

# v2 has no FMA; the sanitizers' builds and others may lack levels that this processor has.
FMA_LEVELS = [level for level in kernels.levels if level != "x86_64_v2"]


@dataclass(frozen=True)
class Case:
    """A network and how many rows it works on."""

    layers: list
    in_features: int
    rows: int
    batch_size: int
    task: str = "multiclass"
    optimizer: Any = "adam"
    dtype: str = "float32"
    weighted: bool = False
    codes: int = 0      # in the first column, where not 0
    scale: float = 1.0  # of the rows
    loss: Any = None

    def network(self):
        task = None if self.loss else self.task
        return cymlp.Network(self.layers, in_features=self.in_features, task=task, loss=self.loss,
                             optimizer=self.optimizer, dtype=self.dtype, rng=5)

    def data(self):
        rng = np.random.default_rng(6)
        X = self.scale * rng.normal(size=(self.rows, self.in_features))
        if self.codes:
            X[:, 0] = rng.integers(0, self.codes, self.rows)
        units = [layer for layer in self.layers if isinstance(layer, Dense)][-1].units
        if self.loss and not self.loss.takes_labels:
            low, high, _ = self.loss.limits
            y = rng.integers(max(low, -3), min(high, 3),
                             (self.rows, self.loss.target_features(units)), endpoint=True)
        elif self.task == "multiclass":
            y = rng.integers(0, units, self.rows)
        elif self.task == "regression":
            y = rng.normal(size=(self.rows, units))
        else:
            y = rng.integers(0, 2, (self.rows, units))
        weight = rng.integers(0, 3, self.rows) if self.weighted else None
        return X, y, weight


def odd(activation, out=7):
    """Widths that are no multiple of anything."""
    return [Dense(91, activation), Dense(53, activation), Dense(out)]


# Every loss with its own settings, and those that take another way.
LOSSES = [*(cls() for cls in losses.LOSSES), losses.BinaryCrossEntropy(2.5),
          losses.CategoricalCrossEntropy(0.1, range(12)),
          losses.QuantileLoss([0.1, 0.5, 0.9])]

DTYPES = ("float32", "float64")
CASES = {
    # Several threads by rows, and several chunks of 256 rows.
    **{f"odd-{name}": Case(odd(name), 37, 1000, 700, dtype=dtype)
       for name, dtype in zip(activation_rows(), itertools.cycle(DTYPES), strict=False)},
    "sgd": Case(odd("relu"), 37, 1000, 520, task="multilabel",
                optimizer=cymlp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)),
    "adagrad": Case(odd("tanh"), 37, 1000, 520, task="regression", weighted=True,
                    optimizer=cymlp.Adagrad(0.05, learning_rate_decay=0.1)),
    "rmsprop": Case(odd("sigmoid", 1), 37, 1000, 520, task="binary", dtype="float64",
                    optimizer=cymlp.RMSprop(0.01, centered=True, momentum=0.5)),
    "amsgrad": Case([Dropout(0.1), Dense(91, Activation("leaky_relu", slope=0.3), bias=False),
                     Dropout(0.5), Dense(53), Activation("tanh"), Dense(7)], 37, 1000, 520,
                    optimizer=cymlp.Adam(0.01, amsgrad=True, weight_decay=1e-2), weighted=True),
    **{f"loss-{loss!r}": Case(odd("tanh", 12), 37, 1000, 520, loss=loss, weighted=True,
                              dtype=dtype)
       for loss, dtype in zip(LOSSES, itertools.cycle(DTYPES), strict=False)},
    "schedule": Case(odd("tanh"), 37, 1000, 128, optimizer=cymlp.NAdam(
        0.01, schedule=cymlp.schedules.Warmup(cymlp.schedules.Cosine(steps=20), steps=5))),
    # Few rows: the threads share the panels of a product.
    "panels": Case([Dense(500, "relu"), Dropout(0.3), Dense(300, "tanh"), Dense(130, "softmax"),
                    Dense(10)], 300, 45, 45),
    "panels-float64": Case([Dense(500, "sigmoid"), Dense(300), Dense(10)], 300, 45, 45,
                           task="regression", dtype="float64"),
    # Wide layers: rows are copied together for the tiles, but not where a thread has few.
    "wide": Case([Dense(970, "relu"), Dense(3)], 530, 200, 100),
    "wide-float64": Case([Dense(490, "tanh"), Dense(1)], 100, 200, 100, task="regression",
                         dtype="float64"),
    # Large weights: what comes next is brought near, and the last block of one has few outputs.
    "far": Case([Dense(1500, "relu"), Dense(1027, "relu"), Dense(7)], 37, 90, 45),
    # Narrow layers: predictions are made on turned rows.
    "narrow": Case([Dense(20, "tanh"), Dense(5, "elu"), Dense(1)], 91, 1000, 520, task="binary"),
    "narrow-float64": Case([Dense(25, "gelu"), Dense(3)], 91, 1000, 520, dtype="float64"),
    "norms": Case([Dense(91), BatchNorm(), Activation("relu"), Dense(91), LayerNorm(),
                   Dense(53, "tanh"), RMSNorm(), Dense(7)], 37, 1000, 520, weighted=True),
    "columns": Case([Dense(90), SwiGLU(), Dense(91), PReLU(), PReLU(shared=True), Scale(0.5),
                     AlphaDropout(0.2), Dense(7)], 37, 1000, 520, dtype="float64"),
    "joins": Case([Dense(91, "relu"), Residual([Dense(53, "tanh"), Dense(91)]),
                   Concat([[Dense(37, "relu")], [], [Residual([Dense(91)]), Columns([5, 3, 4])]]),
                   Dense(7)], 37, 1000, 520),
    "embedding": Case([Concat([[Columns([0]), Embedding(50, 9)], [Columns(range(1, 37))]]),
                       Dense(91, "relu"), Dense(53, "relu"), Dense(7)], 37, 1000, 700, codes=50),
    # Few rows in layers that look down the columns.
    "norms-panels": Case([Dense(500), BatchNorm(), Dense(300, "tanh"), LayerNorm(), Dense(10)],
                         300, 45, 45),
    # Much is below the least normal number.
    "faint": Case([Activation("relu"), Dense(91, "gelu", bias=False),
                   Dense(53, "tanh", bias=False), Dense(7, bias=False)], 37, 1000, 520,
                  task="regression", scale=1e-37),
    "faint-float64": Case([Dense(91, "leaky_relu", bias=False), Dense(7, bias=False)], 37, 1000,
                          520, task="regression", optimizer=cymlp.SGD(0.1, momentum=0.9),
                          dtype="float64", scale=1e-307),
    "tiny": Case([Dense(5, "tanh"), Dense(2)], 3, 11, 4),
    "one-layer": Case([Dense(1)], 1, 9, 4, task="regression"),
}
LARGE = [name for name in CASES if name not in ("tiny", "one-layer")]


def digest(*values):
    """A hash of arrays, numbers and bytes, bit by bit."""
    found = hashlib.sha256()
    for value in values:
        found.update(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]


def outcome(name):
    """Hashes of everything that the network of a case can do, and how many threads did it."""
    case = CASES[name]
    net, (X, y, weight) = case.network(), case.data()
    found, used = {}, []

    def keep(key, *values):
        found[key] = digest(*values)
        used.append(net._engine.last_threads)

    keep("predict", net.predict(X))
    keep("forward", net.forward(X))
    fitting = [cls() for cls in metrics.METRICS if cls.needs in metrics._outputs_of(net.loss)]
    keep("evaluate", *net.evaluate(X, y, weight, metrics=fitting).values())
    loss, gradients = net.gradients(X, y, weight)
    keep("gradients", loss, *gradients.values())
    keep("steps", *[net.train_step(X, y, weight) for _ in range(2)])
    keep("after steps", net._progress()[3])
    history = net.fit(X, y, epochs=2, batch_size=case.batch_size, sample_weight=weight)
    keep("fit", *[history[key] for key in history if key != "time"])
    keep("after fit", net._progress()[3])
    return found, used


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_threads(name, forced):
    forced(1)
    expected, used = outcome(name)
    assert set(used) == {1}
    for count in (2, 3, 4):
        forced(count)
        found, used = outcome(name)
        assert found == expected, count
        if name in LARGE and threads.openmp_enabled():
            assert set(used) == {count}, "the case is too small to be a test"
        elif name not in LARGE:
            assert set(used) == {1}


def test_which_batches_threads_share_by_blocks():
    """The cases above have both kinds; the batch's sums come from pieces in either."""
    apart = {name for name, case in CASES.items()
             if case.network().plan_for("train", case.rows).by_blocks}
    assert {"odd-relu", "amsgrad", "schedule", "faint"} < apart
    assert apart.isdisjoint({"panels", "wide", "norms", "embedding", "columns", "tiny"})
    clipped = cymlp.Network(odd("relu"), in_features=37, task="multiclass", rng=0,
                            update=cymlp.Update(clip_norm=1.0))
    assert not clipped.plan_for("train", 1000).by_blocks


def hashes_of_level(level):
    """What this file prints when it runs on another level."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "CYMLP_ISA": level})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(len(FMA_LEVELS) < 2, reason="needs two levels with FMA")
def test_every_level_with_fma():
    first, *others = [hashes_of_level(level) for level in FMA_LEVELS]
    assert {first.pop("level"), *[other.pop("level") for other in others]} == set(FMA_LEVELS)
    for other in others:
        assert other == first


def test_hashes_see_a_single_bit():
    """The hashes themselves: another seed, and a change of one unit in the last place."""
    net = CASES["tiny"].network()
    before = digest(net._progress()[3])
    assert before == digest(CASES["tiny"].network()._progress()[3])
    bias = np.array(net.parameters["1.bias"])
    bias[1] = np.nextafter(bias[1], 1, dtype=bias.dtype)
    net.parameters["1.bias"] = bias
    assert digest(net._progress()[3]) != before


# ---- where a row stands -----------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["predict", "forward"])
def test_a_row_does_not_know_its_batch(name, method, forced):
    net, (X, _, _) = CASES[name].network(), CASES[name].data()
    call = getattr(net, method)
    forced(1)
    whole = call(X)
    assert len({row.tobytes() for row in whole}) > 1
    for count, size in [(1, 1), (1, 7), (3, 29), (4, 193), (2, 257)]:
        forced(count)
        pieces = [call(X[first:first + size]) for first in range(0, len(X), size)]
        assert np.concatenate(pieces).tobytes() == whole.tobytes(), (count, size)


@pytest.mark.parametrize("name", CASES)
def test_rows_permuted(name, forced):
    net, (X, _, _) = CASES[name].network(), CASES[name].data()
    order = np.random.default_rng(1).permutation(len(X))
    forced(1)
    expected = net.predict(X)[order]
    for count in (1, 2, 4):
        forced(count)
        assert net.predict(X[order]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_an_epoch_is_its_steps(name, count, forced):
    case = CASES[name]
    net, (X, y, weight) = case.network(), case.data()
    twin, size = net.copy(), case.batch_size
    key, _, first_epoch, _ = twin._progress()
    forced(count)
    history = net.fit(X, y, epochs=2, batch_size=size, sample_weight=weight)
    forced(1)
    counts = np.ones(len(X)) if weight is None else weight
    if getattr(net.loss, "class_weight", None):
        counts = counts * np.array(net.loss.class_weight)[y]
    for epoch in range(2):
        order = reference.permutation(len(X), key=key, epoch=first_epoch + epoch)
        losses, shares = [], []
        for begin in range(0, len(X), size):
            rows = order[begin:begin + size]
            w = None if weight is None else weight[rows]
            losses.append(twin.train_step(X[rows], y[rows], w))
            shares.append(counts[rows].sum())
        mean = np.average(losses, weights=shares)
        assert history["loss"][epoch] == pytest.approx(mean, rel=1e-12)
    assert digest(net._progress()[3]) == digest(twin._progress()[3])
    assert net._progress()[1] == twin._progress()[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["odd-relu", "amsgrad", "panels", "tiny"])
def test_a_forked_child(name, forced):
    forced(4)
    expected, _ = outcome(name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.write(writer, json.dumps(outcome(name)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        found, used = json.loads(stream.read())
    os.waitpid(child, 0)
    assert found == expected
    assert set(used) == {1}


if __name__ == "__main__":
    print(json.dumps({"level": kernels.level, **{name: outcome(name)[0] for name in CASES}}))
