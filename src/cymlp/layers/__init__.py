"""Layers of a network as plain, immutable descriptions.

Every layer says how wide its output is for a width of its input, and which parameters it has;
what it computes is said by the plan (:mod:`cymlp.plan`).
"""

from .basic import Activation, Dense, Dropout, activation_rows, as_activation
from .shapes import Layer

__all__ = ["Activation", "Dense", "Dropout", "Layer", "activation_rows", "as_activation"]
