"""What every loss says about itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ..checks import as_number, as_text, shown
from ..immutable import immutable

__all__ = ["Loss", "PointwiseLoss", "TableLoss", "as_numbers"]


class Loss:
    """Base of all losses.

    Attributes
    ----------
    name : str
        What it is called where a loss is chosen by name.
    kernel : str
        The step of a plan that computes it.
    output_activation : str
        What :meth:`cymlp.Network.predict` applies to the logits.
    metric : str or None
        What is reported beside it.
    takes_labels : bool
        Whether targets of one dimension are class numbers.

    >>> Loss().target_features(3), Loss().attributes(3)
    (3, {'values': 1})
    """

    __slots__ = ()

    name: ClassVar[str] = ""
    kernel: ClassVar[str] = ""
    output_activation: ClassVar[str] = "identity"
    metric: ClassVar[str | None] = None
    takes_labels: ClassVar[bool] = False

    @property
    def limits(self) -> tuple[float, float, bool]:
        """Least and greatest value of a dense target, and whether it must be whole."""
        return -float("inf"), float("inf"), False

    def target_features(self, out_features: int) -> int:
        """Columns of a dense target for a width of the output; ValueError where none fits."""
        return out_features

    def attributes(self, out_features: int) -> dict[str, Any]:
        """What the plan's step is told: its settings, and the values that it is a mean of."""
        return {"values": 1}


class TableLoss(Loss):
    """A row of the kernels' table of pointwise losses; its fields are the kernel's parameters."""

    __slots__ = ()

    @property
    def row(self) -> dict[str, Any]:
        """Its row of the table."""
        # Here and not above: a description can be read without loading a kernel.
        from .. import kernels

        return kernels.loss_table()[self.kernel]

    @property
    def limits(self) -> tuple[float, float, bool]:
        """As the table says."""
        return self.row["limits"]

    def setting(self, name: str) -> Any:
        """The value of a parameter: a number, or one for each output."""
        return getattr(self, name)

    def target_features(self, out_features: int) -> int:
        """One for each output, or for two where the table says so."""
        outputs = self.row["outputs"]
        if out_features % outputs:
            raise ValueError(f"layers: expected {outputs} outputs for each target of loss "
                             f"{self.name!r}, got {out_features} outputs")
        return out_features // outputs

    def attributes(self, out_features: int) -> dict[str, Any]:
        """The parameters, and how many values a row's loss is the mean of."""
        values = self.target_features(out_features)
        found: dict[str, Any] = {"values": values, "targets": values}
        for name in self.row["parameters"]:
            value = found[name] = self.setting(name)
            if isinstance(value, tuple) and len(value) != out_features:
                raise ValueError(f"{name}: expected one number, or {out_features} of them, one "
                                 f"for each output, got {len(value)}")
        return found


@immutable
class PointwiseLoss(TableLoss):
    """A row of the table that has no specification of its own, with its parameters' defaults.

    Parameters
    ----------
    kernel : str
        Its name in the table.

    Examples
    --------
    >>> PointwiseLoss("log_cosh_loss").output_activation
    'identity'
    """

    kernel: str  # type: ignore[misc]

    def __post_init__(self) -> None:
        from .. import kernels

        as_text("loss", self.kernel, kernels.loss_table())

    @property
    def name(self) -> str:  # type: ignore[override]
        """That of the row."""
        return self.kernel

    @property
    def output_activation(self) -> str:  # type: ignore[override]
        """As the table says."""
        return self.row["output_activation"]

    @property
    def metric(self) -> str:  # type: ignore[override]
        """As the table says."""
        return self.row["metric"]

    def setting(self, name: str) -> Any:
        """The table's default."""
        return self.row["parameters"][name]


def as_numbers(name: str, value: Any, **bounds: float) -> float | tuple[float, ...]:
    """A number, or one for each output as a tuple, each within the bounds of `as_number`.

    >>> as_numbers("delta", [1, 2.5], least=0)
    (1.0, 2.5)
    """
    if hasattr(value, "tolist"):        # an array, without asking NumPy
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return as_number(name, value, **bounds)
    numbers = tuple(as_number(f"{name}[{index}]", item, **bounds)
                    for index, item in enumerate(value))
    if not numbers:
        raise ValueError(f"{name}: expected at least one number, got {shown(value)}")
    return numbers
