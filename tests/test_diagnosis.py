"""Diagnoses of layers: each number against NumPy, and the warnings that come of them."""

import warnings

import numpy as np
import pytest

import cymlp
from cymlp import Activation, Dense
from cymlp.callbacks import Diagnostics

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5))
Y = X @ RNG.normal(size=(5, 2))


def make(**settings):
    settings = {"optimizer": cymlp.SGD(0.05), "dtype": "float64", "rng": 0} | settings
    return cymlp.Network([Dense(6, "relu"), Dense(4, "tanh"), Dense(2)], in_features=5,
                         task="regression", **settings)


def norm(arrays):
    return np.sqrt(sum((np.asarray(array) ** 2).sum() for array in arrays))


def test_every_number_against_numpy():
    net = make()
    net.parameters["0.bias"] = [0, 0, -99, 0, 0, -99]
    net.parameters["1.bias"] = [0, 3, 0, -3]
    before = net._progress()
    found = net.diagnose(X, Y)
    assert net._progress() == before
    p = net.parameters
    first = np.maximum(X @ p["0.weight"] + p["0.bias"], 0)
    second = np.tanh(first @ p["1.weight"] + p["1.bias"])
    outputs = [first, second, second @ p["2.weight"] + p["2.bias"]]
    loss, gradients = net.gradients(X, Y)
    assert found.loss == loss and list(found) == ["0", "1", "2"]
    for index, output in enumerate(outputs):
        names = [f"{index}.weight", f"{index}.bias"]
        entry = found[str(index)]
        gradient, weight = norm(gradients[name] for name in names), norm(p[name] for name in names)
        expected = {"gradient_norm": gradient, "update_norm": 0.05 * gradient,
                    "weight_norm": weight, "update_ratio": 0.05 * gradient / weight,
                    "gradient_rms": gradient / np.sqrt(sum(p[name].size for name in names)),
                    "mean": output.mean(), "deviation": output.std()}
        assert {name: entry[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert found["0"]["dead"] == 2 / 6 and "saturated" not in found["0"]
    assert found["1"]["saturated"] == (np.abs(second) > 0.95).mean() > 0.4
    assert "dead" not in found["1"] and "dead" not in found["2"]
    assert "0 Dense" in repr(found) and "gradient_norm" in repr(found).splitlines()[0]


def test_layers_within_layers_and_activations_of_their_own():
    net = cymlp.Network([Dense(4), Activation("relu"), cymlp.BatchNorm(),
                         cymlp.Residual([Dense(4, "sigmoid")]), Dense(2)],
                        in_features=5, task="regression", rng=0)
    found = net.diagnose(X, Y, np.ones(300))
    assert list(found) == ["0", "1", "2", "3", "3.0", "4"]
    assert "dead" in found["1"] and "gradient_norm" not in found["1"]
    assert "saturated" in found["3.0"] and "gradient_norm" in found["2"]
    assert found["2"]["deviation"] == pytest.approx(1, abs=1e-3)


def test_drift():
    net = make()
    first = net.diagnose(X, Y)
    net.parameters["2.bias"] = [10.0, 10.0]
    net.parameters["2.weight"] = 2 * net.parameters["2.weight"]
    then = net.diagnose(X, Y, since=first)
    assert then["0"]["mean_drift"] == 0 and then["0"]["deviation_ratio"] == 1
    now, before = then["2"], first["2"]
    assert now["mean_drift"] == (now["mean"] - before["mean"]) / before["deviation"]
    assert now["deviation_ratio"] == pytest.approx(2, rel=1e-9)


def test_records_every_so_many_steps_change_nothing():
    net, twin = make(), make()
    watch = Diagnostics(every=7, rows=100)
    history = net.fit(X, Y, epochs=3, callbacks=watch)
    plain = twin.fit(X, Y, epochs=3)
    assert net._progress() == twin._progress() and history["loss"] == plain["loss"]
    assert watch.steps == [7, 14, 21, 28]
    assert "mean_drift" not in watch.records[0]["0"] and "mean_drift" in watch.records[1]["0"]
    assert np.isnan(watch.table("0", "saturated")).all()
    other = make()
    other.fit(X, Y, epochs=3, callbacks=Diagnostics(every=1000))


def warned(net, **settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, Y, callbacks=Diagnostics(every=1), **settings)
    return [str(entry.message) for entry in caught]


def test_a_dying_relu_is_seen_once():
    net = make()
    net.parameters["0.bias"] = [-99.0] * 4 + [0.0] * 2
    assert warned(net, epochs=2) == [
        "step 1: dying ReLU: 67 % of the units of layer 0 (Dense) are zero for every row"]
    assert warned(make(), epochs=2) == []


def test_a_vanishing_gradient_is_seen_once():
    net = cymlp.Network([*[Dense(4, "sigmoid") for _ in range(9)], Dense(2)], in_features=5,
                        task="regression", rng=0)
    (text,) = warned(net, epochs=2)
    assert text.startswith("step 1: vanishing gradient: that of layer 0 (Dense) is ")


@pytest.mark.parametrize("arguments", [{"every": 0}, {"rows": 0}])
def test_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Diagnostics(**arguments)
