"""The functions of cymlp.ops on several threads: the same bits, and whether there are several."""

import numpy as np
import pytest

from cymlp import kernels, ops
from cymlp.engine import operands, threads

DTYPES = [np.float32, np.float64]
POINTWISE = [*kernels.activation_table()]
GRAIN = 1 << 19


def values(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def forward(name, x):
    return [getattr(ops, name)(x)]


def backward(name, x):
    return [getattr(ops, f"{name}_backward")(x, values(x.shape, x.dtype, 2))]


def loss(name, x):
    outputs = kernels.loss_table().get(name, {"outputs": 1})["outputs"]
    x = x[:, :x.shape[1] // outputs * outputs]
    target = (values((len(x), x.shape[1] // outputs), x.dtype, 2) > 0).astype(x.dtype)
    weight = np.arange(len(x)) % 3
    return getattr(ops, name)(x, target, weight)


def labels(name, x):
    return getattr(ops, name)(x, np.arange(len(x)) % x.shape[1])


def update(name, x):
    names = kernels.optimizer_table()[name]["states"]
    states = {state: np.abs(values(x.shape, x.dtype, 3)) for state in names}
    more = {"rmsprop": {"momentum": 0.5, "centered": True}, "sgd": {"momentum": 0.5},
            "adam": {"amsgrad": True}}.get(name, {})
    parameter = x.copy()
    getattr(ops, f"{name}_update")(parameter, values(x.shape, x.dtype, 2), **states, step=2,
                                   **more)
    return [parameter, *states.values()]


def dropout(name, x):
    return [ops.dropout(x, 0.3, key=1, step=2, layer=3, first_row=4)]


CASES = [
    *((forward, name) for name in [*POINTWISE, "exp", "softmax"]),
    *((backward, name) for name in [*POINTWISE, "softmax"]),
    *((loss, name) for name in [*kernels.loss_table(), "softmax_cross_entropy",
                                "kullback_leibler"]),
    (labels, "softmax_cross_entropy"), (dropout, "dropout"),
    *((update, name) for name in kernels.optimizer_table()),
]


def outcome(case, name, x):
    return [np.asarray(result).tobytes() for result in case(name, x)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case, name", CASES)
def test_any_number_of_threads(case, name, dtype, forced):
    for shape in [(1, 3001), (37, 83), (3, 17)]:
        x = values(shape, dtype, 1)
        forced(1)
        expected = outcome(case, name, x)
        assert operands._last_threads() == 1
        for count in (2, 3, 5):
            forced(count)
            assert outcome(case, name, x) == expected, (shape, count)
            if threads.openmp_enabled():
                assert operands._last_threads() == count


def test_what_must_be_copied_stays_on_one_thread(forced):
    x = values((40, 60), np.float32, 1)
    expected = ops.tanh(x)
    forced(3)
    for other in (x[:, ::2], x.astype(">f4")):
        ops.tanh(other)
        assert operands._last_threads() == 1
    assert np.array_equal(ops.tanh(np.asfortranarray(x)), expected)


@pytest.mark.skipif(not threads.openmp_enabled(), reason="built without OpenMP")
def test_only_large_arrays_are_shared_out():
    """Without force the clock decides between one thread and all: both occur over the calls."""
    if threads._effective_threads() < 2:
        pytest.skip("needs two processors")
    small, large = np.zeros(GRAIN, np.float32), np.zeros(2 * GRAIN, np.float32)
    used = {size: set() for size in (small.size, large.size)}
    for x in (small, large):
        for _ in range(10):
            ops.tanh(x, out=x)
            used[x.size].add(operands._last_threads())
    assert used == {small.size: {1}, large.size: {1, min(2, threads._effective_threads())}}
