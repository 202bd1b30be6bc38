"""A user's own functions: losses in Python and in compiled code, activations in Python."""

import copy
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import cymlp
from cymlp import losses, reference
from cymlp.engine import threads

DTYPES = ["float32", "float64"]


def squares(output, target):
    """Mean squared error, one loss a row."""
    difference = output - target
    return (difference**2).mean(axis=1), 2 * difference / difference.size


def mean_of_squares(output, target):
    return squares(output, target)[0].mean(), squares(output, target)[1]


def sine_backward(gradient, x):
    return gradient * np.cos(x)


sine = cymlp.CustomActivation(np.sin, sine_backward)


def make_compiled(dtype, seen=None):
    """The same loss by way of ctypes, which takes the GIL itself."""
    real = ctypes.POINTER(ctypes.c_float if dtype == "float32" else ctypes.c_double)

    @ctypes.CFUNCTYPE(None, real, ctypes.POINTER(ctypes.c_double), real, real, ctypes.c_int64,
                      ctypes.c_int64)
    def function(gradient, loss, output, target, columns, targets):
        total = 0.0
        for c in range(columns):
            total += (output[c] - target[c]) ** 2 / columns
            gradient[c] = 2 * (output[c] - target[c]) / columns
        loss[0] = total
        if seen is not None:
            seen.append((columns, targets, threading.get_native_id()))
    return function


def make(loss, dtype="float64", activation="tanh"):
    """Large enough that 40 rows are worth several threads."""
    layers = [cymlp.Dense(300, activation), cymlp.Dropout(0.2), cymlp.Dense(100), cymlp.Dense(3)]
    return cymlp.Network(layers, in_features=5, loss=loss, dtype=dtype, rng=3)


def check_threads(network, count):
    """That so many threads were at work: else a test of them is none."""
    assert network._engine.last_threads == (count if threads.openmp_enabled() else 1)


def data(rows=700):
    random = np.random.default_rng(1)
    return (random.standard_normal((rows, 5)), random.uniform(-1, 1, (rows, 3)),
            random.integers(0, 3, rows).astype(float))


FORMS = {"python": lambda dtype: squares, "mean": lambda dtype: mean_of_squares,
         "compiled": lambda dtype: cymlp.CompiledLoss(make_compiled(dtype), dtype)}


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_a_loss_trains_as_the_built_in_one(form, dtype, count, forced):
    X, y, weight = data()
    tolerance = {"rtol": 3e-4 if dtype == "float32" else 1e-10,
                 "atol": 1e-5 if dtype == "float32" else 1e-12}
    forced(count)
    for w in (None, weight):
        if form == "mean" and w is not None:
            continue
        network, twin = make(FORMS[form](dtype), dtype), make("mean_squared_error", dtype)
        assert network.evaluate(X, y, w)["loss"] == pytest.approx(
            twin.evaluate(X, y, w)["loss"], rel=tolerance["rtol"])
        found, expected = network.gradients(X, y, w), twin.gradients(X, y, w)
        for name, gradient in expected[1].items():
            np.testing.assert_allclose(found[1][name], gradient, **tolerance)
        check_threads(network, count)
        for _ in range(5):
            assert network.train_step(X, y, w) == pytest.approx(twin.train_step(X, y, w),
                                                                rel=tolerance["rtol"])
        settings = {"epochs": 2, "batch_size": 300, "sample_weight": w}
        history = network.fit(X, y, **settings)
        assert list(history) == ["loss", "time"]
        np.testing.assert_allclose(history["loss"], twin.fit(X, y, **settings)["loss"],
                                   rtol=tolerance["rtol"])
        assert network._progress()[1] == twin._progress()[1]


@pytest.mark.parametrize("form", [*FORMS, "activation"])
def test_any_number_of_threads_gives_the_same_bits(form, forced):
    X, y, _ = data()
    found = []
    for count in (1, 2, 4):
        forced(count)
        network = (make(FORMS[form]("float64")) if form in FORMS
                   else make("mean_squared_error", activation=sine))
        network.fit(X, y, epochs=1, batch_size=300)
        network.fit(X[:160], y[:160], epochs=2, batch_size=80)   # few rows: shared by panels
        check_threads(network, count)
        network.evaluate(X, y)
        found.append((network._progress(), network.predict(X).tobytes()))
    assert found[0] == found[1] == found[2]


def test_steps_of_own_functions_are_the_reference_s():
    X, y, weight = data(40)
    for network in (make(squares), make(squares, activation=sine),
                    make("mean_squared_error", "float32", activation=sine)):
        for w in (None, weight):
            for step in reference.compare(network, X, y, w):
                assert step.agrees, str(step)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_activation_follows_its_definition(dtype):
    X, y, weight = data()
    weight[::3] = 0
    layers = [cymlp.Dense(9, sine), sine, cymlp.Dense(3), cymlp.Residual([cymlp.Dense(3), sine])]
    network = cymlp.Network(layers, in_features=5, task="regression", dtype=dtype, rng=1)
    p = {name: np.asarray(array, float) for name, array in network.parameters.items()}

    def expected():
        a = np.sin(np.sin(X @ p["0.weight"] + p["0.bias"])) @ p["2.weight"] + p["2.bias"]
        return a + np.sin(a @ p["3.0.weight"] + p["3.0.bias"])

    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(network.predict(X), expected(), rtol=tolerance, atol=tolerance)
    _, gradients = network.gradients(X, y, weight)
    for name, gradient in gradients.items():
        direction = np.random.default_rng(2).standard_normal(gradient.shape)
        slope, start = 0.0, p[name]
        for sign in (1, -1):
            p[name] = start + sign * 1e-6 * direction
            each = ((expected() - y) ** 2).mean(axis=1)
            slope += sign * (weight * each).sum() / weight.sum() / 2e-6
        p[name] = start
        assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-3, abs=1e-5)


# ---- what a function gets and gives ----------------------------------------------------


def test_a_function_gets_copies_that_it_may_keep():
    kept = []

    def keeping(output, target):
        kept.append((output, target))
        result = squares(output.copy(), target)
        output[:] = target[:] = np.nan      # its own
        return result

    X, y, _ = data(40)
    network, twin = make(keeping, "float32"), make(squares, "float32")
    assert network.train_step(X, y) == twin.train_step(X, y)
    output, target = kept[0]
    assert output.shape == target.shape == (40, 3) and output.dtype == target.dtype == np.float32
    assert network._progress() == twin._progress() and np.isnan(output).all()


def test_targets_of_another_width():
    def cosine(output, target):
        assert target.shape == (len(output), 1)
        return squares(output, np.repeat(target, 3, axis=1))

    X, y, _ = data(40)
    network = make(cymlp.CustomLoss(cosine, targets=1))
    twin = make("mean_squared_error")
    for target in (y[:, :1], y[:, 0]):
        assert network.train_step(X, target) == pytest.approx(
            twin.train_step(X, np.repeat(y[:, :1], 3, axis=1)), rel=1e-12)
    with pytest.raises(ValueError, match=r"y: expected shape .*\(40, 1\), got shape \(40, 3\)"):
        network.train_step(X, y)


@pytest.mark.parametrize("output, function", [
    ("identity", lambda z: z), ("exp", np.exp), ("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
    ("softmax", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))])
def test_output_activation(output, function):
    X, y, _ = data(40)
    network = make(cymlp.CustomLoss(squares, output))
    np.testing.assert_allclose(network.predict(X), function(network.forward(X)), rtol=1e-12)
    assert np.isfinite(network.train_step(X, y))


def test_a_compiled_loss_sees_every_row_once_on_all_threads(forced):
    X, y, _ = data()
    forced(2)
    seen = []
    network = make(cymlp.CompiledLoss(make_compiled("float64", seen), "float64"))
    network.gradients(X, y)
    check_threads(network, 2)
    assert len(seen) == 700 and {entry[:2] for entry in seen} == {(3, 3)}
    if threads.openmp_enabled():
        assert len({thread for _, _, thread in seen}) == 2


def test_a_compiled_loss_in_every_form():
    function = make_compiled("float64")
    address = ctypes.cast(function, ctypes.c_void_p).value
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p,
                                                   ctypes.c_void_p]
    capsule = new(address, b"loss", None)
    numba_like = type("CFunc", (), {"address": address})()
    X, y, _ = data(40)
    expected = make(squares).evaluate(X, y)["loss"]
    for form in (function, address, capsule, numba_like):
        network = make(cymlp.CompiledLoss(form, "float64"))
        assert network.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="loss: expected a compiled loss of dtype 'float32'"):
        make(cymlp.CompiledLoss(function, "float64"), "float32")


# ---- when it goes wrong ------------------------------------------------------------------


class Fault(Exception):
    pass


def failing(output, target):
    raise Fault("as it was told")


BAD = {
    "raises": (failing, Fault, "as it was told"),
    "no pair": (lambda o, t: o, TypeError, r"expected \(loss, gradient\) as its result, got nd"),
    "shape of the gradient": (lambda o, t: (0.0, o[:1]), ValueError,
                              r"expected shape \(40, 3\) of its gradient, got shape \(1, 3\)"),
    "shape of the loss": (lambda o, t: (o, o), ValueError,
                          r"expected a loss of shape \(40,\), .*or one number, got shape"),
    "dtype": (lambda o, t: (0.0, o.astype(complex)), TypeError, "got dtype complex128"),
    "no numbers": (lambda o, t: ("much", o), TypeError, "expected real numbers as its loss"),
}
BAD_ACTIVATIONS = {
    "forward": (cymlp.CustomActivation(lambda x: x[:, :1], sine_backward), ValueError,
                r"expected shape \(40, 300\) of its result, got shape \(40, 1\)"),
    "backward": (cymlp.CustomActivation(np.sin, failing), Fault, "as it was told"),
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("case", [*BAD, *BAD_ACTIVATIONS])
def test_a_fault_reaches_the_caller_and_changes_nothing(case, count, forced):
    forced(count)
    X, y, _ = data(40)
    function, error, message = BAD.get(case) or BAD_ACTIVATIONS[case]
    network = make(function) if case in BAD else make("mean_squared_error", activation=function)
    calls = [network.train_step, network.gradients]
    if case != "backward":
        calls.append(network.evaluate)
    before = network._progress()
    for call in (*calls, lambda X, y: network.fit(X, y, batch_size=40)):
        with pytest.raises(error, match=message):
            call(X, y)
        check_threads(network, count)
        assert network._progress() == before
    if case == "forward":
        with pytest.raises(error, match=message):
            network.predict(X)


@pytest.mark.parametrize("count", [1, 2])
def test_a_fault_in_an_epoch_leaves_whole_steps(count, forced):
    """Also where a batch comes in several pieces and only the last one fails."""
    forced(count)
    X, y, _ = data()
    calls = []

    def seventh(output, target):
        calls.append(len(output))
        if len(calls) == 7:
            raise Fault("seventh")
        return squares(output, target)

    network, twin = make(seventh), make(squares)
    with pytest.raises(Fault, match="seventh"):
        network.fit(X, y, epochs=2, batch_size=350, shuffle=False)
    assert calls[:4] == [256, 94, 256, 94]
    for rows in (slice(0, 350), slice(350, None), slice(0, 350)):
        twin.train_step(X[rows], y[rows])
    check_threads(network, count)
    assert network._progress()[1] == twin._progress()[1] == 3
    assert network._progress()[3] == twin._progress()[3]
    assert network.train_step(X, y) == pytest.approx(twin.train_step(X, y), rel=1e-14)


def test_one_number_is_not_enough_where_rows_have_weights():
    X, y, weight = data(40)
    network = make(mean_of_squares)
    message = r"expected a loss of shape \(40,\), one for each row, got"
    with pytest.raises(ValueError, match=message):
        network.train_step(X, y, weight)


def test_a_nan_passes():
    X, y, _ = data(40)
    assert np.isnan(make(lambda o, t: (np.nan, o)).train_step(X, y))


@pytest.mark.parametrize("call", ["train_step", "evaluate", "predict"])
def test_a_function_must_not_use_the_network_at_work(call):
    X, y, _ = data(40)
    arguments = (X,) if call == "predict" else (X, y)

    def nested(output, target):
        getattr(network, call)(*arguments)
        return squares(output, target)

    network = make(nested)
    with pytest.raises(RuntimeError, match="at work in this very thread"):
        network.train_step(X, y)


def test_a_function_may_use_other_networks(forced):
    forced(2)
    X, y, _ = data()
    other = make("mean_squared_error")

    def nested(output, target):
        other.train_step(X, y)
        return squares(output, target)

    network, twin = make(nested), make("mean_squared_error")
    for _ in range(3):
        network.train_step(X, y)
    for _ in range(9):
        twin.train_step(X, y)
    assert twin._progress()[3] == other._progress()[3]      # three pieces in each of three steps


def test_python_threads_side_by_side(forced):
    forced(2)
    X, y, _ = data()

    def train():
        network = make(squares, activation=sine)
        network.fit(X, y, epochs=3, batch_size=100)
        return network._progress()

    expected, found = train(), []
    workers = [threading.Thread(target=lambda: found.append(train())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert found == [expected] * 4


@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_within_a_function(count, forced):
    forced(count)
    X, y, _ = data(300)

    def interrupted(output, target):
        signal.raise_signal(signal.SIGINT)
        return squares(output, target)

    network = make(interrupted)
    before = network._progress()
    with pytest.raises(KeyboardInterrupt):
        network.fit(X, y, batch_size=100)
    check_threads(network, count)
    assert network._progress() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("count", [1, 2])
def test_a_fork_within_a_function(count):
    """The child of a team cannot go on; it hears so and neither hangs nor crashes."""
    program = textwrap.dedent(f"""
        import os, sys, warnings
        import numpy as np, cymlp
        from cymlp.engine import threads
        warnings.simplefilter("ignore")
        threads._allow_oversubscription(True)
        threads.set_num_threads({count})
        children = []
        def forking(output, target):
            if not children:
                children.append(os.fork())
            return output.mean(axis=1), np.full(output.shape, 1 / output.size)
        net = cymlp.mlp(5, [300, 100], 3, loss=forking, rng=0)
        X = np.ones((300, 5))
        try:
            net.train_step(X, np.ones((300, 3)))
            outcome = 0
        except RuntimeError as error:
            outcome = 7 if "forked" in str(error) else 8
        if children[0] == 0:
            net.predict(X)
            os._exit(outcome)
        _, status = os.waitpid(children[0], 0)
        print(outcome, os.waitstatus_to_exitcode(status), threads.openmp_enabled())
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    parent, child, team = done.stdout.split()
    assert parent == "0" and child == ("7" if count == 2 and team == "True" else "0")


# ---- keeping -------------------------------------------------------------------------------


def test_what_can_be_pickled_and_what_not():
    X, y, _ = data(40)
    network = make(cymlp.CustomLoss(squares), activation=sine)
    network.train_step(X, y)
    for twin in (pickle.loads(pickle.dumps(network)), network.copy(), copy.deepcopy(network)):
        assert twin.train_step(X, y) == network.copy().train_step(X, y)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(make(lambda o, t: (0.0, o)))
    compiled = make(cymlp.CompiledLoss(make_compiled("float64"), "float64"))
    assert compiled.copy().evaluate(X, y) == compiled.evaluate(X, y)
    with pytest.raises(TypeError, match="CompiledLoss: .* cannot be pickled"):
        pickle.dumps(compiled)


@pytest.mark.parametrize("network, name", [
    (make(squares), "CustomLoss"),
    (make(cymlp.CompiledLoss(1, "float64")), "CompiledLoss"),
    (make("mean_squared_error", activation=sine), "CustomActivation"),
], ids=["python", "compiled", "activation"])
def test_none_of_them_can_be_saved(network, name, tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(TypeError, match=f"{name}: .*a function of your own cannot be saved"):
        network.save(path)
    assert not list(tmp_path.iterdir())


def test_what_a_network_says_of_them():
    network = make(squares, activation=sine)
    assert "python_loss" in str(network.plan) and "python_forward" in str(network.plan)
    assert "CustomLoss" in repr(network) and network.loss == losses.CustomLoss(squares)
    network.summary()
    assert "custom" in network.graph().dot
