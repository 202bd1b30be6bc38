"""The same bits on every machine and with every compiler: recorded digests of whole training
runs, and the headers of the kernels compiled by themselves (an emulator runs what this processor
cannot).
"""

import json
import platform
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "cymlp"
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-static"]

X86 = platform.machine() in ("x86_64", "AMD64")
# name -> compiler, flags, command that runs the program
TARGETS = {
    "v3": ("gcc", ["-march=x86-64-v3"], []),
    "v4": ("gcc", ["-march=x86-64-v4", "-mprefer-vector-width=512"], []),
    "v3 clang": ("clang", ["-march=x86-64-v3"], []),
    "v4 clang": ("clang", ["-march=x86-64-v4", "-mprefer-vector-width=512"], []),
    "aarch64": ("aarch64-linux-gnu-gcc", ["-march=armv8-a"], ["qemu-aarch64"]),
}


def checksums(name, folder):
    """What the program prints when compiled for a target."""
    compiler, flags, runner = TARGETS[name]
    missing = [tool for tool in [compiler, *runner] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    if name.startswith("v4"):
        from cymlp import kernels
        if "x86_64_v4" not in kernels.levels:
            pytest.skip("this processor has no AVX-512")
    program = folder / name.replace(" ", "_")
    subprocess.run([compiler, *FLAGS, *flags, f"-I{PACKAGE / 'kernels'}",
                    f"-I{PACKAGE / 'engine'}", str(HERE / "portable_bits.c"),
                    "-o", str(program)], check=True, capture_output=True, text=True)
    return subprocess.run([*runner, str(program)], check=True, capture_output=True,
                          text=True).stdout.splitlines()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return checksums("v3", tmp_path_factory.mktemp("portable"))


@pytest.mark.skipif(not X86, reason="the comparison starts from x86-64-v3")
@pytest.mark.parametrize("name", [name for name in TARGETS if name != "v3"])
def test_every_target_computes_the_same_bits(name, expected, tmp_path):
    assert len(expected) > 80
    assert any("sparse" in line for line in expected)
    assert not any("differs" in line for line in expected)
    assert checksums(name, tmp_path) == expected


def test_training_gives_the_recorded_bits():
    """The digests were recorded on x86-64-v4 and found the same on v3 and aarch64."""
    from cymlp import kernels

    if kernels.level == "x86_64_v2":
        pytest.skip("x86-64-v2 has no fused multiply-add and promises no equal bits")
    record = runpy.run_path(str(HERE / "data" / "record_bits.py"))
    assert record["digests"]() == json.loads(record["RECORD"].read_text())
