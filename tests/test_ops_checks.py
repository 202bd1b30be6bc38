"""What the array functions refuse, what `out=` may be, and that nothing is changed by an error."""

import inspect
import threading
import time
import tracemalloc

import numpy as np
import pytest

from cymlp import ops
from cymlp.kernels import activation_table, optimizer_table
from cymlp.optimizers import CLASSES

X = np.ones((3, 4))
LABELS = np.array([0, 3, 1])


def huge(*shape):
    """An array of any size that costs no memory."""
    return np.broadcast_to(np.float64(1), shape)


# ---- arguments --------------------------------------------------------------------------------

REFUSED = [
    (lambda: ops.relu("a"), TypeError, "x: expected an array of real numbers, got dtype <U1"),
    (lambda: ops.relu(np.ones(3, complex)), TypeError, "x: expected an array of real numbers"),
    (lambda: ops.relu([[1], [2, 3]]), ValueError, "x: expected an array of numbers"),
    (lambda: ops.relu(np.array([object()])), TypeError, "x: expected an array of real numbers"),
    (lambda: ops.leaky_relu(X, np.nan), ValueError, "slope: expected a number finite, >= 0"),
    (lambda: ops.leaky_relu(X, slope="1"), TypeError, "slope: expected a real number, got '1'"),
    (lambda: ops.tanh_backward(X, X[:2]), ValueError,
     r"saved: expected shape \(3, 4\), as grad_output has, got shape \(2, 4\)"),
    (lambda: ops.softmax(1.0), ValueError, r"x: expected rows along a last axis, got shape \(\)"),
    (lambda: ops.softmax_backward(1.0, 1.0), ValueError, "grad_output: expected rows"),
    (lambda: ops.dense_forward(X, np.ones((5, 2))), ValueError,
     r"weight: expected shape \(4, any\), got shape \(5, 2\)"),
    (lambda: ops.dense_forward(X[0], np.ones((4, 2))), ValueError,
     r"x: expected shape \(any, any\), got shape \(4,\)"),
    (lambda: ops.dense_forward(X, np.ones((4, 2)), np.ones(3)), ValueError,
     r"bias: expected shape \(2,\), one number for each column of weight, got shape \(3,\)"),
    (lambda: ops.dense_backward(X, X, np.ones((4, 2))), ValueError,
     r"grad_output: expected shape \(3, 2\), got shape \(3, 4\)"),
    (lambda: ops.dense_backward(X, X, np.ones((4, 4)), out=X), TypeError,
     "out: expected a tuple of three arrays"),
    (lambda: ops.mean_squared_error(X[0], X[0]), ValueError,
     r"logits: expected shape \(n, out\) with at least one column, got shape \(4,\)"),
    (lambda: ops.mean_squared_error(X[:, :0], X[:, :0]), ValueError, "at least one column"),
    (lambda: ops.mean_squared_error(X, X[:2]), ValueError,
     r"target: expected shape \(3, 4\), got shape \(2, 4\)"),
    (lambda: ops.mean_squared_error(X[:, :1], X[:2, 0]), ValueError,
     r"target: expected shape \(3, 1\) or \(3,\), got shape \(2,\)"),
    (lambda: ops.mean_squared_error(X, X * np.nan), ValueError,
     r"target: expected numbers that are not NaN, got \[nan nan nan nan\] in row 0"),
    (lambda: ops.binary_cross_entropy(X, X + 0.5), ValueError,
     "target: expected values from 0 to 1"),
    (lambda: ops.softmax_cross_entropy(X, LABELS + 1), ValueError,
     "target: expected class numbers from 0 to 3, got 4 in row 1"),
    (lambda: ops.softmax_cross_entropy(X, LABELS - 1), ValueError, "got -1 in row 0"),
    (lambda: ops.softmax_cross_entropy(X, [0, 1.5, 2]), ValueError, "got 1.5 in row 1"),
    (lambda: ops.softmax_cross_entropy(X, [0, 1, np.nan]), ValueError, "got nan in row 2"),
    (lambda: ops.softmax_cross_entropy(X, -X), ValueError, "target: expected finite numbers"),
    (lambda: ops.softmax_cross_entropy(X, X * np.inf), ValueError, "target: expected finite"),
    (lambda: ops.softmax_cross_entropy(X, LABELS[:2]), ValueError,
     r"target: expected shape \(3,\) or \(3, 4\), got shape \(2,\)"),
    (lambda: ops.softmax_cross_entropy(X, LABELS, [1, 2]), ValueError,
     r"sample_weight: expected shape \(3,\)"),
    (lambda: ops.softmax_cross_entropy(X, LABELS, [1, 2, -1]), ValueError,
     "sample_weight: expected finite numbers of at least 0, got -1 in row 2"),
    (lambda: ops.softmax_cross_entropy(X, LABELS, [1, np.nan, 1]), ValueError, "sample_weight"),
    (lambda: ops.correct_labels(X, LABELS + 1), ValueError, "label: expected class numbers"),
    (lambda: ops.correct_labels(X, X), ValueError, r"label: expected shape \(3,\)"),
    (lambda: ops.absolute_error(X, X[0]), ValueError, "target: expected shape"),
    (lambda: ops.dropout(X, 1.0, key=1, step=1), ValueError, "rate: expected a number finite"),
    (lambda: ops.dropout(X, 0.5, key=-1, step=1), ValueError,
     "key: expected an integer of at least 0"),
    (lambda: ops.dropout(X, 0.5, key=2**64, step=1), ValueError,
     "key: expected an integer of at most"),
    (lambda: ops.dropout(X, 0.5, key=1, step=1.0), TypeError,
     "step: expected an integer, got 1.0"),
    (lambda: ops.dropout(X, 0.5, key=1, step=1, layer=2**31), ValueError,
     "layer: expected an integer"),
    (lambda: ops.dropout(X[0], 0.5, key=1, step=1), ValueError, r"x: expected shape \(n, cols\)"),
    (lambda: ops.permutation(-1, key=1, epoch=0), ValueError,
     "n: expected an integer of at least 0"),
]


@pytest.mark.parametrize("call, error, message", REFUSED)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [
    lambda: ops.relu(huge(2**40)),
    lambda: ops.softmax(huge(2**30, 2**25)),
    lambda: ops.dense_forward(huge(2**32, 1), huge(1, 2**32)),
    lambda: ops.dense_forward(huge(2**40, 0), huge(0, 2**40)),
    lambda: ops.dense_forward(huge(1, 2**57), huge(2**57, 1)),
    lambda: ops.dense_backward(huge(1, 2**40), huge(1, 2**20), huge(2**20, 2**40)),
    lambda: ops.permutation(2**62, key=0, epoch=0),
    lambda: ops.permutation(2**50, key=0, epoch=0),
])
def test_sizes_beyond_memory_are_an_error(call):
    with pytest.raises((ValueError, MemoryError)):
        call()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 5)])
def test_nothing_gives_nothing(shape):
    assert ops.softmax(np.ones(shape)).shape == shape
    assert ops.exp(np.ones(shape)).shape == shape
    assert ops.relu_backward(np.ones(shape), np.ones(shape)).shape == shape


# ---- out --------------------------------------------------------------------------------------


def read_only():
    out = np.full((3, 4), 9.0)
    out.flags.writeable = False
    return out


def misaligned():
    return np.zeros(97, np.uint8)[1:].view(np.float64).reshape(3, 4)


BAD_OUTPUTS = [
    ([1.0], TypeError, "out: expected a numpy array, got list"),
    (np.zeros((3, 5)), ValueError, r"out: expected shape \(3, 4\) and dtype float64"),
    (np.zeros((3, 4), np.float32), ValueError, "out: expected shape .* dtype float32"),
    (np.zeros((3, 4), int), ValueError, "out: expected shape .* got .* dtype int64"),
    (read_only(), ValueError, "out: expected a writable, aligned array"),
    (misaligned(), ValueError, "out: expected a writable, aligned array"),
    (np.zeros((3, 4), np.dtype(np.float64).newbyteorder()), ValueError, "native byte order"),
    (np.lib.stride_tricks.as_strided(np.zeros(4), (3, 4), (0, 8)), ValueError,
     "out: expected elements with memory of their own"),
    (np.lib.stride_tricks.as_strided(np.zeros(6), (3, 4), (8, 8)), ValueError,
     "out: expected elements with memory of their own"),
]
INTO = {
    "relu": lambda out: ops.relu(X, out=out),
    "tanh_backward": lambda out: ops.tanh_backward(X, X.copy(), out=out),
    "exp": lambda out: ops.exp(X, out=out),
    "softmax": lambda out: ops.softmax(X, out=out),
    "softmax_backward": lambda out: ops.softmax_backward(X, X.copy(), out=out),
    "dense_forward": lambda out: ops.dense_forward(X, np.ones((4, 4)), out=out),
    "dense_backward": lambda out: ops.dense_backward(
        X, X, np.ones((4, 4)), out=(out, np.zeros((4, 4)), np.zeros(4))),
    "mean_squared_error": lambda out: ops.mean_squared_error(X, X, out=out),
    "binary_cross_entropy": lambda out: ops.binary_cross_entropy(X, X, out=out),
    "softmax_cross_entropy": lambda out: ops.softmax_cross_entropy(X, LABELS, out=out),
    "dropout": lambda out: ops.dropout(X, 0.5, key=1, step=1, out=out),
}


@pytest.mark.parametrize("out, error, message", BAD_OUTPUTS)
@pytest.mark.parametrize("name", INTO)
def test_bad_out(name, out, error, message):
    given = np.array(out)
    with pytest.raises(error, match=message.replace("out:", r"out(\[0\])?:")):
        INTO[name](out)
    assert np.array_equal(given, out)


@pytest.mark.parametrize("call", [
    lambda a: ops.relu(a[:-1], out=a[1:]),
    lambda a: ops.relu(a[::-1], out=a),
    lambda a: ops.relu(a[:4, :4].T, out=a[:4, :4]),
    lambda a: ops.relu(a.view(np.int64), out=a),
    lambda a: ops.relu_backward(a[:4].copy(), a[:4], out=a[:4]),
    lambda a: ops.softmax_backward(a[:4].copy(), a[:4], out=a[:4]),
    lambda a: ops.dense_forward(a[:4], np.ones((4, 4)), out=a[:4]),
    lambda a: ops.dense_forward(np.ones((4, 4)), a[:4], out=a[1:5]),
    lambda a: ops.dense_forward(np.ones((4, 4)), np.ones((4, 4)), a[3], out=a[:4]),
    lambda a: ops.dense_backward(np.ones((4, 4)), np.ones((4, 4)), np.ones((4, 4)),
                                 out=(a[:4], a[1:5], np.ones(4))),
    lambda a: ops.mean_squared_error(np.ones((4, 4)), a[:4], out=a[:4]),
    lambda a: ops.mean_squared_error(np.ones((4, 4)), a[4:8], a[0], out=a[:4]),
    lambda a: ops.absolute_error(a[:4], np.ones((4, 4)), out=a[0]),
    lambda a: ops.dropout(a[:-1], 0.5, key=1, step=1, out=a[1:]),
    lambda a: ops.adam_update(a[:4], a[4:], a[:4], np.ones((4, 4))),
    lambda a: ops.adam_update(a[:4], a[:4], np.ones((4, 4)), np.ones((4, 4))),
    lambda a: ops.adam_update(np.ones((4, 4)), np.ones((4, 4)), a[:4], a[1:5]),
])
def test_overlap_is_refused_and_changes_nothing(call):
    array = np.arange(32.0).reshape(8, 4)
    with pytest.raises(ValueError, match="expected memory of its own.* overlaps"):
        call(array)
    assert np.array_equal(array, np.arange(32.0).reshape(8, 4))


def test_every_activation_works_in_place():
    for name in [*activation_table(), "exp", "softmax"]:
        expected = getattr(ops, name)(X)
        x = X.copy()
        assert getattr(ops, name)(x, out=x) is x and np.array_equal(x, expected)


# ---- optimizers -------------------------------------------------------------------------------


def ones(dtype=np.float64):
    return np.ones(3, dtype)


@pytest.mark.parametrize("call, error, message", [
    (lambda p: ops.sgd_update([1.0], [1.0]), TypeError,
     "parameter: expected a numpy array, got list"),
    (lambda p: ops.sgd_update(np.ones(3, int), ones()), TypeError,
     "parameter: expected an array of float32 or float64, got dtype int64"),
    (lambda p: ops.sgd_update(p, np.ones(2)), ValueError,
     r"gradient: expected shape \(3,\), as parameter has, got shape \(2,\)"),
    (lambda p: ops.sgd_update(p, ones(), momentum=0.9), TypeError,
     "momentum_buffer: expected a numpy array, got NoneType"),
    (lambda p: ops.sgd_update(p, ones(), step=0), ValueError,
     "step: expected an integer of at least 1"),
    (lambda p: ops.sgd_update(p, ones(), learning_rate=-1), ValueError, "learning_rate: expected"),
    (lambda p: ops.sgd_update(p, ones(), nesterov=True), ValueError,
     "nesterov: expected a momentum"),
    (lambda p: ops.adagrad_update(p, ones(), ones(np.float32)), ValueError,
     r"sum: expected shape \(3,\) and dtype float64, as parameter has, got .* float32"),
    (lambda p: ops.rmsprop_update(p, ones(), ones(), centered=True), TypeError,
     "gradient_average"),
    (lambda p: ops.adam_update(p, ones(), ones(), np.ones(4)), ValueError,
     "second_moment: expected"),
    (lambda p: ops.adam_update(p, ones(), ones(), ones(), beta2=1.0), ValueError, "betas"),
    (lambda p: ops.adam_update(p, ones(), ones(), ones(), amsgrad=True), TypeError,
     "maximum_second_moment: expected a numpy array"),
    (lambda p: ops.adam_update(p, ones(), ones(), read_only()[0, :3]), ValueError,
     "second_moment: expected a writable"),
])
def test_bad_update_changes_nothing(call, error, message):
    parameter = ones()
    with pytest.raises(error, match=message):
        call(parameter)
    assert (parameter == 1).all()


# ---- memory and threads -----------------------------------------------------------------------

BIG = np.random.default_rng(0).random((1000, 50))
WEIGHT = np.random.default_rng(1).random((50, 50))
BIG_LABELS = np.arange(1000) % 50
OUT, TURNED = np.zeros_like(BIG), np.zeros((50, 1000)).T
GRADIENTS = (np.zeros_like(BIG), np.zeros_like(WEIGHT), np.zeros(50))
STATES = [np.zeros_like(BIG) for _ in range(2)]
WITHOUT_ALLOCATION = {
    "tanh": lambda: ops.tanh(BIG, out=OUT),
    "tanh, strided": lambda: ops.tanh(BIG, out=TURNED),
    "softmax, strided": lambda: ops.softmax(BIG, out=TURNED),
    "tanh_backward": lambda: ops.tanh_backward(BIG, BIG, out=OUT),
    "dense_forward": lambda: ops.dense_forward(BIG, WEIGHT, WEIGHT[0], out=TURNED),
    "dense_backward": lambda: ops.dense_backward(BIG, BIG, WEIGHT, out=GRADIENTS),
    "softmax_cross_entropy": lambda: ops.softmax_cross_entropy(
        BIG, BIG_LABELS, BIG[:, 0], out=TURNED),
    "mean_squared_error": lambda: ops.mean_squared_error(BIG, BIG, out=OUT),
    "adam_update": lambda: ops.adam_update(OUT, BIG, *STATES),
    "dropout": lambda: ops.dropout(BIG, 0.5, key=1, step=1, out=OUT),
}


@pytest.mark.parametrize("name", WITHOUT_ALLOCATION)
def test_no_array_is_made_where_out_is_given(name):
    call = WITHOUT_ALLOCATION[name]
    call()
    tracemalloc.start()
    try:
        call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000        # the arrays take 400,000 bytes


def test_other_threads_run_meanwhile():
    x = np.ones((1500, 1500))
    worker = threading.Thread(target=ops.dense_forward, args=(x, x))
    turns = 0
    worker.start()
    while worker.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 5


def test_many_threads_at_once():
    expected = ops.dense_forward(BIG, WEIGHT).tobytes()
    wrong = []

    def work():
        x = np.asfortranarray(BIG)
        for _ in range(20):
            if ops.dense_forward(x, WEIGHT).tobytes() != expected:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_settings_are_checked_though_an_equal_one_was_allowed_before():
    parameter, moments = np.ones(3), np.zeros((2, 3))
    ops.sgd_update(parameter, np.ones(3), learning_rate=1, nesterov=False)
    ops.adam_update(parameter, np.ones(3), *moments, beta1=0, beta2=0.0)
    before = parameter.copy()
    for call in (lambda: ops.sgd_update(parameter, np.ones(3), learning_rate=True),
                 lambda: ops.sgd_update(parameter, np.ones(3), learning_rate=1, nesterov=0),
                 lambda: ops.adam_update(parameter, np.ones(3), *moments, beta1=False, beta2=0.0),
                 lambda: ops.sgd_update(parameter, np.ones(3), learning_rate=[1]),
                 lambda: ops.sgd_update(parameter, np.ones(3), learning_rate=np.array(0.5))):
        with pytest.raises(TypeError, match="expected"):
            call()
    assert (parameter == before).all()


@pytest.mark.parametrize("make", CLASSES, ids=lambda make: make.kernel)
def test_states_and_settings_come_in_the_order_of_the_table(make):
    """By which the functions of `ops` hand them on."""
    row = optimizer_table()[make.kernel]
    names = list(inspect.signature(getattr(ops, f"{make.kernel}_update")).parameters)
    assert names == ["parameter", "gradient", *row["states"], "step", *row["hyper"]]
