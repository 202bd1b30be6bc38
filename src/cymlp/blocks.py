"""Rows that come in blocks (X, y) or (X, y, sample_weight): looked at, and cut into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .checks import shown

__all__ = ["Cutter", "Part", "as_blocks", "check_weights_of_blocks", "checked_block",
           "checked_blocks", "is_once"]


def is_once(source: Any) -> bool:
    """Whether something can be gone through but once, as a generator can.

    >>> is_once(iter([1])), is_once([1])
    (True, False)
    """
    return hasattr(source, "__next__")


def as_blocks(source: Any) -> Iterable:
    """The source, where it can be gone through.

    >>> as_blocks([([[1.0]], [1])])
    [([[1.0]], [1])]
    """
    if not is_once(source) and not isinstance(source, Iterable):
        raise TypeError("X: expected an array with y, or an iterable of blocks (X, y), "
                        f"got {shown(source)}")
    return source


def check_weights_of_blocks(sample_weight: Any, class_weight: Any) -> None:
    """Refuse weights that need all rows at once.

    >>> check_weights_of_blocks(None, {0: 2.0})
    """
    if sample_weight is not None:
        raise ValueError("sample_weight: expected None where the rows come in blocks, which bring "
                         f"their own as (X, y, sample_weight), got {shown(sample_weight)}")
    if isinstance(class_weight, str):
        raise ValueError("class_weight: expected a dict or numbers where the rows come in blocks, "
                         f"got {class_weight!r}")


def checked_block(network: Any, number: int, block: Any, class_weight: Any = None) -> tuple:
    """(X, y, sample_weight, whether y is labels) of a block, its values looked at.

    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
    >>> checked_block(net, 0, ([[1.0]], [2.0]))
    (array([[1.]]), array([2.]), None, False)
    """
    if not isinstance(block, (tuple, list)) or len(block) not in (2, 3):
        raise ValueError(f"X: expected blocks (X, y) or (X, y, sample_weight), got "
                         f"{shown(block)} as block {number}")
    try:
        arrays = network._learning_arrays(*block, *(None,) * (3 - len(block)), class_weight)
        network._engine.check(*arrays)
    except (TypeError, ValueError) as error:
        raise type(error)(f"block {number}: {error}") from None
    return arrays


def checked_blocks(network: Any, source: Any, class_weight: Any = None) -> Iterator[tuple]:
    """What :func:`checked_block` makes of each block; there is at least one.

    >>> import cymlp
    >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
    >>> blocks = [([[1.0]], [2.0]), ([[1.0]] * 2, [2.0] * 2)]
    >>> [len(y) for _, y, _, _ in checked_blocks(net, blocks)]
    [1, 2]
    """
    number = -1
    for number, block in enumerate(as_blocks(source)):
        yield checked_block(network, number, block, class_weight)
    if number < 0:
        raise ValueError("X: expected blocks of rows, got none")


class Part(NamedTuple):
    """Rows for some whole batches, or for an epoch's last one; `last` ends the epoch."""

    X: np.ndarray | None
    y: np.ndarray | None
    weight: np.ndarray | None
    labels: bool
    last: bool


class Cutter:
    """Cuts blocks into parts of whole batches, across their borders.

    Parameters
    ----------
    source : iterable
        Of blocks (X, y) or (X, y, sample_weight).
    prepare : callable
        ``(number, block)`` -> (X, y, weight, labels), checked, its arrays the cutter's own, their
        rows in the order in which they are wanted.
    batch_size : int
        Rows of a batch.
    epochs : int
        How many there are at most.
    steps_per_epoch : int, optional
        Batches of an epoch; by default an epoch goes once through the source.
    drop_last : bool
        Whether rows that fill no batch are left out at the end.

    Examples
    --------
    >>> blocks = [([[1.0], [2.0], [3.0]], [1, 2, 3]), ([[4.0], [5.0]], [4, 5])]
    >>> def prepare(number, block):
    ...     return np.array(block[0]), np.array(block[1]), None, False
    >>> [(part.y.tolist(), part.last) for part in Cutter(blocks, prepare, 2, 1) if not part.last]
    [([1, 2], False), ([3, 4], False), ([5], False)]
    """

    def __init__(self, source: Iterable, prepare: Callable, batch_size: int, epochs: int,
                 steps_per_epoch: int | None = None, drop_last: bool = False) -> None:
        self.source, self.prepare = source, prepare
        self.batch_size, self.epochs = batch_size, epochs
        self.steps_per_epoch, self.drop_last = steps_per_epoch, drop_last

    def __iter__(self) -> Iterator[Part]:
        if self.steps_per_epoch is None:
            for _ in range(self.epochs):
                yield from self._parts(self._blocks_of_one_pass())
                yield Part(None, None, None, False, True)
            return
        left, done = self.steps_per_epoch, 0
        for part in self._parts(self._endless_blocks()):
            while part is not None:
                part, rest = _split(part, left * self.batch_size)
                left -= -(-len(part.X) // self.batch_size)
                yield part
                if not left:
                    yield Part(None, None, None, False, True)
                    left, done = self.steps_per_epoch, done + 1
                    if done == self.epochs:
                        return
                part = rest
        if left < self.steps_per_epoch:
            yield Part(None, None, None, False, True)

    def _blocks_of_one_pass(self) -> Iterator[tuple]:
        number = -1
        for number, block in enumerate(self.source):
            yield self.prepare(number, block)
        if number < 0:
            raise ValueError("X: expected blocks of rows, got none")

    def _endless_blocks(self) -> Iterator[tuple]:
        """Of an iterator all that it gives, of anything else one pass after the other."""
        while True:
            yield from self._blocks_of_one_pass()
            if is_once(self.source):
                return

    def _parts(self, blocks: Iterable[tuple]) -> Iterator[Part]:
        """Whole batches, at last what is left."""
        waiting: list[tuple] = []   # together fewer rows than a batch
        missing = self.batch_size
        for block in blocks:
            begin, rows = 0, len(block[0])
            if waiting:
                begin = min(missing, rows)
                waiting.append(tuple(_rows(block, 0, begin)))
                missing -= begin
            if not missing:
                yield _joined(waiting)
                waiting, missing = [], self.batch_size
            whole = (rows - begin) // self.batch_size * self.batch_size
            if whole:
                yield Part(*_rows(block, begin, begin + whole), False)
            if begin + whole < rows:
                waiting.append(tuple(_rows(block, begin + whole, None)))
                missing -= rows - begin - whole
        if waiting and not self.drop_last:
            yield _joined(waiting)


def _rows(block: tuple, begin: int, end: int | None) -> Iterator[Any]:
    X, y, weight, labels = block
    yield from (X[begin:end], y[begin:end], None if weight is None else weight[begin:end], labels)


def _split(part: Part, rows: int) -> tuple[Part, Part | None]:
    """The first rows of a part, and the others."""
    block = part[:4]
    if len(block[0]) <= rows:
        return part, None
    return Part(*_rows(block, 0, rows), False), Part(*_rows(block, rows, None), False)


def _joined(blocks: list[tuple]) -> Part:
    """Rows of some blocks one after the other; where only some have weights, the others' are 1."""
    blocks = [block for block in blocks if len(block[0])]
    kinds = {block[1].shape[1:]: block[1].shape for block in blocks}
    if len(kinds) > 1:
        raise ValueError("y: expected targets of one kind in all blocks, got shapes "
                         f"{' and '.join(map(str, kinds.values()))}")
    weight = None
    if any(block[2] is not None for block in blocks):
        weight = np.concatenate([np.ones(len(block[0])) if block[2] is None else block[2]
                                 for block in blocks])
    return Part(np.concatenate([block[0] for block in blocks]),
                np.concatenate([block[1] for block in blocks]), weight, blocks[0][3], False)
