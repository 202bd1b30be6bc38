"""The choice of the instruction-set level, and that every level offers the same."""

import os
import subprocess
import sys

import pytest

from cymlp import kernels


def import_with(isa):
    """Import the kernels in a fresh interpreter with CYMLP_ISA set."""
    return subprocess.run(
        [sys.executable, "-c", "from cymlp import kernels; print(kernels.level)"],
        capture_output=True, text=True, env={**os.environ, "CYMLP_ISA": isa})


@pytest.mark.parametrize("level", kernels.levels)
def test_a_level_can_be_forced(level):
    assert import_with(level).stdout.strip() == level


def test_the_highest_level_is_the_default():
    assert import_with("").stdout.strip() == kernels.levels[-1]


def test_an_unknown_level_is_an_error_that_names_those_there_are():
    outcome = import_with("x86_64_v9")
    assert outcome.returncode != 0
    assert "ImportError: CYMLP_ISA='x86_64_v9' is not a level" in outcome.stderr
    assert kernels.levels[-1] in outcome.stderr


def test_a_level_that_the_processor_lacks_is_an_error():
    foreign = "x86_64_v4" if kernels.level == "aarch64" else "aarch64"
    outcome = import_with(foreign)
    assert outcome.returncode != 0
    assert f"ImportError: CYMLP_ISA='{foreign}' is not supported" in outcome.stderr


def test_a_level_that_is_not_built_is_an_error():
    supported = ("x86_64_v2", "x86_64_v3")
    assert kernels._choose(None, ("x86_64_v2",), supported) == "x86_64_v2"
    with pytest.raises(ImportError, match="not built into this .*; usable here: x86_64_v2"):
        kernels._choose("x86_64_v3", ("x86_64_v2",), supported)


def test_a_processor_without_kernels_is_an_error():
    with pytest.raises(ImportError, match="no kernels for this processor"):
        kernels._choose(None, ("x86_64_v2",), ())


def test_module_refuses_an_unknown_level():
    with pytest.raises(ValueError, match="level must be one of"):
        kernels.module(kernels.MODULES[0], level="x86_64_v9")


@pytest.mark.parametrize("name", kernels.MODULES)
def test_every_level_offers_the_same_functions_and_tables(name):
    modules = [kernels.module(name, level=level) for level in kernels.levels]
    offered = [dict(sorted((key, str(capsule).split('"')[1])
                           for key, capsule in module.__pyx_capi__.items()))
               for module in modules]
    assert all(functions == offered[0] and functions for functions in offered)
    tables = [module.table() for module in modules if hasattr(module, "table")]
    assert all(table == tables[0] for table in tables)


@pytest.mark.parametrize("table", [
    kernels.activation_table, kernels.loss_table, kernels.optimizer_table],
    ids=lambda table: table.__name__)
def test_rows_are_found_by_their_name(table):
    assert table()
    assert all(row["name"] == name and isinstance(row["kind"], int)
               for name, row in table().items())
