"""L-BFGS: the same minima as SciPy's, on any threads, and what it refuses."""

import numpy as np
import pytest

import cymlp
from cymlp import LBFGS, Dense, Dropout, EarlyStopping, Update
from cymlp.engine import threads

L2 = 1e-2


def data(task, rows=400, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 9))
    target = X @ random.normal(size=(9, 3)) + np.sin(3 * X[:, :3])
    return X, target.argmax(axis=1) if task == "multiclass" else target


def make(task="regression", hidden=(), **settings):
    settings = {"optimizer": LBFGS(), "update": Update(l2=L2), "dtype": "float64"} | settings
    return cymlp.mlp(9, hidden, 3, task=task, activation="tanh", rng=0, **settings)


class Flat:
    """A network's penalised loss and gradient as functions of one vector."""

    def __init__(self, net, X, y):
        self.net, self.batch, self.evaluations = net, (X, y), 0

    def read(self):
        return np.concatenate([array.ravel() for array in self.net.parameters.values()])

    def __call__(self, vector):
        self.evaluations += 1
        for name, array in self.net.parameters.items():
            part, vector = np.split(vector, [array.size])
            self.net.parameters[name] = part.reshape(array.shape)
        loss, gradients = self.net.gradients(*self.batch)
        weights = {name: array for name, array in self.net.parameters.items() if array.ndim == 2}
        loss += L2 / 2 * sum((array**2).sum() for array in weights.values())
        return loss, np.concatenate([(gradient + L2 * weights.get(name, 0.0)).ravel()
                                     for name, gradient in gradients.items()])


@pytest.mark.parametrize("task", ["regression", "multiclass"])
@pytest.mark.parametrize("hidden", [(), (3,), (12, 5)])
def test_like_scipy(task, hidden):
    optimize = pytest.importorskip("scipy.optimize")
    X, y = data(task)
    net = make(task, hidden)
    flat = Flat(net.copy(), X, y)
    theirs = optimize.minimize(flat, flat.read(), jac=True, method="L-BFGS-B",
                               options={"maxiter": 5000, "maxfun": 100_000})
    X, y, _, labels = net._learning_arrays(X, y, None)
    evaluations, converged = net._engine.minimize(
        net._program("gradients", len(X), labels, False, True), X, y, None, labels,
        net.optimizer.settings(), np.zeros((3, 5000)))
    ours, gradient = flat(Flat(net, X, y).read())
    assert converged and np.abs(gradient).max() < 1e-3
    if not hidden:      # convex: one minimum
        assert ours == pytest.approx(theirs.fun, abs=1e-6)
        assert evaluations <= 1.2 * theirs.nfev
    # Else two paths may end in two minima, one of them far away.
    assert ours <= theirs.fun * 1.05
    assert evaluations / net._engine.epoch <= 1.2 * theirs.nfev / theirs.nit


def test_fit_ends_where_nothing_is_gained():
    X, y = data("regression")
    net = make()
    history = net.fit(X, y, epochs=5000, batch_size=None)
    assert 5 < history.epochs < 200
    assert history["loss"] == sorted(history["loss"], reverse=True)
    assert net.fit(X, y, epochs=5, batch_size=None).epochs <= 1
    watched = make()
    watched.fit(X, y, epochs=5000, batch_size=None, validation_split=0.25,
                callbacks=[EarlyStopping(patience=3)])
    assert 1 < watched._engine.epoch < 200


def test_epochs_one_by_one_are_the_same_run():
    """The pairs of differences are optimizer states, which copies and files keep."""
    X, y = data("multiclass")
    whole, parts = make("multiclass", (5,)), make("multiclass", (5,))
    whole.fit(X, y, epochs=12, batch_size=None)
    for _ in range(4):
        parts.fit(X, y, epochs=3, batch_size=None)
        parts = parts.copy()
    assert parts._progress() == whole._progress()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads(dtype):
    X, y = data("regression", 3000)
    before, found = threads.get_num_threads(), set()
    threads._allow_oversubscription(True)
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            net = make(hidden=(50, 40), dtype=dtype)
            net.fit(X, y, epochs=6, batch_size=None)
            found.add(net._progress()[3])
            assert net._engine.last_threads == (count if threads.openmp_enabled() else 1)
    finally:
        threads._allow_oversubscription(False)
        threads.set_num_threads(before)
    assert len(found) == 1


def test_weights_and_dropout():
    X, y = data("regression", 60)
    weight = np.arange(60) % 3.0
    weighted, repeated = make(), make()
    times = np.repeat(np.arange(60), weight.astype(int))
    weighted.fit(X, y, epochs=8, batch_size=None, sample_weight=weight)
    repeated.fit(X[times], y[times], epochs=8, batch_size=None)
    for name, array in weighted.parameters.items():
        np.testing.assert_allclose(array, repeated.parameters[name], rtol=1e-6, atol=1e-9)
    net = cymlp.Network([Dense(30, "tanh"), Dropout(0.2), Dense(3)], in_features=9,
                        task="regression", optimizer="lbfgs", rng=0)
    history = net.fit(X, y, epochs=15, batch_size=None)
    assert history["loss"][-1] < history["loss"][0]


def test_bad_numbers_change_nothing():
    X, y = data("regression", 30)
    X[3, 3] = np.nan
    net = make()
    before = net.parameters["0.weight"]
    net.fit(X, y, epochs=5, batch_size=None)
    assert (net.parameters["0.weight"] == before).all()


@pytest.mark.parametrize("call, kind, message", [
    (lambda: make().fit(*data("regression")), ValueError,
     "batch_size: expected None with L-BFGS"),
    (lambda: make().train_step(*data("regression")), ValueError,
     "optimizer: expected one that makes steps on batches"),
    (lambda: make(update=Update(clip_norm=1.0)), ValueError,
     "update: expected nothing but l2 with L-BFGS"),
    (lambda: LBFGS(0), ValueError, "history: expected an integer of at least 1"),
    (lambda: LBFGS(65), ValueError, "history: expected an integer of at most 64"),
    (lambda: LBFGS(change_tolerance=-1), ValueError, "change_tolerance: expected a number"),
    (lambda: LBFGS().initial_state("x"), ValueError, "name: expected one of the states"),
])
def test_what_cannot_be_meant_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
