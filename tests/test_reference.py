"""The reference, which the kernels are held against, held against what is not ours: values worked
out by hand, central differences, published test vectors, and PyTorch where it is installed."""

import inspect

import numpy as np
import pytest

from cymlp import kernels, reference
from cymlp.layers import activation_rows
from cymlp.optimizers import CLASSES

ACTIVATIONS = list(activation_rows())
# leaky_relu may go by either: their signs agree.
SAVES_INPUT = {name for name, row in activation_rows().items()
               if row["saves"] == "input"} | {"leaky_relu"}
STATES = {name: row["states"] for name, row in kernels.optimizer_table().items()}
OPTIMIZERS = list(STATES)


def central_differences(function, x, h=1e-6):
    """Gradient of a scalar function, one entry at a time."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (function(up) - function(down)) / (2 * h)
    return gradient


def relative_difference(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_every_public_name_is_there_and_described():
    for name in reference.__all__:
        function = getattr(reference, name)
        assert ">>> " in inspect.getdoc(function), f"{name} has no example"
        if f"{name}_backward" in reference.__all__:
            assert name in ACTIVATIONS, f"{name} is missing in this test's ACTIVATIONS"


# ---- activations and dense -------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_backward_against_differences(name, rng):
    forward = getattr(reference, name)
    backward = getattr(reference, f"{name}_backward")
    x = rng.standard_normal((4, 5)) * 2
    grad_output = rng.standard_normal(x.shape)
    saved = x if name in SAVES_INPUT else forward(x)
    expected = central_differences(lambda x: (forward(x) * grad_output).sum(), x)
    assert relative_difference(backward(grad_output, saved), expected) < 1e-8


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_leaves_its_argument_alone_and_passes_nan(name):
    x = np.array([[1.0, np.nan, -2.0]])
    given = x.copy()
    y = getattr(reference, name)(x)
    assert np.array_equal(x, given, equal_nan=True) and not np.shares_memory(x, y)
    assert np.isnan(y[0, 1])
    grad_input = getattr(reference, f"{name}_backward")(x, np.ones((1, 3)))
    assert np.isnan(grad_input[0, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softmax"])
def test_activation_saturates_without_overflow(name):
    y = getattr(reference, name)([[1e300, 0.0]])
    low = getattr(reference, name)([[-1e300, 0.0]])
    expected_low = {"tanh": -1.0}.get(name, 0.0)
    assert y[0, 0] == (1e300 if name in SAVES_INPUT else 1.0)
    assert low[0, 0] == expected_low


def test_sigmoid_keeps_its_relative_accuracy():
    x = np.array([-700.0, -40.0, -1.0])
    assert relative_difference(np.log(reference.sigmoid(x)), x - np.log1p(np.exp(x))) < 1e-15


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_against_torch(name, rng):
    torch = pytest.importorskip("torch")
    functions = {"identity": lambda x: x * 1, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
                 "relu": torch.relu, "silu": torch.nn.functional.silu,
                 "gelu": torch.nn.functional.gelu,
                 "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
                 "leaky_relu": torch.nn.functional.leaky_relu,
                 "softmax": lambda x: torch.softmax(x, dim=-1),
                 "log_softmax": lambda x: torch.log_softmax(x, dim=-1),
                 "log_sigmoid": torch.nn.functional.logsigmoid,
                 # PyTorch's own take 1/6 in float32.
                 "hard_sigmoid": lambda x: torch.clamp((x + 3) / 6, 0, 1),
                 "hard_swish": lambda x: x * torch.clamp(x + 3, 0, 6) / 6,
                 "hard_tanh": torch.nn.functional.hardtanh}
    x = rng.standard_normal((6, 9)) * 4
    grad_output = rng.standard_normal(x.shape)
    x_torch = torch.tensor(x, requires_grad=True)
    y_torch = (functions.get(name) or getattr(torch.nn.functional, name))(x_torch)
    y_torch.backward(torch.tensor(grad_output))
    y = getattr(reference, name)(x)
    saved = x if name in SAVES_INPUT else y
    grad_x = getattr(reference, f"{name}_backward")(grad_output, saved)
    assert relative_difference(y, y_torch.detach().numpy()) < 1e-14
    assert relative_difference(grad_x, x_torch.grad.numpy()) < 1e-14


def test_leaky_relu_slope():
    assert reference.leaky_relu([-4.0, 4.0], 0.5).tolist() == [-2.0, 4.0]
    assert reference.leaky_relu_backward([1.0, 1.0], [-4.0, 4.0], 0.5).tolist() == [0.5, 1.0]


def test_dense_against_differences(rng):
    x, weight, bias = (rng.standard_normal(shape) for shape in ((3, 4), (4, 2), (2,)))
    grad_output = rng.standard_normal((3, 2))

    def loss(x, weight, bias):
        return (reference.dense_forward(x, weight, bias) * grad_output).sum()

    grad_x, grad_weight, grad_bias = reference.dense_backward(grad_output, x, weight)
    for gradient, expected in [
        (grad_x, central_differences(lambda x: loss(x, weight, bias), x)),
        (grad_weight, central_differences(lambda weight: loss(x, weight, bias), weight)),
        (grad_bias, central_differences(lambda bias: loss(x, weight, bias), bias)),
    ]:
        assert relative_difference(gradient, expected) < 1e-8


# ---- losses ----------------------------------------------------------------------


def loss_cases(rng, n=6, out=4):
    """Name, logits and target of every loss, softmax with each kind of target."""
    logits = rng.standard_normal((n, out)) * 3
    return [
        ("mean_squared_error", logits, rng.standard_normal((n, out))),
        ("binary_cross_entropy", logits, rng.random((n, out))),
        ("softmax_cross_entropy", logits, rng.integers(0, out, n)),
        ("softmax_cross_entropy", logits, rng.dirichlet(np.ones(out), n)),
        ("softmax_cross_entropy", logits, rng.random((n, out))),
    ]


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_gradient_against_differences(weighted, rng):
    sample_weight = np.array([0.5, 0, 2, 1, 1, 3]) if weighted else None
    for name, logits, target in loss_cases(rng):
        loss = getattr(reference, name)
        expected = central_differences(
            lambda z, loss=loss, target=target: loss(z, target, sample_weight)[0], logits)
        gradient = loss(logits, target, sample_weight)[1]
        assert relative_difference(gradient, expected) < 1e-8, name


def test_loss_against_torch(rng):
    torch = pytest.importorskip("torch")
    functions = {"mean_squared_error": torch.nn.functional.mse_loss,
                 "binary_cross_entropy": torch.nn.functional.binary_cross_entropy_with_logits,
                 "softmax_cross_entropy": torch.nn.functional.cross_entropy}
    for name, logits, target in loss_cases(rng):
        z = torch.tensor(logits, requires_grad=True)
        expected = functions[name](z, torch.tensor(target))
        expected.backward()
        loss, gradient = getattr(reference, name)(logits, target)
        assert loss == pytest.approx(expected.item(), rel=1e-14)
        assert relative_difference(gradient, z.grad.numpy()) < 1e-14, name


def test_a_row_of_weight_zero_counts_for_nothing(rng):
    for name, logits, target in loss_cases(rng):
        loss = getattr(reference, name)
        weight = np.array([1, 1, 0, 1, 1, 1.0])
        with_nan = logits.copy()
        with_nan[2] = np.nan
        value, gradient = loss(with_nan, target, weight)
        expected_value, expected_gradient = loss(
            np.delete(logits, 2, axis=0), np.delete(target, 2, axis=0))
        assert value == pytest.approx(expected_value, rel=1e-14)
        assert (gradient[2] == 0).all()
        assert relative_difference(np.delete(gradient, 2, axis=0), expected_gradient) < 1e-14
        value, gradient = loss(logits, target, np.zeros(6))
        assert value == 0.0 and (gradient == 0).all()


def test_loss_far_out_and_with_nan():
    loss, gradient = reference.binary_cross_entropy([[1000.0], [-1000.0]], [0.0, 1.0])
    assert loss == 1000.0 and gradient.tolist() == [[0.5], [-0.5]]
    loss, gradient = reference.softmax_cross_entropy([[1000.0, 0.0, -np.inf]], [1])
    assert loss == 1000.0 and gradient.tolist() == [[1.0, -1.0, 0.0]]
    for name in ("mean_squared_error", "binary_cross_entropy", "softmax_cross_entropy"):
        loss, gradient = getattr(reference, name)([[np.nan, 1.0]], [[1.0, 0.0]])
        assert np.isnan(loss) and np.isnan(gradient).any()


@pytest.mark.parametrize("target", [[0, 3], [0, -1], [0.0, 1.0]])
def test_labels_are_checked(target):
    with pytest.raises(ValueError, match="target: expected integer labels from 0 to 2"):
        reference.softmax_cross_entropy(np.zeros((2, 3)), target)


def test_row_metrics():
    logits = [[1.0, 3.0, 3.0], [np.nan, 1.0, 0.0], [5.0, 0.0, -1.0]]
    assert reference.correct_labels(logits, [1, 0, 2]).tolist() == [1.0, 0.0, 0.0]
    assert reference.correct_dense(logits, np.eye(3)[[1, 0, 0]]).tolist() == [1.0, 0.0, 1.0]
    target = [[1, 1, 1], [0, 1, 0], [1, 0, 0]]
    assert reference.correct_binary(logits, target).tolist() == [1.0, 0.0, 1.0]
    error = reference.absolute_error(logits, target)
    assert error[0] == pytest.approx(4 / 3) and np.isnan(error[1]) and error[2] == 5 / 3


# ---- optimizers ------------------------------------------------------------------

VARIANTS = [
    ("sgd", {}),
    ("sgd", {"weight_decay": 0.1}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("adagrad", {}),
    ("adagrad", {"learning_rate_decay": 0.1, "weight_decay": 0.1}),
    ("rmsprop", {}),
    ("rmsprop", {"momentum": 0.9, "alpha": 0.9}),
    ("rmsprop", {"centered": True, "weight_decay": 0.1}),
    ("rmsprop", {"momentum": 0.9, "centered": True}),
    ("adam", {}),
    ("adam", {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9}),
    ("adam", {"amsgrad": True, "beta2": 0.9}),
    ("adamw", {}),
    ("adamw", {"amsgrad": True, "beta2": 0.9, "weight_decay": 0.3}),
    ("nadam", {}),
    ("nadam", {"weight_decay": 0.1, "momentum_decay": 0.3, "beta1": 0.8}),
    ("nadam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("radam", {}),
    ("radam", {"weight_decay": 0.1, "beta2": 0.9}),
    ("radam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("adamax", {}),
    ("adamax", {"weight_decay": 0.1, "beta2": 0.5, "epsilon": 0.1}),
    ("adadelta", {}),
    ("adadelta", {"weight_decay": 0.1, "rho": 0.5, "learning_rate": 0.3}),
]


def torch_optimizer(torch, name, parameter, hyper):
    """PyTorch's optimizer of the same name and hyperparameters."""
    names = {"learning_rate": "lr", "learning_rate_decay": "lr_decay", "epsilon": "eps"}
    hyper = dict(hyper)
    if "beta1" in kernels.optimizer_table()[name]["hyper"]:
        hyper["betas"] = hyper.pop("beta1", 0.9), hyper.pop("beta2", 0.999)
    theirs = next(cls.__name__ for cls in CLASSES if cls.kernel == name)
    return getattr(torch.optim, theirs)(
        [parameter], **{names.get(k, k): v for k, v in hyper.items()})


@pytest.fixture
def torch_in_float64():
    """PyTorch with float64 as its default: NAdam keeps its product of momenta in that."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name, hyper", VARIANTS)
def test_twenty_steps_against_torch(name, hyper, rng, torch_in_float64):
    torch = torch_in_float64
    parameter = rng.standard_normal((5, 3))
    parameter_torch = torch.tensor(parameter, requires_grad=True)
    optimizer = torch_optimizer(torch, name, parameter_torch, hyper)
    states = [np.zeros_like(parameter) for _ in STATES[name]]
    for step in range(1, 21):
        gradient = rng.standard_normal(parameter.shape)
        getattr(reference, f"{name}_update")(parameter, gradient, *states, step=step, **hyper)
        parameter_torch.grad = torch.tensor(gradient)
        optimizer.step()
        expected = parameter_torch.detach().numpy()
        assert relative_difference(parameter, expected) < 1e-13


def test_two_steps_by_hand():
    """Gradients 4 and then 2 on a parameter of 1, from the formulas, with round numbers."""
    def steps(name, **hyper):
        parameter = np.ones(1)
        states = [np.zeros(1) for _ in STATES[name]]
        for step, gradient in enumerate([[4.0], [2.0]], start=1):
            getattr(reference, f"{name}_update")(
                parameter, gradient, *states, step=step, learning_rate=0.5, **hyper)
        return parameter[0]

    assert steps("sgd") == 1 - 2 - 1
    # b = 4, then 0.5 * 4 + 0.75 * 2 = 3.5
    assert steps("sgd", momentum=0.5, dampening=0.25) == 1 - 2 - 1.75
    # b = 4, d = 6; then b = 4, d = 4
    assert steps("sgd", momentum=0.5, nesterov=True) == 1 - 3 - 2
    # g = 4 + 1, then 2 - 1.5
    assert steps("sgd", weight_decay=1.0) == 1 - 2.5 - 0.25
    # sum = 16, then 20; the second rate is 0.5 / 2
    assert steps("adagrad", learning_rate_decay=1.0, epsilon=0.0) == pytest.approx(
        1 - 0.5 - 0.25 * 2 / 20**0.5)
    # averages of squares: 8, then 6
    assert steps("rmsprop", alpha=0.5, epsilon=1.0) == pytest.approx(
        1 - 0.5 * 4 / (8**0.5 + 1) - 0.5 * 2 / (6**0.5 + 1))
    # averages 2 and 2: variances 8 - 4 and 6 - 4
    assert steps("rmsprop", alpha=0.5, epsilon=0.0, centered=True) == pytest.approx(
        1 - 0.5 * 4 / 2 - 0.5 * 2 / 2**0.5)
    # moments 2, 8 and 2, 6 over 1/2, 1/2 and 3/4, 3/4
    assert steps("adam", beta1=0.5, beta2=0.5, epsilon=0.0) == pytest.approx(
        1 - 0.5 - 0.5 * (2 / 0.75) / (6 / 0.75)**0.5)
    # the second step keeps the maximum, 8
    assert steps("adam", beta1=0.5, beta2=0.5, epsilon=0.0, amsgrad=True) == pytest.approx(
        1 - 0.5 - 0.5 * (2 / 0.75) / (8 / 0.75)**0.5)
    # the sign of a mean of 0 and 4, then of 2 and 2, less half of 1 and of 0
    assert steps("lion", beta1=0.5, beta2=0.5, weight_decay=1.0) == 1 - 0.5 - 0.5 - 0.5
    assert steps("lion", beta1=0.5, beta2=0.5) == 1 - 0.5 - 0.5
    # largest 4, then 2 of the fading and 2 of the gradient
    assert steps("adamax", beta1=0.5, beta2=0.5, epsilon=0.0) == pytest.approx(
        1 - 0.5 - 0.5 * (2 / 0.75) / 2)
    # squares 8 and 6, steps 4 and then sqrt((8 + 1) / (6 + 1)) * 2 for 4 / 3
    first = 4 / 3
    assert steps("adadelta", rho=0.5, epsilon=1.0) == pytest.approx(
        1 - 0.5 * first - 0.5 * ((first**2 / 2 + 1) / (6 + 1))**0.5 * 2)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_refuse_what_they_cannot_change_and_change_nothing(name):
    update = getattr(reference, f"{name}_update")
    states = [np.zeros(3) for _ in STATES[name]]
    with pytest.raises(TypeError, match="parameter: expected a float64 ndarray"):
        update(np.ones(3, np.float32), np.ones(3), *states)
    parameter = np.ones(3)
    with pytest.raises(ValueError, match="parameter: expected the gradient's shape"):
        update(parameter, np.ones(4), *states)
    needed = {"sgd": {"momentum": 0.5}, "rmsprop": {"centered": True}, "adam": {"amsgrad": True},
              "adamw": {"amsgrad": True}}
    if name in needed:
        with pytest.raises(TypeError, match=r"\w+: expected a float64 ndarray .*got NoneType"):
            update(parameter, np.ones(3), *[*states[:-1], None], **needed[name])
    assert (parameter == 1).all() and all((state == 0).all() for state in states)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nan_in_a_gradient_is_not_hidden(name):
    parameter, states = np.ones(2), [np.zeros(2) for _ in STATES[name]]
    getattr(reference, f"{name}_update")(parameter, [np.nan, 1.0], *states)
    assert np.isnan(parameter[0]) and np.isfinite(parameter[1])


# ---- random numbers --------------------------------------------------------------

# The philox4x32-10 lines of Random123's kat_vectors: counter, key, result.
KNOWN_ANSWERS = """
00000000 00000000 00000000 00000000  00000000 00000000  6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff  ffffffff ffffffff  408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344  a4093822 299f31d0  d16cfe09 94fdcceb 5001e420 24126ea1
"""


@pytest.mark.parametrize("line", KNOWN_ANSWERS.split("\n")[1:-1])
def test_philox_known_answers(line):
    words = [int(word, 16) for word in line.split()]
    counter, key, expected = words[:4], words[4] | words[5] << 32, words[6:]
    assert reference.philox(counter, key).tolist() == expected
    assert reference.philox([[counter, counter]], key).tolist() == [[expected, expected]]


def test_dropout_keeps_its_share_and_its_mean():
    x = np.ones((500, 203))
    y = reference.dropout(x, 0.25, key=5, step=1)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 5 * (0.25 * 0.75 / x.size) ** 0.5
    assert np.array_equal(reference.dropout(x, 0.0, key=5, step=1), x)


def test_dropout_depends_on_place_and_not_on_company():
    x = np.ones((8, 50))
    y = reference.dropout(x, 0.5, key=2**63 + 1, step=9, layer=2)
    part = reference.dropout(x[3:5], 0.5, key=2**63 + 1, step=9, layer=2, first_row=3)
    assert np.array_equal(part, y[3:5])
    for other in ({"key": 1}, {"step": 10}, {"layer": 3}, {"first_row": 100}):
        arguments = {"key": 2**63 + 1, "step": 9, "layer": 2, **other}
        assert not np.array_equal(reference.dropout(x, 0.5, **arguments), y)


def test_permutation_is_one_and_prefers_no_place():
    for n in (0, 1, 2, 17):
        order = reference.permutation(n, key=3, epoch=4)
        assert order.dtype == np.int64 and sorted(order) == list(range(n))
    counts = np.zeros((4, 4))
    for epoch in range(2000):
        counts[np.arange(4), reference.permutation(4, key=3, epoch=epoch)] += 1
    assert np.abs(counts - 500).max() < 5 * (2000 * 0.25 * 0.75) ** 0.5
