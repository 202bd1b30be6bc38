"""What the reference's steps have in common: their operands, and the activation that they name."""

from __future__ import annotations

from typing import Any

from cymlp.layers import activation_rows
from cymlp.plan import Step
from cymlp.reference import activations, gaussian, pointwise

__all__ = ["activation_of", "operand", "slope_of"]


def operand(step: Step, values: Any, role: str) -> Any:
    """The array of a role; None where the step has none."""
    return values.get(step.operands[role]) if role in step.operands else None


def activation_of(name: str) -> Any:
    """The function of an activation's name."""
    return next(getattr(module, name) for module in (activations, gaussian, pointwise)
                if name in module.__all__)


def slope_of(step: Step) -> tuple:
    """The arguments of a step's activation beside the array."""
    takes_slope = activation_rows()[step.attributes["activation"]]["parameter"]
    return (step.attributes["slope"],) if takes_slope else ()
