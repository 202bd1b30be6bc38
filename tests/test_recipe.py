"""An activation, a loss and an optimizer, added to a copy as docs/development.md says.

What is added is read from that page, so the recipe cannot say one thing and be another.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cymlp
from cymlp import kernels

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "development.md"
# A place to write to, and what: `file`, before or instead of `text`: a block of code. A place
# without a file is in the file before.
EDIT = re.compile(r"(?:`(?P<file>src/[^`]+)`|name in the list|counted with the others), "
                  r"(?P<how>before|instead of) `(?P<text>[^\n]+)`:\n\n```\w+\n(?P<code>.*?)```\n",
                  re.DOTALL)
TABLES = {"activation": "activations.h", "loss": "losses.h", "optimizer": "optimizers.pyx"}
ADDED = {"activation": "squared_relu", "loss": "half_squared_error", "optimizer": "bounded"}

# Only the kernels, for one level, as the package's own build makes them; the engine is as it is
# installed.
BUILD = """
import setuptools, setup
setuptools.setup(name="recipe", package_dir={"": "src"}, packages=[],
                 ext_modules=[setup.level_extension(LEVEL)],
                 cmdclass={"build_ext": setup.BuildExtensions},
                 script_args=["-q", "build_ext", "--inplace"])
"""

USE = """
import numpy as np
import cymlp
from cymlp import Dense, Network, ops, reference

x = np.random.default_rng(0).standard_normal((40, 3))
y = np.abs(x).sum(axis=1)
for dtype in ("float32", "float64"):
    net = Network([Dense(16, "squared_relu"), Dense(1)], in_features=3, dtype=dtype, rng=0,
                  loss="half_squared_error", optimizer="bounded")
    steps = reference.compare(net, x, y)
    assert all(step.agrees for step in steps), steps
    first = net.train_step(x, y)
    net.fit(x, y, epochs=30, batch_size=10)
    assert net.evaluate(x, y)["loss"] < 0.2 * first
    net.save("net.safetensors")
    again = cymlp.load("net.safetensors")
    assert (again.predict(x) == net.predict(x)).all() and again.optimizer == net.optimizer
assert repr(net.optimizer) == "TableOptimizer('bounded', learning_rate=0.01)"
"""


def edits():
    """What the page says: kind -> [(file, how, text, code), ...]."""
    section = PAGE.read_text().split("## Adding an activation, a loss, an optimizer")[1]
    found = {}
    for part in section.split("\n### ")[1:]:
        kind, file = part.split("\n")[0].split()[1], None
        for match in EDIT.finditer(part):
            file = match["file"] or file
            found.setdefault(kind, []).append((file, match["how"], match["text"], match["code"]))
        assert part.count("```") == 2 * len(found[kind]), f"{kind}: a block without its place"
    return found


def apply(tree, file, how, text, code):
    path = tree / file
    lines = path.read_text().splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if text in line]
    assert places, f"{file} has no {text!r}"
    lines[places[0]:places[0] + (how == "instead of")] = [code]
    path.write_text("".join(lines))


def python(tree, *arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "CYMLP_ISA"}
    environment |= {"PYTHONPATH": str(tree / "src"), "CYMLP_ISA": kernels.level, **variables}
    return subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, text=True,
                          capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the package with the rows of the recipe in it, built."""
    if not (ROOT / "setup.py").exists() or os.environ.get("LD_PRELOAD"):
        pytest.skip("needs the source tree and a compiler without sanitizers")
    pytest.importorskip("Cython")
    tree = tmp_path_factory.mktemp("recipe")
    apart = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__", ".*_cache")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=apart)
    shutil.copy(ROOT / "setup.py", tree)
    installed = Path(cymlp.__file__).parent
    (tree / "src" / "cymlp" / "libraries").mkdir(exist_ok=True)
    for path in installed.rglob("*.so"):
        if path.name.split(".")[0] in ("engine", "cpu"):
            shutil.copy(path, tree / "src" / "cymlp" / path.relative_to(installed))
    for edit in sum(edits().values(), []):
        apply(tree, *edit)
    outcome = python(tree, "-c", BUILD.replace("LEVEL", repr(kernels.level), 1))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return tree


def test_each_takes_one_row_and_one_definition_in_the_reference():
    found = edits()
    assert found.keys() == TABLES.keys()
    for kind, parts in found.items():
        files = {file for file, _, _, _ in parts}
        table = {f"src/cymlp/kernels/{TABLES[kind]}"}
        (definition,) = files - table
        assert table < files and definition.startswith("src/cymlp/reference/")
        written = "".join(code for file, _, _, code in parts if file == definition)
        assert len(re.findall(rf"^def |^    \"{ADDED[kind]}\": ", written, re.MULTILINE)) == 1


def test_the_new_ones_work(tree):
    outcome = python(tree, "-c", USE)
    assert outcome.returncode == 0, outcome.stderr


def run_tests(tree, *files):
    return python(tree, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-k",
                  " or ".join(ADDED.values()), *(f"tests/{file}" for file in files))


def test_the_tests_that_go_over_the_tables_find_them(tree):
    outcome = run_tests(tree, "test_ops.py", "test_ops_rows.py")
    assert outcome.returncode == 0, outcome.stdout
    for name in ADDED.values():
        assert f"[{name}" in outcome.stdout
        assert not re.search(rf"\b{name}\b.*(?:FAILED|SKIPPED)", outcome.stdout)


def test_a_row_without_its_reference_is_told(tree, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns("build"))
    shutil.rmtree(copy / "src" / "cymlp" / "reference")
    shutil.copytree(ROOT / "src" / "cymlp" / "reference", copy / "src" / "cymlp" / "reference")
    outcome = run_tests(copy, "test_ops.py")
    assert outcome.returncode == 1
    for name in ("squared_relu", "half_squared_error", "bounded_update"):
        assert f"has a row that needs '{name}', and cymlp.reference has no such" in outcome.stdout
