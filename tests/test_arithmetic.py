"""Networks take subnormal numbers as zero and round to nearest; callers compute as before."""

import contextlib
import ctypes
import ctypes.util
import platform
import signal
import sys

import numpy as np
import pytest

import cymlp
from cymlp import Dense, ops
from cymlp.engine import threads
from cymlp.losses import CustomLoss

UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine())   # <fenv.h>'s FE_UPWARD
needs_rounding = pytest.mark.skipif(UPWARD is None, reason="number of FE_UPWARD not known here")


@pytest.fixture(params=[1, 3])
def count(request):
    """So many threads, whatever the number of processors."""
    before = threads.get_num_threads()
    threads._allow_oversubscription(True)
    threads.set_num_threads(request.param)
    yield request.param
    threads._allow_oversubscription(False)
    threads.set_num_threads(before)


@contextlib.contextmanager
def rounding_up():
    """This thread's floating-point results are rounded up."""
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    before = library.fegetround()
    assert library.fesetround(UPWARD) == 0
    try:
        yield
        assert library.fegetround() == UPWARD, "the call has changed its caller's rounding"
    finally:
        library.fesetround(before)


def subnormals_live():
    """Whether this thread's results may be subnormal."""
    return sys.float_info.min / 2 > 0 and np.finfo(np.float32).tiny / np.float32(2) > 0


def subnormal_share(array):
    array = np.asarray(array)
    return np.mean((array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny))


def make(dtype="float32", optimizer="adam", width=64):
    """A network and data worth several threads."""
    net = cymlp.mlp(20, [width, width], 3, task="multiclass", dtype=dtype, optimizer=optimizer,
                    rng=0)
    rng = np.random.default_rng(1)
    return net, rng.normal(size=(300, 20)).astype(dtype), rng.integers(0, 3, 300)


def states(net, tmp_path):
    """The optimizer's states by name, as a file has them."""
    load_file = pytest.importorskip("safetensors.numpy").load_file
    net.save(tmp_path / "net", training_state=True)
    return {name: array for name, array in load_file(tmp_path / "net").items()
            if name.count(".") == 2 and array.dtype.kind == "f"}


# Each of them lets something fade once its gradient is zero.
FADING = [cymlp.Adam(), cymlp.SGD(0.01, momentum=0.5), cymlp.RMSprop(0.001, momentum=0.5),
          cymlp.NAdam(), cymlp.Lion()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", FADING, ids=lambda o: type(o).__name__)
def test_states_of_dead_units_do_not_become_subnormal(optimizer, dtype, tmp_path, count):
    net, X, y = make(dtype, optimizer, 8)
    net.fit(X, y, epochs=1, batch_size=50)
    bias = np.array(net.parameters["0.bias"])
    bias[:3] = -1e6                                 # ReLU gives 0 from now on
    net.parameters["0.bias"] = bias
    before = states(net, tmp_path)
    assert all(np.any(array) for array in before.values())
    faded = next(name for name in before
                 if name.startswith("0.weight") and not name.endswith("second_moment"))
    # 0.99 a step at the slowest: from 1 to below the least number.
    steps = int(np.log(np.finfo(dtype).smallest_subnormal) / np.log(0.99)) + 1000
    net.fit(X[:10], y[:10], epochs=steps, batch_size=10)
    after = states(net, tmp_path)
    shares = {name: subnormal_share(array) for name, array in after.items()}
    assert not any(shares.values()), shares
    # At zero, or at rest where the step to the next smaller number would be subnormal.
    assert np.all(np.abs(after[faded][:, :3]) < 200 * np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormal_inputs_and_parameters_are_zero(dtype, count):
    tiny = np.finfo(dtype).tiny
    net = cymlp.Network([Dense(5)], in_features=4, task="regression", dtype=dtype, rng=0)
    net.parameters["0.weight"] = np.full((4, 5), 2.0 ** 30)
    X = np.full((7, 4), tiny / 2, dtype)
    assert not net.predict(X).any()
    assert net.predict(2 * X).all()
    net.parameters["0.weight"] = np.full((4, 5), tiny / 2)
    assert not net.predict(np.full((7, 4), 2.0 ** 30, dtype)).any()
    assert np.all(net.parameters["0.weight"] == tiny / 2), "what is stored stays as it is"


def test_results_below_the_least_normal_number_are_zero(count):
    net = cymlp.Network([Dense(2)], in_features=2, task="multiclass", rng=0)
    net.parameters["0.weight"] = np.eye(2)
    got = net.predict(np.array([[0, 87.0], [0, 95.0], [0, 1000.0]], np.float32))
    assert got[0, 0] > np.finfo(np.float32).tiny and got[1, 0] == got[2, 0] == 0
    assert 0 < ops.softmax(np.array([[0, 95.0]], np.float32))[0, 0] < np.finfo(np.float32).tiny


def test_the_functions_on_arrays_keep_subnormals():
    x = np.array([1e-40, -1e-40], np.float32)
    np.testing.assert_array_equal(ops.leaky_relu(x, 0.5), x * np.array([1, 0.5], np.float32))
    assert subnormal_share(ops.exp(np.array([-90.0], np.float32))) == 1


def test_the_caller_keeps_its_subnormals(count):
    net, X, y = make()
    for call in (lambda: net.predict(X), lambda: net.predict(X[:1]), lambda: net.train_step(X, y),
                 lambda: net.gradients(X, y), lambda: net.evaluate(X, y),
                 lambda: net.fit(X, y, epochs=2, batch_size=32)):
        call()
        assert subnormals_live()


def test_the_caller_keeps_its_subnormals_after_an_error():
    net, X, y = make()
    net.predict(X)
    for wrong in (X[:, :3], X.astype(object)):
        with pytest.raises((TypeError, ValueError)):
            net.predict(wrong)
        assert subnormals_live()


def test_python_functions_within_a_call_compute_as_the_caller_does(count):
    seen = []

    def loss(output, target):
        seen.append(subnormals_live())
        if len(seen) == 3:
            raise ZeroDivisionError
        return np.mean((output - target) ** 2), 2 * (output - target) / output.size

    net = cymlp.Network([Dense(8, "relu"), Dense(1)], in_features=20, loss=CustomLoss(loss),
                        optimizer="adam", rng=0)
    _, X, y = make()
    X, y = X[:200], y[:200, None]                   # in one piece: one call a step
    for _ in range(2):
        net.train_step(X, y)
    with pytest.raises(ZeroDivisionError):
        net.train_step(X, y)
    assert seen == [True] * 3 and subnormals_live()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_signal_handlers_within_a_call_compute_as_the_caller_does(count):
    net, X, y = make()
    X, y = np.tile(X, (1000, 1)), np.tile(y, 1000)
    seen = []

    def handle(*_):
        try:
            net.predict(X[:1])
        except RuntimeError:                        # refused: within the call
            seen.append(subnormals_live())

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        net.fit(X, y, epochs=1, batch_size=20)      # thousands of steps in one native call
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen and all(seen) and subnormals_live()


@needs_rounding
def test_bits_do_not_depend_on_the_callers_rounding(count):
    start, X, y = make()

    def run():
        net = start.copy()
        net.fit(X, y, epochs=2, batch_size=64)
        return [net.predict(X), net.predict(X[:1]), *map(np.array, net.parameters.values())]

    expected = run()
    with rounding_up():
        results = run()
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_rounding
def test_threads_compute_as_their_caller_does(count):
    x = np.random.default_rng(0).normal(size=1 << 20).astype(np.float32)
    threads.set_num_threads(1)
    with rounding_up():
        alone = ops.sigmoid(x)
    threads.set_num_threads(count)
    nearest = ops.sigmoid(x)            # the threads begin as their maker computes: to nearest
    with rounding_up():
        together = ops.sigmoid(x)
    np.testing.assert_array_equal(together, alone)
    assert np.any(nearest != alone)
