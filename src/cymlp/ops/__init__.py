"""Every kernel as a function on arrays.

The functions have the names and arguments of `cymlp.reference`, and ``out=`` besides.

Arrays may have any real dtype, any strides and either byte order, and may be read-only. The
result is float32 where all arrays that it comes from are float32, and float64 otherwise; for a
loss the logits alone decide. No array is copied as a whole, and with ``out=`` nothing is allocated
once scratch memory is there: ``out`` must be a writable array of the result's shape and dtype, of
any strides, that shares no memory with the arguments (some functions work in place: their ``out``
may be that argument itself). Everything is checked before anything is changed. The kernels run
without the GIL, on the calling thread.

>>> import numpy as np
>>> from cymlp import ops
>>> x = np.array([[-1.0, 0.0, 2.0]])
>>> ops.relu(x, out=x) is x
True
>>> x
array([[0., 0., 2.]])
"""

from __future__ import annotations

from . import activations, dense, losses, metrics, optimizers, rng, scores
from .activations import *  # noqa: F403
from .dense import *  # noqa: F403
from .losses import *  # noqa: F403
from .metrics import *  # noqa: F403
from .optimizers import *  # noqa: F403
from .rng import *  # noqa: F403
from .scores import *  # noqa: F403

TYPE_CHECKING = False
if TYPE_CHECKING:       # the activations come from the kernels' table, unseen by type checkers
    from collections.abc import Callable

    from numpy.typing import NDArray

    def __getattr__(name: str) -> Callable[..., NDArray]: ...

__all__ = sorted(activations.__all__ + dense.__all__ + losses.__all__ + metrics.__all__
                 + optimizers.__all__ + rng.__all__ + scores.__all__)
