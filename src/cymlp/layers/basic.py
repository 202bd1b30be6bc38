"""Dense layers, activations and dropout.

Which activations exist is said by the kernels' table, so that a new row there is known here.
"""

from __future__ import annotations

from typing import Any

from ..checks import as_flag, as_integer, as_number, choices, shown
from ..immutable import KW_ONLY, immutable
from ..initializers import Initializer, Zeros, as_initializer, is_random
from ..schedules import Schedule, as_schedule
from .custom import CustomActivation
from .shapes import Declared, Layer

__all__ = ["PARAMETER_BOUNDS", "Activation", "AlphaDropout", "Dense", "Dropout", "activation_rows",
           "as_activation"]

# These work on whole rows, so they are no rows of the pointwise table.
_OF_ROWS = {name: {"name": name, "kind": -1, "saves": "output", "initializer": "glorot_uniform",
                   "parameter": "", "default": 0.0} for name in ("softmax", "log_softmax")}

#: bounds of the activations' parameters, as :func:`cymlp.checks.as_number` takes them
PARAMETER_BOUNDS: dict[str, dict[str, float]] = {"slope": {"least": 0.0}, "alpha": {"above": 0.0}}


def activation_rows() -> dict[str, dict[str, Any]]:
    """All activations by name: the rows of the kernels' table, softmax and log-softmax.

    >>> activation_rows()["relu"]["initializer"]
    'he_uniform'
    """
    # Here and not above: a description can be read without loading a kernel.
    from .. import kernels

    return {**_OF_ROWS, **kernels.activation_table()}


@immutable
class Activation(Layer):
    """An activation, as a layer of its own or as the ``activation`` of :class:`Dense`.

    Parameters
    ----------
    name : str
        A name of the kernels' table, such as ``identity``, ``sigmoid``, ``tanh``, ``relu`` or
        ``leaky_relu``; or ``softmax`` and ``log_softmax``, along each row.
    slope : float, optional
        Only for ``leaky_relu``: the slope for negative values, 0.01 by default.
    alpha : float, optional
        Only for ``elu`` and ``celu``: minus the value that they tend to below, 1 by default.

    Examples
    --------
    >>> Activation("leaky_relu", slope=0.2)
    Activation('leaky_relu', slope=0.2)
    >>> Activation("relu", slope=0.2)
    Traceback (most recent call last):
    ...
    ValueError: slope: expected None, as activation 'relu' takes no slope, got 0.2
    """

    name: str
    _: KW_ONLY
    slope: float | None = None
    alpha: float | None = None

    def __post_init__(self) -> None:
        rows = activation_rows()
        if not isinstance(self.name, str):
            raise TypeError(f"activation: expected {choices(rows)}, got {shown(self.name)}")
        if self.name not in rows:
            raise ValueError(f"activation: expected {choices(rows)}, got {shown(self.name)}")
        row = rows[self.name]
        for label, bounds in PARAMETER_BOUNDS.items():
            value = getattr(self, label)
            if label == row["parameter"]:
                value = as_number(label, row["default"] if value is None else value, **bounds)
                object.__setattr__(self, label, value)
            elif value is not None:
                raise ValueError(f"{label}: expected None, as activation {self.name!r} takes no "
                                 f"{label}, got {shown(value)}")
        object.__setattr__(self, "name", str(self.name))

    @property
    def output_activation(self) -> str:
        """Its own name."""
        return self.name

    @property
    def parameter(self) -> float:
        """The number that the activation's kernel takes; 0 where it takes none."""
        return next((value for value in (self.slope, self.alpha) if value is not None), 0.0)

    @property
    def initializer(self) -> str:
        """Name of the weight initializer that suits the activation."""
        return activation_rows()[self.name]["initializer"]


def as_activation(value: Any) -> Activation:
    """The activation that a name or an :class:`Activation` stands for.

    >>> as_activation("tanh")
    Activation('tanh')
    """
    return value if isinstance(value, Activation) else Activation(value)


@immutable
class Dense(Layer):
    """A fully connected layer: ``activation(x @ weight + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, Activation or CustomActivation
        What is applied to the sums; ``"identity"`` applies nothing.
    bias : bool
        Whether a bias is added.
    weight_initializer : str, initializer or array_like, optional
        Where the weights start; by default what suits the activation (He for the ReLU kind,
        Glorot for the others).
    bias_initializer : str, initializer or array_like
        Where the bias starts: ``"zeros"``, ``Constant(value)`` or an array of shape (units,).

    Examples
    --------
    >>> Dense(256, activation="relu")
    Dense(256, activation=Activation('relu'))
    >>> Dense(0)
    Traceback (most recent call last):
    ...
    ValueError: units: expected an integer of at least 1, got 0
    """

    units: int
    activation: Activation = "identity"  # type: ignore[assignment]  # __post_init__ converts
    _: KW_ONLY
    bias: bool = True
    weight_initializer: Initializer | None = None
    bias_initializer: Initializer = "zeros"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        units = as_integer("units", self.units, least=1)
        weight = self.weight_initializer
        if weight is not None:
            weight = as_initializer(weight, "weight_initializer")
        start = as_initializer(self.bias_initializer, "bias_initializer")
        if is_random(start):
            raise ValueError(
                f"bias_initializer: expected 'zeros', Constant(value) or an array of shape "
                f"({units},), got {start!r}, which is for weights"
            )
        object.__setattr__(self, "units", units)
        if not isinstance(self.activation, CustomActivation):
            object.__setattr__(self, "activation", as_activation(self.activation))
        object.__setattr__(self, "bias", as_flag("bias", self.bias))
        object.__setattr__(self, "weight_initializer", weight)
        object.__setattr__(self, "bias_initializer", start)

    @property
    def output_activation(self) -> str:
        """The name of its activation."""
        return self.activation.name

    def short_text(self) -> str:
        """Units and activation."""
        activation = self.activation.name
        return f"Dense({self.units}{'' if activation == 'identity' else ', ' + activation})"

    def out_features(self, in_features: int) -> int:
        """The number of units, whatever comes in."""
        return self.units

    def parameters(self, in_features: int) -> tuple[Declared, ...]:
        """A weight (in_features, units) and, where there is one, a bias (units,)."""
        initializer = self.weight_initializer or self.activation.initializer
        weight = Declared("weight", (in_features, self.units), initializer, "panels")
        bias = Declared("bias", (self.units,), self.bias_initializer)
        return (weight, bias) if self.bias else (weight,)

    def __repr__(self) -> str:
        parts = [str(self.units)]
        if self.activation != Activation("identity"):
            parts.append(f"activation={self.activation!r}")
        if not self.bias:
            parts.append("bias=False")
        if self.weight_initializer is not None:
            parts.append(f"weight_initializer={self.weight_initializer!r}")
        if self.bias_initializer != Zeros():
            parts.append(f"bias_initializer={self.bias_initializer!r}")
        return f"Dense({', '.join(parts)})"


@immutable
class Dropout(Layer):
    """Sets a share of the values to zero while training, and scales the rest up to match.

    Parameters
    ----------
    rate : float
        The probability with which a value is dropped, from 0 up to but not including 1.
    schedule : Schedule, optional
        Its factor at each step or epoch (:mod:`cymlp.schedules`); what comes out is kept between
        0 and 0.99.

    Examples
    --------
    >>> Dropout(0.2)
    Dropout(0.2)
    """

    rate: float
    _: KW_ONLY
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", as_number("rate", self.rate, least=0.0, below=1.0))
        as_schedule("schedule", self.schedule)

    @property
    def output_activation(self) -> None:
        """That of its input."""
        return None


@immutable
class AlphaDropout(Layer):
    """Dropout for SELU networks: it keeps mean and variance of what has mean 0 and variance 1.

    A dropped value becomes that to which SELU tends below; then all values are scaled and shifted.
    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks" (NeurIPS 2017).

    Parameters
    ----------
    rate : float
        The probability with which a value is dropped, from 0 up to but not including 1.

    Examples
    --------
    >>> AlphaDropout(0.1)
    AlphaDropout(0.1)
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", as_number("rate", self.rate, least=0.0, below=1.0))
