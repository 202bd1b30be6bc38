"""Calls on plain arrays go a short way once their program is known: same results and refusals."""

import os
import sys

import numpy as np
import pytest

import cymlp
from cymlp.engine.threads import _allow_oversubscription, _self_test

RNG = np.random.default_rng(0)


def make(task="multiclass", outputs=3, dtype="float32"):
    return cymlp.mlp(5, [7], outputs, task=task, dtype=dtype, rng=0)


def known(net, rows, y=None):
    """The network, after calls that make the programs for so many rows known."""
    X = np.zeros((rows, 5), net.dtype)
    net.predict(X)
    net.forward(X)
    if y is not None:
        net.train_step(X, y)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64, np.int8, np.uint64, bool])
@pytest.mark.parametrize("rows", [1, 2, 31, 300])
def test_predictions_are_those_of_the_long_way(dtype, given, rows):
    X = RNG.integers(0, 2, (rows, 5)).astype(given)
    for name in ("predict", "forward"):
        expected = getattr(make(dtype=dtype), name)(X.tolist())
        run = getattr(known(make(dtype=dtype), rows), name)
        out = np.empty((rows, 3), dtype)
        assert run(X, out) is out and out.tobytes() == expected.tobytes()
        assert run(X).tobytes() == expected.tobytes()
        assert run(np.asfortranarray(X)).tobytes() == expected.tobytes()


def test_no_rows_give_no_predictions():
    assert known(make(), 1).predict(np.zeros((0, 5), np.float32)).shape == (0, 3)


def bad_outs():
    """Arrays that a prediction of four rows cannot go to, and the rows."""
    room = np.zeros(40, np.float32)
    X = room[:20].reshape(4, 5)
    yield X, np.empty((4, 3)), "dtype"
    yield X, np.empty((3, 4), np.float32), "shape"
    yield X, np.empty(12, np.float32), "shape"
    yield X, np.empty((4, 3), ">f4"), "byte order"
    yield X, room[19:31].reshape(4, 3), "overlaps X"
    frozen = np.empty((4, 3), np.float32)
    frozen.flags.writeable = False
    yield X, frozen, "writable"


@pytest.mark.parametrize("X, out, message", list(bad_outs()),
                         ids=["dtype", "shape", "dimension", "order", "overlap", "frozen"])
def test_what_the_long_way_refuses_is_refused(X, out, message):
    net = known(make(), 4)
    before = out.tobytes()
    with pytest.raises(ValueError, match=f"out: .*{message}"):
        net.predict(X, out)
    assert out.tobytes() == before


TARGETS = {
    "labels": ("multiclass", 3, RNG.integers(0, 3, 8)),
    "small labels": ("multiclass", 3, RNG.integers(0, 3, 8).astype(np.uint8)),
    "one-hot": ("multiclass", 3, np.eye(3)[RNG.integers(0, 3, 8)]),
    "label column": ("multiclass", 3, RNG.integers(0, 3, (8, 1))),
    "binary": ("binary", 1, RNG.integers(0, 2, 8)),
    "binary column": ("binary", 1, RNG.integers(0, 2, (8, 1)).astype(bool)),
    "multilabel": ("multilabel", 2, RNG.integers(0, 2, (8, 2))),
    "regression": ("regression", 2, RNG.standard_normal((8, 2))),
    "one output": ("regression", 1, RNG.standard_normal(8)),
}


@pytest.mark.parametrize("task, outputs, y", TARGETS.values(), ids=TARGETS)
def test_training_steps_are_those_of_the_long_way(task, outputs, y):
    X = RNG.standard_normal((8, 5)).astype(np.float32)
    long, short = make(task, outputs), make(task, outputs)
    expected = [long.train_step(X.tolist(), y.tolist()) for _ in range(4)]
    assert [short.train_step(X, y) for _ in range(4)] == expected
    for name in long.parameters:
        assert long.parameters[name].tobytes() == short.parameters[name].tobytes()


@pytest.mark.parametrize("X, y", [
    (np.zeros((4, 5), np.float32), np.array([0, 1, 2, 3])),
    (np.zeros((4, 5), np.float32), np.array([0, 1, 2])),
    (np.zeros((4, 5), np.float32), np.zeros((4, 2))),
    (np.zeros((0, 5), np.float32), np.zeros(0, int)),
    (np.zeros((4, 6), np.float32), np.zeros(4, int)),
    (np.zeros(5, np.float32), np.zeros(4, int)),
])
def test_bad_batches_are_refused_and_change_nothing(X, y):
    net = known(make(), 4, np.zeros(4, int))
    net.train_step(np.zeros((1, 5), np.float32), np.zeros(1, int))
    before = {name: array.tobytes() for name, array in net.parameters.items()}
    with pytest.raises(ValueError, match="^(X|y): "):
        net.train_step(X, y)
    assert {name: array.tobytes() for name, array in net.parameters.items()} == before


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the threads in /proc")
def test_the_teams_threads_may_use_all_processors_after_they_stepped_aside():
    before = cymlp.get_num_threads()
    _allow_oversubscription(True)
    try:
        cymlp.set_num_threads(2)
        for _ in range(200):
            assert _self_test(2, 3) == (2, 0)
        allowed = os.sched_getaffinity(0)
        assert all(os.sched_getaffinity(int(task)) == allowed
                   for task in os.listdir("/proc/self/task"))
    finally:
        _allow_oversubscription(False)
        cymlp.set_num_threads(before)


FIRST_LAYERS = {
    "dense": [], "dropout": [cymlp.Dropout(0.5)], "batch norm": [cymlp.BatchNorm()],
    "columns": [cymlp.Columns([4, 1])], "skip": [cymlp.Residual([cymlp.Dense(5)])],
    "branches": [cymlp.Concat([[cymlp.Dense(3)], [cymlp.LayerNorm()]])],
}


@pytest.mark.parametrize("first", FIRST_LAYERS)
@pytest.mark.parametrize("rows", [3, 40, 600])
def test_rows_are_read_where_they_lie_or_gathered(first, rows):
    """Contiguous rows of the network's type may not be copied; the bits are the same."""
    X = RNG.standard_normal((rows, 5)).astype(np.float32)
    y = RNG.integers(0, 3, rows)
    done = []
    for given in (X, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X.astype(">f4")):
        before = given.tobytes()
        net = cymlp.Network([*FIRST_LAYERS[first], cymlp.Dense(7, "relu"), cymlp.Dense(3)],
                            in_features=5, task="multiclass", rng=0)
        found = [net.train_step(given, y) for _ in range(2)]
        net.fit(given, y, epochs=2, batch_size=17, shuffle=False)
        found += [net.evaluate(given, y), net.predict(given).tobytes(),
                  *(array.tobytes() for array in net.gradients(given, y)[1].values())]
        assert given.tobytes() == before
        done.append(found)
    assert all(found == done[0] for found in done)


@pytest.mark.parametrize("name, targets", [
    ("predict", ()), ("forward", ()), ("train_step", (np.zeros(2, int),))])
def test_a_network_that_has_no_engine_yet_is_no_crash(name, targets):
    unborn = cymlp.Network.__new__(cymlp.Network)
    with pytest.raises(AttributeError):
        getattr(unborn, name)(np.zeros((2, 5), "float32"), *targets)
