"""Rows that come in blocks, from generators and from files: the same training, little memory."""

import os
import subprocess
import sys
import threading
import time
import traceback
from itertools import pairwise

import numpy as np
import pytest

import cymlp
from cymlp.blocks import Cutter
from cymlp.data import Feed

CUTS = [[0, 100], [0, 50, 100], [0, 1, 2, 3, 40, 41, 100], [0, 16, 32, 48, 64, 80, 96, 100],
        [0, 7, 99, 100]]


def rows(task="regression", n=100):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 5))
    y = rng.integers(0, 3, n) if task == "multiclass" else X[:, 0] ** 2
    return X, y, rng.random(n) * (np.arange(n) % 5 > 0)


def network(task="regression", **settings):
    return cymlp.mlp(5, [8], 3 if task == "multiclass" else 1, task=task, rng=0, **settings)


def cut(cuts, *arrays):
    return [tuple(a[i:j] for a in arrays) for i, j in pairwise(cuts)]


def same(a, b):
    return all((a.parameters[name] == b.parameters[name]).all() for name in a.parameters)


def no_thread_is_left():
    deadline = time.monotonic() + 20
    while any(thread.name == "cymlp-feed" for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Reusing:
    """Fills the same arrays for every block."""

    def __init__(self, blocks):
        self.blocks, self.passes = blocks, 0

    def __iter__(self):
        self.passes += 1
        space = [np.empty_like(np.resize(a, (200, *a.shape[1:])))
                 for a in (self.blocks or [()])[0]]
        for block in self.blocks:
            views = [s[:len(a)] for s, a in zip(space, block, strict=True)]
            for view, array in zip(views, block, strict=True):
                view[...] = array
            yield tuple(views)


# ---- the same training -------------------------------------------------------------------------


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", ["regression", "multiclass"])
@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_blocks_are_the_rows_that_they_are_cut_from(cuts, task, weighted, drop_last):
    arrays = rows(task)[:3 if weighted else 2]
    settings = {"epochs": 3, "batch_size": 16, "shuffle": False, "drop_last": drop_last}
    whole, parts = network(task), network(task)
    expected = whole.fit(arrays[0], arrays[1], sample_weight=arrays[2] if weighted else None,
                         **settings)
    source = Reusing(cut(cuts, *arrays))
    history = parts.fit(source, **settings)
    assert same(whole, parts) and source.passes == 3
    assert parts._engine.epoch == 3 and parts._engine.step == whole._engine.step
    assert list(history) == list(expected)
    for name in ("loss", whole.loss.metric):
        assert history[name] == pytest.approx(expected[name], rel=1e-6)


def test_blocks_with_and_without_weights_and_weights_of_classes():
    X, y, _ = rows("multiclass")
    weight = np.r_[np.ones(30), np.full(70, 2.0)]
    blocks = [(X[:30], y[:30]), (X[30:].tolist(), y[30:].tolist(), weight[30:])]
    whole, parts = network("multiclass"), network("multiclass")
    settings = {"batch_size": 16, "shuffle": False, "class_weight": {0: 3.0}}
    whole.fit(X, y, sample_weight=weight, **settings)
    parts.fit(blocks, **settings)
    assert same(whole, parts)


def test_the_mean_of_an_epoch_counts_the_weights_of_classes():
    X, y, weight = rows("multiclass")
    whole, parts = [cymlp.mlp(5, [8], 3, loss=cymlp.CategoricalCrossEntropy(
        class_weight=(1.0, 50.0, 0.0)), dtype="float64", rng=0) for _ in range(2)]
    expected = whole.fit(X, y, sample_weight=weight, epochs=3, batch_size=16, shuffle=False)
    history = parts.fit(cut(CUTS[2], X, y, weight), epochs=3, batch_size=16, shuffle=False)
    assert same(whole, parts)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-13)


def test_validation_metrics_and_callbacks():
    X, y, _ = rows("multiclass")
    net, seen = network("multiclass"), []

    class Watch(cymlp.Callback):
        def on_batch_end(self, network, step, logs):
            seen.append((step, logs["loss"]))

    history = net.fit(cut([0, 50, 100], X, y), epochs=3, batch_size=32, callbacks=[Watch()],
                      validation_data=(X, y), metrics=["f1"])
    assert history["val_f1"][-1] == net.evaluate(X, y, metrics=["f1"])["f1"]
    assert [step for step, _ in seen] == list(range(1, 13))
    assert "val_loss" in history and history["time"][0] > 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_evaluation_of_blocks(task, weighted):
    arrays = rows(task)[:3 if weighted else 2]
    net = network(task)
    wanted = ["f1", "auroc"] if task == "multiclass" else ["r2", "rmse"]
    for classes in ([None, {1: 5.0}] if task == "multiclass" else [None]):
        expected = net.evaluate(*arrays, class_weight=classes, metrics=wanted)
        for cuts in CUTS:
            source = Reusing(cut(cuts, *arrays))
            found = net.evaluate(source, class_weight=classes, metrics=wanted)
            assert list(found) == list(expected) and source.passes == 1
            assert found == pytest.approx(expected, rel=1e-6)
        assert net.evaluate(iter(cut([0, 100], *arrays)), class_weight=classes,
                            metrics=wanted) == expected


def test_evaluation_of_blocks_with_and_without_weights():
    X, y, weight = rows("multiclass")
    net = network("multiclass", dtype="float64")
    expected = net.evaluate(X, y, np.r_[np.ones(30), weight[30:]], metrics=["f1"])
    blocks = [(X[:30], y[:30]), (X[30:].tolist(), y[30:].tolist(), weight[30:])]
    assert net.evaluate(blocks, metrics=["f1"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("blocked", [False, True], ids=["rows", "blocks"])
def test_validation_on_blocks(blocked):
    X, y, _ = rows("multiclass")
    validation = Reusing(cut([0, 30, 100], X, y))
    nets = [network("multiclass") for _ in range(2)]
    settings = {"epochs": 3, "metrics": ["f1"], "shuffle": False}
    data = (cut([0, 100], X, y),) if blocked else (X, y)
    expected = nets[0].fit(*data, validation_data=(X, y), **settings)
    history = nets[1].fit(*data, validation_data=validation, **settings)
    assert same(*nets) and validation.passes == 4
    assert list(history) == list(expected) and "val_f1" in history
    for name in ("val_loss", "val_accuracy", "val_f1"):
        assert history[name] == pytest.approx(expected[name], rel=1e-6)
    again = nets[0].fit(*data, validation_data=cut([0, 30, 100], X, y), **settings)
    assert again["val_loss"] == nets[1].fit(*data, validation_data=validation,
                                            **settings)["val_loss"]


@pytest.mark.parametrize("value, message", [
    ([], r"\(X, y\) or"), (iter([]), "expected blocks that can be gone through again"),
    (Reusing([]), "block"), ([(1, 2), (3, 4)], "block 0: X: expected"),
    ([(np.ones((1, 5)), [2]), (np.ones((1, 5)), [3])], "block 1: y: expected class numbers"),
])
def test_blocks_that_cannot_be_validated_on(value, message):
    X, y, _ = rows("multiclass")
    net = network("multiclass")
    before = net.parameters["0.weight"].copy()
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, validation_data=value)
    assert (net.parameters["0.weight"] == before).all()


@pytest.mark.parametrize("arguments, settings, message", [
    (([],), {}, "X: expected blocks of rows, got none"),
    ((3,), {}, "X: expected an array with y, or an iterable"),
    ((np.ones((2, 5)),), {}, "y: expected"),
    (([[1.0] * 5],), {}, "X: expected blocks .* as block 0"),
    (([(np.ones((1, 5)), [0])], None, [1.0]), {}, "sample_weight: expected None"),
    (([(np.ones((1, 5)), [0])],), {"class_weight": "balanced"}, "class_weight: expected a dict"),
    (([(np.ones((1, 5)), [0]), (np.ones((1, 5)), [[0.5, 0.25, 0.25]])],), {"metrics": ["f1"]},
     "y: expected targets of one kind in all blocks"),
])
def test_evaluation_that_cannot_be(arguments, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        network("multiclass").evaluate(*arguments, **settings)


def test_many_small_blocks_in_a_batch():
    """Joined once: in quadratic time this takes minutes."""
    X, y = np.zeros((40_000, 5), np.float32), np.zeros(40_000, np.float32)
    blocks = [(X[i:i + 1], y[i:i + 1]) for i in range(len(X))]
    assert network().fit(blocks, epochs=1, batch_size=len(X)).epochs == 1


# ---- cutting -----------------------------------------------------------------------------------


def pieces(blocks, batch_size, **settings):
    """Batches of every epoch, of blocks of plain numbers."""
    def prepare(number, block):
        return np.array(block), np.array(block), None, False

    epochs, batches = [], []
    for part in Cutter(blocks, prepare, batch_size, **settings):
        if part.last:
            epochs.append(batches)
            batches = []
        else:
            batches += [part.X[i:i + batch_size].tolist()
                        for i in range(0, len(part.X), batch_size)]
    assert not batches
    return epochs


def test_cutting():
    blocks = [[1, 2, 3, 4, 5], [6], [7], [8, 9, 10]]
    assert pieces(blocks, 3, epochs=1) == [[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]]
    assert pieces(blocks, 3, epochs=2, drop_last=True) == [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]] * 2
    assert pieces(blocks, 20, epochs=1) == [[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]]
    found = pieces(blocks, 3, epochs=3, steps_per_epoch=2)
    assert found == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 1, 2]], [[3, 4, 5], [6, 7, 8]]]
    assert pieces(iter(blocks), 3, epochs=9, steps_per_epoch=3) == [
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[10]]]
    assert pieces(iter(blocks), 2, epochs=9, steps_per_epoch=5) == [
        [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]]
    assert pieces([list(range(12))], 2, epochs=2, steps_per_epoch=2) == [
        [[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_a_generator_without_end():
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield np.ones((10, 5)), np.ones(10)

    net = network()
    history = net.fit(endless(), epochs=3, batch_size=10, steps_per_epoch=4)
    assert history.epochs == 3 and net._engine.step == 12
    assert len(asked) == 12         # no block is asked for that is not needed
    assert no_thread_is_left()


def test_a_generator_that_ends_early_ends_the_run():
    net = network()
    X, y, _ = rows()
    history = net.fit(iter(cut(CUTS[1], X, y)), epochs=10, batch_size=10, steps_per_epoch=4)
    assert history.epochs == 3 and net._engine.step == 10


def test_shuffling_stays_within_a_block_and_does_not_depend_on_time():
    X, y, _ = rows()
    blocks = cut([0, 40, 100], X, y)

    def slow():
        for block in blocks:
            time.sleep(0.05)
            yield block

    class Slow(cymlp.Callback):
        def on_batch_end(self, network, step, logs):
            time.sleep(0.01)

    nets = [network() for _ in range(4)]
    nets[0].fit(blocks, epochs=1, batch_size=8)
    nets[1].fit(slow(), epochs=1, batch_size=8)
    nets[2].fit(blocks, epochs=1, batch_size=8, callbacks=[Slow()])
    nets[3].fit(blocks, epochs=1, batch_size=8, shuffle=False)
    assert same(nets[0], nets[1]) and same(nets[0], nets[2]) and not same(nets[0], nets[3])
    orders = []

    class Order(cymlp.Callback):
        def on_batch_end(self, network, step, logs):
            orders.append(network._run.arrays[0][:, 0].tolist())

    net = network()
    net.fit(blocks, epochs=2, batch_size=20, callbacks=[Order()])
    first, second = orders[0], orders[5]
    assert sorted(first) == sorted(X[:40, 0]) == sorted(second)
    assert first != second and first != X[:40, 0].tolist()


# ---- the thread --------------------------------------------------------------------------------


def test_blocks_are_fetched_ahead_but_not_far():
    made, ahead = [], threading.Event()

    def blocks():
        for _ in range(20):
            made.append(1)
            if len(made) == 3:
                ahead.set()
            yield np.ones((10, 5)), np.ones(10)

    class Watch(cymlp.Callback):
        def on_batch_end(self, network, step, logs):
            assert ahead.wait(60)       # while no step is being made
            assert len(made) <= step + 4

    network().fit(blocks(), epochs=1, batch_size=10, callbacks=[Watch()])
    assert len(made) == 20


def test_an_error_comes_with_its_traceback():
    def faulty_source():
        yield np.ones((10, 5)), np.ones(10)
        raise OSError("disk on fire")

    net = network()
    with pytest.raises(OSError, match="disk on fire") as caught:
        net.fit(faulty_source(), epochs=1, batch_size=5)
    assert "faulty_source" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert net._engine.step == 2 and no_thread_is_left()
    net.fit(*rows()[:2], epochs=1)      # the network is as good as before


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_the_thread_ends_with_the_run(error):
    def endless():
        while True:
            yield np.ones((10, 5)), np.ones(10)

    class Stop(cymlp.Callback):
        def on_batch_end(self, network, step, logs):
            raise error

    with pytest.raises(error):
        network().fit(endless(), epochs=2, batch_size=5, steps_per_epoch=9, callbacks=[Stop()])
    assert no_thread_is_left()


def test_early_stopping_ends_the_thread():
    class Stop(cymlp.Callback):
        def on_epoch_end(self, network, epoch, logs):
            return True

    blocks = cut(CUTS[2], *rows()[:2])
    assert network().fit(blocks, epochs=50, callbacks=[Stop()]).epochs == 1
    assert no_thread_is_left()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_lacks():
    feed = Feed(iter(range(100)))
    assert feed.get() == 0
    child = os.fork()
    if not child:
        try:
            feed.get()
        except RuntimeError:
            os._exit(7)
        os._exit(1)
    deadline, status = time.monotonic() + 60, (0, 0)
    while not status[0] and time.monotonic() < deadline:
        status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not status[0]:
        os.kill(child, 9)
    assert os.waitstatus_to_exitcode(status[1]) == 7
    assert [feed.get(), feed.get()] == [1, 2]
    feed.close()
    assert no_thread_is_left()


# ---- what cannot be ----------------------------------------------------------------------------


def bad_blocks():
    X, y, _ = rows("multiclass")
    return [(X[:50], y[:50]), (X[50:], np.full(50, 9))]


@pytest.mark.parametrize("source, settings, message", [
    (iter([1]), {}, "epochs: expected 1, or steps_per_epoch"),
    (3, {}, "X: expected an array with y, or an iterable"),
    ([], {}, "X: expected blocks of rows, got none"),
    ([1, 2], {}, "expected blocks .* got 1 as block 0"),
    (bad_blocks(), {}, "block 1: y: expected class numbers from 0 to 2, got 9 in row 0"),
    ([(np.ones((3, 4)), [0, 1, 2])], {}, "block 0: X: expected an array of shape"),
    (bad_blocks(), {"batch_size": None}, "batch_size: expected a number of rows"),
    (bad_blocks(), {"sample_weight": [1]}, "sample_weight: expected None"),
    (bad_blocks(), {"class_weight": "balanced"}, "class_weight: expected a dict"),
    (bad_blocks(), {"validation_split": 0.5}, "validation_split: expected 0"),
    (bad_blocks(), {"metrics": ["f1"]}, "metrics: expected validation_data"),
    (bad_blocks(), {"resume": True}, "resume: expected False"),
    (bad_blocks(), {"steps_per_epoch": 0}, "steps_per_epoch: expected an integer"),
])
def test_errors(source, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        network("multiclass").fit(source, **settings)
    assert no_thread_is_left()


@pytest.mark.parametrize("unit", ["rows", "steps", "epochs"])
def test_a_schedule_by_rows_is_refused_and_others_go_on(unit):
    schedule = cymlp.schedules.Warmup(cymlp.schedules.InverseScaling(0.5, unit=unit), steps=2)
    X, y, _ = rows()
    whole, parts = [network(optimizer=cymlp.SGD(0.1, schedule=schedule)) for _ in range(2)]
    if unit == "rows":
        with pytest.raises(ValueError, match="schedule: expected steps or epochs"):
            parts.fit(cut(CUTS[1], X, y))
        return
    whole.fit(X, y, epochs=3, batch_size=16, shuffle=False)
    parts.fit(cut(CUTS[2], X, y), epochs=3, batch_size=16, shuffle=False)
    assert same(whole, parts)


def test_steps_of_an_epoch_are_for_blocks():
    with pytest.raises(ValueError, match="steps_per_epoch: expected None where X is an array"):
        network().fit(*rows()[:2], steps_per_epoch=3)


# ---- memory ------------------------------------------------------------------------------------

LITTLE_MEMORY = """
import resource, sys
import numpy as np
import cymlp

cymlp.set_num_threads(1)
rows, columns = 400_000, 256
X = np.memmap(sys.argv[1], np.float32, "r", shape=(rows, columns))
y = np.zeros(rows, np.float32)
net = cymlp.mlp(columns, [4], 1, task="regression", rng=0)
net.fit([(X[:500], y[:500])], epochs=1, validation_data=(X[:500], y[:500]), metrics=["r2"])
net.fit(X[:500], y[:500], epochs=1)
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status")
            if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + (128 << 20),) * 2)
try:
    np.array(X)
except MemoryError:
    print("too large")
net.fit(X, y, epochs=1, batch_size=4096)
net.fit(((X[i:i + 8000], y[i:i + 8000]) for i in range(0, rows, 8000)), epochs=1, batch_size=4096)
print(net.evaluate(X, y, metrics=["mae"])["mae"])
print(net.evaluate(((X[i:i + 8000], y[i:i + 8000]) for i in range(0, rows, 8000)))["loss"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA for mapped memory")
def test_a_file_larger_than_memory(tmp_path):
    """400 MB where no more than 128 MB may be taken."""
    path = tmp_path / "X"
    with open(path, "wb") as file:
        file.truncate(400_000 * 256 * 4)
    # The address sanitizer keeps freed memory back, by default more than the limit set here.
    kept_back = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY, path], capture_output=True,
                          text=True, timeout=300, env={**os.environ, "ASAN_OPTIONS": kept_back})
    assert done.stdout.splitlines() == ["too large", "0.0", "0.0"], done.stderr
