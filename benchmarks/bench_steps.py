"""cymlp's prediction and training steps beside the NumPy reference, with pytest-benchmark.

Run from the repository's root::

    python -m pytest benchmarks/bench_steps.py

The reference runs the same plan in float64, step by step; see
:mod:`benchmarks.bench_kernels` for the level and for what `extra_info` holds.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import cymlp
from cymlp.reference import run_plan

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
    if engine == "cymlp":
        out = np.empty((len(rows), case.widths[-1]), dtype)

        def call():
            network.predict(rows, out=out)
    else:
        plan = network.plan_for("predict", len(rows))

        def call():
            run_plan(plan, network.parameters, rows)
    measure(benchmark, engine, dtype, threads, call, operations=case.operations("predict"))


@pytest.mark.parametrize("engine, dtype, threads, name, batch", variants(MEASURED, BATCHES))
def test_train_step(benchmark, engine, dtype, threads, name, batch):
    case, network, batch = prepare(name, batch, dtype)
    if engine == "cymlp":
        def call():
            network.train_step(*batch)
    else:
        plan, steps, states = network.plan_for("train", len(batch.rows)), itertools.count(1), {}
        parameters = {name: np.array(value) for name, value in network.parameters.items()}

        def call():
            run_plan(plan, parameters, *batch, step=next(steps), optimizer=network.optimizer,
                     states=states)
    measure(benchmark, engine, dtype, threads, call, operations=case.operations("train"))
