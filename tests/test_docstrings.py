"""The examples in the docstrings, of compiled modules too."""

import doctest
import importlib
import pkgutil

import pytest

import cymlp
from cymlp import kernels


def module_names():
    """All modules but those of instruction-set levels that this processor cannot run."""
    for module in pkgutil.walk_packages(cymlp.__path__, "cymlp.", onerror=lambda name: None):
        level = module.name.removeprefix("cymlp.kernels.").split(".")[0]
        foreign = level in kernels._LEVEL_NAMES and level not in kernels.levels
        if not (foreign or module.name.endswith("__main__")):
            yield module.name


@pytest.mark.parametrize("name", ["cymlp", *module_names()])
def test_examples(name, tmp_path, monkeypatch):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("cymlp"):
            raise
        pytest.skip(f"needs {error.name}")
    monkeypatch.chdir(tmp_path)
    threads = cymlp.get_num_threads()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    try:
        # A copy of the names, so that one example cannot leave anything to the next.
        outcome = doctest.testmod(module, optionflags=flags, extraglobs={"__name__": name})
    finally:
        cymlp.set_num_threads(threads)
    assert outcome.failed == 0
