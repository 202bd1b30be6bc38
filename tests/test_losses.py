"""Every loss in a network: against PyTorch, the reference, differences; settings and weights."""

from pathlib import Path

import numpy as np
import pytest

import cymlp
from cymlp import losses, reference

TOLERANCE = {"float64": 1e-10, "float32": 3e-4}
DTYPES = ["float64", "float32"]
ROWS, OUTPUTS, STEPS = 37, 6, 20


def weighted(torch, values, weight):
    """The mean over outputs and rows, by the rows' weights."""
    return (weight[:, None] * values).sum() / (weight.sum() * values.shape[1])


def elementwise(function):
    """A loss of PyTorch that gives a value for each output."""
    return lambda torch, z, t, w: weighted(torch, function(torch, z, t), w)


def numbers(random, columns):
    return random.uniform(-1, 1, (ROWS, columns))


def decisions(random, columns):
    return random.randint(0, 2, (ROWS, columns)).astype(float)


def labels(random, columns):
    return random.randint(0, columns, ROWS)


def probabilities(random, columns):
    rows = random.dirichlet(np.ones(columns), ROWS)
    rows[0] = np.eye(columns)[1]        # 0 log(0) is 0
    return rows


def cross_entropy(settings):
    def loss(torch, z, t, w):
        options = {name: torch.tensor(value, dtype=z.dtype) if name == "weight" else value
                   for name, value in settings.items()}
        each = torch.nn.functional.cross_entropy(z, t, reduction="none", **options)
        share = torch.ones_like(w)
        if t.ndim == 1:
            share = share if "weight" not in options else options["weight"][t.clamp(0)]
            share = share * (t != options.get("ignore_index", -100))
        return (w * each).sum() / (w * share).sum()
    return loss


def ignored(random, columns):
    return np.where(random.random(ROWS) < 0.3, -7, random.randint(0, columns, ROWS))


def gaussian(torch, z, t, w):
    k = t.shape[1]
    return weighted(torch, torch.nn.functional.gaussian_nll_loss(
        z[:, :k], t, z[:, k:].exp(), eps=1e-300, reduction="none"), w)


def quantiles(torch, z, t, w):
    q = torch.tensor([0.1, 0.5, 0.9] * (z.shape[1] // 3), dtype=z.dtype)
    d = t.repeat_interleave(3, dim=1) - z
    return weighted(torch, torch.maximum(q * d, (q - 1) * d), w)


def pinball(torch, z, t):
    return torch.maximum(0.3 * (t - z), -0.7 * (t - z))


def hinge(torch, z, t):
    return (1 - torch.where(t > 0, 1.0, -1.0) * z).clamp(min=0)


def focal(torch, z, t):
    """As in torchvision.ops.sigmoid_focal_loss."""
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction="none")
    right = torch.sigmoid(z) * t + torch.sigmoid(-z) * (1 - t)
    return (0.25 * t + 0.75 * (1 - t)) * (1 - right) ** 2 * entropy


def of_torch(name, **settings):
    return elementwise(lambda torch, z, t: getattr(torch.nn.functional, name)(
        z, t, reduction="none", **{key: torch.tensor(value, dtype=z.dtype)
                                   if isinstance(value, list) else value
                                   for key, value in settings.items()}))


def divergence(torch, z, t, w):
    each = torch.nn.functional.kl_div(z.log_softmax(1), t, reduction="none").sum(dim=1)
    return (w * each).sum() / w.sum()


BCE = "binary_cross_entropy_with_logits"
PER_OUTPUT = [0.5, 1.0, 2.0, 3.0, 0.0, 1.5]
SETTINGS = {"label_smoothing": 0.1, "class_weight": PER_OUTPUT}
AS_TORCH = {"label_smoothing": 0.1, "weight": PER_OUTPUT}
# A loss, what PyTorch computes in its place, and its targets.
CASES = [
    (losses.MeanSquaredError(), of_torch("mse_loss"), numbers),
    (losses.MeanAbsoluteError(), of_torch("l1_loss"), numbers),
    (losses.HuberLoss(0.4), of_torch("huber_loss", delta=0.4), numbers),
    (losses.SmoothL1Loss(0.4), of_torch("smooth_l1_loss", beta=0.4), numbers),
    (losses.LogCosh(), elementwise(lambda torch, z, t: torch.log(torch.cosh(z - t))), numbers),
    (losses.PoissonLoss(), of_torch("poisson_nll_loss"), decisions),
    (losses.GaussianLoss(), gaussian, numbers),
    (losses.QuantileLoss(0.3), elementwise(pinball), numbers),
    (losses.QuantileLoss([0.1, 0.5, 0.9]), quantiles, numbers),
    (losses.BinaryCrossEntropy(), of_torch(BCE), decisions),
    (losses.BinaryCrossEntropy(2.5), of_torch(BCE, pos_weight=[2.5]), decisions),
    (losses.BinaryCrossEntropy(PER_OUTPUT), of_torch(BCE, pos_weight=PER_OUTPUT), decisions),
    (losses.FocalLoss(), elementwise(focal), decisions),
    (losses.Hinge(), elementwise(hinge), decisions),
    (losses.SquaredHinge(), elementwise(lambda torch, z, t: hinge(torch, z, t) ** 2), decisions),
    (losses.KullbackLeibler(), divergence, probabilities),
    (losses.CategoricalCrossEntropy(), cross_entropy({}), labels),
    (losses.CategoricalCrossEntropy(0.1), cross_entropy({"label_smoothing": 0.1}), labels),
    (losses.CategoricalCrossEntropy(**SETTINGS), cross_entropy(AS_TORCH), labels),
    (losses.CategoricalCrossEntropy(**SETTINGS), cross_entropy(AS_TORCH), probabilities),
    (losses.CategoricalCrossEntropy(class_weight=PER_OUTPUT),
     cross_entropy({"weight": PER_OUTPUT}), labels),
    (losses.CategoricalCrossEntropy(**SETTINGS, ignore_index=-7),
     cross_entropy(AS_TORCH | {"ignore_index": -7}), ignored),
]
IDS = [f"{case[0]!r}-{case[2].__name__}" for case in CASES]


def case_network(loss, dtype="float64", optimizer="adam", width=9):
    network = cymlp.Network([cymlp.Dense(width, "tanh"), cymlp.Dense(OUTPUTS)], in_features=5,
                            loss=loss, dtype=dtype, rng=3, optimizer=optimizer)
    random = np.random.RandomState(7)       # its numbers never change
    for name, array in network.parameters.items():
        network.parameters[name] = random.uniform(-0.6, 0.6, array.shape).astype(np.float32)
    return network


def case_data(loss, targets, rows=ROWS):
    random = np.random.RandomState(11)
    X = random.uniform(-2, 2, (ROWS, 5)).astype(np.float32).astype(float)
    y = targets(random, loss.target_features(OUTPUTS))
    y = y.astype(np.float32).astype(float) if y.dtype.kind == "f" else y
    weight = random.uniform(0.1, 2, ROWS).astype(np.float32).astype(float)
    repeats = -(-rows // ROWS)
    return (np.tile(X, (repeats, 1))[:rows], np.concatenate([y] * repeats)[:rows],
            np.tile(weight, repeats)[:rows])


def torch_curve(network, function, X, y, weight, dtype):
    """Losses and parameters of steps that start where the network stands."""
    torch = pytest.importorskip("torch")
    real = getattr(torch, dtype)
    parameters = {name: torch.tensor(np.array(array), dtype=real, requires_grad=True)
                  for name, array in network.parameters.items()}
    optimizer = torch.optim.Adam(parameters.values())
    X, w = torch.tensor(X, dtype=real), torch.tensor(weight, dtype=real)
    t = torch.tensor(y) if y.ndim == 1 else torch.tensor(y, dtype=real)
    found, gradients = [], None
    for _ in range(STEPS):
        optimizer.zero_grad()
        hidden = torch.tanh(X @ parameters["0.weight"] + parameters["0.bias"])
        loss = function(torch, hidden @ parameters["1.weight"] + parameters["1.bias"], t, w)
        loss.backward()
        gradients = gradients or {name: p.grad.numpy().copy() for name, p in parameters.items()}
        optimizer.step()
        found.append(loss.item())
    return np.array(found), gradients, {n: p.detach().numpy() for n, p in parameters.items()}


def test_the_cases_know_every_loss():
    assert {type(loss) for loss, _, _ in CASES} == set(losses.LOSSES)


@pytest.mark.parametrize("with_weights", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, function, targets", CASES, ids=IDS)
def test_gradients_and_twenty_steps_follow_torch(loss, function, targets, dtype, with_weights):
    network = case_network(loss, dtype)
    X, y, weight = case_data(loss, targets)
    given = weight if with_weights else None
    expected, slopes, parameters = torch_curve(
        network, function, X, y, weight if with_weights else np.ones(ROWS), dtype)
    value, gradients = network.gradients(X, y, given)
    assert network.evaluate(X, y, given)["loss"] == pytest.approx(value, rel=1e-6)
    assert value == pytest.approx(expected[0], rel=TOLERANCE[dtype])
    got = [network.train_step(X, y, given) for _ in range(STEPS)]
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype])
    for name, array in parameters.items():
        for mine, theirs in ((gradients[name], slopes[name]), (network.parameters[name], array)):
            assert np.abs(mine - theirs).mean() <= TOLERANCE[dtype] * np.abs(theirs).mean(), name


@pytest.mark.parametrize("with_weights", [False, True])
@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_twenty_steps_follow_the_recorded_curve(number, with_weights):
    """As PyTorch went in float64 (data/record_losses.py)."""
    loss, _, targets = CASES[number]
    X, y, weight = case_data(loss, targets)
    with np.load(Path(__file__).with_name("data") / "losses.npz") as file:
        expected = file[f"{IDS[number]}/{with_weights}"]
    for dtype in DTYPES:
        network = case_network(loss, dtype)
        got = [network.train_step(X, y, weight if with_weights else None) for _ in range(STEPS)]
        np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, function, targets", CASES, ids=IDS)
def test_every_step_is_the_reference_s(loss, function, targets, dtype):
    X, y, weight = case_data(loss, targets, rows=300)
    weight[::5] = 0
    for w in (None, weight):
        for step in reference.compare(case_network(loss, dtype), X, y, w):
            assert step.agrees, str(step)


@pytest.mark.parametrize("loss, function, targets", CASES, ids=IDS)
def test_gradients_against_differences(loss, function, targets):
    network = case_network(loss)
    X, y, weight = case_data(loss, targets)
    weight[::5] = 0
    _, gradients = network.gradients(X, y, weight)
    random = np.random.default_rng(5)
    for name, gradient in gradients.items():
        start, step = network.parameters[name], 1e-6
        direction = random.standard_normal(gradient.shape) + gradient / np.abs(gradient).max()
        slope = 0.0
        for sign in (1, -1):
            network.parameters[name] = start + sign * step * direction
            slope += sign * network.gradients(X, y, weight)[0] / (2 * step)
        network.parameters[name] = start
        terms = np.sqrt(np.square(gradient * direction).sum())
        assert abs((gradient * direction).sum() - slope) <= 1e-6 * max(abs(slope), terms)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, function, targets", CASES, ids=IDS)
def test_rows_of_weight_zero_leave_no_trace(loss, function, targets, dtype):
    X, y, weight = case_data(loss, targets)
    weight[[1, 7, 30]] = 0
    with_nan = X.copy()
    with_nan[[1, 7, 30]] = np.nan
    kept = weight != 0
    network, twin = case_network(loss, dtype), case_network(loss, dtype)
    value, gradients = network.gradients(with_nan, y, weight)
    expected, slopes = twin.gradients(X[kept], y[kept], weight[kept])
    assert value == pytest.approx(expected, rel=1e-6)
    for name, slope in slopes.items():
        assert np.abs(gradients[name] - slope).max() <= 1e-6 * np.abs(slope).max()
    assert network.evaluate(with_nan, y, weight) == pytest.approx(
        network.evaluate(X[kept], y[kept], weight[kept]), rel=1e-6)


@pytest.mark.parametrize("loss, function, targets", CASES, ids=IDS)
def test_fit_saves_and_loads(loss, function, targets, tmp_path):
    network = case_network(loss, "float32")
    X, y, weight = case_data(loss, targets, rows=300)
    history = network.fit(X, y, sample_weight=weight, epochs=3, batch_size=64)
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history[loss.metric]).all()
    network.save(tmp_path / "net.safetensors")
    twin = cymlp.load(tmp_path / "net.safetensors")
    assert twin.loss == loss and twin.evaluate(X, y) == network.evaluate(X, y)
    assert network.predict(X).tobytes() == twin.predict(X).tobytes()


def test_poisson_predicts_rates_and_gaussian_variances():
    X, y, _ = case_data(losses.PoissonLoss(), decisions)
    network = case_network("poisson")
    np.testing.assert_allclose(network.predict(X), np.exp(network.forward(X)), rtol=1e-14)
    assert network.evaluate(X, y)["mean_absolute_error"] == pytest.approx(
        np.abs(network.predict(X) - y).mean(), rel=1e-13)
    network = case_network("gaussian")
    found, logits = network.predict(X), network.forward(X)
    np.testing.assert_array_equal(found[:, :3], logits[:, :3])
    np.testing.assert_allclose(found[:, 3:], np.exp(logits[:, 3:]), rtol=1e-14)
    y = y[:, :3]
    assert network.evaluate(X, y)["mean_absolute_error"] == pytest.approx(
        np.abs(found[:, :3] - y).mean(), rel=1e-13)


def test_hinge_takes_both_forms_of_labels():
    X, y, _ = case_data(losses.Hinge(), decisions)
    network = case_network("hinge")
    assert network.evaluate(X, y) == network.evaluate(X, 2 * y - 1)
    found = (network.predict(X) > 0) == (y > 0)
    assert network.evaluate(X, y)["accuracy"] == found.all(axis=1).mean()


@pytest.mark.parametrize("name, y, message", [
    ("hinge", 0.5, "y: expected -1 or 0 or 1, got"), ("hinge", 2, "y: expected -1 or 0 or 1"),
    ("focal", -1, "y: expected 0 or 1, got"), ("focal", 0.5, "y: expected 0 or 1, got"),
    ("poisson", -1, "y: expected values of at least 0, got"),
    ("kullback_leibler", 1.5, "y: expected values from 0 to 1, got"),
    ("huber", np.nan, "y: expected numbers that are not NaN, got"),
])
def test_bad_targets_are_named(name, y, message):
    network = case_network(name)
    before = network._progress()
    for call in (network.train_step, network.evaluate, network.fit, network.gradients):
        with pytest.raises(ValueError, match=message):
            call(np.zeros((2, 5)), [[0] * 5 + [0], [0] * 5 + [y]])
    assert network._progress() == before


@pytest.mark.parametrize("loss, message", [
    (losses.GaussianLoss(), "layers: expected 2 outputs for each target .*, got 5 outputs"),
    (losses.QuantileLoss([0.1, 0.9]), "layers: expected 2 outputs for each target.*got 5"),
    (losses.HuberLoss([1, 2]), "delta: expected one number, or 5 of them.*got 2"),
    (losses.BinaryCrossEntropy([1, 2]), "pos_weight: expected one number, or 5 of them.*got 2"),
    (losses.CategoricalCrossEntropy(class_weight=[1, 2]), "class_weight: expected 5 numbers"),
])
def test_a_loss_that_cannot_fit_the_outputs_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        cymlp.mlp(3, [4], 5, loss=loss)


def test_targets_of_another_width_are_refused():
    for loss, shape in ((losses.GaussianLoss(), r"\(2, 3\)"),
                        (losses.QuantileLoss([0.1, 0.5, 0.9]), r"\(2, 2\)")):
        with pytest.raises(ValueError, match=rf"y: expected shape {shape}, got shape \(2, 6\)"):
            case_network(loss).train_step(np.zeros((2, 5)), np.zeros((2, 6)))


def test_a_task_with_its_loss_otherwise_set():
    loss = losses.CategoricalCrossEntropy(label_smoothing=0.1)
    network = cymlp.mlp(3, [4], 5, task="multiclass", loss=loss)
    assert network.task == "multiclass" and network.copy().loss == loss
    with pytest.raises(ValueError, match="loss: expected MeanSquaredError for task 'regression'"):
        cymlp.mlp(3, [4], 5, task="regression", loss=loss)


# ---- weights of classes -----------------------------------------------------------------


def weighted_rows(y, weights, sample_weight=None):
    found = np.asarray(weights)[np.asarray(y, int)]
    return found if sample_weight is None else found * sample_weight


@pytest.mark.parametrize("class_weight", [[1, 2, 0.5, 0, 3, 1], {1: 2, 2: 0.5, 3: 0, 4: 3},
                                          np.array([1, 2, 0.5, 0, 3, 1], np.float32)])
@pytest.mark.parametrize("form", ["labels", "one-hot"])
def test_class_weight_is_the_weight_of_rows(class_weight, form):
    X, y, weight = case_data(losses.CategoricalCrossEntropy(), labels)
    target = y if form == "labels" else np.eye(OUTPUTS)[y]
    factors = [1, 2, 0.5, 0, 3, 1]
    for w in (None, weight):
        network, twin = [case_network("categorical_cross_entropy") for _ in range(2)]
        rows = weighted_rows(y, factors, w)
        assert (network.evaluate(X, target, w, class_weight=class_weight)
                == twin.evaluate(X, target, rows))
        found = network.gradients(X, target, w, class_weight=class_weight)
        assert found[0] == twin.gradients(X, target, rows)[0]
        assert (network.train_step(X, target, w, class_weight=class_weight)
                == twin.train_step(X, target, rows))
        settings = {"epochs": 2, "batch_size": 10}
        network.fit(X, target, sample_weight=w, class_weight=class_weight, **settings)
        twin.fit(X, target, sample_weight=rows, **settings)
        assert network._progress() == twin._progress()


def test_balanced_is_scikit_learn_s():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    X, y, _ = case_data(losses.CategoricalCrossEntropy(), labels)
    y[y == 3] = 1       # a class that does not occur
    present = np.unique(y)
    factors = np.zeros(OUTPUTS)
    factors[present] = compute("balanced", classes=present, y=y)
    network = case_network("categorical_cross_entropy")
    assert (network.evaluate(X, y, class_weight="balanced")
            == network.evaluate(X, y, weighted_rows(y, factors)))


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "focal", "hinge", "squared_hinge"])
def test_class_weight_of_one_output(loss):
    X, y, _ = case_data(losses.Hinge(), decisions)
    network = cymlp.mlp(5, [4], 1, loss=loss, rng=0)
    y = y[:, 0]
    for target in (y, y[:, None], y.astype(bool)):
        assert (network.evaluate(X, target, class_weight={1: 3})
                == network.evaluate(X, target, weighted_rows(y, [1, 3])))
    if "hinge" in loss:
        assert (network.evaluate(X, 2 * y - 1, class_weight=[2, 3])
                == network.evaluate(X, y, weighted_rows(y, [2, 3])))


def test_validation_has_no_class_weight():
    X, y, _ = case_data(losses.CategoricalCrossEntropy(), labels)
    network = case_network("categorical_cross_entropy")
    history = network.fit(X, y, epochs=1, class_weight=[1, 2, 0.5, 0, 3, 1], validation_split=0.3)
    assert history["val_loss"] == [network.evaluate(X[26:], y[26:])["loss"]]


@pytest.mark.parametrize("loss, class_weight, error, message", [
    ("categorical_cross_entropy", "even", ValueError, "expected 'balanced', a dict or 6 numbers"),
    ("categorical_cross_entropy", {6: 1.0}, ValueError, "expected an integer of at most 5, got 6"),
    ("categorical_cross_entropy", {"a": 1.0}, TypeError, "expected an integer, got 'a'"),
    ("categorical_cross_entropy", {1: -1.0}, ValueError, r"class_weight\[1\]: expected a number"),
    ("categorical_cross_entropy", [1, 2], ValueError, r"expected shape \(6,\).*got shape \(2,\)"),
    ("categorical_cross_entropy", [1, 1, 1, 1, 1, np.nan], ValueError, "finite .*, got nan"),
    ("mean_squared_error", [1, 2], ValueError, "'mean_squared_error' has no classes"),
    ("binary_cross_entropy", [1, 2], ValueError, "got 6 of them"),
])
def test_bad_class_weights_are_named(loss, class_weight, error, message):
    network = case_network(loss)
    y = np.zeros((2, 6))
    for call in (network.train_step, network.evaluate, network.fit, network.gradients):
        with pytest.raises(error, match=f"class_weight.*{message}|{message}"):
            call(np.zeros((2, 5)), y, class_weight=class_weight)


def test_ignored_labels_count_as_rows_of_weight_zero():
    loss = losses.CategoricalCrossEntropy(ignore_index=-7)
    X, y, _ = case_data(loss, ignored)
    network, kept = case_network(loss), y != -7
    assert network.evaluate(X, y) == pytest.approx(network.evaluate(X[kept], y[kept]), rel=1e-13)
    counted = network.evaluate(X[kept], y[kept], class_weight="balanced")
    assert network.evaluate(X, y, class_weight="balanced") == pytest.approx(counted, rel=1e-13)
    assert network.train_step(X, np.full(ROWS, -7)) == 0.0
    for labels_of_batch in (np.zeros(ROWS, int), y, np.zeros(ROWS, int), y):
        assert network.train_step(X, labels_of_batch) > 0       # also after one without any
    with pytest.raises(ValueError, match="y: expected class numbers from 0 to 5, got -8"):
        network.train_step(X, np.where(y == -7, -8, y))
