"""L-BFGS: full batches, a quasi-Newton direction, a line search instead of a learning rate."""

from __future__ import annotations

from typing import ClassVar

from ..checks import as_integer, as_number
from ..immutable import KW_ONLY, immutable
from .base import Optimizer, set_checked

__all__ = ["LBFGS"]

LARGEST_HISTORY = 64    # engine/lbfgs.pyx


@immutable
class LBFGS(Optimizer):
    """Limited-memory BFGS with a line search for the strong Wolfe conditions.

    For small data: every iteration, an epoch of :meth:`cymlp.Network.fit`, works on all rows at
    once (``batch_size=None``) and evaluates loss and gradient about once. A run ends early where
    no more is to be gained. Of an :class:`cymlp.Update` only `l2` goes with it; dropout draws once
    an iteration. Nocedal and Wright, "Numerical optimization" (2nd edition, 2006), chapters 3
    and 7; the tolerances are SciPy's for its L-BFGS-B.

    Parameters
    ----------
    history : int
        How many of the last steps tell of the curvature; there are two arrays for each.
    gradient_tolerance : float
        The run ends where no entry of the gradient is above this.
    change_tolerance : float
        It ends too where the loss falls by no more than this share of itself (or of 1).
    evaluations : int
        The most evaluations of loss and gradient in one line search.

    Examples
    --------
    >>> import numpy as np, cymlp
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> net = cymlp.mlp(1, [8], 1, activation="tanh", task="regression", optimizer=LBFGS(),
    ...                 dtype="float64", rng=0)
    >>> history = net.fit(X, X**2, epochs=100, batch_size=None)
    >>> history["loss"][-1] < 1e-4
    True
    """

    kernel: ClassVar[str] = "lbfgs"
    full_batch: ClassVar[bool] = True

    history: int = 10
    _: KW_ONLY
    gradient_tolerance: float = 1e-5
    change_tolerance: float = 2.22e-9
    evaluations: int = 20

    def __post_init__(self) -> None:
        set_checked(self, as_integer, "history", least=1, most=LARGEST_HISTORY)
        set_checked(self, as_integer, "evaluations", least=1, most=1000)
        set_checked(self, as_number, "gradient_tolerance", "change_tolerance", least=0.0)

    def hyper(self) -> dict[str, float]:
        """Nothing: there is no update by itself."""
        return {}

    def settings(self) -> tuple[int, int, float, float]:
        """What the engine's search takes."""
        return self.history, self.evaluations, self.gradient_tolerance, self.change_tolerance

    def states(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each parameter: differences of the last steps."""
        return tuple(f"{kind}_difference_{number}" for kind in ("parameter", "gradient")
                     for number in range(self.history))

    __repr__ = Optimizer.__repr__
