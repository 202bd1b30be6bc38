"""Runs that are left and gone on with: as if they had never been left, to the last byte."""

import csv
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import cymlp
from cymlp.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint
from cymlp.kernels import optimizer_table

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype("float32")
Y = RNG.integers(0, 3, 60)
OPTIMIZERS = {
    "sgd": cymlp.SGD(0.1, momentum=0.9), "adam": cymlp.Adam(0.02, amsgrad=True),
    "adagrad": cymlp.Adagrad(0.05, learning_rate_decay=0.1, initial_accumulator_value=0.2),
    "rmsprop": cymlp.RMSprop(0.01, momentum=0.5, centered=True)}
OPTIMIZERS |= {name: name for name in optimizer_table() if name not in OPTIMIZERS}
LAYERS = {
    "dense": [cymlp.Dense(7, "relu"), cymlp.Dropout(0.25), cymlp.Dense(3)],
    "normalised": [cymlp.Dense(6, "tanh", bias=False), cymlp.BatchNorm(), cymlp.Dropout(0.5),
                   cymlp.Residual([cymlp.LayerNorm(), cymlp.Dense(6, "relu")]), cymlp.Dense(3)]}


def make(layers="dense", optimizer="adam", dtype="float32"):
    return cymlp.Network(LAYERS[layers], in_features=5, task="multiclass", rng=3, dtype=dtype,
                         optimizer=OPTIMIZERS.get(optimizer, optimizer))


def content(net):
    """Everything that a run can change."""
    counters = net._engine.key, net._engine.step, net._engine.epoch
    states = range(len(net.optimizer.states() + net.update.states()))
    return counters, {(p.name, state): net._engine.read(p, state).tobytes()
                      for p in net._layout for state in (-1, *(states if p.trained else ()))}


def values(history):
    return {name: history[name] for name in history if name != "time"}


def watching(folder):
    """Callbacks that remember something, new ones."""
    return [ModelCheckpoint(folder / "best", save_best_only=True),
            EarlyStopping(patience=3, restore_best=True), CSVLogger(folder / "log.csv")]


SETTINGS = {"batch_size": 16, "validation_data": (X[:20], Y[:20])}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_ten_epochs_are_five_a_file_and_five(tmp_path, layers, optimizer, dtype):
    whole, left = make(layers, optimizer, dtype), make(layers, optimizer, dtype)
    history = whole.fit(X, Y, epochs=10, batch_size=16)
    left.fit(X, Y, epochs=5, batch_size=16)
    left.save(tmp_path / "net", training_state=True)
    loaded = cymlp.load(tmp_path / "net")
    assert content(loaded) == content(left) != content(whole)
    again = loaded.fit(X, Y, epochs=10, batch_size=16, resume=True)
    assert content(loaded) == content(whole) and values(again) == values(history)
    assert again["time"][:5] == left._record.history["time"]


@pytest.mark.parametrize("update", [
    cymlp.Update(accumulate=3, clip_norm=0.1), cymlp.Update(average=0.9, max_norm=2.0),
    cymlp.Update(groups=[cymlp.Group("*.bias", learning_rate_factor=3)], accumulate=2, l2=0.1)],
    ids=repr)
def test_what_goes_around_the_step_goes_on_too(tmp_path, update):
    """60 rows in batches of 13 are 5 batches: the accumulation of 3 goes on over the end."""
    def network():
        return cymlp.mlp(5, [6], 3, task="multiclass", rng=0, update=update, dropout=0.2)

    whole, left = network(), network()
    history = whole.fit(X, Y, epochs=10, batch_size=13)
    left.fit(X, Y, epochs=5, batch_size=13)
    left.save(tmp_path / "net", training_state=True)
    loaded = cymlp.load(tmp_path / "net")
    assert loaded.update == update
    again = loaded.fit(X, Y, epochs=10, batch_size=13, resume=True)
    assert content(loaded) == content(whole) and values(again) == values(history)


def test_in_another_process_with_callbacks(tmp_path):
    folders = [tmp_path / name for name in ("whole", "left")]
    for folder in folders:
        folder.mkdir()
    np.savez(tmp_path / "data", X=X, Y=Y)
    whole = make()
    callbacks = watching(folders[0])
    history = whole.fit(X, Y, epochs=10, callbacks=callbacks, **SETTINGS)
    left = make()
    left.fit(X, Y, epochs=5, callbacks=watching(folders[1]), **SETTINGS)
    left.save(tmp_path / "net", training_state=True)
    code = f"""
import pathlib, sys
sys.path[:0] = {[os.path.dirname(__file__)]!r}
import test_resume as t
folder = pathlib.Path({str(tmp_path)!r})
net = t.cymlp.load(folder / "net")
net.fit(t.X, t.Y, epochs=10, resume=True, callbacks=t.watching(folder / "left"), **t.SETTINGS)
net.save(folder / "end", training_state=True)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    loaded = cymlp.load(tmp_path / "end")
    assert content(loaded) == content(whole)
    assert values(loaded._record.history) == values(history)
    saved = {entry.kind: entry.state for entry in loaded._record.saved_callbacks()}
    stopping = callbacks[1].state()
    assert saved["EarlyStopping"].keys() == stopping.keys()
    for name, value in stopping.items():
        found = saved["EarlyStopping"][name]
        assert np.array_equal(found, value) and type(found) is type(value), name
    rows = [[row[:-1] for row in csv.reader(open(folder / "log.csv"))] for folder in folders]
    assert rows[0] == rows[1] and len(rows[0]) == history.epochs + 1
    best = [cymlp.load(folder / "best") for folder in folders]
    assert content(best[0]) == content(best[1])


@pytest.mark.parametrize("first", range(1, 10))
def test_early_stopping_goes_on_waiting(first):
    """Wherever a run is left, also after the best epoch and after it was stopped."""
    def stopping():
        return EarlyStopping("loss", patience=2, min_delta=0.02)

    whole, left = make(), make()
    one, two = stopping(), stopping()
    history = whole.fit(X, Y, epochs=30, callbacks=one)
    left.fit(X, Y, epochs=first, callbacks=stopping())
    again = left.fit(X, Y, epochs=30, callbacks=two, resume=True)
    assert content(left) == content(whole) and values(again) == values(history)
    assert (one.best, one.best_epoch, one.stopped_epoch) == (
        two.best, two.best_epoch, two.stopped_epoch)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_file_that_a_callback_writes_is_exact(tmp_path, order):
    """Also for callbacks that have not heard of the epoch when the file is written."""
    def callbacks(name):
        both = [ModelCheckpoint(tmp_path / f"{name}-{{epoch}}", training_state=True),
                EarlyStopping("loss", patience=2)]
        return [both[index] for index in order]

    whole = make()
    given = callbacks("whole")
    history = whole.fit(X, Y, epochs=9, callbacks=given)
    for epoch in range(1, history.epochs + 1):
        loaded = cymlp.load(tmp_path / f"whole-{epoch}")
        new = callbacks("left")
        again = loaded.fit(X, Y, epochs=9, callbacks=new, resume=True)
        assert values(again) == values(history) and content(loaded) == content(whole)
        assert new[order.index(1)].best == given[order.index(1)].best


class Interrupts(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, network, step, logs):
        if step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("settings", [
    {}, {"shuffle": False}, {"drop_last": True}, {"sample_weight": np.linspace(0, 2, 60)},
    {"validation_split": 0.2}], ids=lambda settings: next(iter(settings), "plain"))
@pytest.mark.parametrize("step", [1, 3, 4, 6, 8, 11])
def test_from_the_middle_of_an_epoch(tmp_path, step, settings):
    settings = {"batch_size": 17, **settings}
    whole, left = make("normalised"), make("normalised")
    history = whole.fit(X, Y, epochs=4, **settings)
    with pytest.raises(KeyboardInterrupt):
        left.fit(X, Y, epochs=4, callbacks=Interrupts(step), **settings)
    assert left._engine.step == step
    left.save(tmp_path / "net", training_state=True)
    for net in (cymlp.load(tmp_path / "net"), left):
        again = net.fit(X, Y, epochs=4, resume=True, **settings)
        assert content(net) == content(whole) and values(again) == values(history)


@pytest.mark.parametrize("callbacks", [[], [Callback()]], ids=["plain", "watched"])
def test_ctrl_c_in_native_code_and_on(tmp_path, callbacks):
    many = np.random.default_rng(1).normal(size=(3000, 5))
    labels = np.arange(3000) % 3
    whole, left = (cymlp.mlp(5, [256, 128], 3, dropout=0.1, task="multiclass", rng=1)
                   for _ in range(2))
    history = whole.fit(many, labels, epochs=60, batch_size=8)
    interrupts, again = 0, None
    while again is None:
        timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
        timer.start()
        try:
            again = left.fit(many, labels, epochs=60, batch_size=8, resume=True,
                             callbacks=callbacks)
            timer.cancel()
            timer.join()
        except KeyboardInterrupt:   # may come when all steps are done and the end is not yet told
            interrupts += 1
            left.save(tmp_path / "net", training_state=True)
            left = cymlp.load(tmp_path / "net")
    assert interrupts and content(left) == content(whole)
    assert values(again) == values(history)


def test_best_parameters_after_an_error_and_on():
    class Fails(Callback):
        def on_epoch_end(self, network, epoch, logs):
            if epoch == 6 and failing:
                raise KeyboardInterrupt

    def callbacks():
        return [EarlyStopping("loss", mode="max", patience=20), Fails()]

    failing = False
    whole, left = make("normalised"), make("normalised")
    whole.fit(X, Y, epochs=9, callbacks=callbacks())
    failing = True
    best = make("normalised")
    given = callbacks()
    with pytest.raises(KeyboardInterrupt):
        left.fit(X, Y, epochs=9, callbacks=given)
    best.fit(X, Y, epochs=given[0].best_epoch + 1)
    assert {name: a.tobytes() for name, a in left.parameters.items()} == {
        name: a.tobytes() for name, a in best.parameters.items()}
    failing = False
    left.fit(X, Y, epochs=9, callbacks=callbacks(), resume=True)
    assert content(left) == content(whole)


def test_every_callback_hears_of_the_end():
    heard = []

    class Fails(Callback):
        def on_train_begin(self, network):
            heard.append("begin")

        def on_train_end(self, network):
            heard.append("end")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        make().fit(X, Y, epochs=1, callbacks=[Fails(), Fails()])
    assert heard == ["begin", "begin", "end", "end"]


def test_what_cannot_be_gone_on_with(tmp_path):
    net = make()
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, epochs=4, batch_size=16, callbacks=[Interrupts(2), EarlyStopping("loss")])
    before = content(net)
    for settings, part in [({"batch_size": 8}, "batch_size: expected 16, .*got 8"),
                           ({"shuffle": False}, "shuffle: expected True"),
                           ({"drop_last": True}, "drop_last: expected False")]:
        with pytest.raises(ValueError, match=part):
            net.fit(X, Y, resume=True, callbacks=EarlyStopping("loss"),
                    **{"batch_size": 16, **settings})
    with pytest.raises(ValueError, match="rows: expected 60, .*got 50"):
        net.fit(X[:50], Y[:50], resume=True, batch_size=16, callbacks=EarlyStopping("loss"))
    with pytest.raises(ValueError, match="callbacks: expected the EarlyStopping"):
        net.fit(X, Y, resume=True, batch_size=16)
    with pytest.raises(TypeError, match="resume"):
        net.fit(X, Y, resume=1)
    assert content(net) == before
    net.fit(X, Y, epochs=1)     # a new run is not bound by the old one


def test_a_resumed_run_without_an_earlier_one_is_new():
    net, other = make(), make()
    assert values(net.fit(X, Y, epochs=3, resume=True)) == values(other.fit(X, Y, epochs=3))
    assert content(net) == content(other)


def test_batches_are_heard_of_on_request():
    class Listens(Callback):
        def __init__(self, interval, stop=None):
            self.batch_interval, self.stop, self.heard = interval, stop, []

        def on_batch_end(self, network, step, logs):
            assert network._engine.step == step
            self.heard.append((step, logs["loss"]))
            return step == self.stop

    whole, watched, stepwise = make(), make(), make()
    one, three = Listens(1), Listens(3)
    history = whole.fit(X, Y, epochs=2, batch_size=25)
    heard = watched.fit(X, Y, epochs=2, batch_size=25, callbacks=[one, three])
    assert content(watched) == content(whole) and values(heard) == values(history)
    assert [step for step, _ in one.heard] == [1, 2, 3, 4, 5, 6]
    assert three.heard == [one.heard[2], one.heard[5]]
    order = cymlp.ops.permutation(60, key=stepwise._engine.key, epoch=0)[:25]
    assert one.heard[0][1] == stepwise.train_step(X[order], Y[order])
    stopped = make()
    history = stopped.fit(X, Y, epochs=5, batch_size=25, callbacks=Listens(1, stop=4))
    assert history.epochs == 1 and stopped._engine.step == 4
    stopped = make()
    history = stopped.fit(X, Y, epochs=5, batch_size=25, callbacks=Listens(1, stop=6))
    assert history.epochs == 2 and stopped._engine.step == 6


KILLED = """
import os, pathlib, random, signal, sys, time
import cymlp, numpy as np

path = pathlib.Path(sys.argv[1])
net = cymlp.mlp(200, [300, 200], 3, task="multiclass", rng=0)


def save(number):
    net.parameters["0.bias"] = np.full(300, number)
    net.parameters["2.bias"] = np.full(3, number)
    net.save(path, training_state=True)


save(0)
last = 0
for _ in range(100):
    child = os.fork()
    if child == 0:
        number = last
        while True:
            number += 1
            save(number)
    time.sleep(random.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = cymlp.load(path)
    numbers = {*found.parameters["0.bias"].tolist(), *found.parameters["2.bias"].tolist()}
    assert len(numbers) == 1 and numbers.pop() >= last, (numbers, last)
    last = int(found.parameters["2.bias"][0])
print(last, len(list(path.parent.glob(".cymlp-*.tmp"))))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_save_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "net"], check=True,
                          timeout=120, capture_output=True, text=True)
    saved, left_in_the_middle = map(int, done.stdout.split())
    assert saved > 0 and left_in_the_middle > 0
