"""cymlp's prediction and training steps beside the NumPy reference, with pytest-benchmark.

Run from the repository's root::

    python -m pytest benchmarks/bench_steps.py

The reference runs the plan of the gradients in float64, step by step; see
:mod:`benchmarks.bench_kernels` for the level and for what `extra_info` holds.
"""

from __future__ import annotations

import pytest

import cymlp

from .bench_kernels import measure, variants
from .cases import NETWORKS, Case, draw_batch

MEASURED = ("tiny", "small", "mnist")
BATCHES = (1, 32, 256)


def prepare(name, batch, dtype):
    """A case with its network and its batch."""
    case = Case(name, NETWORKS[name], batch, dtype=dtype)
    network = cymlp.mlp(case.widths[0], case.widths[1:-1], case.widths[-1], task=case.task,
                        dtype=dtype, rng=0)
    return case, network, draw_batch(case)


@pytest.mark.parametrize("engine, dtype, threads, name, batch", variants(MEASURED, BATCHES))
def test_predict(benchmark, engine, dtype, threads, name, batch):
    case, network, (rows, _) = prepare(name, batch, dtype)
    call = _prediction(engine, network, rows)
    measure(benchmark, engine, dtype, threads, call, operations=case.operations("predict"))


@pytest.mark.parametrize("engine, dtype, threads, name, batch", variants(MEASURED, BATCHES))
def test_train_step(benchmark, engine, dtype, threads, name, batch):
    case, network, batch = prepare(name, batch, dtype)
    call = _training_step(engine, network, *batch)
    measure(benchmark, engine, dtype, threads, call, operations=case.operations("train"))
