"""Widths a little above whole panels, whose last columns products do in a way of their own."""

import numpy as np
import pytest

import cymlp
from cymlp import reference

WIDTHS = [17, 20, 24, 25, 35, 50, 100]


def network(width, dtype):
    net = cymlp.mlp(width + 3, [width, width], width, task="multiclass", dtype=dtype, rng=0)
    random = np.random.default_rng(0)
    for name in net.parameters:
        if name.endswith("bias"):
            net.parameters[name] = random.standard_normal(width)
    return net


def batch(net, rows):
    random = np.random.default_rng(rows)
    return (random.standard_normal((rows, net.in_features)).astype(net.dtype),
            random.integers(0, net.out_features, rows))


@pytest.mark.parametrize("rows", [15, 16, 33, 150, 300])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_step_is_the_reference_s(width, rows, dtype):
    net = network(width, dtype)
    steps = reference.compare(net, *batch(net, rows))
    assert {step.result for step in steps} >= set(net.parameters)
    for step in steps:
        assert step.agrees, step


@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_s_bits_do_not_depend_on_the_rows_beside_it(width):
    net = network(width, "float32")
    X, _ = batch(net, 150)
    together = net.forward(X)
    for first, end in [(0, 150), (1, 17), (20, 35), (60, 61), (100, 148)]:
        np.testing.assert_array_equal(net.forward(X[first:end]), together[first:end])


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_not_finite_stays_in_its_row_and_column(width):
    net = network(width, "float32")
    X, _ = batch(net, 40)
    expected = net.forward(X)
    X[7] = np.nan
    weight = np.array(net.parameters["2.weight"])
    weight[:, -1] = np.inf
    net.parameters["2.weight"] = weight
    found = net.forward(X)
    assert np.isnan(found[7]).all() and not np.isfinite(found[:, -1]).any()
    others = np.arange(40) != 7
    np.testing.assert_array_equal(found[others, :-1], expected[others, :-1])
