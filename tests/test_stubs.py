"""The type stubs of the compiled modules say what the modules hold."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import cymlp
from cymlp import engine

PACKAGE = Path(cymlp.__file__).parent
MODULES = [*(f"cymlp.engine.{name}" for name in engine.MODULES), "cymlp.kernels.cpu"]


def stub_of(name):
    path = PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".pyi")
    assert path.exists(), f"{name} has no type stub {path.name}"
    return ast.parse(path.read_text())


def functions_in(nodes):
    return {node.name: [a.arg for a in [*node.args.posonlyargs, *node.args.args,
                                        *node.args.kwonlyargs]]
            for node in nodes if isinstance(node, ast.FunctionDef)}


COMPILED = ("builtin_function_or_method", "method_descriptor", "cython_function_or_method")


def functions_of(owner, module):
    """Name and arguments of the functions that were written in the module."""
    return {name: list(inspect.signature(value).parameters)
            for name, value in vars(owner).items()
            if type(value).__name__ in COMPILED and not name.startswith("__")
            and getattr(value, "__module__", module) == module}


@pytest.mark.parametrize("name", MODULES)
def test_stub(name):
    module, stub = importlib.import_module(name), stub_of(name)
    assert functions_in(stub.body) == functions_of(module, name)
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    assert set(classes) == {key for key, value in vars(module).items()
                            if isinstance(value, type) and value.__module__ == name}
    for key, node in classes.items():
        cls = getattr(module, key)
        methods = functions_in(node.body)
        methods.pop("__init__", None)
        assert methods == functions_of(cls, name)
        attributes = {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}
        assert attributes == {key for key, value in vars(cls).items()
                              if inspect.isgetsetdescriptor(value)
                              or inspect.ismemberdescriptor(value)}
    for node in stub.body:
        if isinstance(node, ast.AnnAssign):
            assert hasattr(module, node.target.id)
