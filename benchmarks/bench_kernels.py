"""cymlp's kernels beside the NumPy reference, with pytest-benchmark.

Run from the repository's root::

    python -m pytest benchmarks/bench_kernels.py

The instruction-set level is chosen once for a process, so that of ``CYMLP_ISA`` is measured; every
result says which it was. `extra_info` has the rate and its share of what the machine can do: of
the peak of fused multiply-adds, or of the bandwidth of a copy.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import cymlp
from cymlp import kernels, ops, reference

from . import machine
from .cases import CLASSES, LEARNING_RATES, Kernel, draw_kernel

LEVEL = kernels.level
ENGINES = ("cymlp", "reference")
DTYPES = ("float32", "float64")
THREADS = sorted({1, len(machine.processors())})
SHAPES = ((32, 784, 256), (256, 256, 128), (1024, 512, 512))    # rows, inputs, outputs
ELEMENTS = 1 << 14
STATES = {"sgd": (), "adagrad": ("sum",), "rmsprop": ("square_average",),
          "adam": ("first_moment", "second_moment")}


def variants(*parameters):
    """All combinations, each with an id that also names the level; the reference has no levels,
    works in float64 and on one thread, and so comes once."""
    found = []
    for engine, dtype, threads, *values in itertools.product(ENGINES, DTYPES, THREADS,
                                                             *parameters):
        if engine == "cymlp" or (dtype, threads) == ("float64", 1):
            words = [engine, dtype, f"{threads}threads", *map(_word, values)]
            words[1:1] = [LEVEL] if engine == "cymlp" else []
            found.append(pytest.param(engine, dtype, threads, *values, id="-".join(words)))
    return found


def _word(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def arrays(dtype, *shapes):
    """Arrays of normal numbers."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def measure(benchmark, engine, dtype, threads, call, operations=None, moved=None):
    """Time a call, and keep its rate and the share of the peak."""
    before = cymlp.get_num_threads()
    cymlp.set_num_threads(threads)
    try:
        benchmark(call)
    finally:
        cymlp.set_num_threads(before)
    info = {"engine": engine, "dtype": dtype, "threads": threads,
            "level": LEVEL if engine == "cymlp" else None}
    if benchmark.stats is not None:     # there are none with --benchmark-disable
        seconds = benchmark.stats.stats.median
        if operations is not None:
            peak = machine.fma_peak(dtype)
            info |= {"GFLOP/s": operations / seconds / 1e9,
                     "of peak": peak and operations / seconds / (peak * threads)}
        if moved is not None:
            copy = machine.copy_bandwidth(moved // 8, threads)
            info |= {"GB/s": moved / seconds / 1e9, "of a copy": moved / seconds / copy}
    benchmark.extra_info.update(info)


@pytest.mark.parametrize("engine, dtype, threads, shape", variants(SHAPES))
def test_dense_forward(benchmark, engine, dtype, threads, shape):
    rows, inputs, outputs = shape
    x, weight, bias = arrays(dtype, (rows, inputs), (inputs, outputs), (outputs,))
    call = _with_out(engine, "dense_forward", np.empty((rows, outputs), dtype), x, weight, bias)
    measure(benchmark, engine, dtype, threads, call, operations=2 * rows * inputs * outputs)


@pytest.mark.parametrize("engine, dtype, threads, shape", variants(SHAPES))
def test_dense_backward(benchmark, engine, dtype, threads, shape):
    """The gradients by the input and by the weights, which are one function."""
    rows, inputs, outputs = shape
    gradient, x, weight = arrays(dtype, (rows, outputs), (rows, inputs), (inputs, outputs))
    out = np.empty_like(x), np.empty_like(weight), np.empty(outputs, dtype)
    call = _with_out(engine, "dense_backward", out, gradient, x, weight)
    measure(benchmark, engine, dtype, threads, call, operations=4 * rows * inputs * outputs)


@pytest.mark.parametrize("engine, dtype, threads, name", variants(kernels.activation_table()))
def test_activation(benchmark, engine, dtype, threads, name):
    kernel = Kernel("activation", name, ELEMENTS, dtype)
    values, _ = draw_kernel(kernel)
    call = _with_out(engine, name, np.empty_like(values), values)
    measure(benchmark, engine, dtype, threads, call, moved=kernel.bytes)


@pytest.mark.parametrize("engine, dtype, threads, name", variants(kernels.activation_table()))
def test_activation_backward(benchmark, engine, dtype, threads, name):
    gradient, saved = arrays(dtype, ELEMENTS, ELEMENTS)
    call = _with_out(engine, f"{name}_backward", np.empty_like(gradient), gradient, saved)
    measure(benchmark, engine, dtype, threads, call, moved=3 * gradient.nbytes)


@pytest.mark.parametrize("engine, dtype, threads, name",
                         variants(["softmax_cross_entropy", *kernels.loss_table()]))
def test_loss(benchmark, engine, dtype, threads, name):
    logits, labels = draw_kernel(Kernel("loss", name, ELEMENTS, dtype))
    target, moved = labels, 2 * logits.nbytes
    if name != "softmax_cross_entropy":
        target, moved = np.eye(CLASSES, dtype=dtype)[labels], 3 * logits.nbytes
    call = _with_out(engine, name, np.empty_like(logits), logits, target)
    measure(benchmark, engine, dtype, threads, call, moved=moved)


@pytest.mark.parametrize("engine, dtype, threads, name", variants(STATES))
def test_optimizer(benchmark, engine, dtype, threads, name):
    kernel = Kernel("optimizer", name, ELEMENTS, dtype)
    parameter, gradient = draw_kernel(kernel)
    states = [np.zeros_like(parameter) for _ in STATES[name]]
    function = getattr(ops if engine == "cymlp" else reference, f"{name}_update")
    rate = LEARNING_RATES[name]
    measure(benchmark, engine, dtype, threads,
            lambda: function(parameter, gradient, *states, step=1, learning_rate=rate),
            moved=kernel.bytes)


def _with_out(engine, name, out, *arguments):
    """A call of a kernel; only ours takes memory for the result."""
    if engine == "cymlp":
        return lambda: getattr(ops, name)(*arguments, out=out)
    return lambda: getattr(reference, name)(*arguments)
