"""The recipe of docs/design.md, followed in a copy of the sources: a new activation, loss and
optimizer are a row and a function of the reference each (an optimizer also its specification)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cymlp import kernels

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="needs the sources")

# file, what stands there, what is put behind it
EDITS = [
    ("kernels/activations.h", '    ROW(identity, "output", "glorot_uniform", "", 0.0, x, g) \\\n',
     '    ROW(cube, "input", "glorot_uniform", "", 0.0, x * x * x, 3 * g * s * s) \\\n'),
    ("reference/pointwise.py", "\n_TABLE = {\n",
     '    "cube": (lambda x, p: x**3, lambda x, p: 3 * x**2, "input", "", 0.0, "x cubed"),\n'),
    ("kernels/losses.h", "#define LOSSES(ROW) \\\n",
     '    ROW(quartic, "identity", "mean_absolute_error", NONE, ANY, '
     '(z - t) * (z - t) * (z - t) * (z - t), 4 * (z - t) * (z - t) * (z - t)) \\\n'),
    ("reference/value_losses.py", '    return _mean((z - t) ** 2, 2.0 * (z - t), sample_weight)\n',
     '\n\ndef quartic(logits, target, sample_weight=None):\n'
     '    z, t = _logits_and_target(logits, target)\n'
     '    return _mean((z - t) ** 4, 4.0 * (z - t) ** 3, sample_weight)\n'),
    ("reference/value_losses.py", "__all__ = [\n", '    "quartic",\n'),
    ("kernels/optimizers.pyx", "# ---- the table -------------------------------------------------"
     "------------------\n", '''
cdef void sign_prepare(double *prepared, const double *hyper, long long step) noexcept nogil:
    prepared[0] = hyper[0]


cdef void sign_update(
        real *parameter, const real *gradient, real *unused0, real *unused1, real *unused2,
        Py_ssize_t n, const double *prepared) noexcept nogil:
    cdef real length = <real> prepared[0]
    cdef Py_ssize_t i
    for i in range(n):
        parameter[i] -= length * ((gradient[i] > 0) - (gradient[i] < 0))

'''),
    ("kernels/optimizers.pyx", "] TABLE = [\n",
     '    Optimizer(b"sign", b"learning_rate", b"", sign_prepare, sign_update[float],\n'
     '              sign_update[double]),\n'),
    ("reference/optimizers.py", '__all__ = [', '"sign_update", '),
    ("reference/optimizers.py", "def sgd_update(parameter, gradient, ", None),
    ("optimizers/plain.py", "@dataclass(frozen=True, slots=True, repr=False)\nclass Adagrad(", None),
    ("optimizers/__init__.py", "CLASSES: tuple[type, ...] = (", "Sign, "),
    ("optimizers/__init__.py", "from .plain import ", "Sign, "),
]
BEFORE = {
    "reference/optimizers.py": '''def sign_update(parameter, gradient, *, step=1, learning_rate=1e-3):
    parameter -= learning_rate * np.sign(_checked(gradient, parameter=parameter))


''',
    "optimizers/plain.py": '''@dataclass(frozen=True, slots=True, repr=False)
class Sign(Scheduled):
    kernel: ClassVar[str] = "sign"
    learning_rate: float = 1e-3


''',
}

USE = '''
import numpy as np, cymlp
from cymlp import Dense, kernels, ops, reference

assert "cube" in kernels.activation_table() and "sign" in kernels.optimizer_table()
X = np.random.default_rng(0).normal(size=(40, 3))
assert np.allclose(ops.cube(X), reference.cube(X))
for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
    net = cymlp.Network([Dense(5, "cube"), Dense(2)], in_features=3, loss="quartic",
                        optimizer="sign", dtype=dtype, rng=0)
    assert all(step.agrees for step in cymlp.reference.compare(net, X, X[:, :2]))
    before = {name: array.astype(float) for name, array in net.parameters.items()}
    _, gradients = net.gradients(X, X[:, :2])
    net.train_step(X, X[:, :2])
    for name, array in before.items():
        reference.sign_update(array, gradients[name])
        assert np.abs(net.parameters[name] - array).max() <= tolerance
    assert net.fit(X, X[:, :2], epochs=50)["loss"][-1] < net.copy().evaluate(X, -X[:, :2])["loss"]
print("works")
'''


def follow_the_recipe(source):
    for name, mark, text in EDITS:
        path = source / name
        before = path.read_text()
        assert before.count(mark) == 1, f"{name}: the recipe's place {mark!r} is not there"
        after = mark + text if text is not None else BEFORE[name] + mark
        path.write_text(before.replace(mark, after))
    table = source / "kernels" / "optimizers.pyx"
    count = len(kernels.optimizer_table())
    table.write_text(table.read_text().replace(f"cdef Optimizer[{count}] TABLE",
                                               f"cdef Optimizer[{count + 1}] TABLE"))


def test_the_recipe(tmp_path):
    for name in ("src", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, tmp_path / "tree" / name, ignore=shutil.ignore_patterns(
                "*.so", "*.egg-info", "__pycache__"))
        else:
            shutil.copy(place, tmp_path / "tree" / name)
    follow_the_recipe(tmp_path / "tree" / "src" / "cymlp")
    environment = {**os.environ, "CYMLP_LEVELS": kernels.level}
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                    "--no-build-isolation", "--target", str(tmp_path / "built"),
                    str(tmp_path / "tree")], check=True, env=environment, timeout=300)
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(tmp_path / "built")})
    assert done.stdout.strip() == "works", done.stderr
