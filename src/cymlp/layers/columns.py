"""Layers with a number for each column, and gates: half of the columns opens the other half."""

from __future__ import annotations

from typing import Any

from ..checks import as_flag, shown
from ..immutable import immutable
from ..initializers import Constant, Initializer, as_initializer, is_random
from .basic import Activation, activation_rows, as_activation
from .shapes import Declared, Layer

__all__ = ["GLU", "PReLU", "Scale", "SwiGLU"]


def _start(value: Any) -> Initializer:
    """An initializer for a number for each column; a plain number stands for itself."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Constant(value)
    initializer = as_initializer(value, "initializer")
    if is_random(initializer):
        raise ValueError(f"initializer: expected a number, Constant(value) or an array with a "
                         f"number for each column, got {initializer!r}, which is for weights")
    return initializer


@immutable
class Scale(Layer):
    """Each column times a learnable number: a diagonal weight, of shape (columns,).

    Parameters
    ----------
    initializer : float, initializer or array_like
        Where the numbers start.

    Examples
    --------
    >>> Scale(0.1)
    Scale(Constant(0.1))
    """

    initializer: Initializer = 1.0  # type: ignore[assignment]  # __post_init__ converts

    def __post_init__(self) -> None:
        object.__setattr__(self, "initializer", _start(self.initializer))

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """The weight, one number for each column."""
        return (Declared("weight", (in_features,), self.initializer),)

    def __repr__(self) -> str:
        return "Scale()" if self.initializer == Constant(1.0) else f"Scale({self.initializer!r})"


@immutable
class PReLU(Layer):
    """ReLU with a learnable slope below zero, for each column or for all of them together.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers" (ICCV 2015), who call the two
    channel-wise and channel-shared. Its parameter is `weight`, of shape (columns,) as in Keras, or
    (1,) as by default in PyTorch.

    Parameters
    ----------
    initializer : float, initializer or array_like
        Where the slopes start.
    shared : bool
        Whether all columns have one slope together.

    Examples
    --------
    >>> PReLU()
    PReLU()
    >>> PReLU(0.1, shared=True)
    PReLU(Constant(0.1), shared=True)
    """

    initializer: Initializer = 0.25  # type: ignore[assignment]  # __post_init__ converts
    shared: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "initializer", _start(self.initializer))
        object.__setattr__(self, "shared", as_flag("shared", self.shared))

    @property
    def output_activation(self) -> str:
        """A name that no loss applies."""
        return "prelu"

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """The slopes, one for each column, or the one."""
        return (Declared("weight", (1 if self.shared else in_features,), self.initializer),)

    def __repr__(self) -> str:
        settings = [] if self.initializer == Constant(0.25) else [repr(self.initializer)]
        return f"PReLU({', '.join(settings + ['shared=True'] * self.shared)})"


@immutable
class GLU(Layer):
    """Gated linear unit: the first half of the columns times the activation of the second half.

    Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks" (ICML
    2017), and its variants with other activations: Shazeer, "GLU variants improve transformer"
    (2020). The halves are PyTorch's.

    Parameters
    ----------
    activation : str or Activation
        Of the second half: a pointwise one.

    Examples
    --------
    >>> GLU()
    GLU()
    >>> GLU().out_features(8)
    4
    """

    activation: Activation = "sigmoid"  # type: ignore[assignment]  # __post_init__ converts

    def __post_init__(self) -> None:
        activation = as_activation(self.activation)
        if activation_rows()[activation.name]["kind"] < 0:
            raise ValueError(f"activation: expected one that works element by element, "
                             f"got {shown(activation.name)}")
        object.__setattr__(self, "activation", activation)

    def out_features(self, in_features: int) -> int:
        """Half of what comes in, which must be even."""
        if in_features % 2:
            raise ValueError(f"GLU: expected an even number of columns, got {in_features}")
        return in_features // 2

    def __repr__(self) -> str:
        return "GLU()" if self.activation.name == "sigmoid" else f"GLU({self.activation!r})"


def SwiGLU() -> GLU:
    """A :class:`GLU` whose gate is opened by SiLU (swish).

    Shazeer, "GLU variants improve transformer" (2020).

    Examples
    --------
    >>> SwiGLU()
    GLU(Activation('silu'))
    """
    return GLU("silu")
