"""Callbacks that save, log, watch for NaN and look for a learning rate, in real runs."""

import csv
import sys
import types
import warnings

import numpy as np
import pytest

import cymlp
from cymlp import CSVLogger, LearningRateFinder, ModelCheckpoint, TensorBoard, TerminateOnNaN
from cymlp.callbacks import Callback
from cymlp.layers import Activation, Dense

X = np.random.default_rng(0).normal(size=(60, 5))
Y = np.arange(60) % 3


def make(**settings):
    return cymlp.mlp(5, [7], 3, task="multiclass", rng=0, **settings)


# ---- ModelCheckpoint ---------------------------------------------------------------------------


def test_checkpoints_of_every_second_epoch(tmp_path):
    net = make()
    checkpoint = ModelCheckpoint(tmp_path / "net-{epoch:02d}-{loss:.2f}", every=2)
    history = net.fit(X, Y, epochs=5, callbacks=checkpoint)
    losses = history["loss"]
    wanted = [f"net-{epoch:02d}-{losses[epoch - 1]:.2f}" for epoch in (2, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted
    assert checkpoint.saved == str(tmp_path / wanted[1])
    twin = make()
    twin.fit(X, Y, epochs=4)
    assert np.array_equal(cymlp.load(checkpoint.saved).predict(X), twin.predict(X))


def test_a_checkpoint_of_the_best_epoch(tmp_path):
    path = tmp_path / "best"
    checkpoint = ModelCheckpoint(path, save_best_only=True)
    net = make(optimizer=cymlp.SGD(1.5))
    data = {"validation_data": (X[:20], Y[::-1][:20])}
    history = net.fit(X, Y, epochs=12, callbacks=checkpoint, **data)
    best = int(np.argmin(history["val_loss"]))
    assert best < 11 and checkpoint.best == history["val_loss"][best]
    assert cymlp.load(path).evaluate(*data["validation_data"])["loss"] == checkpoint.best
    net.fit(X, Y, epochs=1, callbacks=checkpoint, **data)   # a new run forgets the old one's best
    assert checkpoint.best != history["val_loss"][best]


@pytest.mark.parametrize(("arguments", "error", "part"), [
    ({"path": 3}, TypeError, "path: expected a file name, got 3"),
    ({"path": "{"}, ValueError, "path: expected names in braces"),
    ({"path": "x", "every": 0}, ValueError, "every"),
    ({"path": "x", "training_state": 1}, TypeError, "training_state"),
    ({"path": "x", "mode": "up"}, ValueError, "mode"),
    ({"path": "x", "monitor": 3}, TypeError, "monitor")])
def test_checkpoints_check_their_arguments(arguments, error, part):
    with pytest.raises(error, match=part):
        ModelCheckpoint(**arguments)


@pytest.mark.parametrize("pattern", ["{wrong}", "{}", "{loss:q}", "{loss.x}", "{loss[0]}"])
def test_patterns_that_cannot_be_filled_in(tmp_path, pattern):
    with pytest.raises(ValueError, match="path: expected names among epoch, loss, accuracy"):
        make().fit(X, Y, epochs=1, callbacks=ModelCheckpoint(tmp_path / pattern))
    assert not list(tmp_path.iterdir())


# ---- CSVLogger ---------------------------------------------------------------------------------


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_a_row_for_each_epoch(tmp_path):
    path = tmp_path / "log.csv"
    seen = []

    class Looks(Callback):
        def on_epoch_end(self, network, epoch, logs):
            seen.append(len(rows_of(path)))

    history = make().fit(X, Y, epochs=3, validation_split=0.2,
                         callbacks=[CSVLogger(path), Looks()])
    header, *rows = rows_of(path)
    assert header == ["epoch", *history] and seen == [2, 3, 4]
    assert [[float(cell) for cell in row[1:]] for row in rows] == [
        list(values) for values in zip(*history.values(), strict=True)]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    make().fit(X, Y, epochs=2, validation_split=0.2, callbacks=CSVLogger(path, append=True))
    assert [row[0] for row in rows_of(path)] == ["epoch", "0", "1", "2", "0", "1"]
    with pytest.raises(ValueError, match="log.csv: expected a file with the columns epoch, loss"):
        make().fit(X, Y, epochs=2, callbacks=CSVLogger(path, append=True))
    assert len(rows_of(path)) == 6
    make().fit(X, Y, epochs=2, callbacks=CSVLogger(path))
    assert len(rows_of(path)) == 3


def test_rows_after_the_point_of_return_are_replaced(tmp_path):
    path, net = tmp_path / "log.csv", make()
    callbacks = [ModelCheckpoint(tmp_path / "net-{epoch}", training_state=True), CSVLogger(path)]
    net.fit(X, Y, epochs=6, callbacks=callbacks)
    before = rows_of(path)
    loaded = cymlp.load(tmp_path / "net-3")
    loaded.fit(X, Y, epochs=6, callbacks=callbacks, resume=True)
    assert [row[:-1] for row in rows_of(path)] == [row[:-1] for row in before]


# ---- TerminateOnNaN ----------------------------------------------------------------------------


def terminated(net, X, y, **settings):
    watch = TerminateOnNaN()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = net.fit(X, y, callbacks=watch, **settings)
    assert len(caught) == (watch.reason is not None)
    return watch, history


def test_a_run_without_nan_is_left_alone():
    net, twin = make(), make()
    watch, history = terminated(net, X, Y, epochs=3)
    assert watch.reason is None and watch.step is None and history.epochs == 3
    assert history["loss"] == twin.fit(X, Y, epochs=3)["loss"]


@pytest.mark.parametrize("shuffle", [True, False])
def test_nan_in_the_input(shuffle):
    bad = X.copy()
    bad[41, 2] = np.nan
    net, twin = make(), make()
    watch, history = terminated(net, bad, Y, epochs=5, batch_size=7, shuffle=shuffle)
    order = cymlp.ops.permutation(60, key=twin._engine.key, epoch=0) if shuffle else np.arange(60)
    step = int(np.flatnonzero(order == 41)[0]) // 7 + 1
    assert history.epochs == 1 and watch.step == step
    assert watch.reason == f"step {step}: NaN first in the input X, row 41"


def deep(**settings):
    return cymlp.Network([Dense(4), Activation("relu"), Dense(4, "relu"), Dense(1)],
                         in_features=5, task="regression", rng=0, **settings)


def test_infinity_in_the_output_of_a_layer():
    """By the values of the second epoch's weights, and none of the first."""
    class Spoils(Callback):
        def on_epoch_begin(self, network, epoch):
            if epoch == 1:
                network.parameters["2.weight"] = np.full((4, 4), 3e38)

    net = deep(optimizer=cymlp.SGD(0.0))
    net.parameters["0.bias"] = [3.0] * 4
    watch = TerminateOnNaN()
    with pytest.warns(RuntimeWarning, match="training stopped at step 7: "):
        history = net.fit(X, X[:, 0], epochs=5, batch_size=10, callbacks=[Spoils(), watch])
    assert history.epochs == 2 and watch.step == 7
    assert watch.reason == ("step 7: infinity first in the output of layer 2 (Dense), its input "
                            "was finite")


@pytest.mark.parametrize(("scale", "rate", "reason"), [
    (1e10, 1e30, "step 1: infinity first in 0.weight after the update, its gradient was finite"),
    (1e20, 1e-3, "step 1: infinity first in the loss, the network's output was finite"),
    (1e39, 1e-3, "step 1: infinity first in the target y, row 7")])
def test_numbers_that_overflow(scale, rate, reason):
    y = np.where(np.arange(60) < 7, 0, scale)
    watch, history = terminated(deep(optimizer=cymlp.SGD(rate)), X, y, epochs=5, batch_size=60,
                                shuffle=False)
    assert history.epochs == 1 and watch.reason == reason


def test_parameters_that_were_bad_before():
    net = make()
    net.parameters["1.bias"] = [0.0, np.nan, 0.0]
    watch, history = terminated(net, X, Y, epochs=5)
    assert watch.step is None and history.epochs == 1
    assert watch.reason == "epoch 0: NaN in 1.bias before the epoch"


def test_nan_in_an_epoch_that_is_gone_on_with():
    class Stops(Callback):
        def on_batch_end(self, network, step, logs):
            if step == 3:
                raise KeyboardInterrupt

    bad, net = X.copy(), make()
    order = cymlp.ops.permutation(60, key=net._engine.key, epoch=0)
    bad[order[38]] = np.inf
    with pytest.raises(KeyboardInterrupt):
        net.fit(bad, Y, batch_size=7, callbacks=[Stops()])
    watch, _ = terminated(net, bad, Y, batch_size=7, resume=True)
    assert watch.reason == f"step 6: infinity first in the input X, row {order[38]}"


# ---- LearningRateFinder ------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "adagrad"])
def test_the_sweep_leaves_the_network_as_it_was(optimizer):
    net = make(optimizer=optimizer, dropout=0.1)
    net.fit(X, Y, epochs=1)
    before = net._progress()
    found = LearningRateFinder(steps=40).find(net, X, Y, batch_size=16)
    assert net._progress() == before
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 40
    assert np.allclose(np.diff(np.log(found.rates)), np.log(1e8) / 39)
    assert np.isfinite(found.losses).all()
    again = LearningRateFinder(steps=40).find(net, X, Y, batch_size=16)
    assert again.suggestion == found.suggestion or np.isnan(found.suggestion)


def test_the_suggestion_is_of_use():
    X = np.linspace(-1, 1, 512).reshape(-1, 1)
    y = X[:, 0] ** 2
    for optimizer in (cymlp.SGD(), cymlp.Adam()):
        losses = {}
        net = cymlp.mlp(1, [16], 1, activation="tanh", task="regression", rng=0,
                        optimizer=optimizer)
        found = LearningRateFinder().find(net, X, y)
        for factor in (1e-4, 1.0):
            rate = found.suggestion * factor
            net = cymlp.mlp(1, [16], 1, activation="tanh", task="regression", rng=0,
                            optimizer=type(optimizer)(rate))
            losses[factor] = net.fit(X, y, epochs=5)["loss"][-1]
        assert losses[1.0] < 0.5 * losses[1e-4]


@pytest.mark.parametrize(("arguments", "part"), [
    ({"lowest": 0.0}, "lowest: expected a rate above 0"), ({"highest": 1e-9}, "lowest"),
    ({"steps": 1}, "steps"), ({"smoothing": 1.0}, "smoothing")])
def test_the_finder_checks_its_arguments(arguments, part):
    with pytest.raises(ValueError, match=part):
        LearningRateFinder(**arguments)


def test_a_sweep_that_cannot_begin():
    net = make()
    net.parameters["1.bias"] = [np.nan] * 3
    with pytest.raises(ValueError, match="expected a finite loss at the lowest rate"):
        LearningRateFinder().find(net, X, Y)


# ---- TensorBoard -------------------------------------------------------------------------------


def test_tensorboard_gets_every_value(monkeypatch, tmp_path):
    heard = []

    class Writer:
        def __init__(self, log_dir, purge_step):
            heard.append((log_dir, purge_step))

        def add_scalar(self, name, value, epoch):
            heard.append((name, value, epoch))

        def flush(self):
            pass

        def close(self):
            heard.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    history = make().fit(X, Y, epochs=2, callbacks=TensorBoard(tmp_path))
    assert heard[0] == (str(tmp_path), 0) and heard[-1] == "closed"
    assert heard[1:-1] == [(name, history[name][epoch], epoch)
                           for epoch in range(2) for name in history]


def test_tensorboard_says_what_is_missing(monkeypatch):
    for name in ("torch.utils.tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="TensorBoard: expected torch with tensorboard, or tens"):
        make().fit(X, Y, epochs=1, callbacks=TensorBoard("nowhere"))
    with pytest.raises(TypeError, match="log_dir"):
        TensorBoard(3)
