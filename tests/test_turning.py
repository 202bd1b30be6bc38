"""Predictions on turned rows: where they are made, and that no bit shows it.

Batches of up to 32 rows are never turned, so the same rows in pieces of 20 say what is expected.
"""

import numpy as np
import pytest

import cymlp
from cymlp import Activation, Dense, Residual, Scale, reference
from cymlp.engine import threads
from cymlp.layers import activation_rows

TASKS = ["binary", "multiclass", "multilabel", "regression"]
POINTWISE = [name for name, row in activation_rows().items() if row["kind"] >= 0]


def ops_of(net, rows=1000, kind="predict"):
    return [step.op for step in net.plan_for(kind, rows).steps]


def in_pieces(call, X):
    return np.concatenate([call(X[first:first + 20]) for first in range(0, len(X), 20)])


def rows_of(net, count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, net.in_features)).astype(net.dtype)


def network(layers, in_features, task="regression", dtype="float32"):
    return cymlp.Network(layers, in_features=in_features, task=task, dtype=dtype, rng=3)


# ---- where it pays -----------------------------------------------------------------------------


def test_all_layers_of_a_narrow_network():
    net = network([Dense(7, "tanh"), Dense(1)], 13, "binary")
    assert ops_of(net) == ["gather_input", "turn", "dense_turned", "dense_turned", "turn_back"]
    last = net.plan_for("predict", 1000).steps[-2]
    assert last.attributes["activation"] == "sigmoid"
    assert net.plan_for("forward", 1000).steps[-2].attributes["activation"] == "identity"
    assert net.plan_for("predict", 1000).multiply_adds == 13 * 7 + 7


def test_the_last_layer_of_a_wide_network():
    net = network([Dense(64, "relu"), Dense(64, "relu"), Dense(1)], 200, "binary")
    assert ops_of(net) == ["gather_input", "dense_forward", "dense_forward", "turn",
                           "dense_turned", "turn_back"]


def test_softmax_is_on_rows():
    net = network([Dense(10, "tanh"), Dense(3)], 4, "multiclass")
    assert ops_of(net)[-4:] == ["dense_turned", "turn_back", "softmax_forward", "scatter_output"]
    assert ops_of(net, kind="forward")[-2:] == ["dense_turned", "turn_back"]


def test_where_nothing_is_gained():
    wide = cymlp.mlp(64, [128, 64], 16, task="multiclass", rng=0)
    long = network([Dense(1)], 600, "binary")       # the chain of an output would be cut
    large = network([Dense(512, "relu"), Dense(1)], 512, "binary")
    for net in (wide, long, large):
        assert "turn" not in ops_of(net)
    narrow = network([Dense(7, "tanh"), Dense(1)], 13, "binary")
    assert "turn" not in ops_of(narrow, 32) and "turn" in ops_of(narrow, 33)
    for kind in ("train", "gradients", "evaluate"):
        assert "turn" not in ops_of(narrow, kind=kind)


def test_what_a_skip_needs_is_not_turned():
    inner = network([Dense(7, "tanh"), Residual([Dense(7, "tanh")]), Dense(1)], 13)
    assert ops_of(inner)[-4:] == ["add", "turn", "dense_turned", "turn_back"]
    outer = network([Dense(7, "tanh"), Residual([Dense(5, "tanh"), Dense(7, "tanh")])], 13)
    assert ops_of(outer) == ["gather_input", "dense_forward", "turn", "dense_turned",
                             "dense_turned", "turn_back", "add", "scatter_output"]


# ---- the same bits -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", POINTWISE)
def test_every_activation(name, dtype):
    net = network([Dense(3, name), Dense(3, name), Dense(1)], 5, "binary", dtype)
    assert ops_of(net)[-3:] == ["dense_turned", "dense_turned", "turn_back"]
    X = rows_of(net, 400)
    assert net.predict(X).tobytes() == in_pieces(net.predict, X).tobytes()
    hidden = X.astype(np.float64)
    for index, function in enumerate([name, name, "sigmoid"]):
        weight, bias = (net.parameters[f"{index}.{part}"] for part in ("weight", "bias"))
        hidden = getattr(reference, function)(reference.dense_forward(hidden, weight, bias))
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(net.predict(X), hidden, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_and_rows(seed):
    rng = np.random.default_rng(seed)
    task = TASKS[seed % 4]
    widths = rng.integers(1, 41, rng.integers(1, 4)).tolist()
    outputs = 1 if task == "binary" else int(rng.integers(2 - (task == "regression"), 10))
    name = rng.choice(["relu", "tanh", "leaky_relu", "identity"])
    layers = [Dense(width, str(name), bias=bool(rng.integers(2))) for width in widths]
    dtype = ["float32", "float64"][seed // 4 % 2]
    net = network([*layers, Dense(outputs, bias=bool(rng.integers(2)))],
                  int(rng.integers(1, 41)), task, dtype)
    X = rows_of(net, int(rng.choice([33, 47, 64, 65, 127, 191, 192, 193, 400, 1000])), seed)
    for call in (net.predict, net.forward):
        assert call(X).tobytes() == in_pieces(call, X).tobytes()


def narrow(dtype="float32"):
    net = network([Dense(7, "tanh"), Dense(2)], 13, dtype=dtype)
    assert "turn" in ops_of(net)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_any_kind(dtype):
    net = narrow(dtype)
    X = np.round(16 * rows_of(net, 333))
    expected = in_pieces(net.predict, X).tobytes()
    wide = np.zeros((333, 40), dtype)
    wide[:, 2:28:2] = X
    for rows in (X, np.asfortranarray(X), wide[:, 2:28:2], X.astype("f2"), X.astype("i1"),
                 X.astype(">f8"), X[::-1].copy()[::-1]):
        assert net.predict(rows).tobytes() == expected


def test_an_out_of_any_strides():
    net = narrow()
    X = rows_of(net, 333)
    expected = in_pieces(net.predict, X)
    around = np.full((700, 9), 7, np.float32)
    for out in (around[:333, :2], around[:666:2, 8:2:-4], around[:333, 5:7].T.copy().T):
        assert net.predict(X, out=out) is out
        np.testing.assert_array_equal(out, expected)
    around[:333, :2] = around[:666:2, 4] = around[:666:2, 8] = 7
    assert (around == 7).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 1e-42, 3e38])
def test_edge_values(value):
    """A row with any value in it leaves its neighbours alone."""
    net = narrow()
    X = rows_of(net, 100)
    plain = net.predict(X)
    X[::3, 4] = value
    with np.errstate(invalid="ignore"):
        found = net.predict(X)
        expected = in_pieces(net.predict, X)
    np.testing.assert_array_equal(found, expected)
    assert (found[1::3] == plain[1::3]).all() and (found[2::3] == plain[2::3]).all()
    assert np.isnan(found[::3]).all() == np.isnan(value)


def test_layers_around_them():
    layers = [Dense(30, "relu"), Scale(), Dense(5), Activation("tanh"),
              Residual([Dense(3, "tanh"), Dense(5)]), Dense(9, "tanh"), Dense(1)]
    net = network(layers, 20, "binary")
    assert ops_of(net)[-4:] == ["turn", "dense_turned", "dense_turned", "turn_back"]
    X = rows_of(net, 500)
    assert net.predict(X).tobytes() == in_pieces(net.predict, X).tobytes()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_threads(count, forced):
    forced(1)
    narrow_one = network([Dense(7, "tanh"), Dense(1)], 13)
    wide_one = network([Dense(64, "relu"), Dense(64, "relu"), Dense(1)], 200, "binary")
    for net, most in [(narrow_one, 50_000), (wide_one, 500)]:
        assert "turn" in ops_of(net, 33)
        X = rows_of(net, most)
        expected = in_pieces(net.predict, X)
        forced(count)
        for rows in (most, 300, 192, 64, 47, 40, 33):   # for seven threads 40 are few
            assert net.predict(X[:rows]).tobytes() == expected[:rows].tobytes()
        assert net.predict(X).tobytes() == expected.tobytes()
        assert net._engine.last_threads == (count if threads.openmp_enabled() else 1)
        forced(1)


@pytest.mark.parametrize("task", TASKS)
def test_the_reference_runs_the_same_plan(task):
    net = network([Dense(7, "tanh"), Dense(1 if task == "binary" else 3)], 13, task)
    X = rows_of(net, 70)
    plan = net.plan_for("predict", 70)
    assert "turn" in [step.op for step in plan.steps]
    run = reference.run_plan(plan, net.parameters, X)
    np.testing.assert_allclose(net.predict(X), run.buffers["output"], rtol=1e-5, atol=1e-6)
