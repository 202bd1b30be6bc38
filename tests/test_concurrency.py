"""Networks among many Python threads, forked children and signals."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import cymlp
from cymlp.engine import threads

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def four_threads():
    """Really four threads, whatever the number of processors."""
    before = threads.get_num_threads()
    threads._allow_oversubscription(True)
    threads.set_num_threads(4)
    yield
    threads._allow_oversubscription(False)
    threads.set_num_threads(before)


def make(seed=0, width=128):
    """A network and data that are worth four threads."""
    net = cymlp.mlp(64, [width, width], 5, dropout=0.1, task="multiclass", rng=seed)
    rng = np.random.default_rng(seed)
    return net, rng.normal(size=(600, 64)).astype(np.float32), rng.integers(0, 5, 600)


def run_python(code, timeout=60):
    """Run code in a fresh interpreter, which must end well; returns what it printed."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True,
                          text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def all_at_once(*calls):
    """Run the calls, each on a Python thread of its own, and return their results in order."""
    results, errors = [None] * len(calls), []

    def run(index, call):
        try:
            results[index] = call()
        except BaseException as error:
            errors.append(error)

    started = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    return results


# ---- fork -------------------------------------------------------------------------------------


def child_agrees(net, X, y, predicted, trained, seconds=10):
    """Whether a forked child predicts and trains as its parent would, in time."""
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = (net.predict(X).tobytes() == predicted
                    and net._engine.last_threads == 1
                    and net.train_step(X, y) == trained)
        finally:
            os._exit(0 if good else 1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.0005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


@needs_fork
@pytest.mark.parametrize("second_thread", [False, True])
def test_a_hundred_children(four_threads, second_thread):
    net, X, y = make()
    predicted, twin = net.predict(X).tobytes(), net.copy()
    if threads.openmp_enabled():
        assert net._engine.last_threads == 4
    trained = twin.train_step(X, y)
    if not second_thread:
        assert all(child_agrees(net, X, y, predicted, trained) for _ in range(100))
        return
    # Forks come while other threads are within the very network and within another one.
    stop = threading.Event()
    other, _, _ = make(1)

    def fork():
        try:
            return [child_agrees(net, X, y, predicted, trained) for _ in range(100)]
        finally:
            stop.set()

    def work(network, call):
        while not stop.is_set():
            call(network)

    good, *_ = all_at_once(
        fork, lambda: work(net, lambda n: n.predict(X)),
        lambda: work(other, lambda n: n.train_step(X, y)))
    assert good == [True] * 100


@needs_fork
def test_a_child_of_a_network_that_is_being_trained(four_threads):
    """The lock of the training thread, which the child does not have, keeps nobody out."""
    net, X, y = make()
    training = threading.Thread(target=lambda: net.fit(X, y, epochs=300, batch_size=600))
    training.start()
    children = 0
    while training.is_alive():
        child = os.fork()
        if child == 0:
            good = False
            try:
                good = np.isfinite(net.predict(X)).all() and np.isfinite(net.train_step(X, y))
            finally:
                os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
        children += 1
    training.join()
    assert children


# ---- many callers -----------------------------------------------------------------------------


def test_eight_threads_on_eight_networks(four_threads):
    def course(seed):
        net, X, y = make(seed)
        losses = [net.train_step(X, y) for _ in range(10)]
        losses += net.fit(X, y, epochs=3, batch_size=256)["loss"]
        return losses, net.predict(X).tobytes(), net._progress()

    expected = [course(seed) for seed in range(8)]
    before = len(os.listdir("/proc/self/task"))      # this thread and the team
    most, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            most[0] = max(most[0], len(os.listdir("/proc/self/task")))
            time.sleep(0.0002)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        for _ in range(3):
            found = all_at_once(*[lambda seed=seed: course(seed) for seed in range(8)])
            assert found == expected
            # A thread that has been joined is still listed until the system has ended it.
            end = time.monotonic() + 10
            while len(os.listdir("/proc/self/task")) > before + 1 and time.monotonic() < end:
                time.sleep(0.001)
    finally:
        stop.set()
        counter.join()
    assert most[0] <= before + 8 + 1, "more than the callers, the counter and the team"


def test_eight_threads_in_a_process_of_their_own():
    """Never more threads alive than callers + n, counted from nothing."""
    callers, most = run_python("""
    import os, threading, time
    import numpy as np, cymlp
    from cymlp.engine import threads
    threads._allow_oversubscription(True)
    threads.set_num_threads(4)
    start = len(os.listdir("/proc/self/task"))      # NumPy's BLAS has threads too
    def work(seed):
        net = cymlp.mlp(64, [128], 5, task="multiclass", rng=seed)
        X, y = np.ones((600, 64), np.float32), np.arange(600) % 5
        for _ in range(30):
            net.train_step(X, y), net.predict(X)
    started = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    [thread.start() for thread in started]
    most = 0
    while any(thread.is_alive() for thread in started):
        most = max(most, len(os.listdir("/proc/self/task")))
        time.sleep(0.0002)
    print(8, most - start)
    """)
    assert int(most) <= int(callers) + 4


def test_many_predict_on_one_network(four_threads):
    net, X, y = make()
    expected = {rows: net.predict(X[:rows]).tobytes() for rows in (1, 30, 600)}
    loss = net.evaluate(X, y)
    gradients = {name: g.tobytes() for name, g in net.gradients(X, y)[1].items()}

    def use():
        for _ in range(30):
            for rows, bits in expected.items():
                assert net.predict(X[:rows]).tobytes() == bits
            assert net.evaluate(X, y) == loss
            found = net.gradients(X, y)[1]
            assert {name: g.tobytes() for name, g in found.items()} == gradients

    all_at_once(*[use] * 8)


def test_two_train_one_network_step_by_step():
    """Every step is counted, and none is done on a step that another one is in."""
    net, X, y = make()
    X, y = X[:1].repeat(32, 0), y[:1].repeat(32)     # every batch is the same
    twin = net.copy()

    def train():
        for _ in range(100):
            net.train_step(X, y)

    all_at_once(train, train, train)
    for _ in range(300):
        twin.train_step(X, y)
    assert net._progress() == twin._progress()


def test_nobody_is_kept_out():
    """Training gets on among predictions, and predictions among training."""
    net, X, y = make()
    steps, stop = 20, threading.Event()

    def train():
        try:
            for _ in range(steps):
                assert np.isfinite(net.train_step(X, y))
        finally:
            stop.set()

    def predict():
        while not stop.is_set():
            assert np.isfinite(net.predict(X)).all()

    all_at_once(train, predict, predict, predict)
    stop.clear()

    def train_on():
        while not stop.is_set():
            net.train_step(X, y)

    def predict_some():
        try:
            for _ in range(steps):
                assert np.isfinite(net.predict(X)).all()
                assert np.isfinite(net.parameters["0.weight"]).all()
        finally:
            stop.set()

    all_at_once(train_on, train_on, predict_some)


def test_copies_and_pickles_of_a_network_in_training_are_whole():
    """A twin taken at any time goes on as the network did from that step."""
    import pickle

    net, X, y = make()
    X, y = X[:1].repeat(32, 0), y[:1].repeat(32)
    reference = net.copy()
    course = {}
    for step in range(400):
        course[step] = reference._progress()[3]
        reference.train_step(X, y)
    course[400] = reference._progress()[3]

    def train():
        for _ in range(400):
            net.train_step(X, y)

    def take():
        found = []
        for _ in range(20):
            found += [net.copy()._progress(), pickle.loads(pickle.dumps(net))._progress()]
        return found

    _, found = all_at_once(train, take)
    assert all(course[step] == arena for _, step, _, arena in found)


# ---- signals ----------------------------------------------------------------------------------

SIGNALLED = """
import os, signal, sys, threading, time
import numpy as np, cymlp
from cymlp.engine import threads
threads._allow_oversubscription(True)
threads.set_num_threads({count})
net = cymlp.mlp(64, [128, 128], 5, dropout=0.1, task="multiclass", rng=0)
X = np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32)
y = np.arange(600) % 5
many = np.broadcast_to(X[0], (20_000_000, 64))
labels = np.broadcast_to(y[:1], (20_000_000,))
def interrupt(after=0.3, times=1):
    def run():
        for _ in range(times):
            time.sleep(after)
            os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
"""


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("call", [
    "net.fit(X, y, epochs=10**9, batch_size=32)",
    "net.fit(many[::5], labels[::5], epochs=1, batch_size=64, shuffle=False)",
    "net.fit(X, y, epochs=10**9, validation_split=0.1)",
    "net.predict(many)",
    "net.evaluate(many, labels)",
    "net.gradients(many, labels)"])
def test_ctrl_c(call, count):
    """KeyboardInterrupt comes soon, and the network is at a step's end."""
    code = SIGNALLED.format(count=count) + textwrap.dedent(f"""
    twin, trains = net.copy(), "fit" in {call!r}
    thread = interrupt()
    begun = time.monotonic()
    try:
        {call}
        sys.exit("came to an end")
    except KeyboardInterrupt:
        print(time.monotonic() - begun)
    key, step, epoch, arena = net._progress()
    assert trains == (step > 0), step
    assert trains or net._progress() == twin._progress()
    assert np.isfinite(net.predict(X)).all()
    if "10**9, batch" in {call!r}:
        # The very place where it stopped: as many steps of a twin lead there.
        order, size = None, 32
        for number in range(step):
            epoch, batch = divmod(number, -(-600 // size))
            if batch == 0:
                order = cymlp.reference.permutation(600, key=key, epoch=epoch)
            rows = order[batch * size:(batch + 1) * size]
            twin.train_step(X[rows], y[rows])
        assert twin._progress()[3] == arena
    before = net.evaluate(X, y)["loss"]
    net.fit(X, y, epochs=3)
    assert net._progress()[1] > step and np.isfinite(net.evaluate(X, y)["loss"])
    """)
    (seconds,) = run_python(code)
    assert float(seconds) < 5


@pytest.mark.parametrize("count", [1, 3])
def test_a_handler_that_does_not_raise(count):
    """Training goes on, and comes out where it does without signals."""
    code = SIGNALLED.format(count=count) + textwrap.dedent("""
    twin, seen = net.copy(), []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    twin.fit(X, y, epochs=5)
    begun = time.monotonic()
    twin.fit(X, y, epochs=5)
    epochs = int(5 * 1.0 / (time.monotonic() - begun)) + 5
    thread = interrupt(0.1, 5)
    net.fit(X, y, epochs=10 + epochs)
    thread.join()
    twin.fit(X, y, epochs=epochs)
    assert net._progress() == twin._progress()
    print(len(seen))
    """)
    (seen,) = run_python(code)
    assert int(seen) >= 1


def test_a_handler_that_uses_the_network():
    """From within a prediction it may predict; what would wait for itself gets an error."""
    code = SIGNALLED.format(count=2) + textwrap.dedent("""
    outcomes = []
    def handler(number, frame):
        for use in (lambda: net.predict(X).shape, lambda: net.train_step(X, y),
                    lambda: net.parameters.__setitem__("0.bias", np.zeros(128))):
            try:
                outcomes.append(use())
            except RuntimeError:
                outcomes.append("refused")
        raise KeyboardInterrupt
    signal.signal(signal.SIGINT, handler)
    for call in (lambda: net.predict(many), lambda: net.fit(X, y, epochs=10**9)):
        thread = interrupt()
        before = net._progress()
        try:
            call()
        except KeyboardInterrupt:
            pass
        thread.join()
        if before[1] == 0 and len(outcomes) == 3:
            assert net._progress() == before
    assert outcomes == [(600, 5), "refused", "refused", "refused", "refused", "refused"], outcomes
    print("good")
    """)
    assert run_python(code) == ["good"]


def test_an_interrupted_call_calls_those_in_line():
    """The exception is kept until others have been let in: they train, none is lost."""
    code = SIGNALLED.format(count=2) + textwrap.dedent("""
    waiting = []
    def wait():
        time.sleep(0.1)
        waiting.append(net.train_step(X, y))
    others = [threading.Thread(target=wait) for _ in range(3)]
    [other.start() for other in others]
    interrupt()
    try:
        net.fit(X, y, epochs=10**9)
    except KeyboardInterrupt:
        print("interrupted")
    [other.join(20) for other in others]
    print(len(waiting))
    """)
    assert run_python(code) == ["interrupted", "3"]


def test_ctrl_c_while_waiting_in_line():
    """Who is interrupted before its turn has changed nothing and holds nothing."""
    code = SIGNALLED.format(count=2) + textwrap.dedent("""
    stop = threading.Event()
    def train():
        while not stop.is_set():
            net.fit(X, y, epochs=40)
    other = threading.Thread(target=train)
    other.start()
    interrupt(0.5)
    try:
        while True:
            net.train_step(X, y)
    except KeyboardInterrupt:
        print("interrupted")
    stop.set()
    other.join(30)
    assert not other.is_alive()
    net.train_step(X, y), net.predict(X)
    print("good")
    """)
    assert run_python(code) == ["interrupted", "good"]


@pytest.mark.parametrize("count", [1, 3])
def test_exit_while_a_daemon_thread_trains(count):
    code = SIGNALLED.format(count=count) + textwrap.dedent("""
    for seed in range(2):
        twin = net.copy()
        threading.Thread(target=lambda net=twin: net.fit(X, y, epochs=10**9), daemon=True).start()
    time.sleep(0.1)
    print("leaving", flush=True)
    """)
    for _ in range(10):     # a crash or a hang depends on where the exit finds the thread
        assert run_python(code, timeout=20) == ["leaving"]


def test_labels_that_change_during_training_are_no_danger():
    """They are checked before a call; what another thread writes later stays inside the rows."""
    rng = np.random.default_rng(0)
    X, good = rng.standard_normal((4000, 8)), rng.integers(0, 3, 4000)
    y, done = good.copy(), threading.Event()

    def write():
        while not done.is_set():
            y[:] = 2**40
            y[:] = good

    writer = threading.Thread(target=write)
    writer.start()
    net = cymlp.mlp(8, [16], 3, task="multiclass", rng=0)
    try:
        for _ in range(30):
            try:
                net.fit(X, y, epochs=3, batch_size=50)
            except ValueError as error:
                assert str(error).startswith("y: expected class numbers")
    finally:
        done.set()
        writer.join()
    assert all(np.isfinite(array).all() for array in net.parameters.values())
