"""Specifications: what they accept, refuse, print, and that they stay plain values."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

import cymlp
from cymlp import initializers, kernels, layers, losses, optimizers
from cymlp.initializers import Constant, GivenArray, Orthogonal, Zeros, initialize
from cymlp.layers import Activation, Dense, Dropout
from cymlp.losses import TASKS, BinaryCrossEntropy, CategoricalCrossEntropy, MeanSquaredError
from cymlp.optimizers import CLASSES, SGD, Adagrad, Adam, AMSGrad, Lion, NAdam, RMSprop

EXAMPLES = [
    Dense(3),
    Dense(3, "relu", bias=False),
    Dense(np.int64(3), Activation("leaky_relu", slope=0.2), weight_initializer="he_normal"),
    Dense(2, weight_initializer=[[1.0, 2.0]], bias_initializer=Constant(0.5)),
    Dense(2, weight_initializer=initializers.NTK(gain=2.0)),
    Dense(2, weight_initializer=initializers.HeNormal(truncated=True)),
    Dense(2, weight_initializer=Orthogonal(0.5)),
    Dropout(0.25),
    Activation("softmax"),
    SGD(0.1, momentum=0.9, nesterov=True),
    Adagrad(learning_rate_decay=0.1),
    RMSprop(momentum=0.5, centered=True),
    Adam(3e-4, betas=[0.8, 0.99], amsgrad=True),
    NAdam(weight_decay=0.1, decoupled_weight_decay=True),
    *(cls() for cls in CLASSES),
    MeanSquaredError(),
    BinaryCrossEntropy(),
    CategoricalCrossEntropy(),
    CategoricalCrossEntropy(0.1, np.array([1.0, 2.0]), ignore_index=-100),
    losses.HuberLoss([1, 2.5]),
    losses.PointwiseLoss("huber_loss"),
    losses.FocalLoss(gamma=1),
    losses.QuantileLoss((0.1, 0.9)),
    BinaryCrossEntropy(np.float32(2)),
]


@pytest.mark.parametrize("spec", EXAMPLES, ids=repr)
def test_specs_are_immutable_values(spec):
    assert copy.deepcopy(spec) == spec
    loaded = pickle.loads(pickle.dumps(spec))
    assert loaded == spec and hash(loaded) == hash(spec)
    assert not hasattr(spec, "__dict__")
    for field in dataclasses.fields(spec):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(spec, field.name, None)
    names = {**vars(layers), **vars(optimizers), **vars(losses), **vars(initializers)}
    if "GivenArray" not in repr(spec):
        assert eval(repr(spec), names) == spec


@pytest.mark.parametrize(
    ("make", "error", "parts"),
    [
        (lambda: Dense(0), ValueError, ["units", "at least 1", "0"]),
        (lambda: Dense(2.0), TypeError, ["units", "integer", "2.0"]),
        (lambda: Dense(True), TypeError, ["units", "integer", "True"]),
        (lambda: Dense(-(10**5000)), ValueError, ["units", "int"]),
        (lambda: Dense(3, "rulu"), ValueError, ["activation", "'relu'", "'rulu'"]),
        (lambda: Dense(3, None), TypeError, ["activation", "None"]),
        (lambda: Dense(3, bias=1), TypeError, ["bias", "True or False", "1"]),
        (lambda: Dense(3, weight_initializer="xavier"), ValueError,
         ["weight_initializer", "'glorot_uniform'", "'xavier'"]),
        (lambda: Dense(3, weight_initializer=0.1), TypeError, ["weight_initializer", "0.1"]),
        (lambda: Dense(3, bias_initializer="he_normal"), ValueError,
         ["bias_initializer", "'zeros'", "(3,)"]),
        (lambda: Dense(3, weight_initializer=[[1.0], [1.0, 2.0]]), ValueError,
         ["weight_initializer", "array"]),
        (lambda: Dense(3, weight_initializer=np.zeros((2, 3), complex)), TypeError,
         ["weight_initializer", "complex"]),
        (lambda: Dense(3, weight_initializer=[[np.nan]]), ValueError, ["finite", "NaN"]),
        (lambda: Dropout(1), ValueError, ["rate", "< 1", "1"]),
        (lambda: Dropout(-0.1), ValueError, ["rate", ">= 0", "-0.1"]),
        (lambda: Dropout(float("nan")), ValueError, ["rate", "finite", "nan"]),
        (lambda: Dropout("0.5"), TypeError, ["rate", "number", "'0.5'"]),
        (lambda: Activation("relu", slope=0.1), ValueError, ["slope", "'relu'", "0.1"]),
        (lambda: Activation("leaky_relu", slope=-1), ValueError, ["slope", ">= 0", "-1"]),
        (lambda: Activation("leaky_relu", slope=np.inf), ValueError, ["slope", "finite", "inf"]),
        (lambda: Constant(np.inf), ValueError, ["value", "finite", "inf"]),
        (lambda: GivenArray(np.float64(1.0)), ValueError, ["array", "dimensions", "()"]),
        (lambda: SGD(-1), ValueError, ["learning_rate", ">= 0", "-1"]),
        (lambda: SGD(float("inf")), ValueError, ["learning_rate", "finite", "inf"]),
        (lambda: SGD(10**400), ValueError, ["learning_rate", "finite"]),
        (lambda: SGD(True), TypeError, ["learning_rate", "number", "True"]),
        (lambda: SGD(nesterov=True), ValueError, ["nesterov", "momentum=0"]),
        (lambda: SGD(momentum=0.9, dampening=0.1, nesterov=True), ValueError,
         ["nesterov", "dampening=0.1"]),
        (lambda: RMSprop(alpha=1.5), ValueError, ["alpha", "<= 1", "1.5"]),
        (lambda: RMSprop(centered="yes"), TypeError, ["centered", "'yes'"]),
        (lambda: Adagrad(epsilon=-1e-9), ValueError, ["epsilon", ">= 0"]),
        (lambda: Adam(betas=(0.9, 1.0)), ValueError, ["betas[1]", "< 1", "1.0"]),
        (lambda: Adam(betas=0.9), TypeError, ["betas", "two numbers", "0.9"]),
        (lambda: Adam(betas=(0.9,)), ValueError, ["betas", "two numbers"]),
        (lambda: optimizers.as_optimizer("adamv"), ValueError, ["optimizer", "'adam'", "'adamv'"]),
        (lambda: optimizers.as_optimizer(Adam), TypeError, ["optimizer", "Adam(1e-3)", "class"]),
        (lambda: losses.as_loss("mse"), ValueError, ["loss", "'mean_squared_error'", "'mse'"]),
        (lambda: losses.as_loss(3), TypeError, ["loss", "MeanSquaredError()", "3"]),
        (lambda: losses.as_loss(losses.Hinge), TypeError, ["loss", "Hinge"]),
        (lambda: losses.as_loss("huber_loss"), ValueError, ["loss", "'huber'"]),
        (lambda: losses.PointwiseLoss("huber"), ValueError, ["loss", "'huber_loss'", "'huber'"]),
        (lambda: losses.HuberLoss(0), ValueError, ["delta", "0"]),
        (lambda: losses.HuberLoss([1, -1]), ValueError, ["delta[1]", "-1"]),
        (lambda: losses.HuberLoss([]), ValueError, ["delta", "at least one"]),
        (lambda: losses.HuberLoss("1"), TypeError, ["delta", "number", "'1'"]),
        (lambda: losses.SmoothL1Loss(np.inf), ValueError, ["beta", "finite", "inf"]),
        (lambda: losses.QuantileLoss(1), ValueError, ["quantile", "between 0 and 1"]),
        (lambda: losses.QuantileLoss([0.5, 2]), ValueError, ["quantile[1]", "2"]),
        (lambda: BinaryCrossEntropy(-1), ValueError, ["pos_weight", ">= 0", "-1"]),
        (lambda: losses.FocalLoss(alpha=1.5), ValueError, ["alpha", "<= 1", "1.5"]),
        (lambda: losses.FocalLoss(gamma=-1), ValueError, ["gamma", ">= 0", "-1"]),
        (lambda: CategoricalCrossEntropy(2), ValueError, ["label_smoothing", "<= 1", "2"]),
        (lambda: CategoricalCrossEntropy(class_weight=1), TypeError, ["class_weight", "every"]),
        (lambda: CategoricalCrossEntropy(class_weight=[-1]), ValueError, ["class_weight[0]"]),
        (lambda: CategoricalCrossEntropy(ignore_index=0.5), TypeError, ["ignore_index", "0.5"]),
        (lambda: losses.CustomLoss(3), TypeError, ["function", "3"]),
        (lambda: losses.CustomLoss(len, "tanh"), ValueError, ["output_activation", "'tanh'"]),
        (lambda: losses.CustomLoss(len, targets=0), ValueError, ["targets", "at least 1"]),
        (lambda: losses.CompiledLoss("f"), TypeError, ["function", "address", "'f'"]),
        (lambda: losses.CompiledLoss(0), ValueError, ["function", "null", "0"]),
        (lambda: losses.CompiledLoss(1, "float16"), ValueError, ["dtype", "'float16'"]),
    ],
)
def test_bad_values_are_named(make, error, parts):
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert len(message) < 400


@pytest.mark.parametrize("name", list(layers.activation_rows()))
def test_every_row_of_the_activation_table_is_a_name(name):
    activation = layers.as_activation(name)
    row = layers.activation_rows()[name]
    assert activation.parameter == (row["default"] if row["parameter"] else 0.0)
    assert activation.initializer in ("glorot_uniform", "he_uniform", "lecun_normal")
    assert layers.as_activation(activation) is activation


def test_leaky_relu_has_its_default_slope():
    assert Activation("leaky_relu") == Activation("leaky_relu", slope=0.01)


def test_losses_agree_with_the_kernels_table():
    table = kernels.loss_table()
    specs = [*(cls() for cls in losses.LOSSES), BinaryCrossEntropy(pos_weight=2)]
    assert len({spec.name for spec in specs}) == len(losses.LOSSES)
    for row in table.values():
        spec = {spec.kernel: spec for spec in specs}.get(row["name"])
        if spec is None:        # it has no specification of its own, and needs none
            spec = losses.as_loss(row["name"])
            assert spec == losses.PointwiseLoss(row["name"]) and spec.name == row["name"]
            assert spec.attributes(2).items() >= row["parameters"].items()
            continue
        if spec != BinaryCrossEntropy(2):
            assert row["parameters"] == {name: getattr(spec, name) for name in row["parameters"]}
        assert (spec.output_activation, spec.metric) == (row["output_activation"], row["metric"])
    for activation, loss in TASKS.values():
        assert loss.output_activation == activation
        assert losses.as_loss(loss) is loss and losses.as_loss(loss.name) == loss


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        (SGD(), ()),
        (SGD(momentum=0.9), ("momentum_buffer",)),
        (Adagrad(), ("sum",)),
        (RMSprop(), ("square_average",)),
        (RMSprop(centered=True), ("square_average", "gradient_average")),
        (Adam(), ("first_moment", "second_moment")),
        (Lion(), ("first_moment",)),
        (AMSGrad(), ("first_moment", "second_moment", "maximum_second_moment")),
        (Adam(amsgrad=True), ("first_moment", "second_moment", "maximum_second_moment")),
    ],
    ids=repr,
)
def test_optimizer_states(optimizer, states):
    assert optimizer.states() == states
    assert all(isinstance(optimizer.initial_state(name), float) for name in states)
    with pytest.raises(ValueError, match="no_such"):
        optimizer.initial_state("no_such")
    assert all(type(value) is float for value in optimizer.hyper().values())


def test_optimizers_agree_with_the_kernels_table():
    table = kernels.optimizer_table()
    named = [name for name, row in table.items() if not row["defaults"]]
    assert [cls.kernel for cls in CLASSES] == named
    for cls in CLASSES:
        row = table[cls.kernel]
        assert list(cls().hyper()) == row["hyper"]
        assert list(cls.arrays) == row["states"] and list(cls.arrays.values()) == row["needs"]


def test_optimizers_agree_with_torch_defaults():
    torch = pytest.importorskip("torch")
    parameter = [torch.nn.Parameter(torch.zeros(1))]
    ours = {"lr": "learning_rate", "eps": "epsilon", "lr_decay": "learning_rate_decay"}
    for cls in set(CLASSES) - {Lion}:
        theirs = getattr(torch.optim, cls.__name__)(parameter).defaults
        fields = {field.name for field in dataclasses.fields(cls)} - {
                "schedule", "weight_decay_schedule"}
        matched = {ours.get(key, key): value for key, value in theirs.items()}
        matched = {key: value for key, value in matched.items() if key in fields}
        assert set(matched) == fields
        assert {name: getattr(cls(), name) for name in fields} == matched


# Deviation of a standard normal cut off at two: its variance is 1 - 4 phi(2) / (2 Phi(2) - 1).
CUT = np.sqrt(1 - 4 * np.exp(-2) / np.sqrt(2 * np.pi) / math.erf(np.sqrt(2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "limit", "deviation"),
    [
        ("glorot_uniform", np.sqrt(6 / 700), np.sqrt(2 / 700)),
        ("glorot_normal", None, np.sqrt(2 / 700)),
        ("he_uniform", np.sqrt(6 / 300), np.sqrt(2 / 300)),
        ("he_normal", None, np.sqrt(2 / 300)),
        ("lecun_uniform", np.sqrt(3 / 300), np.sqrt(1 / 300)),
        ("lecun_normal", None, np.sqrt(1 / 300)),
        ("ntk", None, np.sqrt(1 / 300)),
        ("normal", None, 1.0),
        (initializers.NTK(gain=3), None, 3 / np.sqrt(300)),
        *((kind(truncated=True), 2 / CUT * deviation, deviation) for kind, deviation in (
            (initializers.GlorotNormal, np.sqrt(2 / 700)),
            (initializers.HeNormal, np.sqrt(2 / 300)),
            (initializers.LeCunNormal, np.sqrt(1 / 300)),
            (initializers.NTK, np.sqrt(1 / 300)), (initializers.Normal, 1.0))),
    ],
)
def test_random_initializers_have_the_published_spread(name, limit, deviation, dtype):
    array = initialize(name, (300, 400), np.random.default_rng(1), dtype)
    assert array.dtype == dtype and array.shape == (300, 400) and array.flags.c_contiguous
    assert abs(array.mean()) < 4 * deviation / np.sqrt(array.size)
    assert abs(array.std() / deviation - 1) < 0.01
    if limit is not None:
        assert 0.99 * limit < abs(array).max() <= limit * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (1, 4)])
def test_orthogonal_rows_or_columns(shape):
    array = initialize(Orthogonal(2.0), shape, np.random.default_rng(3), "float64")
    product = array @ array.T if shape[0] < shape[1] else array.T @ array
    assert np.allclose(product, 4 * np.eye(min(shape)), atol=1e-12)


def test_orthogonal_prefers_no_direction():
    """Each entry of the rotations of the plane has mean 0 and variance 1/2, half are mirrored."""
    rng = np.random.default_rng(4)
    drawn = np.array([initialize("orthogonal", (2, 2), rng, "float64") for _ in range(4000)])
    assert np.abs(drawn.mean(axis=0)).max() < 0.05
    assert np.abs(np.square(drawn).mean(axis=0) - 0.5).max() < 0.03
    assert abs((np.linalg.det(drawn) < 0).mean() - 0.5) < 0.05


def test_ntk_start_and_rates_learn_as_the_parametrization_does():
    """With the factor in the layer, by hand, against the factor in the weights."""
    rng = np.random.default_rng(0)
    X, y, rate, inputs = rng.standard_normal((30, 4)), rng.standard_normal((30, 2)), 0.3, 4
    update = cymlp.Update(groups=[cymlp.Group("0.weight", learning_rate_factor=1 / inputs)])
    net = cymlp.Network([Dense(2, weight_initializer="ntk")], in_features=inputs, rng=1,
                        task="regression", dtype="float64", optimizer=SGD(rate), update=update)
    free = net.parameters["0.weight"] * np.sqrt(inputs)
    bias = np.zeros(2)
    for _ in range(20):
        error = (X @ free / np.sqrt(inputs) + bias - y) / len(X)
        loss = net.train_step(X, y)
        assert np.isclose(loss, len(X) * np.square(error).sum() / 2)
        free -= rate * X.T @ error / np.sqrt(inputs)
        bias -= rate * error.sum(axis=0)
    assert np.allclose(net.parameters["0.weight"], free / np.sqrt(inputs), atol=1e-12)


def test_float32_starts_from_the_rounded_float64_values_drawn_in_one_stream():
    double = initialize("glorot_uniform", (300, 400), np.random.default_rng(5), "float64")
    single = initialize("glorot_uniform", (300, 400), np.random.default_rng(5), "float32")
    assert np.array_equal(double.astype("float32"), single)
    limit = initializers.GlorotUniform().spread(300, 400)
    whole = np.random.default_rng(5).uniform(-limit, limit, (300, 400))
    assert np.array_equal(double, whole)


def test_zeros_constants_and_given_arrays():
    rng = np.random.default_rng(0)
    assert not initialize("zeros", (2, 3), rng, "float32").any()
    assert (initialize(Constant(0.1), (3,), rng, "float32") == np.float32(0.1)).all()
    source = np.arange(6.0).reshape(3, 2).T
    given = GivenArray(source)
    source[:] = -1
    made = initialize(given, (2, 3), rng, "float32")
    assert made.tolist() == [[0, 2, 4], [1, 3, 5]]
    made[:] = 7  # the parameter's own array, not the specification's
    assert given.array[1, 2] == 5
    with pytest.raises(ValueError, match="read-only"):
        given.array[0, 0] = 1
    for pickled in (given, pickle.loads(pickle.dumps(given))):
        assert not pickled.array.flags.writeable
    with pytest.raises(ValueError, match=r"expected an array of shape \(3, 2\), got.*\(2, 3\)"):
        initialize(given, (3, 2), rng, "float32")
    with pytest.raises(ValueError, match="too large for float32"):
        initialize(GivenArray([1e300]), (1,), rng, "float32")
    with pytest.raises(ValueError, match="needs a shape"):
        initialize("he_normal", (3,), rng, "float32")


def test_given_arrays_compare_by_value():
    assert GivenArray([1.0, 0.0]) == GivenArray(np.array([1, 0])) != GivenArray([1.0, 2.0])
    assert GivenArray([0.0]) == GivenArray([-0.0])
    assert hash(GivenArray([0.0])) == hash(GivenArray([-0.0]))
    assert GivenArray([0.5]) != GivenArray(np.float32([0.5]))
    assert GivenArray([0.0]) != Zeros()
