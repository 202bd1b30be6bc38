"""What goes around an optimizer's step: against the reference, against PyTorch, on any threads."""

import numpy as np
import pytest

import cymlp
from cymlp import SGD, Adam, Group, Network, RMSprop, Update
from cymlp.engine import threads
from cymlp.layers import BatchNorm, Columns, Concat, Dense, Embedding, LayerNorm
from cymlp.reference.updating import step_with_rules
from cymlp.schedules import Cosine
from cymlp.specs import from_dict, to_dict

UPDATES = {
    "clip norm": Update(clip_norm=0.05),
    "clip norm, not reached": Update(clip_norm=1e6),
    "clip value": Update(clip_value=0.003),
    "penalties": Update(l1=0.01, l2=0.1),
    "accumulate": Update(accumulate=3),
    "exponential average": Update(average=0.9),
    "mean from the third, every second": Update(average="mean", average_from=2, average_every=2),
    "max norm": Update(max_norm=0.3),
    "groups": Update(groups=[Group("*.bias", learning_rate_factor=3, weight_decay_factor=0),
                             Group("0.*", learning_rate_factor=0)]),
    "all": Update(clip_norm=0.05, clip_value=0.01, l1=1e-3, l2=1e-2, accumulate=2, average=0.5,
                  max_norm=0.5, groups=[Group("1.*", weight_decay_factor=2.0)]),
}
OPTIMIZERS = [SGD(0.1, momentum=0.9, weight_decay=0.01), Adam(0.01, weight_decay=0.1)]


def make(update, optimizer=OPTIMIZERS[0], dtype="float64", widths=(91, 5)):
    return Network([Dense(widths[0], "tanh"), Dense(widths[1], "tanh"), Dense(3)], in_features=7,
                   task="regression", optimizer=optimizer, update=update, dtype=dtype, rng=0)


def data(rows, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, 7)), random.normal(size=(rows, 3))


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["sgd", "adam"])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("rows", [5, 300])      # 300: gradients come in two chunks
def test_steps_like_the_reference(name, optimizer, dtype, tolerance, rows):
    net = make(UPDATES[name], optimizer, dtype)
    parameters = {key: array.astype(float) for key, array in net.parameters.items()}
    states = {}
    twin = make(None, optimizer)
    for step in range(1, 8):
        X, y = data(rows, step)
        for key, array in parameters.items():
            twin.parameters[key] = array
        _, gradients = twin.gradients(X, y)
        step_with_rules(optimizer, UPDATES[name], parameters, gradients, states, step)
        net.train_step(X, y)
    for key, array in parameters.items():
        assert np.abs(net.parameters[key] - array).mean() <= tolerance * np.abs(array).mean(), key
    if UPDATES[name].average is not None:
        averaged = net.averaged()
        for key, kept in states.items():
            error = np.abs(averaged.parameters[key] - kept["average"]).mean()
            assert error <= tolerance * np.abs(kept["average"]).mean(), key


@pytest.mark.parametrize("name", UPDATES)
def test_any_number_of_threads(name):
    """A network with several pieces in a parameter."""
    before = threads.get_num_threads()
    threads._allow_oversubscription(True)
    found = set()
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            net = make(UPDATES[name], OPTIMIZERS[1], "float32", (700, 300))
            net.fit(*data(900), epochs=2, batch_size=400)
            found.add(net._progress()[3])
            assert net._engine.last_threads == (count if threads.openmp_enabled() else 1)
    finally:
        threads._allow_oversubscription(False)
        threads.set_num_threads(before)
    assert len(found) == 1


def test_clipping_like_torch():
    torch = pytest.importorskip("torch")
    net = make(Update(clip_norm=0.02), SGD(0.5))
    theirs = torch.nn.Sequential(torch.nn.Linear(7, 91), torch.nn.Tanh(), torch.nn.Linear(91, 5),
                                 torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    for array, ours in zip(theirs.parameters(), net.parameters.values(), strict=True):
        array.data = torch.tensor(ours.T.copy())
    optimizer = torch.optim.SGD(theirs.parameters(), 0.5)
    for step in range(20):
        X, y = data(11, step)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(theirs(torch.tensor(X)), torch.tensor(y)).backward()
        assert torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.02) > 0.02
        optimizer.step()
        net.train_step(X, y)
    for array, ours in zip(theirs.parameters(), net.parameters.values(), strict=True):
        np.testing.assert_allclose(ours.T, array.detach().numpy(), rtol=1e-10, atol=1e-14)


def test_accumulated_batches_are_one_batch():
    X, y = data(60)
    whole, parts = make(None), make(Update(accumulate=4))
    whole.train_step(X, y)
    for part in np.split(np.arange(60), 4):
        parts.train_step(X[part], y[part])
    for key, array in whole.parameters.items():
        np.testing.assert_allclose(parts.parameters[key], array, rtol=1e-10, atol=1e-13)


def test_a_penalty_is_the_loss_s():
    """The penalised gradient is that of the loss with the penalty in it."""
    X, y = data(9)
    net = make(Update(l1=0.02, l2=0.3), SGD(1.0))
    before = dict(net.parameters)
    _, gradients = net.gradients(X, y)
    net.train_step(X, y)
    for key, array in before.items():
        penalty = 0.02 * np.sign(array) + 0.3 * array if array.ndim == 2 else 0
        np.testing.assert_allclose(array - net.parameters[key], gradients[key] + penalty,
                                   rtol=1e-9, atol=1e-12)


def test_all_kinds_of_layers():
    """Vectors, tables and running statistics go with the rest; unused rows of a table stay."""
    layers = [Concat([[Columns([0]), Embedding(30, 3)], [Columns([1, 2])]]), Dense(5), BatchNorm(),
              LayerNorm(), Dense(1)]
    def network(update):
        return Network(layers, in_features=3, task="regression", optimizer=Adam(0.1),
                       update=update, dtype="float64", rng=0)

    X = np.random.default_rng(0).normal(size=(20, 3))
    X[:, 0] = np.arange(20) % 7
    plain, ruled = network(None), network(Update(clip_norm=1e9, average=0.5))
    start = ruled.parameters["0.0.1.weight"]
    for _ in range(3):
        assert plain.train_step(X, X[:, 1]) == pytest.approx(ruled.train_step(X, X[:, 1]))
    for key, array in plain.parameters.items():
        np.testing.assert_allclose(ruled.parameters[key], array, rtol=1e-12, atol=1e-14)
    assert (ruled.parameters["0.0.1.weight"][7:] == start[7:]).all()
    assert (ruled.parameters["0.0.1.weight"][:7] != start[:7]).all()


def test_a_nan_is_not_hidden():
    X, y = data(5)
    X[2, 2] = np.nan
    for update in (Update(clip_norm=1.0), Update(clip_value=1.0)):
        net = make(update)
        net.train_step(X, y)
        assert np.isnan(net.parameters["0.weight"][2]).all()


def test_kept_and_copied(tmp_path):
    net, (X, y) = make(UPDATES["all"]), data(50)
    net.fit(X, y, epochs=2, batch_size=16)
    twin = net.copy()
    assert twin.update == net.update and repr(twin) == repr(net)
    twin.fit(X, y, epochs=1, batch_size=16)
    net.fit(X, y, epochs=1, batch_size=16)
    assert twin._progress() == net._progress()
    net.save(tmp_path / "net")
    assert cymlp.load(tmp_path / "net").update == net.update
    assert from_dict(to_dict(net.update), "update") == net.update


def test_averages_that_are_not_there():
    with pytest.raises(ValueError, match=r"update: expected one with average=\.\.\."):
        make(None).averaged()
    net = make(Update(average=0.9, average_from=2))
    net.train_step(*data(4))
    with pytest.raises(ValueError, match="averaged: expected more than 2 steps"):
        net.averaged()


@pytest.mark.parametrize("make_update, kind, message", [
    (lambda: Update(clip_norm=0), ValueError, "clip_norm: expected a number finite, > 0"),
    (lambda: Update(clip_value="1"), TypeError, "clip_value: expected a real number"),
    (lambda: Update(l2=-1), ValueError, "l2: expected a number finite, >= 0"),
    (lambda: Update(accumulate=0), ValueError, "accumulate: expected an integer of at least 1"),
    (lambda: Update(average=1.0), ValueError, "average: expected a number finite, >= 0, < 1"),
    (lambda: Update(average="median"), ValueError, "average: expected a decay below 1, 'mean'"),
    (lambda: Update(max_norm=np.nan), ValueError, "max_norm: expected a number finite, > 0"),
    (lambda: Update(groups={"*": 1}), TypeError, "groups: expected a sequence of Group"),
    (lambda: Update(groups=["*"]), TypeError, r"groups\[0\]: expected a Group"),
    (lambda: Update(groups=[Group("*")] * 8), ValueError, "groups: expected at most 7, got 8"),
    (lambda: Group(""), TypeError, "pattern: expected a pattern"),
    (lambda: Group("*", learning_rate_factor=-1), ValueError, "learning_rate_factor: expected"),
    (lambda: make({"clip_norm": 1}), TypeError, "update: expected an Update"),
])
def test_a_bad_value_is_refused(make_update, kind, message):
    with pytest.raises(kind, match=message):
        make_update()


def test_a_group_that_fits_nothing_is_refused():
    with pytest.raises(ValueError, match=r"groups\[0\]: expected a pattern that fits a parameter"):
        make(Update(groups=[Group("7.*")]))


def test_plain_networks_take_the_short_way():
    plan = make(None, RMSprop()).plan_for("train", 32)
    assert not plan.pieces and not plan.keeps_gradients
    assert make(Update(), RMSprop()).plan_for("train", 32) == plan


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 3e-4)])
@pytest.mark.parametrize("name, rate", [("SGD", 0.05), ("Adam", 0.01), ("AdamW", 0.01),
                                        ("RAdam", 0.01), ("Adagrad", 0.05), ("RMSprop", 0.01)])
def test_everything_together_like_torch(name, rate, dtype, tolerance):
    """A schedule, groups, accumulation, clipping and an average in one run of twenty updates."""
    torch = pytest.importorskip("torch")
    rules = Update(clip_norm=0.5, accumulate=2, average=0.9,
                   groups=[Group("*.bias", learning_rate_factor=3.0)])
    net = Network([Dense(9, "tanh"), Dense(3)], in_features=7, task="regression", update=rules,
                  optimizer=getattr(cymlp, name)(rate, schedule=Cosine(steps=30)), dtype=dtype,
                  rng=0)
    theirs = {key: torch.tensor(array, requires_grad=True)
              for key, array in net.parameters.items()}
    weights, biases = ([theirs[f"{layer}.{part}"] for layer in (0, 1)]
                       for part in ("weight", "bias"))
    optimizer = getattr(torch.optim, name)([{"params": weights, "lr": rate},
                                            {"params": biases, "lr": 3 * rate}], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    averages = None
    for step in range(20):
        optimizer.zero_grad()
        for half in (0, 1):
            X, y = (array.astype(dtype) for array in data(16, 2 * step + half))
            net.train_step(X, y)
            hidden = torch.tanh(torch.tensor(X) @ weights[0] + biases[0])
            out = hidden @ weights[1] + biases[1]
            (torch.nn.functional.mse_loss(out, torch.tensor(y)) / 2).backward()
        torch.nn.utils.clip_grad_norm_(list(theirs.values()), 0.5)
        optimizer.step()
        schedule.step()
        now = {key: array.detach().clone() for key, array in theirs.items()}
        averages = now if averages is None else {
            key: 0.9 * averages[key] + 0.1 * now[key] for key in now}
    for ours, expected in ((net, now), (net.averaged(), averages)):
        for key, array in expected.items():
            error = np.abs(ours.parameters[key] - array.numpy()).mean()
            assert error <= tolerance * np.abs(array.numpy()).mean(), key
