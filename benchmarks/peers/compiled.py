"""PyTorch with `torch.compile`: forward pass and loss are made into code for the shapes at hand.

The optimizer stays PyTorch's fused one, which compiled code does not beat.
"""

from __future__ import annotations

import os
import shutil

import torch

from . import Unsupported
from .pytorch import Eager


class Compiled(Eager):
    """PyTorch, compiled."""

    def __init__(self, threads):
        super().__init__(threads)
        if shutil.which(os.environ.get("CXX", "g++")) is None:
            raise Unsupported("torch.compile needs a C++ compiler")

    def prepared(self, function, inference=False):
        torch.compiler.reset()      # so many shapes in one process are not meant
        options = {"freezing": True} if inference else {}
        return torch.compile(function, dynamic=False, options=options)

    def kernel(self, kernel, values, other):
        raise Unsupported("measured as PyTorch")
