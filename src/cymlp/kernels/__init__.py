"""The hot loops, compiled once per instruction-set level, and the choice of the level.

The level is chosen when this package is imported: the highest one that is both built and
supported by the processor, or the one that the environment variable ``CYMLP_ISA`` names.
The sources ``*.pyx`` lie in this folder; what is compiled from them for a level are the
modules of the subpackage of its name, for example ``cymlp.kernels.x86_64_v3.activations``.

Attributes
----------
level : str
    The level in use.
levels : tuple of str
    Every level that is built and that this processor supports, lowest first.
"""

import os
from functools import cache
from importlib import import_module

from cymlp.bundle import shared_object
from cymlp.kernels.cpu import supported_levels

__all__ = ["activation_table", "column_table", "level", "levels", "loss_table", "module",
           "optimizer_table"]

# What is compiled into the shared object of each level: every .pyx of this folder but `cpu`.
MODULES = ("activations", "columns", "data", "dense", "embedding", "gradients", "losses",
           "normalization", "optimizers", "rng", "schedules")

_LEVEL_NAMES = ("x86_64_v2", "x86_64_v3", "x86_64_v4", "aarch64")


def _choose(forced, built, supported):
    """The level to use; ImportError where there is none or `forced` is not to be had."""
    usable = [name for name in supported if name in built]
    if not forced:
        if not usable:
            raise ImportError(
                f"cymlp has no kernels for this processor: it supports "
                f"{', '.join(supported) or 'no level from x86_64_v2 up'}, "
                f"built are {', '.join(built) or 'none'}")
        return usable[-1]
    if forced in usable:
        return forced
    if forced not in _LEVEL_NAMES:
        reason = "is not a level"
    elif forced not in supported:
        reason = "is not supported by this processor"
    else:
        reason = "is not built into this installation"
    raise ImportError(f"CYMLP_ISA={forced!r} {reason}; usable here: {', '.join(usable) or 'none'}")


_BUILT = tuple(filter(shared_object, _LEVEL_NAMES))
levels = tuple(name for name in supported_levels() if name in _BUILT)
level = _choose(os.environ.get("CYMLP_ISA"), _BUILT, supported_levels())


def module(name, level=None):
    """The compiled module of a kernel, imported.

    Parameters
    ----------
    name : str
        The kernel's name, such as ``"activations"``.
    level : str, optional
        One of `levels`; the level in use by default. More than one may be loaded at a time.

    Returns
    -------
    module
        Its ``__pyx_capi__`` holds the kernels' addresses.

    Examples
    --------
    >>> from cymlp import kernels
    >>> kernels.module("activations").table()[0]["name"]
    'identity'
    """
    if level is None:
        level = globals()["level"]
    elif level not in levels:
        raise ValueError(f"level must be one of {', '.join(levels)}, not {level!r}")
    return import_module(f"{__name__}.{level}.{name}")


@cache
def _table(name):
    return {row["name"]: row for row in module(name).table()}


def activation_table():
    """Every pointwise activation: its row of the kernel table by its name."""
    return _table("activations")


def loss_table():
    """Every pointwise loss: its row of the kernel table by its name."""
    return _table("losses")


def column_table():
    """Every layer with a number for each column: its row of the kernel table by its name."""
    return _table("columns")


def optimizer_table():
    """Every optimizer: its row of the kernel table by its name."""
    return _table("optimizers")
