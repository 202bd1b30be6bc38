"""Updates of large weights while they are near: where they are made, and that no bit shows it."""

import hashlib

import numpy as np
import pytest

import cymlp
from cymlp import Dense, reference
from cymlp.engine import threads
from cymlp.plan import bands

LARGE = [Dense(1024, "relu"), Dense(1433, "gelu"), Dense(3)]


def network(layers=LARGE, **settings):
    return cymlp.Network(layers, in_features=7, task="multiclass", rng=0, **settings)


def batch(rows, dtype="float32"):
    random = np.random.default_rng(rows)
    return random.standard_normal((rows, 7)).astype(dtype), random.integers(0, 3, rows)


def in_bands(net, rows=32, kind="train"):
    """The steps that are done in bands."""
    return [(step.op, step.operands["weight"]) for step in net.plan_for(kind, rows).steps
            if step.split == "bands"]


# ---- where it pays -----------------------------------------------------------------------------


def test_a_large_weight_with_few_rows():
    net = network()
    expected = [("dense_backward_input", "1.weight"), ("dense_update", "1.weight")]
    assert in_bands(net) == in_bands(net, 1) == expected
    assert in_bands(net, 33) == in_bands(net, kind="gradients") == []
    plan = net.plan_for("train", 32)
    updates = [step.operands["weight"] for step in plan.steps if step.op == "dense_update"]
    assert updates == ["1.weight", "2.weight", "0.weight"], "each of them once"


@pytest.mark.parametrize("settings", [
    {"optimizer": "sgd"},                                                   # a cache holds it
    {"layers": [Dense(400, "relu"), Dense(9000, "relu"), Dense(3)]},        # too few inputs
    {"layers": [Dense(12000, "relu"), Dense(30, "relu"), Dense(3)]},        # a small weight
    {"update": cymlp.Update(clip_norm=1.0)},                                # after all gradients
], ids=["cached", "low", "small", "clipped"])
def test_where_nothing_is_gained(settings):
    assert in_bands(network(**settings)) == []


def test_a_user_s_function_that_fails_finds_nothing_changed():
    def fail(gradient, x):
        raise RuntimeError("on purpose")

    net = network([Dense(7), cymlp.CustomActivation(np.sin, fail), *LARGE])
    assert in_bands(net) == []
    before = net._progress()[3]
    with pytest.raises(RuntimeError, match="on purpose"):
        net.train_step(*batch(32))
    assert net._progress()[3] == before


# ---- what it gives -----------------------------------------------------------------------------


def trained(rows, **settings):
    """What two steps give, parameters and states too, and the threads of the last."""
    net = network(**settings)
    losses = [net.train_step(*batch(rows, net.dtype)) for _ in range(2)]
    parameters = hashlib.sha256(net._progress()[3]).hexdigest()
    return (losses, parameters), net._engine.last_threads


@pytest.mark.parametrize("rows", [1, 5, 32])
@pytest.mark.parametrize("optimizer, dtype", [
    ("adam", "float32"), ("adam", "float64"), (cymlp.SGD(0.1, momentum=0.9), "float64")])
def test_the_bits_are_those_of_updates_at_the_end(rows, optimizer, dtype, forced, monkeypatch):
    settings = {"optimizer": optimizer, "dtype": dtype}
    assert in_bands(network(**settings))
    found = {}
    for count in (1, 2, 5):
        forced(count)
        found[count], used = trained(rows, **settings)
        assert used == (count if threads.openmp_enabled() else 1)
    monkeypatch.setattr(bands, "MOST_ROWS", 0)
    assert not in_bands(network(**settings))
    assert found == dict.fromkeys(found, trained(rows, **settings)[0])


def test_the_steps_are_the_reference_s():
    net = network(optimizer=cymlp.SGD(0.1, momentum=0.9), dtype="float64")
    parameters = {name: np.array(array) for name, array in net.parameters.items()}
    X, y = batch(11, "float64")
    run = reference.run_plan(net.plan_for("train", 11), parameters, X, y, optimizer=net.optimizer,
                             states={})
    assert net.train_step(X, y) == pytest.approx(run.loss, rel=1e-13)
    for name, array in parameters.items():
        np.testing.assert_allclose(net.parameters[name], array, rtol=1e-11, atol=1e-13)
