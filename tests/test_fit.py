"""Networks in training and afterwards: fit, its history and callbacks, copies, pickles, files."""

import copy
import pickle

import numpy as np
import pytest

import cymlp
from cymlp import Activation, Dense, Dropout, reference
from cymlp.engine import threads
from cymlp.engine.processors import usable_processors

TASKS = ["binary", "multiclass", "multilabel", "regression"]


def make(task="multiclass", dtype="float32", **settings):
    units = {"binary": 1, "regression": 2}.get(task, 3)
    settings = {"rng": 0, "optimizer": cymlp.Adam(0.01), "dropout": 0.25} | settings
    return cymlp.mlp(5, [7, 6], units, task=task, dtype=dtype, **settings)


def data(task="multiclass", rows=50, seed=1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 5))
    y = {"binary": rng.integers(0, 2, rows), "multiclass": rng.integers(0, 3, rows),
         "multilabel": rng.integers(0, 2, (rows, 3)), "regression": rng.normal(size=(rows, 2))}
    return X, y[task]


def state(net):
    return net._progress()


def values(history):
    return {name: history[name] for name in history if name != "time"}


# ---- fit ---------------------------------------------------------------------------------------


def steps_of_fit(net, X, y, epochs, size, shuffle=True, drop_last=False, weight=None):
    """What fit does, step by step from outside."""
    key, _, first, _ = state(net)
    for epoch in range(epochs):
        order = (reference.permutation(len(X), key=key, epoch=first + epoch) if shuffle
                 else np.arange(len(X)))
        for begin in range(0, len(X), size):
            rows = order[begin:begin + size]
            if drop_last and len(rows) < size:
                break
            net.train_step(X[rows], y[rows], None if weight is None else weight[rows])


@pytest.mark.parametrize("settings", [
    {}, {"shuffle": False}, {"drop_last": True}, {"batch_size": 50}, {"batch_size": 1},
    {"batch_size": 49}, {"batch_size": 49, "drop_last": True}, {"batch_size": 10},
    {"batch_size": 10, "drop_last": True}], ids=str)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_fit_is_its_steps(task, settings):
    X, y = data(task)
    settings = {"batch_size": 16, "shuffle": True, "drop_last": False} | settings
    weight = np.arange(50.0) if task == "regression" else None
    net, twin = make(task), make(task)
    net.fit(X, y, epochs=3, sample_weight=weight, **settings)
    steps_of_fit(twin, X, y, 3, settings["batch_size"], settings["shuffle"],
                 settings["drop_last"], weight)
    assert state(net)[1] == state(twin)[1]
    assert state(net)[3] == state(twin)[3]


def test_a_full_batch_is_one_step_an_epoch():
    X, y = data()
    net, large = make(), make()
    history = net.fit(X, y, epochs=4, batch_size=None)
    assert state(net)[1:3] == (4, 4) and history.epochs == 4
    large.fit(X, y, epochs=4, batch_size=10**30)
    assert state(large) == state(net)


def test_epochs_in_one_call_or_several():
    X, y = data()
    whole, parts = make(), make()
    history = whole.fit(X, y, epochs=6)
    first, second = parts.fit(X, y, epochs=2), parts.fit(X, y, epochs=4)
    assert state(whole) == state(parts)
    assert history["loss"] == first["loss"] + second["loss"]
    watched = make()
    assert values(watched.fit(X, y, epochs=6, callbacks=[cymlp.Callback()])) == values(history)
    assert state(watched) == state(whole)


def test_more_epochs_than_one_native_call_takes():
    X, y = data(rows=3)
    net = make()
    history = net.fit(X, y, epochs=2500, batch_size=3)
    assert history.epochs == state(net)[2] == state(net)[1] == 2500


def test_history_with_and_without_validation():
    X, y = data()
    history = make().fit(X, y, epochs=3)
    assert list(history) == ["loss", "accuracy", "time"]
    assert all(len(history[name]) == 3 for name in history)
    assert all(seconds > 0 for seconds in history["time"])
    net = make()
    history = net.fit(X, y, epochs=3, validation_data=(X[:9], y[:9]))
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "time"]
    found = net.evaluate(X[:9], y[:9])
    assert history["val_loss"][-1] == found["loss"]
    assert history["val_accuracy"][-1] == found["accuracy"]


@pytest.mark.parametrize("task", TASKS)
def test_the_history_without_dropout_is_a_mean_over_rows(task):
    X, y = data(task)
    net = make(task, "float64", dropout=0, optimizer=cymlp.SGD(0.0))
    found = net.evaluate(X, y)
    history = net.fit(X, y, epochs=2, batch_size=16)    # with a short last batch
    for name, value in found.items():
        assert history[name] == pytest.approx([value, value], rel=1e-12)
    dropped = net.fit(X, y, epochs=1, batch_size=16, drop_last=True, shuffle=False)
    for name, value in net.evaluate(X[:48], y[:48]).items():
        assert dropped[name] == pytest.approx([value], rel=1e-12)


def test_validation_split_keeps_the_last_rows():
    X, y = data()
    weight = np.arange(50.0)
    split, given = make(), make()
    first = split.fit(X, y, epochs=3, validation_split=0.2, sample_weight=weight)
    second = given.fit(X[:40], y[:40], epochs=3, sample_weight=weight[:40],
                       validation_data=(X[40:], y[40:], weight[40:]))
    assert state(split) == state(given) and values(first) == values(second)


def test_callbacks_hear_of_every_moment():
    heard = []

    class Listener(cymlp.Callback):
        def on_train_begin(self, network):
            heard.append("begin")

        def on_epoch_begin(self, network, epoch):
            heard.append(epoch)

        def on_epoch_end(self, network, epoch, logs):
            heard.append(sorted(logs))
            assert state(network)[2] == epoch + 1
            return epoch == 1

        def on_train_end(self, network):
            heard.append("end")

    X, y = data()
    history = make().fit(X, y, epochs=10, callbacks=Listener())
    names = ["accuracy", "loss", "time"]
    assert heard == ["begin", 0, names, 1, names, "end"] and history.epochs == 2


def test_an_error_in_a_callback_leaves_a_usable_network():
    class Fails(cymlp.Callback):
        def on_epoch_end(self, network, epoch, logs):
            raise RuntimeError("no more")

    X, y = data()
    net, twin = make(), make()
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(X, y, epochs=10, callbacks=[Fails()])
    twin.fit(X, y, epochs=1)
    assert state(net) == state(twin)


def test_early_stopping_brings_back_the_best_epoch():
    X, y = data()
    net = make(dropout=0)
    stopping = cymlp.EarlyStopping(patience=3)
    history = net.fit(X, y, epochs=500, validation_split=0.3, callbacks=[stopping])
    assert history.epochs < 500
    assert net.evaluate(X[35:], y[35:])["loss"] == min(history["val_loss"]) == stopping.best


def test_progress_goes_to_standard_error(capsys):
    X, y = data()
    make().fit(X, y, epochs=2, progress=True)
    shown = capsys.readouterr()
    assert "epoch 2/2" in shown.err and not shown.out


def test_training_learns():
    X = np.random.default_rng(0).normal(size=(400, 5))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    net = make("binary", dropout=0)
    net.fit(X, y, epochs=60)
    assert net.evaluate(X, y)["accuracy"] > 0.95


# ---- keeping -----------------------------------------------------------------------------------

TWINS = {"copy": cymlp.Network.copy, "copy.copy": copy.copy, "deepcopy": copy.deepcopy,
         **{f"pickle {protocol}": lambda net, protocol=protocol:
            pickle.loads(pickle.dumps(net, protocol)) for protocol in range(6)}}


@pytest.mark.parametrize("way", TWINS)
@pytest.mark.parametrize("optimizer", [
    "sgd", cymlp.SGD(0.1, momentum=0.9), cymlp.Adagrad(initial_accumulator_value=0.3),
    cymlp.RMSprop(centered=True, momentum=0.9), cymlp.Adam(amsgrad=True)], ids=str)
def test_a_twin_goes_on_in_the_same_way(way, optimizer):
    X, y = data()
    layers = [Dense(7, Activation("leaky_relu", slope=0.2)), Dropout(0.3),
              Dense(6, bias=False, weight_initializer=np.ones((7, 6))), Activation("tanh"),
              Dense(3)]
    net = cymlp.Network(layers, in_features=5, loss="categorical_cross_entropy",
                        optimizer=optimizer, rng=0, dtype="float64")
    net.fit(X, y, epochs=2)
    twin = TWINS[way](net)
    assert (twin.optimizer, twin.loss, twin.task) == (net.optimizer, net.loss, net.task)
    assert state(twin) == state(net)
    net.fit(X, y, epochs=2)
    assert state(twin) != state(net), "the twin shares memory"
    twin.fit(X, y, epochs=2)
    assert state(twin) == state(net)
    assert np.array_equal(twin.predict(X), net.predict(X))


@pytest.mark.parametrize("task", TASKS)
def test_networks_of_every_task_can_be_pickled(task):
    net = make(task)
    twin = pickle.loads(pickle.dumps(net))
    assert repr(twin) == repr(net) and state(twin) == state(net)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_save_and_load(tmp_path, dtype):
    X, y = data()
    net = make(dtype=dtype)
    net.fit(X, y, epochs=2)
    net.save(tmp_path / "net.safetensors")
    loaded = cymlp.load(str(tmp_path / "net.safetensors"))
    assert repr(loaded) == repr(net)
    assert {name: array.tobytes() for name, array in loaded.parameters.items()} == {
        name: array.tobytes() for name, array in net.parameters.items()}
    assert np.array_equal(loaded.predict(X), net.predict(X))
    loaded.fit(X, y, epochs=1)


def test_the_number_of_threads_is_tried_out():
    """Training on several threads is held against training on one, by the clock."""
    if usable_processors() < 2 or not threads.openmp_enabled():
        pytest.skip("needs two processors and OpenMP")
    before = cymlp.get_num_threads()
    cymlp.set_num_threads(2)
    try:
        net = cymlp.mlp(64, [256, 128], 10, task="multiclass", rng=0)
        rng = np.random.default_rng(0)
        program = net._program("train", 16, True, False, True)
        assert program.thread_costs == (0, 0)
        net.fit(rng.normal(size=(4000, 64)), rng.integers(0, 10, 4000), epochs=8, batch_size=16)
        assert min(program.thread_costs) > 0
    finally:
        cymlp.set_num_threads(before)
