"""The kernels as compiled for aarch64, from the shared object of this name."""

from cymlp.bundle import add_shared_object
from cymlp.kernels import MODULES

add_shared_object(__path__, "aarch64", MODULES)
