"""A network's parameters as a mapping from name to array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .arrays import as_real_array
from .initializers import initialize

__all__ = ["Parameters"]


class Parameters(Mapping):
    """Parameters in layer order: ``"0.weight"`` -> (in, out), ``"0.bias"`` -> (out,), ...

    What is read is a copy that cannot be written to; assigning to a name sets the parameter.

    Examples
    --------
    >>> import cymlp
    >>> net = cymlp.Network([cymlp.Dense(2)], in_features=3, task="regression")
    >>> list(net.parameters)
    ['0.weight', '0.bias']
    >>> net.parameters["0.bias"] = [1.0, 2.0]
    >>> net.parameters["0.bias"]
    array([1., 2.], dtype=float32)
    """

    __slots__ = ("_engine", "_layout")

    def __init__(self, engine: Any, layout: Any) -> None:
        self._engine = engine
        self._layout = {parameter.name: parameter for parameter in layout}

    def initialize(self, declared: Any, generator: np.random.Generator, dtype: np.dtype) -> None:
        """Give every declared parameter its first values, in layer order."""
        for name, wanted in declared:
            try:
                self[name] = initialize(wanted.initializer, wanted.shape, generator, dtype)
            except ValueError as error:
                path, _, part = name.rpartition(".")
                raise ValueError(f"layers[{path}], {part}: {error}") from None

    def _find(self, name: str):
        try:
            return self._layout[name]
        except (KeyError, TypeError):
            raise KeyError(
                f"parameter: expected one of {', '.join(self._layout)}, got {name!r}") from None

    def __getitem__(self, name: str) -> np.ndarray:
        parameter = self._find(name)
        array = self._engine.read(parameter)
        array.flags.writeable = False
        return array

    def __setitem__(self, name: str, values: Any) -> None:
        parameter = self._find(name)
        array = as_real_array(f"parameters[{name!r}]", values)
        if array.shape != parameter.shape:
            raise ValueError(f"parameters[{name!r}]: expected shape {parameter.shape}, "
                             f"got shape {array.shape}")
        self._engine.write(parameter, array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layout)

    def __len__(self) -> int:
        return len(self._layout)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: {p.shape}" for name, p in self._layout.items())
        return f"Parameters({{{shapes}}})"
