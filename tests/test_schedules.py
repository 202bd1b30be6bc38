"""Schedules against PyTorch, scikit-learn and formulas, and in the engine."""

import dataclasses
import importlib
import math
import pickle
import warnings

import numpy as np
import pytest

import cymlp
from cymlp import kernels, schedules, specs
from cymlp.schedules import Constant, Cosine, Exponential, MultiStep, OneCycle, Polynomial, Warmup

# A schedule, PyTorch's own by its name and arguments, and the first place past its length.
SAME_AS_TORCH = [
    (Constant(), "ConstantLR", {"factor": 1.0}, 20),
    (schedules.Step(0.3, epochs=3), "StepLR", {"step_size": 3, "gamma": 0.3}, 20),
    (MultiStep([2, 2, 7], 0.3, unit="epochs"), "MultiStepLR",
     {"milestones": [2, 2, 7], "gamma": 0.3}, 20),
    (Exponential(0.9, unit="steps"), "ExponentialLR", {"gamma": 0.9}, 50),
    (Polynomial(epochs=9), "PolynomialLR", {"total_iters": 9}, 20),
    (Polynomial(2.3, steps=9), "PolynomialLR", {"total_iters": 9, "power": 2.3}, 20),
    (Polynomial(0.5, steps=9), "PolynomialLR", {"total_iters": 9, "power": 0.5}, 20),
    (Cosine(epochs=17), "CosineAnnealingLR", {"T_max": 17}, 18),
    (Cosine(0.1, steps=100), "CosineAnnealingLR", {"T_max": 100, "eta_min": 0.1}, 101),
    (schedules.WarmRestarts(epochs=3), "CosineAnnealingWarmRestarts", {"T_0": 3}, 40),
    (schedules.WarmRestarts(3, 0.1, steps=2), "CosineAnnealingWarmRestarts",
     {"T_0": 2, "T_mult": 3, "eta_min": 0.1}, 100),
    (OneCycle(steps=30), "OneCycleLR", {"max_lr": 1.0, "total_steps": 30}, 30),
    (OneCycle(0.4, 0.1, 0.01, "line", epochs=31), "OneCycleLR",
     {"max_lr": 1.0, "total_steps": 31, "pct_start": 0.4, "anneal_strategy": "linear",
      "div_factor": 10, "final_div_factor": 10}, 31),
    (Warmup(epochs=5), "LinearLR", {}, 20),
    (Warmup(start=0.0, steps=4), "LinearLR", {"start_factor": 1e-12, "total_iters": 4}, 20),
]
EXAMPLES = [schedule for schedule, *_ in SAME_AS_TORCH] + [
    schedules.InverseScaling(), schedules.InverseScaling(0.7, unit="steps"),
    schedules.CosLog4(epochs=20),
    Warmup(Cosine(0.1, epochs=4), steps=7), Warmup(MultiStep([3], unit="steps"), 0.2, epochs=2)]


def factors(schedule, count, rows=0):
    """Of steps and epochs alike: only what the schedule counts matters."""
    return np.array([schedule.factor(step=t, epoch=t, rows=rows) for t in range(count)])


@pytest.mark.parametrize("schedule, name, arguments, count", SAME_AS_TORCH, ids=repr)
def test_rates_are_torch_s(schedule, name, arguments, count):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(torch.optim.lr_scheduler, name)(optimizer, **arguments)
        expected = []
        for _ in range(count):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if len(expected) < count:
                theirs.step()
    np.testing.assert_allclose(factors(schedule, count), expected, rtol=1e-13, atol=1e-12)


def test_every_schedule_is_tested_here():
    assert {type(schedule) for schedule in EXAMPLES} == set(schedules.SCHEDULES)
    assert tuple(cls.__name__ for cls in schedules.SCHEDULES) == schedules.KINDS


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 1.0, 1.7, 20.25])
def test_inverse_scaling_is_scikit_learn_s(power):
    t = np.arange(0, 100_000, 997)
    found = [schedules.InverseScaling(power, unit="steps").factor(step=int(step)) for step in t]
    np.testing.assert_allclose(found, (t + 1.0) ** -power, rtol=2e-13)
    by_rows = [schedules.InverseScaling(power).factor(epoch=epoch, rows=150)
               for epoch in range(5)]
    np.testing.assert_allclose(by_rows, (150.0 * np.arange(5) + 1) ** -power, rtol=2e-13)


def test_coslog4_is_its_formula():
    t = np.minimum(np.arange(1200) / 1000, 1)
    expected = (1 - np.cos(2 * math.pi * np.log2(1 + 15 * t))) / 2
    np.testing.assert_allclose(factors(schedules.CosLog4(steps=1000), 1200), expected, atol=1e-14)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_every_level_gives_the_same_bits(schedule):
    numbers = np.array(schedule.numbers()).tobytes()
    for level in kernels.levels:
        factor = kernels.module("schedules", level).factor
        for t in range(200):
            assert factor(numbers, t, t, 150) == schedule.factor(step=t, epoch=t, rows=150)


def test_a_warm_up_multiplies_what_follows():
    found = factors(Warmup(Cosine(epochs=10), start=0.25, epochs=4), 12)
    rise = 0.25 + 0.75 * np.minimum(np.arange(12) / 4, 1)
    np.testing.assert_allclose(found, rise * factors(Cosine(epochs=10), 12), rtol=1e-15)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_schedules_are_values_that_can_be_kept(schedule):
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert eval(repr(schedule), vars(schedules)) == schedule
    optimizer = cymlp.Adam(0.01, schedule=schedule)
    assert specs.from_dict(specs.to_dict(optimizer), "optimizer") == optimizer
    assert "schedule" not in optimizer.hyper() and optimizer.hyper()["learning_rate"] == 0.01


@pytest.mark.parametrize("make, error, message", [
    (lambda: Cosine(), ValueError, "epochs: expected one of epochs and steps"),
    (lambda: Cosine(epochs=1, steps=1), ValueError, "epochs: expected one of epochs and steps"),
    (lambda: Cosine(epochs=0), ValueError, "epochs: .* at least 1, got 0"),
    (lambda: Cosine(steps=1.5), TypeError, "steps: expected an integer, got 1.5"),
    (lambda: Cosine(2.0, steps=1), ValueError, "end: .*<= 1, got 2.0"),
    (lambda: Exponential(0.5, unit="rows"), ValueError, "unit: expected 'steps' or 'epochs'"),
    (lambda: MultiStep(3, unit="steps"), TypeError, "at: expected a sequence of integers, got 3"),
    (lambda: MultiStep([-1], unit="steps"), ValueError, r"at\[0\]: .* at least 0"),
    (lambda: OneCycle(0.1, steps=10), ValueError, "rise: expected a share of the length"),
    (lambda: Warmup("cosine", steps=3), TypeError, "then: expected a schedule"),
    (lambda: Warmup(Warmup(steps=3), steps=3), ValueError, "then: expected another schedule"),
    (lambda: cymlp.SGD(0.1, schedule=0.5), TypeError, "schedule: expected a schedule such as"),
    (lambda: schedules.Step(epochs=2).factor(step=-1), ValueError, "step: expected an integer"),
    (lambda: cymlp.ReduceOnPlateau(rate=1.0), ValueError, "rate: .*< 1"),
    (lambda: cymlp.RateFunction(3), TypeError, "function: expected a function"),
])
def test_bad_values_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- in the engine ----------------------------------------------------------------------------

RANDOM = np.random.default_rng(3)
X, Y = RANDOM.normal(size=(50, 4)), RANDOM.normal(size=(50, 2))


def network(optimizer, **settings):
    return cymlp.Network([cymlp.Dense(5, "tanh"), cymlp.Dense(2)], in_features=4, rng=1,
                         task="regression", dtype="float64", optimizer=optimizer, **settings)


def bits(net):
    return b"".join(array.tobytes() for array in net.parameters.values())


def rates_used(schedule, epochs, **settings):
    """The learning rate of every step, by what is left of a parameter under decay alone."""
    optimizer = cymlp.AdamW(0.5, weight_decay=1.0, schedule=schedule, epsilon=1e9)
    net, found = network(optimizer, **settings), []

    class Watch(cymlp.Callback):
        def on_train_begin(self, net):
            self.last = net.parameters["0.weight"][0, 0]

        def on_batch_end(self, net, step, logs):
            now = net.parameters["0.weight"][0, 0]
            found.append(1 - now / self.last)
            self.last = now

    net.fit(X, Y, epochs=epochs, batch_size=20, callbacks=[Watch()])
    return np.array(found)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_every_step_has_its_rate(schedule):
    expected = [0.5 * schedule.factor(step=step, epoch=step // 3, rows=50) for step in range(12)]
    np.testing.assert_allclose(rates_used(schedule, 4), expected, rtol=1e-6, atol=1e-6)


def test_steps_are_those_of_the_optimizer():
    schedule = Exponential(0.5, unit="steps")
    found = rates_used(schedule, 2, update=cymlp.update.Update(accumulate=3))
    np.testing.assert_allclose(found, [0, 0, 0.5, 0, 0, 0.25], atol=1e-6)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_many_epochs_in_one_call_are_single_epochs_and_steps(schedule):
    together, apart, stepped = (network(cymlp.Adam(0.1, schedule=schedule)) for _ in range(3))
    together.fit(X, Y, epochs=5, batch_size=20)
    for _ in range(5):
        apart.fit(X, Y, epochs=1, batch_size=20)
    assert bits(together) == bits(apart) == bits(pickle.loads(pickle.dumps(apart)))
    # Steps by hand: an epoch counts where it is a call's.
    for step in range(4):
        twin = stepped._twin(dataclasses.replace(
            stepped.optimizer, schedule=None, learning_rate=0.1 * schedule.factor(step=step)))
        stepped.train_step(X, Y)
        twin.train_step(X, Y)
        assert bits(twin) == bits(stepped)


def test_a_schedule_changes_what_is_learnt_and_groups_follow_it():
    plain = network(cymlp.SGD(0.1))
    scheduled = network(cymlp.SGD(0.2, schedule=schedules.Step(0.5, steps=1)))
    groups = [cymlp.update.Group("*", learning_rate_factor=0.5)]
    grouped = network(scheduled.optimizer, update=cymlp.update.Update(groups=groups))
    for net in (plain, scheduled, grouped):
        net.train_step(X, Y)
    assert bits(grouped) == bits(plain) != bits(scheduled)
    scheduled.train_step(X, Y)
    plain = network(cymlp.SGD(0.2))
    plain.train_step(X, Y)
    half = plain._twin(cymlp.SGD(0.1))
    half.train_step(X, Y)
    assert bits(half) == bits(scheduled)


# ---- between the epochs -----------------------------------------------------------------------

LOSSES = [1.0, 0.9, 0.95, 0.91, 0.89999, 0.8, 0.81, 0.82, 0.83, math.nan, 0.85, 0.7, 0.71, 0.72,
          0.73, 0.74, 0.75, 0.76, 0.77, 0.78, 0.79]


def plateau_factors(callback, losses):
    net, found = network(cymlp.SGD(1.0)), []
    callback.on_train_begin(net)
    for epoch, loss in enumerate(losses):
        stop = callback.on_epoch_end(net, epoch, {"loss": loss})
        assert net._engine.rate_factor == callback.factor
        found.append(callback.factor)
        if stop:
            break
        saved = callback.state()
        callback.restore(saved)
        assert callback.state() == saved
    callback.on_train_end(net)
    assert net._engine.rate_factor == 1.0
    return found


@pytest.mark.parametrize("settings", [
    {"patience": 1}, {"patience": 0, "cooldown": 2}, {"patience": 2, "threshold": 0.2},
    {"patience": 1, "threshold": 0.15, "threshold_mode": "abs"}, {"patience": 0, "mode": "max"}])
def test_plateau_is_torch_s(settings):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, min_lr=0.05, eps=0.0, **settings)
    expected = []
    for loss in LOSSES:
        theirs.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    found = plateau_factors(cymlp.ReduceOnPlateau("loss", rate=0.5, least=0.05, **settings),
                            LOSSES)
    assert found == expected and len(set(found)) > 2


def test_adaptive_is_scikit_learn_s(monkeypatch):
    """The rates of scikit-learn's own fit, its losses given to the callback."""
    neural = pytest.importorskip("sklearn.neural_network")
    theirs = neural.MLPRegressor(hidden_layer_sizes=(5,), solver="sgd", learning_rate="adaptive",
                                 tol=1e-3, learning_rate_init=0.02, n_iter_no_change=3,
                                 max_iter=500, random_state=0)
    rates = []
    inside = importlib.import_module("sklearn.neural_network._multilayer_perceptron")

    class Watched(inside.SGDOptimizer):
        def iteration_ends(self, time_step):
            rates.append(self.learning_rate)

    monkeypatch.setattr(inside, "SGDOptimizer", Watched)
    theirs.fit(X, Y[:, 0])
    callback = cymlp.AdaptiveRate(patience=3, min_delta=1e-3, lowest=1e-6)
    net = network(cymlp.SGD(0.02))
    callback.on_train_begin(net)
    found = []
    for epoch, loss in enumerate(theirs.loss_curve_):
        found.append(0.02 * callback.factor)
        stop = callback.on_epoch_end(net, epoch, {"loss": loss})
        assert bool(stop) == (epoch == len(theirs.loss_curve_) - 1)
    assert len(set(rates)) > 3
    np.testing.assert_allclose(found, rates, rtol=1e-12)


def test_a_function_gives_each_epoch_its_factor_and_ends_with_the_run():
    halved, plain = network(cymlp.SGD(0.1)), network(cymlp.SGD(0.05))
    halved.fit(X, Y, epochs=2, callbacks=[cymlp.RateFunction(lambda epoch: 0.5)])
    plain.fit(X, Y, epochs=2)
    assert bits(halved) == bits(plain)
    full = plain._twin(cymlp.SGD(0.1))
    for net in (full, halved):
        net.train_step(X, Y)
    assert bits(full) == bits(halved)


def test_a_run_with_a_plateau_is_gone_on_with_exactly():
    def callback():
        return cymlp.ReduceOnPlateau("loss", rate=0.5, patience=0, threshold=0.05)

    whole, parts = network(cymlp.SGD(0.1)), network(cymlp.SGD(0.1))
    whole.fit(X, Y, epochs=8, callbacks=[last := callback()])
    parts.fit(X, Y, epochs=3, callbacks=[callback()])
    parts.fit(X, Y, epochs=8, callbacks=[callback()], resume=True)
    assert bits(whole) == bits(parts) and last.factor < 0.5


# ---- the weight decay, and the rate of dropout -------------------------------------------------


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-13), ("float32", 1e-6)])
def test_weight_decay_by_a_schedule(dtype, tolerance):
    schedule = Exponential(0.5, unit="steps")
    net = cymlp.mlp(3, [4], 2, task="regression", dtype=dtype, rng=0, optimizer=cymlp.SGD(
        0.1, weight_decay=0.7, weight_decay_schedule=schedule))
    random = np.random.default_rng(0)
    for step in range(5):
        X, y = random.normal(size=(6, 3)), random.normal(size=(6, 2))
        before, (_, gradients) = dict(net.parameters), net.gradients(X, y)
        net.train_step(X, y)
        for name, array in before.items():
            expected = array - 0.1 * (gradients[name] + 0.7 * 0.5**step * array)
            assert np.abs(net.parameters[name] - expected).max() <= tolerance


def test_dropout_by_a_schedule():
    """The rate falls from 1/2 to 1/4 and to nothing; gradients go the same way back."""
    schedule = MultiStep([2, 4], 0.5, unit="steps")
    layer = cymlp.Dropout(0.5, schedule=schedule)
    net = cymlp.Network([layer, cymlp.Dense(3, "tanh"), cymlp.Dropout(0.4, schedule=schedule),
                         cymlp.Dense(1)], in_features=200, task="regression", dtype="float64",
                        rng=0)
    X, y = np.ones((50, 200)), np.zeros(50)
    for step in range(6):
        out = net._gradients(X, y)[2]["0.output"]
        assert (out == 0).mean() == pytest.approx(0.5 * schedule.factor(step), abs=0.02)
        assert out.max() == pytest.approx(1 / (1 - 0.5 * schedule.factor(step)))
        assert all(found.agrees for found in cymlp.reference.compare(net, X, y))
        net.train_step(X, y)
    assert cymlp.layers.Dropout(0.5, schedule=schedule) == layer != cymlp.Dropout(0.5)


def test_schedules_within_a_file(tmp_path):
    net = cymlp.Network([cymlp.Dropout(0.5, schedule=Cosine(epochs=3)), cymlp.Dense(1)],
                        in_features=2, task="regression", optimizer=cymlp.AdamW(
                            weight_decay_schedule=Cosine(epochs=5)))
    net.save(tmp_path / "net")
    again = cymlp.load(tmp_path / "net")
    assert again.layers == net.layers and again.optimizer == net.optimizer
