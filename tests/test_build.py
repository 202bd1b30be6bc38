"""What is built and shipped: contents, size, import time; compilers, OpenMP or not."""

import importlib
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from cymlp import engine, kernels

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1 << 20
# Nothing of this may come along with `import cymlp`: each costs milliseconds.
HEAVY = {"sklearn", "scipy", "torch", "matplotlib", "tqdm", "safetensors", "pytest", "asyncio",
         "importlib.metadata", "email", "http", "multiprocessing", "unittest", "sqlite3"}


def run(*command, cwd=None, **environment):
    """Run a command and return what it printed; variables of the build are left out."""
    variables = {name: value for name, value in os.environ.items()
                 if not name.startswith("CYMLP_") and name not in ("CC", "CFLAGS", "LDFLAGS")}
    outcome = subprocess.run(command, cwd=cwd, env={**variables, **environment},
                             capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout.strip()


# ---- the archives -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Source archive and wheel as ``python -m build`` makes them, from a copy of the sources."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("needs the source tree")
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(
        ".git", "build", "dist", "*.so", "*.egg-info", "__pycache__", ".*_cache", ".venv"))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"),
        str(folder / "tree"))
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def unpacked(archives, tmp_path_factory):
    """The folder of the unpacked source archive."""
    folder = tmp_path_factory.mktemp("sdist")
    # Python before 3.11.4 has no filters.
    options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, **options)
    return next(folder.iterdir())


def test_the_source_archive_holds_sources_and_nothing_generated(unpacked):
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE", "tests/test_build.py",
            "src/cymlp/kernels/cpu.pyx", "src/cymlp/kernels/cpu.h",
            "src/cymlp/kernels/aarch64/__init__.py", "src/cymlp/engine/team.h"} <= names
    assert not [name for name in names if name.endswith((".c", ".so", ".o", ".pyc"))]


def test_the_wheel_holds_modules_and_stubs_only(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert {Path(name).suffix for name in names} <= {".py", ".pyi", ".so", ".typed"}
    assert all(name.startswith("cymlp/") and "test" not in name for name in names)
    assert "cymlp/py.typed" in names


def test_the_wheel_holds_one_shared_object_of_the_engine_and_of_each_level(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        found = {name.split(".")[0] for name in wheel.namelist() if name.endswith(".so")}
    built = ("engine", *kernels._BUILT)
    assert found == {"cymlp/kernels/cpu", *(f"cymlp/libraries/{name}" for name in built)}


def test_every_compiled_module_with_public_names_has_a_stub(archives):
    with zipfile.ZipFile(archives[1]) as wheel:
        names = wheel.namelist()
    # The levels' modules are reached through addresses, not through Python.
    for name in (*(f"engine.{name}" for name in engine.MODULES), "kernels.cpu"):
        module = importlib.import_module(f"cymlp.{name}")
        public = [name for name, value in vars(module).items() if not name.startswith("_")
                  and getattr(value, "__module__", None) == module.__name__]
        stub = f"cymlp/{name.replace('.', '/')}.pyi"
        assert not public or stub in names, f"{stub} is missing; public: {public}"


def test_the_wheel_and_what_it_installs_are_small(archives):
    assert archives[1].stat().st_size <= 1.6 * MEGABYTE
    with zipfile.ZipFile(archives[1]) as wheel:
        assert sum(entry.file_size for entry in wheel.infolist()) <= 5 * MEGABYTE


# ---- import -----------------------------------------------------------------------------------


def test_import_is_quick():
    code = ("import time, numpy; start = time.perf_counter(); import cymlp; "
            "print(time.perf_counter() - start)")
    times = [float(run(sys.executable, "-c", code)) for _ in range(11)]
    assert statistics.median(times) <= 0.010


def test_import_brings_nothing_heavy():
    code = ("import sys, numpy; before = set(sys.modules); import cymlp; "
            "print(*set(sys.modules) - before)")
    assert not HEAVY & set(run(sys.executable, "-c", code).split())


# ---- compilers --------------------------------------------------------------------------------

DIGEST = """
import hashlib
import numpy as np
import cymlp
from cymlp import kernels
rng = np.random.default_rng(1)
X = rng.standard_normal((333, 21))
y = rng.integers(0, 3, 333)
digest = hashlib.sha256()
for dtype in ("float32", "float64"):
    for optimizer in kernels.optimizer_table():
        layers = [cymlp.Dense(37, activation="tanh"), cymlp.Dropout(0.1),
                  cymlp.Dense(70, activation="relu"), cymlp.Dense(18, activation="sigmoid"),
                  cymlp.Dense(3)]
        net = cymlp.Network(layers, in_features=21, task="multiclass", optimizer=optimizer,
                            dtype=dtype, rng=0)
        net.fit(X, y, epochs=2, batch_size=64)
        for array in (*net.parameters.values(), net.predict(X)):
            digest.update(np.ascontiguousarray(array).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("compiler, no_openmp", [("gcc", "1"), ("clang", "0"), ("clang", "1")])
def test_every_build_gives_the_same_bits(compiler, no_openmp, unpacked, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--target", str(tmp_path), str(unpacked),
        CC=compiler, CYMLP_NO_OPENMP=no_openmp, CYMLP_LEVELS=kernels.level)
    file, openmp = run(
        sys.executable, "-c", "from cymlp.engine import threads as t; "
        "print(t.__file__, t.openmp_enabled())", PYTHONPATH=str(tmp_path)).split()
    assert Path(file).is_relative_to(tmp_path)
    assert no_openmp == "0" or openmp == "False"
    here = run(sys.executable, "-c", DIGEST, CYMLP_ISA=kernels.level)
    assert run(sys.executable, "-c", DIGEST, PYTHONPATH=str(tmp_path)) == here
