"""Initial values of parameters.

An initializer is a small immutable description; :func:`initialize` makes the array. Sources:
Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks"
(AISTATS 2010); He, Zhang, Ren and Sun, "Delving deep into rectifiers" (ICCV 2015); LeCun, Bottou,
Orr and Müller, "Efficient backprop" (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .checks import as_flag, as_number, choices, shown
from .immutable import immutable

__all__ = [
    "Constant",
    "GivenArray",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LeCunNormal",
    "LeCunUniform",
    "NTK",
    "Normal",
    "Orthogonal",
    "Zeros",
    "as_initializer",
    "initialize",
]

# Random values are drawn this many at a time, so that a large float32 array needs no second
# one in float64. The length does not show in the values: the stream is read in order.
_DRAW = 1 << 16


@immutable
class _Uniform:
    """Uniform on plus and minus `spread(fan_in, fan_out)`."""

    distribution: ClassVar[str] = "uniform"


@immutable
class _Normal:
    """Normal with standard deviation `spread(fan_in, fan_out)`, or cut off beyond two of them.

    Cut off, the deviation before the cut is larger, so that afterwards it is the same: as Keras
    does it.
    """

    distribution: ClassVar[str] = "normal"

    truncated: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "truncated", as_flag("truncated", self.truncated))


@immutable
class GlorotUniform(_Uniform):
    """Uniform on ±sqrt(6 / (fan_in + fan_out)): keeps the variance through sigmoid-like layers.

    >>> GlorotUniform()
    GlorotUniform()
    """

    name: ClassVar[str] = "glorot_uniform"

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The largest magnitude."""
        return math.sqrt(6.0 / (fan_in + fan_out))


@immutable
class GlorotNormal(_Normal):
    """Normal with standard deviation sqrt(2 / (fan_in + fan_out)).

    >>> GlorotNormal(truncated=True)
    GlorotNormal(truncated=True)
    """

    name: ClassVar[str] = "glorot_normal"

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The standard deviation."""
        return math.sqrt(2.0 / (fan_in + fan_out))


@immutable
class HeUniform(_Uniform):
    """Uniform on ±sqrt(6 / fan_in): keeps the variance through ReLU layers.

    >>> HeUniform().spread(6, 100)
    1.0
    """

    name: ClassVar[str] = "he_uniform"

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The largest magnitude."""
        return math.sqrt(6.0 / fan_in)


@immutable
class HeNormal(_Normal):
    """Normal with standard deviation sqrt(2 / fan_in).

    >>> HeNormal().spread(200, 10)
    0.1
    """

    name: ClassVar[str] = "he_normal"

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The standard deviation."""
        return math.sqrt(2.0 / fan_in)


@immutable
class LeCunUniform(_Uniform):
    """Uniform on ±sqrt(3 / fan_in).

    >>> LeCunUniform().spread(3, 100)
    1.0
    """

    name: ClassVar[str] = "lecun_uniform"

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The largest magnitude."""
        return math.sqrt(3.0 / fan_in)


@immutable
class LeCunNormal(_Normal):
    """Normal with standard deviation sqrt(1 / fan_in), which SELU needs.

    >>> LeCunNormal().spread(100, 10)
    0.1
    """

    name: ClassVar[str] = "lecun_normal"

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The standard deviation."""
        return math.sqrt(1.0 / fan_in)


@immutable
class NTK(_Normal):
    """The start of the NTK parametrization: standard normal numbers times gain / sqrt(fan_in).

    Jacot, Gabriel and Hongler, "Neural tangent kernel" (NeurIPS 2018), take those numbers as the
    parameters and keep the factor in the layer. Here it is in the weights, so that outputs and
    losses are the same; to learn as there, too, gradient descent needs gain² / fan_in times the
    learning rate for these weights:
    ``Update(groups=[Group("0.weight", learning_rate_factor=...)])``.

    Parameters
    ----------
    truncated : bool
        Whether the numbers are cut off beyond two standard deviations.
    gain : float
        The factor beside 1 / sqrt(fan_in); sqrt(2) suits ReLU.

    Examples
    --------
    >>> NTK().spread(100, 10)
    0.1
    """

    name: ClassVar[str] = "ntk"

    gain: float = 1.0

    def __post_init__(self) -> None:
        _Normal.__post_init__(self)
        object.__setattr__(self, "gain", as_number("gain", self.gain, least=0.0))

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The standard deviation."""
        return self.gain * math.sqrt(1.0 / fan_in)


@immutable
class Orthogonal:
    """A random matrix whose rows or columns, whichever are fewer, are orthonormal, times a gain.

    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks" (ICLR 2014); as PyTorch's and Keras's.

    Parameters
    ----------
    gain : float
        The length of each row or column.

    Examples
    --------
    >>> weight = initialize(Orthogonal(2.0), (3, 2), np.random.default_rng(0), np.float64)
    >>> np.allclose(weight.T @ weight, 4 * np.eye(2))
    True
    """

    name: ClassVar[str] = "orthogonal"
    distribution: ClassVar[str] = "orthogonal"

    gain: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", as_number("gain", self.gain))

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The gain."""
        return self.gain


@immutable
class Normal(_Normal):
    """Normal with a given standard deviation, whatever the shape.

    Parameters
    ----------
    truncated : bool
        Whether it is cut off beyond two standard deviations.
    deviation : float
        The standard deviation.

    Examples
    --------
    >>> Normal(deviation=0.02)
    Normal(deviation=0.02)
    """

    name: ClassVar[str] = "normal"

    deviation: float = 1.0

    def __post_init__(self) -> None:
        _Normal.__post_init__(self)
        deviation = as_number("deviation", self.deviation, least=0.0)
        object.__setattr__(self, "deviation", deviation)

    def spread(self, fan_in: int, fan_out: int) -> float:
        """The standard deviation."""
        return self.deviation


@immutable
class Zeros:
    """All zeros, the usual start of a bias.

    >>> initialize(Zeros(), (2,), np.random.default_rng(0), np.float32)
    array([0., 0.], dtype=float32)
    """

    name: ClassVar[str] = "zeros"


@immutable
class Constant:
    """The same value everywhere.

    Parameters
    ----------
    value : float
        A finite number.

    Examples
    --------
    >>> initialize(Constant(0.5), (2,), np.random.default_rng(0), np.float64)
    array([0.5, 0.5])
    """

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", as_number("value", self.value))


@immutable
class GivenArray:
    """The values of a given array; its shape is checked when the parameter is made.

    Parameters
    ----------
    array : array_like
        Finite real values of the parameter's shape: (in_features, units) for a weight,
        (units,) for a bias. A copy is kept, which cannot be written.

    Examples
    --------
    >>> GivenArray(np.eye(3, dtype=np.float32))
    GivenArray(shape=(3, 3), dtype=float32)
    """

    array: np.ndarray

    def __post_init__(self) -> None:
        try:
            array = np.asarray(self.array)
        except ValueError as error:  # ragged lists
            raise ValueError(f"array: expected an array of real numbers ({error})") from None
        if array.dtype.kind not in "fiu":
            raise TypeError(f"array: expected real numbers, got dtype {array.dtype}")
        if array.ndim not in (1, 2):
            raise ValueError(f"array: expected 1 or 2 dimensions, got shape {array.shape}")
        kept = np.float32 if array.dtype in (np.float32, np.float16) else np.float64
        array = np.array(array, dtype=kept, order="C")
        if not np.isfinite(array).all():
            raise ValueError(f"array: expected finite values, got NaN or Inf in {shown(array)}")
        array.flags.writeable = False
        object.__setattr__(self, "array", array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GivenArray):
            return NotImplemented
        same_dtype = self.array.dtype == other.array.dtype
        return same_dtype and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        # Adding 0 turns -0.0 into 0.0, which is equal to it and so must hash alike.
        return hash((self.array.shape, self.array.dtype.str, (self.array + 0).tobytes()))

    def __reduce__(self) -> tuple:
        return GivenArray, (self.array,)

    def __repr__(self) -> str:
        return f"GivenArray(shape={self.array.shape}, dtype={self.array.dtype})"


Initializer = (GlorotUniform | GlorotNormal | HeUniform | HeNormal | LeCunUniform | LeCunNormal
               | NTK | Normal | Orthogonal | Zeros | Constant | GivenArray)

_RANDOM = (GlorotUniform, GlorotNormal, HeUniform, HeNormal, LeCunUniform, LeCunNormal, NTK,
           Normal, Orthogonal)
_BY_NAME = {cls.name: cls for cls in (*_RANDOM, Zeros)}


def as_initializer(value: Any, name: str = "initializer") -> Initializer:
    """The initializer that a name, an initializer or an array stands for.

    Parameters
    ----------
    value : str, initializer or array_like
        One of the names ``glorot_uniform``, ``glorot_normal``, ``he_uniform``, ``he_normal``,
        ``lecun_uniform``, ``lecun_normal``, ``ntk``, ``normal``, ``orthogonal`` and ``zeros``, an
        object of this module, or an array of the parameter's shape.
    name : str
        The argument's name for messages.

    Examples
    --------
    >>> as_initializer("he_uniform")
    HeUniform()
    >>> as_initializer([[1.0, 2.0]])
    GivenArray(shape=(1, 2), dtype=float64)
    """
    if isinstance(value, Initializer):
        return value
    if isinstance(value, str):
        if value in _BY_NAME:
            return _BY_NAME[value]()
        raise ValueError(f"{name}: expected {choices(_BY_NAME)}, got {shown(value)}")
    if isinstance(value, (np.ndarray, list, tuple)):
        try:
            return GivenArray(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
    raise TypeError(
        f"{name}: expected {choices(_BY_NAME)}, an initializer such as Constant(0.1), or an "
        f"array, got {shown(value)}"
    )


def is_random(spec: Initializer) -> bool:
    """Whether the initializer draws values by fan-in and fan-out, as only a weight has them.

    >>> is_random(GlorotUniform()), is_random(Zeros())
    (True, False)
    """
    return isinstance(spec, _RANDOM)


def initialize(
    spec: Any, shape: tuple[int, ...], rng: np.random.Generator, dtype: Any
) -> np.ndarray:
    """The initial array of a parameter.

    Random values are drawn in float64 and rounded, so that a float32 network starts from the
    rounded values of the float64 network of the same seed.

    Parameters
    ----------
    spec : str, initializer or array_like
        As in :func:`as_initializer`.
    shape : tuple of int
        (in_features, units) of a weight or (units,) of a bias.
    rng : numpy.random.Generator
        Where random values come from.
    dtype : numpy.dtype
        float32 or float64.

    Returns
    -------
    numpy.ndarray
        A new array, row-major.

    Examples
    --------
    >>> weight = initialize("glorot_uniform", (4, 2), np.random.default_rng(0), "float32")
    >>> weight.shape, bool(abs(weight).max() <= 1)
    ((4, 2), True)
    """
    spec = as_initializer(spec)
    out = np.zeros(shape, dtype=dtype)
    if isinstance(spec, Zeros):
        return out
    if isinstance(spec, GivenArray):
        if spec.array.shape != out.shape:
            raise ValueError(
                f"initializer: expected an array of shape {out.shape}, "
                f"got shape {spec.array.shape}"
            )
        return _fitted(spec.array, out)
    if isinstance(spec, Constant):
        return _fitted(spec.value, out)
    if out.ndim != 2:
        raise ValueError(f"initializer: {spec!r} needs a shape (in, out), got {out.shape}")
    return _drawn(spec, out, rng)


def _fitted(values: Any, out: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        out[...] = values
    if not np.isfinite(out).all():
        raise ValueError(f"initializer: a given value is too large for {out.dtype}")
    return out


# Deviation of a standard normal that is cut off at two deviations.
_CUT_DEVIATION = 0.8796256610342398


def _drawn(spec: Any, out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    spread = spec.spread(*out.shape)
    if spec.distribution == "orthogonal":
        return _fitted(spread * _orthonormal(out.shape, rng), out)
    draw: Callable[[int], np.ndarray]
    if spec.distribution == "uniform":
        def draw(count: int) -> np.ndarray:
            return rng.uniform(-spread, spread, count)
    elif spec.truncated:
        def draw(count: int) -> np.ndarray:
            return spread / _CUT_DEVIATION * _cut_normal(count, rng)
    else:
        def draw(count: int) -> np.ndarray:
            return rng.normal(0.0, spread, count)
    flat = out.reshape(-1)
    for begin in range(0, flat.size, _DRAW):
        end = min(begin + _DRAW, flat.size)
        flat[begin:end] = draw(end - begin)
    return out


def _cut_normal(count: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers; those beyond two are drawn again."""
    values = rng.standard_normal(count)
    while (beyond := np.abs(values) > 2.0).any():
        values[beyond] = rng.standard_normal(int(beyond.sum()))
    return values


def _orthonormal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A matrix with orthonormal rows or columns, each such matrix as likely as any other."""
    rows, columns = shape
    normal = rng.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(normal)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)     # else the signs would favour some
    return q if rows >= columns else q.T
