"""Short ways to networks that are often wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import shown
from .layers import Dense, Dropout
from .network import Network

__all__ = ["mlp"]


def mlp(
    in_features: int,
    hidden: Iterable[int],
    out_features: int,
    *,
    activation: Any = "relu",
    dropout: float = 0.0,
    **settings: Any,
) -> Network:
    """A plain multi-layer perceptron: hidden layers of one kind, then the output layer.

    Parameters
    ----------
    in_features : int
        Numbers in a row of the input.
    hidden : iterable of int
        Widths of the hidden layers.
    out_features : int
        Numbers in a row of the output.
    activation : str or Activation
        Of the hidden layers.
    dropout : float
        Rate of dropout after each hidden layer; 0 for none.
    **settings
        `task`, `loss`, `optimizer`, `dtype` and `rng` of :class:`Network`.

    Returns
    -------
    Network

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.mlp(784, [256, 128], 10, dropout=0.2, task="multiclass")
    >>> [type(layer).__name__ for layer in net.layers]
    ['Dense', 'Dropout', 'Dense', 'Dropout', 'Dense']
    """
    if isinstance(hidden, (str, bytes)) or not isinstance(hidden, Iterable):
        raise TypeError(f"hidden: expected the widths of the hidden layers, got {shown(hidden)}")
    layers: list = []
    drop = Dropout(dropout)
    for units in hidden:
        layers.append(Dense(units, activation))
        if drop.rate:
            layers.append(drop)
    layers.append(Dense(out_features))
    return Network(layers, in_features=in_features, **settings)
