"""What a training run reported, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["History"]


class History(Mapping[str, list[float]]):
    """Values per epoch by name: a read-only mapping from name to list of floats.

    The names are ``loss``, the metric (``accuracy`` or ``mean_absolute_error``), with
    validation data also ``val_loss`` and ``val_`` + metric, and ``time``, the seconds of the
    epoch. What is read is a copy.

    Examples
    --------
    >>> history = History()
    >>> history
    History(epochs=0)
    >>> history._append({"loss": 0.5, "accuracy": 0.75, "time": 0.25})
    >>> history._append({"loss": 0.25, "accuracy": 0.875, "time": 0.25})
    >>> history["loss"]
    [0.5, 0.25]
    >>> history
    History(epochs=2, loss=0.25, accuracy=0.875, time=0.5)
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def _append(self, logs: Mapping[str, float]) -> None:
        """Adds an epoch; every epoch has the names of the first."""
        if self.epochs and set(logs) != set(self._values):
            raise ValueError(
                f"logs: expected the names {', '.join(self._values)}, got {', '.join(logs)}"
            )
        numbers = {name: float(value) for name, value in logs.items()}
        for name, number in numbers.items():
            self._values.setdefault(name, []).append(number)

    @property
    def epochs(self) -> int:
        """Number of epochs that were completed."""
        return max(map(len, self._values.values()), default=0)

    def __getitem__(self, name: str) -> list[float]:
        return list(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        # The last epoch's values, and the time of all epochs together.
        parts = [f"epochs={self.epochs}"]
        for name, values in self._values.items():
            value = sum(values) if name == "time" else values[-1]
            parts.append(f"{name}={value:.4g}")
        return f"History({', '.join(parts)})"
