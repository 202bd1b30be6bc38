"""Callbacks, progress and history."""

import io
import os
import pickle
import sys
import threading
import types

import numpy as np
import pytest

import cymlp
from cymlp.callbacks import Callback, EarlyStopping, Progress
from cymlp.history import History


class Parameters(dict):
    """Assigning copies into the array, as a network's parameters do."""

    def __setitem__(self, name, value):
        self[name][...] = value


def stand_in():
    return types.SimpleNamespace(parameters=Parameters({"0.weight": np.zeros((2, 2))}))


def run(callback, values, name="val_loss"):
    """A run whose epoch i ends with this value and all parameters i + 1."""
    network = stand_in()
    callback.on_train_begin(network)
    epoch = -1
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(network, epoch)
        network.parameters["0.weight"] = epoch + 1
        if callback.on_epoch_end(network, epoch, {"loss": 0.0, name: value}):
            break
    callback.on_train_end(network)
    return network.parameters["0.weight"][0, 0], epoch


@pytest.mark.parametrize(
    ("arguments", "values", "stopped", "best"),
    [
        ({"patience": 2}, [3, 2, 2, 2, 1], 3, 1),
        ({"patience": 1}, [3, 2, 1, 0], None, 3),
        ({"patience": 2}, [3, 4, 2, 3, 1, 5, 5], 6, 4),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.4, 2.0, 0], None, 4),
        ({"patience": 2, "min_delta": 0.6}, [3, 2.6, 2.5, 0], 2, 0),
        ({"patience": 2, "mode": "max"}, [1, 2, 1, 1, 9], 3, 1),
        ({"patience": 2}, [np.nan, np.nan, 1], 1, None),
        ({"patience": 2}, [1, np.nan, np.nan], 2, 0),
        ({"patience": 2}, [np.inf, 5, 6, 6], 3, 1),
    ],
)
def test_early_stopping(arguments, values, stopped, best):
    stopping = EarlyStopping(**arguments)
    parameter, last = run(stopping, values)
    assert stopping.stopped_epoch == stopped
    assert last == (len(values) - 1 if stopped is None else stopped)
    assert stopping.best_epoch == best
    assert stopping.best == (None if best is None else values[best])
    # Without any best epoch the last one's parameters stay.
    assert parameter == (last if best is None else best) + 1


def test_early_stopping_follows_accuracy_upwards():
    for name in ("accuracy", "val_accuracy"):
        stopping = EarlyStopping(monitor=name, patience=2)
        assert run(stopping, [0.5, 0.9, 0.8, 0.7], name)[0] == 2


def test_early_stopping_can_leave_the_last_parameters():
    assert run(EarlyStopping(patience=1, restore_best=False), [1, 2, 3]) == (2, 1)


def test_early_stopping_forgets_the_last_run():
    stopping = EarlyStopping(patience=1)
    assert run(stopping, [0.1, 5]) == (1, 1)
    assert run(stopping, [3, 2, 2.5]) == (2, 2)
    assert stopping.best == 2


def test_early_stopping_names_what_it_can_monitor():
    with pytest.raises(ValueError, match="monitor: .*loss, other.*'val_loss'.*validation_data"):
        run(EarlyStopping(), [1], "other")
    with pytest.raises(ValueError, match="monitor: .*loss, val_loss, got 'speed'$"):
        run(EarlyStopping("speed"), [1])


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"patience": 0}, ValueError, "patience: expected an integer of at least 1, got 0"),
        ({"patience": 1.5}, TypeError, "patience"),
        ({"min_delta": -1}, ValueError, "min_delta"),
        ({"mode": "up"}, ValueError, "mode: expected 'auto', 'min' or 'max', got 'up'"),
        ({"monitor": None}, TypeError, "monitor"),
        ({"restore_best": 1}, TypeError, "restore_best"),
    ],
)
def test_early_stopping_checks_its_arguments(arguments, error, part):
    with pytest.raises(error, match=part):
        EarlyStopping(**arguments)


def test_base_callback_does_nothing():
    callback = Callback()
    assert callback.on_train_begin(None) is None
    assert callback.on_epoch_begin(None, 0) is None
    assert callback.on_epoch_end(None, 0, {}) is None
    assert callback.on_train_end(None) is None


# Progress


def show(progress, epochs):
    progress.on_train_begin(None)
    for epoch in range(epochs):
        logs = {"loss": 1 / (epoch + 1), "accuracy": 0.5, "time": 0.1}
        assert not progress.on_epoch_end(None, epoch, logs)
    progress.on_train_end(None)


def test_plain_lines_are_few():
    stream = io.StringIO()
    show(Progress(100, stream=stream, interval=1000), 100)
    assert stream.getvalue().splitlines() == [
        "epoch 1/100  loss 1.0000  accuracy 0.5000",
        "epoch 100/100  loss 0.0100  accuracy 0.5000",
    ]


def test_plain_lines_for_every_epoch_and_every_run():
    stream = io.StringIO()
    progress = Progress(stream=stream, interval=0)
    show(progress, 3)
    show(progress, 1)
    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == [
        "epoch 1", "epoch 2", "epoch 3", "epoch 1"
    ]


def test_progress_goes_to_standard_error(capsys):
    show(Progress(1), 1)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("epoch 1/1  loss")


def test_progress_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    show(Progress(2), 2)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_on_a_terminal():
    pytest.importorskip("tqdm")
    stream = Terminal()
    before = threading.active_count()
    progress = Progress(3, stream=stream)
    progress.on_train_begin(None)
    for epoch in range(3):
        progress.on_epoch_end(None, epoch, {"loss": 0.25, "time": 0.1})
        assert threading.active_count() == before
    progress.on_train_end(None)
    assert "3/3" in stream.getvalue() and "loss 0.2500" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_plain_lines_on_a_terminal_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    stream = Terminal()
    show(Progress(2, stream=stream), 2)
    assert stream.getvalue().splitlines()[-1].startswith("epoch 2/2")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="pseudo-terminals")
@pytest.mark.parametrize(("size", "bar"), [((24, 80), True), ((0, 0), False)])
def test_bar_only_where_the_terminal_has_a_size(size, bar):
    pytest.importorskip("tqdm")
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    try:
        termios.tcsetwinsize(theirs, size)
        with open(theirs, "w", closefd=False) as stream:
            show(Progress(2, stream=stream), 2)
        os.write(theirs, b"\0")     # what was shown may come in several pieces
        text = ""
        while not text.endswith("\0"):
            text += os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ("2/2 [" in text) == bar
    assert ("epoch 2/2  loss" in text) != bar


def test_progress_checks_its_arguments():
    with pytest.raises(ValueError, match="epochs"):
        Progress(0)
    with pytest.raises(ValueError, match="interval"):
        Progress(interval=-1)


# History


def test_history_is_a_read_only_mapping():
    history = History()
    assert dict(history) == {} and history.epochs == 0 and repr(history) == "History(epochs=0)"
    history._append({"loss": np.float32(0.5), "time": 1})
    history._append({"time": 2, "loss": 0.25})
    assert dict(history) == {"loss": [0.5, 0.25], "time": [1.0, 2.0]}
    assert list(history) == ["loss", "time"] and "loss" in history and history.epochs == 2
    assert all(type(value) is float for values in history.values() for value in values)
    with pytest.raises(TypeError):
        history["loss"] = []
    history["loss"].append(7)
    assert history["loss"] == [0.5, 0.25]
    with pytest.raises(ValueError, match="expected the names loss, time, got loss"):
        history._append({"loss": 1})
    assert history.epochs == 2
    assert repr(history) == "History(epochs=2, loss=0.25, time=3)"
    assert pickle.loads(pickle.dumps(history)) == history


# In a network


def problem():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(64, 4))
    return rows, (rows[:, :1] > 0).astype(float)


def network():
    return cymlp.Network([cymlp.Dense(1)], in_features=4, task="binary", rng=0)


def test_fit_calls_callbacks_in_order():
    seen = []

    class Record(Callback):
        def on_train_begin(self, network):
            seen.append("begin")

        def on_epoch_begin(self, network, epoch):
            seen.append(("epoch", epoch))

        def on_epoch_end(self, network, epoch, logs):
            seen.append((epoch, sorted(logs)))
            return epoch == 1

        def on_train_end(self, network):
            seen.append("end")

    rows, targets = problem()
    history = network().fit(rows, targets, epochs=5, batch_size=16, callbacks=[Record()])
    names = ["accuracy", "loss", "time"]
    assert seen == ["begin", ("epoch", 0), (0, names), ("epoch", 1), (1, names), "end"]
    assert history.epochs == 2 and sorted(history) == names


def test_fit_restores_the_best_parameters():
    rows, targets = problem()
    layer = cymlp.Dense(1, weight_initializer="zeros")
    net = cymlp.Network([layer], in_features=4, task="binary", optimizer=cymlp.SGD(0.5), rng=0)
    kept = {}

    class Keep(Callback):
        def on_epoch_end(self, network, epoch, logs):
            kept[epoch] = {name: np.array(a) for name, a in network.parameters.items()}

    # The opposite of what is learned: the validation loss soon grows from epoch to epoch.
    stopping = EarlyStopping(patience=3)
    history = net.fit(
        rows, targets, epochs=50, batch_size=16, validation_data=(rows, 1 - targets),
        callbacks=[Keep(), stopping],
    )
    best = int(np.argmin(history["val_loss"]))
    assert stopping.best_epoch == best and stopping.stopped_epoch == best + 3
    assert history.epochs == best + 4
    for name, array in net.parameters.items():
        assert (array == kept[best][name]).all()


def test_fit_shows_progress(capsys):
    rows, targets = problem()
    network().fit(rows, targets, epochs=2, batch_size=16, progress=True)
    assert "epoch 2/2  loss" in capsys.readouterr().err
    network().fit(rows, targets, epochs=2, batch_size=16, progress=False)
    assert capsys.readouterr().err == ""
