"""Layers made of layers: a skip around some, branches side by side; and embeddings of codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ..checks import as_integer, shown
from ..immutable import immutable
from ..initializers import Initializer, Normal, as_initializer
from .shapes import Declared, Layer, as_layers, output_width

__all__ = ["Columns", "Concat", "Embedding", "Residual"]


@immutable
class Residual(Layer):
    """A skip around some layers: ``x + layers(x)``.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (CVPR 2016).

    Parameters
    ----------
    layers : sequence of layers
        Their output must be as wide as their input.

    Examples
    --------
    >>> from cymlp import Dense
    >>> Residual([Dense(8, "relu"), Dense(8)])
    Residual([Dense(8, activation=Activation('relu')), Dense(8)])
    >>> Residual([Dense(8)]).out_features(9)
    Traceback (most recent call last):
    ...
    ValueError: Residual: expected an output of 9 columns, as its input has, got 8
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        layers = as_layers("layers", self.layers)
        if not layers:
            raise ValueError("layers: expected at least one layer, got none")
        object.__setattr__(self, "layers", layers)

    def out_features(self, in_features: int) -> int:
        """The width of the input."""
        width = output_width(self.layers, in_features)
        if width != in_features:
            raise ValueError(f"Residual: expected an output of {in_features} columns, as its "
                             f"input has, got {width}")
        return width

    def within(self) -> tuple[tuple[str, tuple], ...]:
        """The layers that are skipped."""
        return (("", self.layers),)

    def short_text(self) -> str:
        """The name alone: its layers follow."""
        return "Residual"

    def __repr__(self) -> str:
        return f"Residual({list(self.layers)})"


@immutable
class Concat(Layer):
    """Branches side by side: each gets the whole input, and their outputs stand in one row.

    Parameters
    ----------
    branches : sequence of sequences of layers
        An empty branch passes the input on.

    Examples
    --------
    >>> from cymlp import Dense
    >>> branches = Concat([[Dense(8, "relu"), Dense(2)], []])
    >>> branches.out_features(5)
    7
    """

    branches: tuple[tuple[Layer, ...], ...]

    def __post_init__(self) -> None:
        if isinstance(self.branches, (str, bytes, Layer)) or not isinstance(
                self.branches, Iterable):
            raise TypeError(f"branches: expected a sequence of sequences of layers, "
                            f"got {shown(self.branches)}")
        branches = tuple(as_layers(f"branches[{number}]", branch)
                         for number, branch in enumerate(self.branches))
        if not branches:
            raise ValueError("branches: expected at least one sequence of layers, got none")
        object.__setattr__(self, "branches", branches)

    def out_features(self, in_features: int) -> int:
        """The widths of all branches together."""
        return sum(output_width(branch, in_features) for branch in self.branches)

    def within(self) -> tuple[tuple[str, tuple], ...]:
        """The branches; branch 1 of layer 0 has names that begin with "0.1."."""
        return tuple((f"{number}.", branch) for number, branch in enumerate(self.branches))

    def trace(self, source: tuple[int, ...] | None, codes: list) -> tuple[int, ...] | None:
        """The branches' columns side by side, where all of them pass columns on."""
        traced = []
        for branch in self.branches:
            inner = source
            for layer in branch:
                inner = layer.trace(inner, codes)
            traced.append(inner)
        return None if None in traced else tuple(column for part in traced for column in part)

    def short_text(self) -> str:
        """The name alone: its branches follow."""
        return f"Concat of {len(self.branches)}"

    def __repr__(self) -> str:
        return f"Concat({[list(branch) for branch in self.branches]})"


@immutable
class Columns(Layer):
    """Some columns of the input, in the given order.

    Parameters
    ----------
    indices : iterable of int
        Numbers of columns, from 0; each at most once.

    Examples
    --------
    >>> Columns(range(1, 4))
    Columns([1, 2, 3])
    """

    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if isinstance(self.indices, (str, bytes)) or not isinstance(self.indices, Iterable):
            raise TypeError(f"indices: expected numbers of columns, got {shown(self.indices)}")
        indices = tuple(as_integer(f"indices[{i}]", index, least=0)
                        for i, index in enumerate(self.indices))
        if not indices or len(set(indices)) != len(indices):
            raise ValueError(f"indices: expected at least one number and none twice, "
                             f"got {shown(list(indices))}")
        object.__setattr__(self, "indices", indices)

    @property
    def output_activation(self) -> None:
        """That of its input."""
        return None

    def out_features(self, in_features: int) -> int:
        """How many columns are taken, all of which the input must have."""
        if max(self.indices) >= in_features:
            raise ValueError(f"Columns: expected indices below {in_features}, the number of "
                             f"columns, got {max(self.indices)}")
        return len(self.indices)

    def trace(self, source: tuple[int, ...] | None, codes: list) -> tuple[int, ...] | None:
        """These columns of what comes in."""
        return None if source is None else tuple(source[index] for index in self.indices)

    def __repr__(self) -> str:
        return f"Columns({list(self.indices)})"


@immutable
class Embedding(Layer):
    """Each code in the input becomes a learnable vector; several columns share one table.

    Codes are integers from 0 up to but not including `categories`, in columns of the network's
    input that reach this layer unchanged, directly or by :class:`Columns` and :class:`Concat`.
    Gradient and optimizer touch only the rows of the table that a batch uses: the optimizer states
    of the others stay as they are, as with PyTorch's sparse gradients. Its parameter is `weight`,
    of shape (categories, units). In float32 codes up to 2**24 are told apart.

    Parameters
    ----------
    categories : int
        Number of codes.
    units : int
        Numbers in a vector.
    initializer : str, initializer or array_like
        Where the vectors start; by default normal with deviation 1, as PyTorch's.

    Examples
    --------
    A network for one categorical and three numeric columns:

    >>> from cymlp import Dense, Network
    >>> columns = Concat([[Columns([0]), Embedding(7, 4)], [Columns([1, 2, 3])]])
    >>> net = Network([columns, Dense(8, "relu"), Dense(1)], in_features=4, task="regression")
    >>> net.parameters["0.0.1.weight"].shape
    (7, 4)
    """

    keeps_gradient: ClassVar[bool] = True

    categories: int
    units: int
    initializer: Initializer = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories",
                           as_integer("categories", self.categories, least=1, most=1 << 24))
        object.__setattr__(self, "units", as_integer("units", self.units, least=1))
        initializer = Normal() if self.initializer is None else as_initializer(
            self.initializer, "initializer")
        object.__setattr__(self, "initializer", initializer)

    def out_features(self, in_features: int) -> int:
        """A vector for each column."""
        return in_features * self.units

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """The table."""
        shape = (self.categories, self.units)
        return (Declared("weight", shape, self.initializer, "rows"),)

    def trace(self, source: tuple[int, ...] | None, codes: list) -> None:
        """Notes which columns must hold codes."""
        if source is None:
            raise ValueError("Embedding: expected columns of the network's input, unchanged, got "
                             "the output of a layer that computes")
        codes.extend((column, self.categories) for column in source)

    def __repr__(self) -> str:
        start = "" if self.initializer == Normal() else f", initializer={self.initializer!r}"
        return f"Embedding({self.categories}, {self.units}{start})"
