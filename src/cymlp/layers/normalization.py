"""Layers that bring their input to mean 0 and deviation 1, down the batch or along each row."""

from __future__ import annotations

from typing import ClassVar

from ..checks import as_flag, as_number
from ..immutable import KW_ONLY, immutable
from ..initializers import Constant, Zeros
from .shapes import Declared, Layer

__all__ = ["BatchNorm", "LayerNorm", "RMSNorm"]


def _scale_and_shift(scale: bool, shift: bool, width: int) -> tuple[Declared, ...]:
    """A weight of ones and a bias of zeros, as far as they are wanted."""
    weight = (Declared("weight", (width,), Constant(1.0)),) if scale else ()
    bias = (Declared("bias", (width,), Zeros()),) if shift else ()
    return weight + bias


def _check(layer: Layer) -> None:
    object.__setattr__(layer, "epsilon", as_number("epsilon", layer.epsilon, above=0.0))
    for name in ("scale", "shift"):
        if hasattr(layer, name):
            object.__setattr__(layer, name, as_flag(name, getattr(layer, name)))


@immutable
class BatchNorm(Layer):
    """Batch normalisation: a column minus its mean, over its deviation, then scaled and shifted.

    Training uses the mean and the variance of the batch (rows of sample weight 0 do not count),
    and moves running ones towards them; predicting and evaluating use the running ones. So a
    training step takes all rows of the batch at once through the network. Definition and defaults
    are PyTorch's `BatchNorm1d`; Ioffe and Szegedy, "Batch normalization" (ICML 2015).

    Its parameters are `weight` and `bias`, and what no gradient changes: `running_mean` and
    `running_var` (with Bessel's correction), each of shape (columns,).

    Parameters
    ----------
    momentum : float
        The batch's share in the new running statistics, from 0 to 1.
    epsilon : float
        Added to the variance.
    scale, shift : bool
        Whether there is a learnable factor (`weight`), and a summand (`bias`), for each column.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.Network([cymlp.Dense(8), BatchNorm(), cymlp.Dense(1)], in_features=3,
    ...                     task="regression")
    >>> [name for name in net.parameters if name.startswith("1.")]
    ['1.weight', '1.bias', '1.running_mean', '1.running_var']
    """

    whole_batch: ClassVar[bool] = True

    momentum: float = 0.1
    _: KW_ONLY
    epsilon: float = 1e-5
    scale: bool = True
    shift: bool = True

    def __post_init__(self) -> None:
        _check(self)
        momentum = as_number("momentum", self.momentum, least=0.0, most=1.0)
        object.__setattr__(self, "momentum", momentum)

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """Weight and bias where they are wanted, and the running statistics."""
        shape = (in_features,)
        return (*_scale_and_shift(self.scale, self.shift, in_features),
                Declared("running_mean", shape, Zeros(), trained=False),
                Declared("running_var", shape, Constant(1.0), trained=False))


@immutable
class LayerNorm(Layer):
    """Layer normalisation: each row minus its mean, over its deviation, then scaled and shifted.

    Definition and defaults are PyTorch's; Ba, Kiros and Hinton, "Layer normalization" (2016). Its
    parameters are `weight` and `bias`, each of shape (columns,).

    Parameters
    ----------
    epsilon : float
        Added to the variance.
    scale, shift : bool
        Whether there is a learnable factor (`weight`), and a summand (`bias`), for each column.

    Examples
    --------
    >>> LayerNorm(shift=False)
    LayerNorm(shift=False)
    """

    epsilon: float = 1e-5
    _: KW_ONLY
    scale: bool = True
    shift: bool = True

    def __post_init__(self) -> None:
        _check(self)

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """Weight and bias where they are wanted."""
        return _scale_and_shift(self.scale, self.shift, in_features)


@immutable
class RMSNorm(Layer):
    """Root mean square normalisation: each row over the root of its mean square, then scaled.

    Zhang and Sennrich, "Root mean square layer normalization" (NeurIPS 2019), as PyTorch's
    `RMSNorm`. Its parameter is `weight`, of shape (columns,).

    Parameters
    ----------
    epsilon : float, optional
        Added to the mean square. PyTorch's default depends on the dtype, this one does not.
    scale : bool
        Whether there is a learnable factor for each column.

    Examples
    --------
    >>> RMSNorm()
    RMSNorm()
    """

    epsilon: float = 1e-5
    _: KW_ONLY
    scale: bool = True

    def __post_init__(self) -> None:
        _check(self)

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """The weight where it is wanted."""
        return _scale_and_shift(self.scale, False, in_features)
