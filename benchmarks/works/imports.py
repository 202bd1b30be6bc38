"""How long an import takes over bare NumPy, and what is installed for it."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ..peers import OURS
from ..report import field, number
from ..runner import ROOT, Failure, environment

# What is imported, and the packages that it is made of (without those that it needs besides).
PACKAGES = {
    OURS: ("cymlp", ["cymlp"]),
    "torch": ("torch", ["torch"]),
    "sklearn": ("sklearn.neural_network", ["sklearn"]),
    "onnxruntime": ("onnxruntime", ["onnxruntime"]),
    "jax": ("jax", ["jax", "jaxlib"]),
}
TIMED = "import numpy, time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"
NETWORK = "import cymlp; net = cymlp.mlp(16, [64, 64], 4, task='multiclass', rng=0)"
PREDICTION = "net.predict(numpy.ones((1, 16), 'f'))"


def _seconds(code: str, timeout: float) -> float:
    """How long some code takes in a fresh process that has imported NumPy."""
    done = subprocess.run([sys.executable, "-c", TIMED.format(code)], env=environment(1),
                          capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    if done.returncode:
        raise Failure(done.stderr.strip().splitlines()[-1])
    return float(done.stdout.splitlines()[-1])


def _bytes(package: str) -> int:
    """The size of a package's folder, and of the libraries that its wheel has beside it."""
    folder = Path(next(iter(importlib.util.find_spec(package).submodule_search_locations)))
    beside = {"sklearn": ["scikit_learn.libs"]}.get(package, [])
    return sum(path.stat().st_size for place in (folder, *map(folder.with_name, beside))
               for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def imports(settings, report) -> None:
    """Every package's import, in fresh processes that follow each other in turn."""
    report.table("Import", [("", field("what")),
                            ("over NumPy, ms", lambda row: number(row["median"] * 1e3)),
                            ("least, ms", lambda row: number(row["minimum"] * 1e3)),
                            ("installed, MB", lambda row: number(
                                row["bytes"] and row["bytes"] / 1e6))])
    codes = {name: f"import {PACKAGES[name][0]}" for name in PACKAGES
             if name in settings.peers + [OURS]
             and all(map(importlib.util.find_spec, PACKAGES[name][1]))}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "net.safetensors"))
        _seconds(f"{NETWORK}; net.save({file!r})", settings.timeout)
        codes["cymlp, first prediction"] = f"{NETWORK}; {PREDICTION}"
        codes["cymlp, first prediction from a file"] = (
            f"import cymlp; net = cymlp.load({file!r}); {PREDICTION}")
        times: dict[str, list[float]] = {name: [] for name in codes}
        for turn in range(settings.rounds + 1):
            for name, code in codes.items():
                seconds = _seconds(code, settings.timeout)
                if turn:            # the first reads the files
                    times[name].append(seconds)
    for name, found in times.items():
        size = sum(map(_bytes, PACKAGES[name][1])) if name in PACKAGES else None
        report.add({"work": "import", "what": name, "median": statistics.median(found),
                    "minimum": min(found), "bytes": size})
