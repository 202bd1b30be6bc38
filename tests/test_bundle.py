"""Modules that lie together in one shared object: how Python finds them."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import cymlp
from cymlp import bundle, engine, kernels

LEVEL = importlib.import_module(f"cymlp.kernels.{kernels.level}")
PACKAGES = pytest.mark.parametrize("package", [engine, LEVEL], ids=["engine", "level"])


@PACKAGES
def test_modules_come_from_the_one_file(package):
    files = {importlib.import_module(f"{package.__name__}.{name}").__file__
             for name in package.MODULES}
    assert files == {package.__path__[0]}
    assert files == {bundle.shared_object(package.__name__.rpartition(".")[2])}


@PACKAGES
def test_modules_are_listed_once_and_all_can_be_imported(package):
    listed = [module.name for module in pkgutil.iter_modules(package.__path__)]
    assert len(set(listed)) == len(listed) and set(package.MODULES) <= set(listed)
    for name in listed:
        importlib.import_module(f"{package.__name__}.{name}")


def test_the_folder_of_the_shared_objects_offers_no_modules():
    assert "libraries" not in [module.name for module in pkgutil.iter_modules(cymlp.__path__)]


@PACKAGES
def test_what_is_not_there_is_not_found(package):
    with pytest.raises(ModuleNotFoundError, match="No module named '.*nothing'"):
        importlib.import_module(f"{package.__name__}.nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {package.__name__} import nothing")


def test_a_library_that_is_not_built_adds_nothing():
    assert bundle.shared_object("nothing") is None
    path = ["folder"]
    bundle.add_shared_object(path, "nothing", ("a",))
    assert path == ["folder"]


def test_other_entries_are_refused():
    with pytest.raises(ImportError, match="no shared object of cymlp"):
        bundle._hook("/elsewhere.so")


def test_modules_are_found_when_caches_are_gone():
    """The hook, not what it once answered, is what importing relies on."""
    code = ("import cymlp, importlib, sys; sys.path_importer_cache.clear(); "
            "importlib.invalidate_caches(); "
            "print(cymlp.mlp(2, [2], 1, task='binary').predict([[1, 2]]).shape)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(1, 1)\n", done.stderr


def test_a_module_can_be_loaded_again():
    threads = importlib.import_module("cymlp.engine.threads")
    before = threads.get_num_threads()
    assert importlib.reload(threads) is threads and threads.get_num_threads() == before
