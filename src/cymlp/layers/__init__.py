"""Layers of a network as plain, immutable descriptions.

Every layer says how wide its output is for a width of its input, and which parameters it has;
what it computes is said by the plan (:mod:`cymlp.plan`).
"""

from .basic import Activation, AlphaDropout, Dense, Dropout, activation_rows, as_activation
from .columns import GLU, PReLU, Scale, SwiGLU
from .combinators import Columns, Concat, Embedding, Residual
from .custom import CustomActivation
from .normalization import BatchNorm, LayerNorm, RMSNorm
from .shapes import Layer

__all__ = ["Activation", "AlphaDropout", "BatchNorm", "Columns", "Concat", "CustomActivation",
           "Dense", "Dropout", "Embedding", "GLU", "Layer", "LayerNorm", "PReLU", "Residual",
           "RMSNorm", "Scale", "SwiGLU", "activation_rows", "as_activation"]
