"""The kernels as compiled for aarch64, from the shared object of this name."""

from cymlp.bundle import add_library
from cymlp.kernels import MODULES

add_library(__path__, "aarch64", MODULES)
