"""Losses of numbers: regression, counts, quantiles, a mean with its variance."""

from __future__ import annotations

from typing import Any, ClassVar

from ..checks import shown
from ..immutable import immutable
from .base import TableLoss, as_numbers

__all__ = ["GaussianLoss", "HuberLoss", "LogCosh", "MeanAbsoluteError", "MeanSquaredError",
           "PoissonLoss", "QuantileLoss", "SmoothL1Loss"]

# So small that a quotient by it is finite in float32 too.
_LEAST = 1e-30


class _Regression(TableLoss):
    """The output is the identity; beside the loss the mean absolute error is reported."""

    __slots__ = ()

    metric: ClassVar[str] = "mean_absolute_error"


@immutable
class MeanSquaredError(_Regression):
    """Mean of the squared differences over outputs and rows; the output is the identity.

    >>> MeanSquaredError().metric
    'mean_absolute_error'
    """

    name: ClassVar[str] = "mean_squared_error"
    kernel: ClassVar[str] = "mean_squared_error"


@immutable
class MeanAbsoluteError(_Regression):
    """Mean of the absolute differences; at a difference of 0 the gradient is 0.

    PyTorch's ``L1Loss``.

    >>> MeanAbsoluteError().output_activation
    'identity'
    """

    name: ClassVar[str] = "mean_absolute_error"
    kernel: ClassVar[str] = "mean_absolute_error"


@immutable
class HuberLoss(_Regression):
    """Half the square up to `delta`, its tangent from there on (Huber 1964); PyTorch's.

    Parameters
    ----------
    delta : float or sequence of float
        Where the line begins, more than 0; or one for each output.

    Examples
    --------
    >>> HuberLoss(delta=0.5)
    HuberLoss(delta=0.5)
    """

    name: ClassVar[str] = "huber"
    kernel: ClassVar[str] = "huber_loss"
    delta: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", as_numbers("delta", self.delta, least=_LEAST))


@immutable
class SmoothL1Loss(_Regression):
    """Huber's loss divided by `beta`, so that its slope goes up to 1; PyTorch's.

    Parameters
    ----------
    beta : float or sequence of float
        Where the line begins, more than 0; or one for each output. In place of 0 take
        :class:`MeanAbsoluteError`.

    Examples
    --------
    >>> SmoothL1Loss()
    SmoothL1Loss()
    """

    name: ClassVar[str] = "smooth_l1"
    kernel: ClassVar[str] = "smooth_l1_loss"
    beta: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", as_numbers("beta", self.beta, least=_LEAST))


@immutable
class LogCosh(_Regression):
    """log(cosh(difference)): half the square near zero, the absolute value far out.

    >>> LogCosh().name
    'log_cosh'
    """

    name: ClassVar[str] = "log_cosh"
    kernel: ClassVar[str] = "log_cosh_loss"


@immutable
class PoissonLoss(_Regression):
    """exp(z) - t z for counts t: the logit z is the logarithm of the rate.

    PyTorch's ``PoissonNLLLoss`` with ``log_input=True``. Targets are at least 0; the output
    activation is exp, so that `predict` gives the rate.

    >>> PoissonLoss().output_activation
    'exp'
    """

    name: ClassVar[str] = "poisson"
    kernel: ClassVar[str] = "poisson_loss"
    output_activation: ClassVar[str] = "exp"


@immutable
class GaussianLoss(_Regression):
    """Negative log-likelihood of a normal distribution whose variance is learnt too.

    A network for k targets has 2 k outputs: the k means, then for each of them the logarithm v of
    its variance. The loss is (v + (t - mean)**2 exp(-v)) / 2: PyTorch's ``GaussianNLLLoss`` of the
    variance exp(v), which needs no lower bound (Kendall and Gal 2017, section 3). `predict` gives
    means and variances, `forward` means and v. The absolute error is that of the means.

    >>> GaussianLoss().target_features(6)
    3
    """

    name: ClassVar[str] = "gaussian"
    kernel: ClassVar[str] = "gaussian_loss"
    output_activation: ClassVar[str] = "mean_and_variance"


@immutable
class QuantileLoss(_Regression):
    """The pinball loss, whose minimum is a quantile (Koenker and Bassett 1978).

    q (t - z) where the target t is above z, (1 - q) (z - t) below.

    Parameters
    ----------
    quantile : float or sequence of float
        q, between 0 and 1. Several of them: the network has an output for each quantile of the
        first target, then those of the second, and so on.

    Examples
    --------
    >>> loss = QuantileLoss([0.1, 0.5, 0.9])
    >>> loss.target_features(6)
    2
    """

    name: ClassVar[str] = "quantile"
    kernel: ClassVar[str] = "quantile_loss"
    quantile: float | tuple[float, ...] = 0.5

    def __post_init__(self) -> None:
        quantile = as_numbers("quantile", self.quantile, least=0.0, most=1.0)
        if not all(0.0 < q < 1.0 for q in ([quantile] if isinstance(quantile, float)
                                           else quantile)):
            raise ValueError(f"quantile: expected numbers between 0 and 1, "
                             f"got {shown(self.quantile)}")
        object.__setattr__(self, "quantile", quantile)

    @property
    def quantiles(self) -> tuple[float, ...]:
        """All of them, also where it is only one."""
        return (self.quantile,) if isinstance(self.quantile, float) else self.quantile

    def target_features(self, out_features: int) -> int:
        """One for so many outputs as there are quantiles."""
        count = len(self.quantiles)
        if out_features % count:
            raise ValueError(f"layers: expected {count} outputs for each target, one for each "
                             f"quantile, got {out_features} outputs")
        return out_features // count

    def attributes(self, out_features: int) -> dict[str, Any]:
        """Each quantile where its output is; a target is repeated for all of them."""
        targets = self.target_features(out_features)
        return {"values": out_features, "repeat": len(self.quantiles),
                "quantile": self.quantiles * targets}
