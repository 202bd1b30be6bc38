"""The kernels as compiled for x86_64_v3, from the shared object of this name."""

from cymlp.bundle import add_shared_object
from cymlp.kernels import MODULES

add_shared_object(__path__, "x86_64_v3", MODULES)
