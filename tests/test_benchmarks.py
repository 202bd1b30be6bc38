"""The benchmarks run, compare results before they time them, and say so where a peer fails.

No time is looked at. Peers that are not installed are left out, as in every run.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="needs the sources")

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))),
                                    reason="needs a compiler")

# Peers that are no peers: each goes wrong in another way.
FAKES = """
import os
import time

from benchmarks.peers.plain_numpy import PlainNumpy


class Wrong(PlainNumpy):
    def predict(self, network, case, rows):
        call = super().predict(network, case, rows)
        return lambda: call() + 0.01

    def train(self, case, weights, batch):
        step, parameters = super().train(case, weights, batch)
        return step, lambda: [array * 1.001 for array in parameters()]


class Dying(PlainNumpy):
    def predict(self, network, case, rows):
        os._exit(3)


class Hanging(PlainNumpy):
    def predict(self, network, case, rows):
        if case.batch == 1:
            time.sleep(1000)
        return super().predict(network, case, rows)


class Missing(PlainNumpy):
    def __init__(self, threads):
        raise ImportError("no module named fake")
"""


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A module of fake peers that the workers can import; its name."""
    (tmp_path / "fake_peers.py").write_text(textwrap.dedent(FAKES))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    return "fake_peers"


def settings(*arguments):
    from benchmarks.compare import parse, settings_of

    return settings_of(parse(["--quick", "--rounds", "1", "--timeout", "60", *arguments]))


def rows_of(report, work):
    return [row for row in report.rows if row["work"] == work]


def test_a_quick_run_on_the_command_line(tmp_path):
    """With every peer that is light to start; what each computes is as cymlp's, or an error."""
    command = [sys.executable, "-m", "benchmarks.compare", "--quick", "--rounds", "1", "--work",
               "predict", "train", "kernels", "--peers", "numpy", "sklearn", "onnxruntime",
               "onnxruntime-bound", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert done.stdout.strip() == (tmp_path / "results.md").read_text().strip()
    assert {"processor", "level", "python", "numpy", "peers", "fma_peak"} <= set(results)
    assert {row["work"] for row in results["rows"]} == {"predict", "train", "kernels"}
    for row in results["rows"]:
        assert {"case", "threads", "best", "ratio", "rate"} <= set(row)
        assert not [found for found in row["peers"].values() if "error" in found]
        for name in ("cymlp", "numpy"):
            if "absent" not in row["peers"][name]:
                assert {"median", "minimum", "rounds", "memory"} <= set(row["peers"][name])
        assert row["peers"]["cymlp"]["median"] > 0
        if row["work"] != "kernels" and results["fma_peak"]:
            assert row["peak_share"] > 0 and row["limit_share"] > 0


def test_the_works_with_processes_of_their_own():
    from benchmarks.compare import run

    report = run(settings("--work", "import", "memory", "--peers", "numpy"))
    assert [row["what"] for row in rows_of(report, "import")] == [
        "cymlp", "cymlp, first prediction", "cymlp, first prediction from a file"]
    memory, = rows_of(report, "memory")
    assert memory["bound"] > 0 and set(memory["peers"]) == {"cymlp", "numpy"}


def test_growth_and_the_random_set():
    from benchmarks.compare import run

    report = run(settings("--work", "scale", "random", "--peers", "numpy", "--count", "3"))
    assert rows_of(report, "callers")
    assert {row["grows"] for row in report.rows if "grows" in row} == {"width", "depth", "batch"}
    errors = [found["error"] for row in report.rows for found in row["peers"].values()
              if "error" in found]
    assert not errors
    assert any("geometric mean" in line for line in report.lines)


def test_inputs_with_zeros():
    from benchmarks.cases import NETWORKS, Case, draw_batch
    from benchmarks.compare import run

    report = run(settings("--work", "zeros", "--peers", "numpy"))
    assert [row["case"]["filled"] for row in rows_of(report, "train")] == [1.0, 0.5]
    assert all("median" in found for row in report.rows for found in row["peers"].values())
    rows, labels = draw_batch(Case("mnist", NETWORKS["mnist"], 64, filled=0.2))
    assert 0.15 < (rows != 0).mean() < 0.25
    assert (labels == draw_batch(Case("mnist", NETWORKS["mnist"], 64)).targets).all()


def test_a_wrong_result_is_reported_and_not_timed(fakes):
    from benchmarks.compare import run

    report = run(settings("--work", "predict", "train", "--peers", f"{fakes}:Wrong"))
    for row in report.rows:
        found = row["peers"][f"{fakes}:Wrong"]
        assert set(found) == {"error"} and "wrong result" in found["error"]
        assert row["best"] is None and row["peers"]["cymlp"]["median"] > 0
    assert any("wrong result" in line for line in report.lines)


def test_workers_that_die_hang_or_are_missing(fakes):
    """They are reported; the next case finds them again; the others go on."""
    from benchmarks.compare import run

    peers = [f"{fakes}:{name}" for name in ("Dying", "Hanging", "Missing")]
    report = run(settings("--work", "predict", "--batches", "1", "2", "--timeout", "5",
                          "--peers", "numpy", *peers))
    first, second = (row["peers"] for row in report.rows)
    assert "ended with status 3" in first[peers[0]]["error"]
    assert "no answer" in first[peers[1]]["error"]
    assert "no module named fake" in first[peers[2]]["absent"]
    assert "ended with status 3" in second[peers[0]]["error"]
    assert second[peers[1]]["median"] > 0
    assert first["numpy"]["median"] > 0 and first["cymlp"]["median"] > 0


def test_the_random_set_is_that_of_its_seed():
    from benchmarks.cases import LEARNING_RATES, ODD, random_cases

    activations = ["relu", "tanh", "silu"]
    cases = random_cases(0, 40, activations)
    assert cases == random_cases(0, 40, activations) != random_cases(1, 40, activations)
    assert tuple(case.widths for case in cases[:3]) == ODD
    assert {case.optimizer for case in cases} == set(LEARNING_RATES)
    assert {case.activation for case in cases} == set(activations)
    assert {case.dtype for case in cases} == {"float32", "float64"}
    assert {len(case.widths) - 1 for case in cases[3:]} <= set(range(1, 9))
    assert all(1 <= case.batch <= 5000 for case in cases)


def test_operations_and_bytes_are_counted():
    from benchmarks.cases import Case, Kernel

    case = Case("x", (3, 5, 2), 7)
    assert case.operations("predict") == 2 * 7 * (15 + 10)
    assert case.operations("train") == 2 * 7 * (3 * 25 - 15)
    assert case.parameters == 4 * 5 + 6 * 2
    assert Kernel("optimizer", "adam", 10).bytes == 7 * 40
    assert Kernel("activation", "tanh", 10, "float64").bytes == 2 * 80


@pytest.mark.parametrize("work, batch, changed, expected", [
    ("predict", 1, {}, 1e-6 + 8e-6),                                # the chains
    ("predict", 7, {"operations": 1e6}, 1e-6 + 350e-6 / 2),
    ("train", 7, {"operations": 1e6, "roots": 1e5}, 1e-6 + (840e-6 + 320e-6) / 2),
    ("predict", 1, {"read": 1e6}, 1e-6 + 32 * 4e-6),
    ("train", 1, {"copied": 1e6}, 1e-6 + 32 * 4 * 6e-6 + 32 * 4e-12),
])
def test_the_limit_is_what_takes_longest(work, batch, changed, expected):
    """A call, and the slowest of products with roots, chains, and memory; on two threads."""
    from benchmarks.cases import Case
    from benchmarks.limits import Rates, least_seconds

    fast = dict.fromkeys(("operations", "roots", "read", "copied"), 1e12)
    rates = Rates(in_turn=1e6, calls=1e6, **fast)
    rates = rates.or_better(Rates(in_turn=1.0, calls=1.0, **dict.fromkeys(fast, 1.0)))
    if changed:
        rates = Rates(**{**vars(rates), "in_turn": 1e12, **changed})
    assert least_seconds(Case("x", (3, 5, 2), batch), work, rates, 2) == pytest.approx(expected)


def test_no_chain_is_longer_than_a_block():
    from benchmarks.cases import Case
    from benchmarks.limits import LONGEST_CHAIN, Rates, least_seconds

    rates = Rates(1e18, 1.0, 1e18, 1e18, 1e18, 1e18)
    long = Case("x", (10 * LONGEST_CHAIN, 5, 2), 1)
    assert least_seconds(long, "predict", rates, 1) == pytest.approx(LONGEST_CHAIN + 5)
    source = (ROOT / "src/cymlp/kernels/gemm.pxd").read_text()
    assert f"FEATURE_BLOCK = {LONGEST_CHAIN} " in source


def test_differences_are_found():
    from benchmarks.runner import difference

    values = {"values": [np.ones(3)], "changes": [np.ones((2, 2)), np.ones(2)]}
    other = {"values": [np.ones(3)], "changes": [np.ones((2, 2)), np.array([1, 1.5])]}
    assert difference(values, values, "float64") is None
    assert "changes" in difference(values, other, "float32")
    assert "shape" in difference({"values": [np.ones(3)]}, {"values": [np.ones(4)]}, "float32")
    nothing = {"values": [np.array([1, np.nan, 1])]}
    assert "wrong" in difference({"values": [np.ones(3)]}, nothing, "float32")


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_the_machine_can_do_is_measured(dtype, threads):
    from benchmarks.cases import Case
    from benchmarks.limits import measure_rates

    case = Case("x", (3, 5, 2), 7, dtype=dtype)
    for work in ("predict", "train"):
        rates = vars(measure_rates(case, work, threads, seconds=0.001, rounds=1))
        assert all(math.isfinite(rate) and rate > 0 for rate in rates.values())


def test_without_a_compiler_there_is_no_limit(monkeypatch):
    from benchmarks import machine
    from benchmarks.cases import Case
    from benchmarks.limits import measure_rates

    machine.native.cache_clear()
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    try:
        assert machine.fma_peak() is None
        assert measure_rates(Case("x", (3, 5, 2), 7), "train", 1, 0.001) is None
    finally:
        machine.native.cache_clear()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bandwidth_of_a_copy_is_measured(threads):
    from benchmarks import machine

    assert machine.copy_bandwidth(1000, threads, seconds=0.001, rounds=1) > 0
