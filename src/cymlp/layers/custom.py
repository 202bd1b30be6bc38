"""A user's own activation, as a pair of Python functions."""

from __future__ import annotations

from collections.abc import Callable

from ..checks import shown
from ..immutable import immutable
from .shapes import Layer

__all__ = ["CustomActivation"]


@immutable
class CustomActivation(Layer):
    """An activation as two Python functions of arrays: flexible, and slow.

    It stands where an :class:`Activation` does, as a layer or as the ``activation`` of
    :class:`Dense`. The functions are called in the middle of every call, on the calling thread,
    while all other threads wait (a prediction runs on that thread alone). They are given copies of
    some rows, and what they say of a row must depend on that row alone.

    What they raise ends the call, with parameters and optimizer as the last whole step left them;
    they must not use the network that is at work. Such a network can be pickled where its
    functions can, but not saved to a file: a file holds no code.

    Parameters
    ----------
    forward : callable
        ``forward(x) -> y``, both of shape (n, features) and the network's dtype.
    backward : callable
        ``backward(gradient, x) -> gradient by x``, all of that shape; `gradient` is that by the
        output y.

    Examples
    --------
    >>> import numpy as np, cymlp
    >>> sine = CustomActivation(np.sin, lambda gradient, x: gradient * np.cos(x))
    >>> net = cymlp.Network([cymlp.Dense(1, sine)], in_features=1, task="regression", rng=0)
    >>> net.parameters["0.weight"] = [[1.0]]
    >>> round(float(net.predict([[np.pi / 2]])[0, 0]), 6)
    1.0
    """

    forward: Callable
    backward: Callable

    def __post_init__(self) -> None:
        for name in ("forward", "backward"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name}: expected a function of arrays, "
                                f"got {shown(getattr(self, name))}")

    @property
    def name(self) -> str:
        """What stands for it in a summary."""
        return "custom"

    @property
    def output_activation(self) -> str:
        """Nothing that a loss could apply too."""
        return "custom"

    @property
    def initializer(self) -> str:
        """Name of the weight initializer of a dense layer with it."""
        return "glorot_uniform"

    @property
    def row(self) -> dict[str, object]:
        """What the kernels' table says of others."""
        return {"kind": -1, "saves": "input"}
