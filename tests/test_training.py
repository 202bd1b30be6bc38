"""Training, held against PyTorch (live and as recorded) and the reference's run of the same plan.

The networks come from `data/record_curves.py`. Near-zero gradients deserve care: an optimizer
that divides by the gradient's size makes a whole step of what is rounding. So parameters are
compared by the mean difference of an array, from starts and data where few gradients are small.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import cymlp
from cymlp import reference
from cymlp.layers import activation_rows
from cymlp.optimizers import CLASSES

DATA = Path(__file__).with_name("data")
_spec = importlib.util.spec_from_file_location("record_curves", DATA / "record_curves.py")
curves = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(curves)

TOLERANCE = {"float64": 1e-10, "float32": 3e-4}
WIDEST, MOST_ROWS = 300, 600
LIVE = range(len(curves.GOALS) * len(curves.OPTIMIZERS))    # every goal with every optimizer
DTYPES = ("float64", "float32")


def make_network(case, dtype):
    """The network of a case at its start."""
    layers = []
    for units, name, slope, bias, apart in case.layers:
        activation = cymlp.Activation(name, slope=slope)
        layers.append(cymlp.Dense(units, "identity" if apart else activation, bias=bias))
        if apart:
            layers.append(activation)
    kind, settings = case.optimizer
    network = cymlp.Network(
        layers, in_features=case.in_features, task=case.task, dtype=dtype, rng=0,
        optimizer=getattr(cymlp, kind)(**settings))
    for name, array in curves.start(case).items():
        network.parameters[name] = array
    return network


def engine_curve(case, dtype):
    network = make_network(case, dtype)
    batch = curves.data(case)
    losses = np.array([network.train_step(*batch) for _ in range(curves.STEPS)])
    return losses, dict(network.parameters)


def reference_curve(case):
    """Twenty steps of the reference by the network's own plan."""
    network = make_network(case, "float64")
    X, y, weight = curves.data(case)
    plan = network._program("train", len(X), case.target == "labels", weight is not None).plan
    parameters, states = curves.start(case), {}
    losses = [reference.run_plan(plan, parameters, X, y, weight, step=step + 1,
                                 optimizer=network.optimizer, states=states).loss
              for step in range(curves.STEPS)]
    return np.array(losses), parameters


def worst_difference(got, expected):
    """The largest relative difference of a loss, or mean relative one of a parameter array."""
    losses, parameters = got
    expected_losses, expected_parameters = expected
    assert parameters.keys() == expected_parameters.keys()
    # A loss that has gone to nearly nothing is all rounding.
    floor = 1e-6 * expected_losses[0]
    worst = (np.abs(losses - expected_losses) / np.maximum(expected_losses, floor)).max()
    for name, array in expected_parameters.items():
        assert parameters[name].shape == array.shape
        difference = np.abs(parameters[name].astype(np.float64) - array).mean()
        worst = max(worst, difference / np.abs(array.astype(np.float64)).mean())
    return worst


def test_the_cases_know_every_optimizer():
    assert {kind for kind, _ in curves.OPTIMIZERS} == {cls.__name__ for cls in CLASSES}


def test_the_cases_know_every_activation():
    assert set(curves.ACTIVATIONS) == set(activation_rows())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", LIVE)
def test_twenty_steps_follow_torch(seed, dtype):
    pytest.importorskip("torch")
    case = curves.make_case(seed, WIDEST, MOST_ROWS)
    difference = worst_difference(engine_curve(case, dtype), curves.torch_curve(case, dtype))
    assert difference <= TOLERANCE[dtype], str(case)


@pytest.fixture(scope="module")
def recorded():
    with np.load(DATA / "curves.npz") as file:
        return dict(file)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", curves.RECORDED)
def test_twenty_steps_follow_the_recorded_curve(seed, dtype, recorded):
    case = curves.make_case(seed, curves.RECORDED_WIDTH, curves.RECORDED_ROWS)
    expected = {name: recorded[f"{seed}/{name}"] for name in curves.start(case)}
    difference = worst_difference(engine_curve(case, dtype),
                                  (recorded[f"{seed}/losses"], expected))
    assert difference <= TOLERANCE[dtype], str(case)


@pytest.mark.parametrize("seed", range(100, 130))
def test_twenty_steps_follow_the_reference(seed):
    case = curves.make_case(seed, WIDEST, MOST_ROWS)
    difference = worst_difference(engine_curve(case, "float64"), reference_curve(case))
    assert difference <= TOLERANCE["float64"], str(case)


# ---- forms of targets, weights and batches ---------------------------------------------

# (task, outputs); what `targets` gives for each is below.
TASKS = [("regression", 1), ("regression", 4), ("binary", 1), ("multilabel", 5),
         ("multiclass", 6)]
ROWS = [1, 2, 7, 128, 129, 256, 257, 700]   # a chunk of a small network has 256 rows


def small_network(task, outputs, dtype="float64", optimizer="adam"):
    layers = [cymlp.Dense(9, "tanh"), cymlp.Dropout(0.3), cymlp.Dense(7, "silu"),
              cymlp.Dense(outputs)]
    return cymlp.Network(layers, in_features=5, task=task, dtype=dtype, rng=4,
                         optimizer=optimizer)


def targets(task, outputs, rows, random):
    """Every form of targets that the task takes."""
    if task == "regression":
        dense = random.standard_normal((rows, outputs))
        return [dense, dense[:, 0]] if outputs == 1 else [dense]
    if task == "multiclass":
        labels = random.integers(0, outputs, rows)
        soft = random.dirichlet(np.ones(outputs), rows)
        return [labels, labels.astype(np.uint8)[:, None], np.eye(outputs)[labels], soft]
    dense = random.integers(0, 2, (rows, outputs))
    return [dense, dense[:, 0] != 0, random.uniform(0, 1, rows)] if outputs == 1 else [dense]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("task, outputs", TASKS)
def test_loss_and_gradients_are_the_reference_s(task, outputs, rows, dtype):
    random = np.random.default_rng(rows)
    network = small_network(task, outputs, dtype)
    X = random.standard_normal((rows, 5)).astype(dtype)
    weight = random.uniform(0, 2, rows) * (random.random(rows) < 0.8) + 1e-3
    tolerance = 64 * np.finfo(dtype).eps
    for y in targets(task, outputs, rows, random):
        for w in (None, weight.astype(dtype)):
            loss, gradients = network.gradients(X, y, w)
            run = reference.run_plan(network._gradient_plan(X, y, w), network.parameters, X, y, w,
                                     key=network._engine.key, step=network._engine.step + 1)
            assert abs(loss - run.loss) <= tolerance * abs(run.loss)
            for name, gradient in run.gradients.items():
                assert gradients[name].shape == gradient.shape
                error = np.abs(gradients[name] - gradient).max() / np.abs(gradient).max()
                assert error <= 4 * tolerance, name


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("task, outputs", TASKS)
def test_training_steps_of_every_batch_size_are_the_reference_s(task, outputs, rows):
    random = np.random.default_rng(rows)
    network = small_network(task, outputs)
    X = random.standard_normal((rows, 5))
    y, weight = targets(task, outputs, rows, random)[0], random.uniform(0.1, 2, rows)
    labels = task == "multiclass"
    plan = network._program("train", rows, labels, True).plan
    parameters = {name: np.array(array) for name, array in network.parameters.items()}
    states = {}
    for step in range(1, 4):
        run = reference.run_plan(plan, parameters, X, y, weight, key=network._engine.key,
                                 step=step, optimizer=network.optimizer, states=states)
        assert network.train_step(X, y, weight) == pytest.approx(run.loss, rel=1e-12)
    for name, array in parameters.items():
        np.testing.assert_allclose(network.parameters[name], array, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("task, outputs", TASKS)
def test_evaluate_forward_and_predict_are_the_reference_s(task, outputs):
    random = np.random.default_rng(1)
    network = small_network(task, outputs)
    X = random.standard_normal((450, 5))
    for y in targets(task, outputs, 450, random):
        labels = task == "multiclass" and y.dtype.kind != "f"
        plan = network._program("evaluate", 450, labels, False, True).plan
        run = reference.run_plan(plan, network.parameters, X, y)
        found = network.evaluate(X, y)
        assert found["loss"] == pytest.approx(run.loss, rel=1e-13)
        assert found[network.loss.metric] == pytest.approx(run.metric, rel=1e-13)
    for kind in ("forward", "predict"):
        run = reference.run_plan(network.plan_for(kind, 450), network.parameters, X)
        np.testing.assert_allclose(getattr(network, kind)(X), run.buffers["output"],
                                   rtol=1e-12, atol=1e-14)


def losses_of(network, X, y, weight=None):
    return np.array([network.train_step(X, y, weight) for _ in range(5)])


def test_labels_in_any_form_train_alike():
    random = np.random.default_rng(2)
    X, labels = random.standard_normal((300, 5)), random.integers(0, 6, 300)
    expected = losses_of(small_network("multiclass", 6), X, labels)
    for y in (labels[:, None], labels.astype(np.int8), np.eye(6)[labels],
              np.eye(6, dtype=bool)[labels]):
        np.testing.assert_allclose(losses_of(small_network("multiclass", 6), X, y), expected,
                                   rtol=1e-12)
    y = random.standard_normal(300)
    np.testing.assert_array_equal(losses_of(small_network("regression", 1), X, y),
                                  losses_of(small_network("regression", 1), X, y[:, None]))


@pytest.mark.parametrize("task, outputs", TASKS)
def test_a_row_s_weight_is_how_often_it_counts(task, outputs):
    random = np.random.default_rng(3)
    network = cymlp.Network([cymlp.Dense(6, "tanh"), cymlp.Dense(outputs)], in_features=5,
                            task=task, dtype="float64", rng=0)
    X, often = random.standard_normal((200, 5)), random.integers(0, 4, 200)
    y = targets(task, outputs, 200, random)[0]
    loss, gradients = network.gradients(X, y, often)
    repeated = network.gradients(np.repeat(X, often, axis=0), np.repeat(y, often, axis=0))
    assert loss == pytest.approx(repeated[0], rel=1e-13)
    for name, gradient in repeated[1].items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-10, atol=1e-15)


def test_weights_of_zero_alone_give_no_loss_and_no_step():
    network = cymlp.mlp(5, [4], 3, task="multiclass", optimizer=cymlp.SGD(0.1), rng=0)
    before = dict(network.parameters)
    assert network.train_step(np.ones((4, 5)), [0, 1, 2, 0], np.zeros(4)) == 0.0
    for name, array in before.items():
        np.testing.assert_array_equal(network.parameters[name], array)


@pytest.mark.parametrize("drop_last", [False, True])
def test_epochs_are_the_reference_s_steps_in_its_order(drop_last):
    random = np.random.default_rng(5)
    network = small_network("multilabel", 5, optimizer=cymlp.RMSprop(1e-3, momentum=0.5))
    X, weight = random.standard_normal((300, 5)), random.uniform(0.1, 2, 300)
    y = targets("multilabel", 5, 300, random)[0]
    key, plan = network._engine.key, network._program("train", 64, False, True).plan
    parameters = {name: np.array(array) for name, array in network.parameters.items()}
    states, step, expected = {}, 0, []
    for epoch in range(2):
        order, total = reference.permutation(300, key=key, epoch=epoch), []
        for first in range(0, 256 if drop_last else 300, 64):
            rows, step = order[first:first + 64], step + 1
            run = reference.run_plan(plan, parameters, X[rows], y[rows], weight[rows], key=key,
                                     step=step, optimizer=network.optimizer, states=states)
            total.append((run.loss * weight[rows].sum(), weight[rows].sum()))
        expected.append(np.divide(*np.sum(total, axis=0)))
    history = network.fit(X, y, sample_weight=weight, epochs=2, batch_size=64,
                          drop_last=drop_last)
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-12)
    for name, array in parameters.items():
        np.testing.assert_allclose(network.parameters[name], array, rtol=1e-9, atol=1e-11)


# ---- the steps of a plan ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(200, 225))
def test_no_step_of_a_plan_differs(seed):
    case = curves.make_case(seed, WIDEST, MOST_ROWS)
    for dtype in DTYPES:
        for step in reference.compare(make_network(case, dtype), *curves.data(case)):
            assert step.agrees, f"{case}: {step}"


def test_compare_names_the_step_that_differs():
    class Faulty:
        """A network whose engine makes one mistake in the buffer of the second layer."""

        def __init__(self, network):
            self._network = network

        def __getattr__(self, name):
            return getattr(self._network, name)

        def _gradients(self, *arguments):
            loss, gradients, buffers = self._network._gradients(*arguments)
            buffers["1.output"][3, 2] *= 1.0001
            return loss, gradients, buffers

    random = np.random.default_rng(6)
    layers = [cymlp.Dense(9, "tanh"), cymlp.Dense(7, "sigmoid"), cymlp.Dropout(0.2),
              cymlp.Dense(1)]
    network = cymlp.Network(layers, in_features=5, task="binary", rng=0)
    X, y = random.standard_normal((20, 5)), random.integers(0, 2, 20)
    assert all(step.agrees for step in reference.compare(network, X, y))
    first = next(step for step in reference.compare(Faulty(network), X, y) if not step.agrees)
    assert first.result == "1.output" and first.text.startswith("1.output = dense_forward(")
    assert first.error == pytest.approx(1e-4, rel=0.9)
