"""The NumPy twin: one plain float64 function for every kernel.

The functions have the names and arguments of `cymlp.ops`. They are written from
the definitions, not from the kernels, and for reading, not for speed. They
take anything array-like and return new float64 arrays; an optimizer's update
changes its parameter and states in place.

`run_plan` runs a network's plan with them, and `compare` finds the first step of
the engine that differs.
"""

from cymlp.reference import (
    activations,
    class_losses,
    dense,
    gaussian,
    losses,
    optimizers,
    pointwise,
    rng,
    run,
    scores,
    value_losses,
)
from cymlp.reference.activations import *  # noqa: F403
from cymlp.reference.class_losses import *  # noqa: F403
from cymlp.reference.dense import *  # noqa: F403
from cymlp.reference.gaussian import *  # noqa: F403
from cymlp.reference.losses import *  # noqa: F403
from cymlp.reference.optimizers import *  # noqa: F403
from cymlp.reference.pointwise import *  # noqa: F403
from cymlp.reference.rng import *  # noqa: F403
from cymlp.reference.run import *  # noqa: F403
from cymlp.reference.scores import *  # noqa: F403
from cymlp.reference.value_losses import *  # noqa: F403

__all__ = sorted(
    activations.__all__ + dense.__all__ + gaussian.__all__ + losses.__all__
    + class_losses.__all__ + value_losses.__all__ + scores.__all__
    + pointwise.__all__ + optimizers.__all__ + rng.__all__ + run.__all__
)
