"""What the house promises of itself: layers, import cost, documentation, size of files, README."""

import ast
import contextlib
import inspect
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cymlp
from cymlp import engine, kernels

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "cymlp"

pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the sources")

# ---- layers ------------------------------------------------------------------------------------

# From the bottom up; what stands on one line may import its own line and those above it.
FLOORS = [
    "bundle",
    "kernels",
    "engine",
    "checks immutable initializers layers losses optimizers metrics schedules specs update",
    "plan",
    "arrays blocks history runs callbacks parameters describing graph",
    "ops reference",
    "network keeping training running finding diagnosis measuring data",
    "shortcuts files estimators",
    "config demo __main__",
]
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names.split()}
# May be imported from anywhere.
FREE = {"_version"}
# Upward, but only within a function: a network saves itself.
UPWARD = {("keeping", "files")}
SPECIFICATIONS = {"checks", "immutable", "update", "initializers", "layers", "losses",
                  "optimizers", "metrics", "schedules", "callbacks", "history"}
IMPORT = re.compile(r"^\s*(?:from\s+([.\w]+)\s+c?import\s+([\w*, ()]+)|c?import\s+([\w.]+))", re.M)


def imported(path):
    """Names like ``cymlp.plan`` and ``cymlp.engine.threads`` that a source imports."""
    package = ["cymlp", *path.parent.relative_to(SOURCE).parts]
    found = []
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[:len(package) - node.level + 1] if node.level else []
                base = ".".join([*base, *filter(None, [node.module])])
                found += [f"{base}.{alias.name}" for alias in node.names]
    else:
        for base, names, plain in IMPORT.findall(path.read_text()):
            names = re.sub(r" as \w+", "", names)
            found += [f"{base}.{name}" for name in re.findall(r"[\w*]+", names)] or [plain]
    return [name for name in found if name.split(".")[0] == "cymlp"]


def room(parts):
    """The module or subpackage of cymlp that a path or a dotted name belongs to."""
    return parts[0].split(".")[0] if parts else "__init__"


SOURCES = sorted(path for pattern in ("*.py", "*.pyx", "*.pxd") for path in SOURCE.rglob(pattern)
                 if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downward_only(path):
    here = room(path.relative_to(SOURCE).parts)
    if here in FREE:
        return
    assert here in FLOOR, f"say in FLOORS where {here} belongs"
    for name in imported(path):
        there = room(name.split(".")[1:])
        if there in FREE or there == here or (here, there) in UPWARD:
            assert (here, there) not in UPWARD or name not in imported_at_once(path)
            continue
        if there == "__init__" or there not in FLOOR:   # "from cymlp import NAME" of the package
            assert here in ("demo", "__main__"), f"{here} imports {name} by way of the package"
            continue
        assert FLOOR[there] <= FLOOR[here], f"{here} imports {name}, which stands above it"


def test_specifications_know_nothing_of_the_engine():
    """Of the kernels only the tables, and those when they are asked for."""
    for path in SOURCES:
        if room(path.relative_to(SOURCE).with_suffix("").parts) in SPECIFICATIONS:
            names = {room(name.split(".")[1:]) for name in imported(path)}
            assert names <= SPECIFICATIONS | {"kernels"}, path
            top = {room(name.split(".")[1:]) for name in imported_at_once(path)}
            assert "kernels" not in top, path


def imported_at_once(path):
    """What a source imports outside of its functions."""
    tree = ast.parse(path.read_text())
    inner = {id(child) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
             for child in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in inner:
            yield from (f"cymlp.{node.module or alias.name}" for alias in node.names)


def test_the_reference_knows_specifications_and_plans_only():
    allowed = SPECIFICATIONS | {"plan", "reference"}
    for path in (SOURCE / "reference").glob("*.py"):
        assert {room(name.split(".")[1:]) for name in imported(path)} <= allowed, path


# ---- what an import brings ---------------------------------------------------------------------


def modules_after(code):
    """Names in sys.modules after some code in a fresh interpreter."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=60, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_brings_next_to_nothing():
    """Beside NumPy only the package's own door: nothing compiled, nothing else of Python's."""
    brought = modules_after("import cymlp") - modules_after("import numpy")
    assert brought == {"cymlp", "cymlp._version"}


def test_a_network_needs_nothing_heavy():
    brought = modules_after("import cymlp; cymlp.mlp(2, [2], 1, task='binary').predict([[1, 2]])")
    for name in ("sklearn", "scipy", "torch", "matplotlib", "pandas", "tqdm", "safetensors",
                 "asyncio", "multiprocessing", "unittest", "numpy.testing", "cymlp.demo",
                 "cymlp.files", "cymlp.reference", "cymlp.ops"):
        assert name not in brought


def test_a_network_from_a_file_needs_next_to_nothing(tmp_path):
    """What only predicts starts without the training loop and without random numbers."""
    file = tmp_path / "net.safetensors"
    cymlp.mlp(2, [2], 1, task="binary").save(file)
    brought = modules_after(f"import cymlp; cymlp.load({str(file)!r}).predict([[1, 2]])")
    for name in ("numpy.random", "secrets", "hashlib", "dataclasses", "queue", "csv",
                 "cymlp.training", "cymlp.callbacks", "cymlp.measuring", "cymlp.runs"):
        assert name not in brought


@pytest.mark.parametrize("package", [engine, kernels], ids=lambda package: package.__name__)
def test_every_compiled_source_is_among_the_modules(package):
    """But the one that chooses the level, which is in a file of its own."""
    folder = SOURCE / package.__name__.rpartition(".")[2]
    sources = {path.stem for path in folder.glob("*.pyx")} - {"cpu"}
    assert sources == set(package.MODULES)


def test_every_public_name_can_be_had():
    for name in cymlp.__all__:
        assert getattr(cymlp, name) is not None
    assert set(dir(cymlp)) == set(cymlp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = cymlp.Nothing


# ---- documentation -----------------------------------------------------------------------------


def public_functions():
    """Every public function, class and method of the package's public names."""
    modules = [name for name in cymlp.__all__ if inspect.ismodule(getattr(cymlp, name))]
    places = [(cymlp, cymlp.__all__)]
    places += [(getattr(cymlp, name), getattr(cymlp, name).__all__) for name in modules]
    for place, names in places:
        for name in names:
            value = getattr(place, name)
            if not callable(value) or not getattr(value, "__module__", "").startswith("cymlp"):
                continue
            yield f"{place.__name__}.{name}", value
    for name in ("predict", "forward", "evaluate", "train_step", "gradients", "fit", "copy",
                 "save", "summary", "diagnose", "graph", "averaged", "plan_for"):
        yield f"Network.{name}", getattr(cymlp.Network, name)


@pytest.mark.parametrize("name, value", list(public_functions()))
def test_every_public_function_has_a_docstring_with_an_example(name, value):
    text = inspect.getdoc(value)
    assert text and re.match(r"[\w`]", text), f"{name} has no docstring"
    assert ">>>" in text, f"{name} has no example"


def test_public_methods_of_a_network_are_in_the_list():
    listed = {name.split(".")[1] for name, _ in public_functions() if name.startswith("Network.")}
    found = {name for name, _ in inspect.getmembers(cymlp.Network, inspect.isroutine)
             if not name.startswith("_")}
    assert found == listed


# ---- the files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [
    *SOURCES, *SOURCE.rglob("*.h"), *(ROOT / "tests").glob("*.py")],
    ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short(path):
    assert len(path.read_text().splitlines()) <= 500


README = ROOT / "README.md"
BLOCKS = re.compile(r"^```python\n(.*?)^```\n+^```(?:text)?\n(.*?)^```$", re.M | re.S)


@pytest.mark.skipif(not README.exists(), reason="needs README.md")
def test_the_examples_of_the_readme(tmp_path, monkeypatch):
    examples = BLOCKS.findall(README.read_text())
    assert examples, "README.md shows no example with what it prints"
    assert len(examples) == len(re.findall("^```python$", README.read_text(), re.M))
    monkeypatch.chdir(tmp_path)
    for code, expected in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
        assert printed.getvalue().split() == expected.split()


def test_the_table_of_features_is_what_is_registered():
    subprocess.run([sys.executable, ROOT / "docs" / "features.py", "--check"], check=True,
                   timeout=60)
