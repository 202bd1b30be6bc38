"""What every layer says about itself: its width, its parameters, the layers within it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

from ..checks import as_integer, shown

__all__ = ["Declared", "Layer", "as_layers", "code_columns", "declared_parameters",
           "output_width", "walk"]

# Residual and Concat hold lists of layers; so deep a nesting is a mistake, or an attack by a file.
DEEPEST = 32


class Declared(NamedTuple):
    """A parameter that a layer asks for; `layout` and `trained` as in a plan's Parameter."""

    part: str
    shape: tuple[int, ...]
    initializer: Any
    layout: str = "vector"
    trained: bool = True


class Layer:
    """Base of all layers; what is said here holds for a layer that keeps the width.

    >>> Layer().out_features(3), Layer().parameters(3), Layer().within()
    (3, (), ())
    """

    __slots__ = ()

    # Whether training needs all rows of the batch at once.
    whole_batch: ClassVar[bool] = False
    # Whether its update needs a gradient of its own, even where the others do without.
    keeps_gradient: ClassVar[bool] = False

    @property
    def output_activation(self) -> str | None:
        """The activation that the output has gone through; None where the input's still holds."""
        return "identity"

    def out_features(self, in_features: int) -> int:
        """Width of the output; ValueError where the input's does not fit."""
        return in_features

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """The layer's own parameters."""
        return ()

    def short_text(self) -> str:
        """The layer in a summary."""
        return repr(self)

    def within(self) -> tuple[tuple[str, tuple], ...]:
        """Lists of layers inside this one, each with what comes before their numbers in a name."""
        return ()

    def trace(self, source: tuple[int, ...] | None, codes: list) -> tuple[int, ...] | None:
        """Which columns of the network's input come through unchanged, if the output is such.

        A layer that takes columns as codes adds (column, number of codes) to `codes`.
        """
        return None


def as_layers(name: str, layers: Any) -> tuple:
    """A tuple of layers.

    >>> as_layers("layers", [])
    ()
    """
    if isinstance(layers, (str, bytes, Layer)) or not isinstance(layers, Iterable):
        raise TypeError(f"{name}: expected a sequence of layers, got {shown(layers)}")
    layers = tuple(layers)
    for index, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"{name}[{index}]: expected a layer such as Dense or Dropout, "
                            f"got {shown(layer)}")
    return layers


def output_width(layers: Iterable, in_features: int) -> int:
    """The width after all layers; ValueError where they do not fit together."""
    for layer in layers:
        in_features = layer.out_features(in_features)
    return in_features


def walk(layers: Iterable, in_features: int, path: str = "") -> Iterator[tuple[str, Any, int]]:
    """Every layer with its name ("1", or "1.0" within layer 1) and its input's width, in order.

    >>> from cymlp.layers import Dense, Dropout
    >>> [(name, width) for name, _, width in walk([Dense(3), Dropout(0.5)], 2)]
    [('0', 2), ('1', 3)]
    """
    if path.count(".") > DEEPEST:
        raise ValueError(f"layers: expected a nesting of at most {DEEPEST}, got more")
    for index, layer in enumerate(layers):
        yield f"{path}{index}", layer, in_features
        for part, inner in layer.within():
            yield from walk(inner, in_features, f"{path}{index}.{part}")
        try:
            in_features = layer.out_features(in_features)
        except ValueError as error:
            raise ValueError(f"layers[{path}{index}]: {error}") from None


def declared_parameters(layers: Iterable, in_features: int) -> Iterator[tuple[str, Declared]]:
    """Every parameter of a network by its name, in layer order.

    >>> from cymlp.layers import Dense
    >>> [(name, declared.shape) for name, declared in declared_parameters([Dense(3)], 2)]
    [('0.weight', (2, 3)), ('0.bias', (3,))]
    """
    for path, layer, width in walk(layers, in_features):
        for declared in layer.parameters(width):
            yield f"{path}.{declared.part}", declared


def code_columns(layers: Iterable, in_features: int) -> list[tuple[int, int]]:
    """The input's columns that hold codes, each with the number of codes.

    >>> code_columns([], 3)
    []
    """
    codes: list[tuple[int, int]] = []
    source: tuple[int, ...] | None = tuple(range(as_integer("in_features", in_features, least=1)))
    for layer in layers:
        source = layer.trace(source, codes)
    return codes
