"""The steps between gradients and parameters where the optimizer's step is not all there is."""

from __future__ import annotations

from ..update import Update
from .form import ALIGNMENT, Parameter, Piece, round_up

__all__ = ["add_update_steps", "pieces_of"]

PIECE_NUMBERS = 1 << 14     # about so many in a piece
PANEL_BYTES = 64            # bytes of columns in a panel of weights (kernels/dense.pyx)


def pieces_of(parameters: tuple[Parameter, ...], update: Update, item: int) -> tuple[Piece, ...]:
    """All trained parameters in pieces, in memory's order.

    >>> weight = Parameter("0.weight", (3, 70), 0)
    >>> [(piece.offset, piece.rows, piece.width, piece.columns)
    ...  for piece in pieces_of((weight,), Update(), 4)]
    [(0, 3, 16, 16), (192, 3, 16, 16), (384, 3, 16, 16), (576, 3, 16, 16), (768, 3, 16, 6)]
    """
    pieces = []
    granule, full = ALIGNMENT // item, PANEL_BYTES // item
    for parameter in parameters:
        if not parameter.trained:
            continue
        panels = parameter.layout == "panels"
        rows, columns = parameter.shape if len(parameter.shape) == 2 else (1, *parameter.shape)
        wide = full if panels else columns
        offset = parameter.offset
        for first in range(0, columns, wide):
            valid = min(wide, columns - first)
            width = round_up(valid, granule)
            count = max(1, PIECE_NUMBERS // width)
            for row in range(0, rows, count):
                height = min(count, rows - row)
                pieces.append(Piece(offset, height, width, valid,
                                    update.group_of(parameter.name), panels,
                                    parameter.layout == "rows"))
                offset += height * width * item
    return tuple(pieces)


def add_update_steps(b, update: Update, pieces: tuple[Piece, ...]) -> None:
    """Every thread needs all gradients first, and all their norms next."""
    norms = b.numbers("gradient.norms", len(pieces))
    shown = {name: getattr(update, name) for name in ("accumulate", "l1", "l2", "clip_value")}
    b.add("prepare_gradients", shown, split="pieces", wait=True, out=norms)
    b.add("apply_update", {"clip_norm": update.clip_norm}, split="pieces", wait=True, x=norms)
    if update.max_norm is not None:
        for number, parameter in enumerate(p for p in b.parameters if p.layout == "panels"):
            inputs, outputs = parameter.shape
            b.add("max_norm", {"limit": update.max_norm, "inputs": inputs, "outputs": outputs},
                  split="pieces", wait=number == 0, weight=parameter.name)
    if update.average is not None:
        b.add("average", {"decay": update.average, "from": update.average_from,
                          "every": update.average_every}, split="pieces", wait=True)
