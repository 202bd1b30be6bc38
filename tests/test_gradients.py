"""Every gradient of the engine against central differences of its own loss, in float64."""

import numpy as np
import pytest

import cymlp
from cymlp import Activation, Dense, Dropout
from cymlp.layers import activation_rows

TOLERANCE = 1e-6
# Rounding of the loss weighs less over a longer step, but a step must not cross a kink.
STEP, STEP_WITH_KINKS = 1e-3, 1e-6
# In the function, or in its second derivative.
KINKED = {"relu", "leaky_relu", "relu6", "elu", "celu", "selu", "softsign", "hard_sigmoid",
          "hard_tanh", "hard_swish"}

GOALS = {
    "mean_squared_error": ["rows", "column"],
    "binary_cross_entropy": ["rows", "column"],
    "categorical_cross_entropy": ["labels", "one-hot", "soft"],
}
POINTWISE = sorted(set(activation_rows()) - {"softmax"})


def make_target(form, loss, rows, outputs, random):
    if loss == "categorical_cross_entropy":
        labels = random.integers(0, outputs, rows)
        return {"labels": labels, "one-hot": np.eye(outputs)[labels],
                "soft": random.dirichlet(np.ones(outputs), rows)}[form]
    y = random.uniform(0, 1, (rows, outputs))
    return y[:, 0] if form == "column" else y


def make_network(layers, loss="mean_squared_error", inputs=4, spread=0.3, **settings):
    """A network with no parameter at zero, biases included."""
    network = cymlp.Network(layers, in_features=inputs, loss=loss, dtype="float64", rng=3,
                            **settings)
    random = np.random.default_rng(4)
    for name, array in network.parameters.items():
        network.parameters[name] = array + random.uniform(-spread, spread, array.shape)
    return network


def difference(network, name, direction, batch):
    """Slope of the loss along a direction in one parameter, by central differences.

    Over one and over two steps, joined so that the error is of the fourth order.
    """
    kinked = any(getattr(layer, "activation", layer).name in KINKED
                 for layer in network.layers if not isinstance(layer, Dropout))
    step = STEP_WITH_KINKS if kinked else STEP
    start, slope = network.parameters[name], 0.0
    for steps, share in ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12)):
        network.parameters[name] = start + steps * step * direction
        slope += share * network.gradients(*batch)[0]
    network.parameters[name] = start
    return slope / step


def check_entries(network, *batch, zero=()):
    """Every entry of every gradient; of those in `zero` that they are zero."""
    _, gradients = network.gradients(*batch)
    assert gradients.keys() == network.parameters.keys()
    for name, gradient in gradients.items():
        expected = np.empty(gradient.shape)
        for index in np.ndindex(*gradient.shape):
            direction = np.zeros(gradient.shape)
            direction[index] = 1.0
            expected[index] = difference(network, name, direction, batch)
        if name in zero:
            assert np.abs(gradient).max() < 1e-15 and np.abs(expected).max() < 1e-9
            continue
        assert np.abs(expected).max() > 1e-5, f"{name}: nothing to compare"
        error = np.abs(gradient - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE, f"{name}: relative error {error:.1e}"


def check_directions(network, *batch, count=4):
    """The slope along random directions, for networks of many parameters."""
    random = np.random.default_rng(5)
    _, gradients = network.gradients(*batch)
    for name, gradient in gradients.items():
        # Partly the gradient's own direction, so that no slope is small by chance.
        size = np.abs(gradient).max()
        directions = random.standard_normal((count, *gradient.shape)) + gradient / size
        for direction in directions:
            # The shorter one rounds more; on the longer one some of many units may cross a kink.
            slopes = [difference(network, name, direction / share, batch) * share
                      for share in (8, 128)]
            terms = np.sqrt(np.square(gradient * direction).sum())
            errors = [abs((gradient * direction).sum() - expected) for expected in slopes]
            assert min(errors) <= TOLERANCE * max(abs(slopes[0]), terms), name


def batch_for(network, form="rows", rows=12, seed=1):
    random = np.random.default_rng(seed)
    X = random.standard_normal((rows, network.in_features))
    return X, make_target(form, network.loss.name, rows, network.out_features, random)


@pytest.mark.parametrize("loss, form", [(loss, form) for loss in GOALS for form in GOALS[loss]])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses(loss, form, weighted):
    network = make_network([Dense(5, "tanh"), Dense(1 if form == "column" else 3)], loss)
    weight = np.random.default_rng(2).uniform(0, 3, 12) if weighted else None
    if weighted:
        weight[::4] = 0
    check_entries(network, *batch_for(network, form), weight)


@pytest.mark.parametrize("name", activation_rows())
def test_activation_of_a_dense_layer(name):
    check_entries(network := make_network([Dense(5, name), Dense(4, name), Dense(2)]),
                  *batch_for(network))


@pytest.mark.parametrize("name", activation_rows())
def test_activation_as_a_layer(name):
    """Before the first dense layer, between two, twice in a row, and as the last layer."""
    layers = [Activation(name), Dense(5), Activation(name), Dense(4), Activation("tanh"),
              Activation(name), Dense(3), Activation(name)]
    check_entries(network := make_network(layers), *batch_for(network))


@pytest.mark.parametrize("name", POINTWISE)
def test_activation_under_every_loss(name):
    for loss, (form, *_) in GOALS.items():
        check_entries(network := make_network([Dense(3, name), Dense(2)], loss),
                      *batch_for(network, form))


@pytest.mark.parametrize("below", activation_rows())
@pytest.mark.parametrize("above", activation_rows())
def test_every_pair_of_activations(below, above):
    """The second backward step joins the product before it, or not, as the first one is."""
    layers = [Dense(7, below), Activation(above), Dense(2)]
    # Nothing passes where everything is below zero.
    dead = above in ("relu", "relu6") and below in ("log_softmax", "log_sigmoid")
    check_entries(network := make_network(layers, inputs=3), *batch_for(network, rows=9),
                  zero=("0.weight", "0.bias", "2.weight") if dead else ())


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0, 1.5])
def test_leaky_relu_s_slope(slope):
    activation = Activation("leaky_relu", slope=slope)
    layers = [Dense(6, activation), Dense(5), activation, Dense(2)]
    check_entries(network := make_network(layers), *batch_for(network))


@pytest.mark.parametrize("layers", [
    [Dropout(0.4), Dense(5, "tanh"), Dense(2)],
    [Dense(6, "silu"), Dropout(0.5), Dense(2)],
    [Dense(6, "softmax"), Dropout(0.2), Activation("sigmoid"), Dropout(0.2), Dense(2)],
    [Dense(6, "tanh"), Dense(2), Dropout(0.3)],
    [Dropout(0.0), Dense(6, "tanh"), Dense(2)],
], ids=str)
def test_dropout_with_its_mask(layers):
    network = make_network(layers)
    batch = batch_for(network, rows=30)
    drops = any(layer.rate for layer in layers if isinstance(layer, Dropout))
    # The loss without dropout is another one.
    assert (network.gradients(*batch)[0] != network.evaluate(*batch)["loss"]) == drops
    check_entries(network, *batch)


@pytest.mark.parametrize("layers", [
    [Dense(5, "tanh", bias=False), Dense(2)],
    [Dense(5, "tanh"), Dense(2, bias=False)],
    [Dense(5, "silu", bias=False), Dense(4, "softmax", bias=False), Dense(2, bias=False)],
    [Dense(1, "sigmoid"), Dense(2)],
    [Dense(2)],
    [Dense(4, "tanh"), Dense(4, "sigmoid"), Dense(4, "silu"), Dense(4, "tanh"), Dense(2)],
], ids=str)
def test_layers(layers):
    check_entries(network := make_network(layers), *batch_for(network))


@pytest.mark.parametrize("rows", [1, 2, 3, 128, 129, 256, 257, 600])
def test_batches(rows):
    """Over 128 rows a gradient is added up from several blocks, over 256 from several chunks."""
    layers = [Dropout(0.2), Dense(4, "tanh"), Dropout(0.3), Dense(3)]
    network = make_network(layers, "categorical_cross_entropy")
    weight = np.random.default_rng(3).uniform(0.5, 2, rows)
    check_entries(network, *batch_for(network, "labels", rows), weight)


@pytest.mark.parametrize("name", activation_rows())
@pytest.mark.parametrize("widths", [(33, 70), (128, 17), (9, 130, 65), (300, 100)])
def test_wide_layers(name, widths):
    """Layers of several panels and of widths that fill none."""
    layers = [*(Dense(width, name) for width in widths), Dense(11)]
    # Out of a wide softmax come small numbers, and small gradients unless weights are large.
    spread = 1.5 if name == "softmax" else 0.3
    network = make_network(layers, "binary_cross_entropy", inputs=50, spread=spread)
    check_directions(network, *batch_for(network, rows=20))


def test_weights_too_large_for_chunks():
    """Over 8 MiB of parameters layers take more rows at a time."""
    network = make_network([Dense(1100, "tanh"), Dense(3)], inputs=1000)
    assert network._gradient_plan(*batch_for(network, rows=300)).chunk > 256
    check_directions(network, *batch_for(network, rows=300), count=1)


@pytest.mark.parametrize("rows", [1, 20, 300])
def test_weights_whose_blocks_are_brought_near(rows):
    """Over 2 MiB of one weight; the last of its blocks has few outputs."""
    network = make_network([Dense(300, "tanh"), Dense(1027, "tanh"), Dense(3)], inputs=10)
    check_directions(network, *batch_for(network, rows=rows), count=1)


def test_a_softmax_of_one_class_has_no_gradient():
    network = make_network([Dense(3, "tanh"), Dense(1)], "categorical_cross_entropy")
    names = list(network.parameters)
    check_entries(network, *batch_for(network, "labels"), zero=names)
    network = make_network([Dense(1, "softmax"), Dense(2)])
    check_entries(network, *batch_for(network), zero=["0.weight", "0.bias"])


def test_gradients_change_nothing():
    network = make_network([Dense(5, "relu"), Dropout(0.5), Dense(2)])
    batch, before = batch_for(network), network._progress()
    first, second = network.gradients(*batch), network.gradients(*batch)
    assert network._progress() == before and first[0] == second[0]
    for name, gradient in first[1].items():
        np.testing.assert_array_equal(gradient, second[1][name])
    # The next step draws the same mask.
    assert network.train_step(*batch) == first[0]
