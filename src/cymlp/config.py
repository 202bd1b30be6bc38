"""What this installation is made of."""

from __future__ import annotations

import platform

import numpy as np

from . import kernels
from ._version import __version__
from .engine import threads

__all__ = ["configuration", "show_config"]


def configuration() -> dict[str, str]:
    """Version, instruction-set level, OpenMP and threads, as text by name.

    Examples
    --------
    >>> import cymlp.config
    >>> sorted(cymlp.config.configuration())
    ['NumPy', 'OpenMP', 'Python', 'cymlp', 'level', 'machine', 'threads', 'usable levels']
    """
    return {
        "cymlp": __version__,
        "level": kernels.level,
        "usable levels": ", ".join(kernels.levels),
        "OpenMP": "yes" if threads.openmp_enabled() else "no (one thread)",
        "threads": str(threads.get_num_threads()),
        "machine": f"{platform.machine()}, {platform.system()}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
    }


def show_config() -> None:
    """Print the configuration.

    Examples
    --------
    >>> import cymlp
    >>> cymlp.show_config()  # doctest: +ELLIPSIS
    cymlp          ...
    """
    for name, value in configuration().items():
        print(f"{name:<15}{value}")
