"""Packages whose compiled modules lie together in one shared object.

Cython makes a Python module of every source file. In a file of its own each brings its own copy
of what all need and is loaded by itself, and what one call passes lies scattered over the address
space. So the modules of the engine, and the kernels of a level, are linked into one shared object
each, in the folder ``libraries``. Such a file exports a function ``PyInit_NAME`` for each of its
modules, and Python loads them from there if it is told where to look. That is done here: a package
has the shared object as an entry of its ``__path__``, and a hook of the import system (a "path
entry hook") finds what it holds.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec

# No package, so that nobody takes the shared objects for modules of the name of their file.
FOLDER = os.path.join(os.path.dirname(__file__), "libraries")

_finders = {}


class Finder:
    """Finds the modules `names` in the shared object at `path`."""

    def __init__(self, path, names):
        self.path = path
        self.names = names

    def find_spec(self, fullname, target=None):
        """What the import system asks of a path entry's finder."""
        if fullname.rpartition(".")[2] not in self.names:
            return None
        spec = ModuleSpec(fullname, ExtensionFileLoader(fullname, self.path), origin=self.path)
        spec.has_location = True
        return spec

    def iter_modules(self, prefix=""):
        """What `pkgutil` asks of a finder: name and whether it is a package, of each module."""
        return [(prefix + name, False) for name in self.names]


def _hook(path):
    if path not in _finders:
        raise ImportError("no shared object of cymlp", path=path)
    return _finders[path]


def shared_object(name):
    """The path of a shared object by its name, or None where it has not been built."""
    files = (os.path.join(FOLDER, name + suffix) for suffix in EXTENSION_SUFFIXES)
    return next(filter(os.path.isfile, files), None)


def add_shared_object(path, name, modules):
    """Let a package import modules from a shared object, if that has been built.

    Parameters
    ----------
    path : list of str
        The package's ``__path__``; the shared object becomes its first entry, before the folder.
    name : str
        The name of the shared object.
    modules : tuple of str
        What it holds, by the last part of their names.
    """
    file = shared_object(name)
    if file:
        _finders[file] = Finder(file, modules)
        path.insert(0, file)


sys.path_hooks.append(_hook)
