"""Training on rows that come in blocks, which a thread fetches ahead of the steps."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from .blocks import Cutter, Part, as_blocks, check_weights_of_blocks, checked_block, is_once
from .checks import as_integer
from .running import Run, watchers_of
from .runs import RunRecord

__all__ = ["BlockRun", "Feed", "begin_block_run"]

_AHEAD = 2      # parts that are ready at most, beside the one in use and the one being made
_SHORT = 0.05   # seconds after which a waiting thread looks whether it is still wanted


class Feed:
    """Goes through an iterable in a thread of its own, a few entries ahead of who takes them.

    An error of the iterable is raised where its entry would have come. :meth:`close` ends the
    thread as soon as the iterable gives back control.

    Parameters
    ----------
    entries : iterable
        What the thread goes through.

    Examples
    --------
    >>> feed = Feed(range(3))
    >>> [feed.get(), feed.get(), feed.get(), feed.get()]
    [0, 1, 2, None]
    >>> feed.close()
    """

    def __init__(self, entries: Iterable) -> None:
        self._ready: queue.Queue = queue.Queue(_AHEAD)
        self._unwanted = threading.Event()
        self._process, self._over = os.getpid(), False
        self._thread = threading.Thread(
            target=_fetch, args=(entries, self._ready, self._unwanted), name="cymlp-feed",
            daemon=True)
        self._thread.start()

    def get(self) -> Any:
        """The next entry; None where there are no more."""
        if self._over:
            return None
        if os.getpid() != self._process:
            raise RuntimeError("fit: expected to go on in the process that it began in; "
                               "after a fork no thread fetches the blocks")
        entry, error = self._ready.get()
        if error is not None:
            self._over = True
            raise error
        self._over = entry is None
        return entry

    def close(self) -> None:
        """Let the thread end; wait for it a moment."""
        self._over = True
        if os.getpid() == self._process:
            self._unwanted.set()
            self._thread.join(1.0)


def _fetch(entries: Iterable, ready: queue.Queue, unwanted: threading.Event) -> None:
    """What the thread does. It holds nothing of the feed, which may be let go of meanwhile."""
    def hand_over(entry, error=None):
        while not unwanted.is_set():
            try:
                ready.put((entry, error), timeout=_SHORT)
                return
            except queue.Full:
                pass

    try:
        for entry in entries:
            hand_over(entry)
            del entry       # so that no more of them are alive than said
            if unwanted.is_set():
                return
        hand_over(None)
    except BaseException as error:      # also SystemExit: it is for who waits for the entry
        hand_over(None, error)


class BlockRun(Run):
    """A run over rows that come in blocks; see :meth:`cymlp.Network.fit`."""

    def __init__(self, network: Any, source: Any, record: RunRecord, validation: Any,
                 metrics: Any, steps_per_epoch: int | None, class_weight: Any) -> None:
        self.network, self.record, self.class_weight = network, record, class_weight
        self.validation, self.metrics = validation, metrics
        self.order, self.arrays = np.empty(0, np.int64), None
        self.watchers = watchers_of(record.callbacks)
        settings = record.settings
        self._key, self._first = network._engine.key, network._engine.epoch << 32
        self._blocks = 0
        self._part: Part | None = None
        self._sums = np.zeros(4)
        self._begun: float | None = None
        self._cutter = Cutter(source, self._prepare, settings["batch_size"], settings["epochs"],
                              steps_per_epoch, settings["drop_last"])
        self._feed: Feed | None = None

    def _prepare(self, number: int, block: Any) -> tuple:
        """A block, looked at, copied and shuffled: in the thread, beside the steps."""
        from .ops.rng import permutation

        X, y, weight, labels = checked_block(self.network, number, block, self.class_weight)
        # Always copies: a generator may fill the same arrays again.
        if self.record.settings["shuffle"]:
            order = permutation(len(X), key=self._key, epoch=self._first + self._blocks)
            X, y, weight = X[order], y[order], None if weight is None else weight[order]
        else:
            X, y = np.array(X), np.array(y)
            weight = None if weight is None else np.array(weight)
        self._blocks += 1
        return X, y.reshape(-1) if labels else y, weight, labels

    def __enter__(self) -> BlockRun:
        self._feed = Feed(self._cutter)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._feed.close()
        self._part = self.arrays = None

    def _engine_fit(self, count: int, over: Any, batches: int = -1) -> None:
        """Batches to the end of an epoch, or some of them."""
        network, record = self.network, self.record
        while batches:
            if self._part is None and not self._next_part(over):
                return
            before, epoch = network._engine.step, network._engine.epoch
            X, y, weight, labels = self.arrays
            try:
                network._engine.fit(
                    self._program_of(weight, labels), X, y, weight, labels, self.order,
                    np.zeros((3, 1)), record.place, record.settings["batch_size"], False, False,
                    batches)
            finally:
                if network._engine.epoch > epoch:   # of the engine: the part is at its end
                    network._engine.epoch = epoch
                    self._sums += network._engine.last_sums
                    self._part = None
            batches -= network._engine.step - before if batches > 0 else 0

    def _program_of(self, weight: Any, labels: bool) -> Any:
        return self.network._program("train", self.record.settings["batch_size"], labels,
                                     weight is not None, True)

    def _next_part(self, over: Any) -> bool:
        """Take the next part; False at the end of an epoch or of all."""
        if self._begun is None:
            self._begun = time.perf_counter()
        part = self._feed.get()
        if part is None:
            self.record.stopped = True
            return False
        if not part.last:
            self._part, self.arrays = part, tuple(part[:4])
            return True
        loss, weights, metric, counted = self._sums.tolist()
        seconds, self._begun = time.perf_counter() - self._begun, None
        self._sums[:] = 0
        self.network._engine.epoch += 1
        over(self._logs(loss / weights if weights else 0.0, metric / counted if counted else 0.0)
             | {"time": seconds})
        return False

    def find_bad(self, before: Any, place: np.ndarray, order: np.ndarray) -> tuple:
        """Nothing but that there is one: an epoch's blocks cannot be had again."""
        return None, "a number that is not finite, in blocks that are not gone through again"


def begin_block_run(network: Any, source: Any, *, epochs: int, batch_size: int | None,
                    sample_weight: Any, class_weight: Any, shuffle: bool, drop_last: bool,
                    steps_per_epoch: Any, validation: Any, metrics: Any, callbacks: Any,
                    resume: bool) -> BlockRun:
    """A run over blocks, where all that is asked for can be done with them (else ValueError).

    >>> import cymlp
    >>> blocks = [([[0.0], [1.0]], [0, 1])] * 3
    >>> net = cymlp.mlp(1, [], 1, task="binary", rng=0)
    >>> net.fit(blocks, epochs=2, batch_size=4).epochs
    2
    """
    as_blocks(source)
    if steps_per_epoch is not None:
        steps_per_epoch = as_integer("steps_per_epoch", steps_per_epoch, least=1)
    elif is_once(source) and epochs > 1:
        raise ValueError("epochs: expected 1, or steps_per_epoch, with blocks that can be gone "
                         f"through only once, got {epochs}")
    if batch_size is None or network._full_batch:
        raise ValueError("batch_size: expected a number of rows, and an optimizer that works on "
                         f"batches, where the rows come in blocks, got {batch_size}")
    check_weights_of_blocks(sample_weight, class_weight)
    if metrics and validation is None:
        raise ValueError("metrics: expected validation_data with them where the rows come in "
                         "blocks, of which no second look can be had")
    if _counts_rows(getattr(network.optimizer, "schedule", None)):
        raise ValueError("schedule: expected steps or epochs as its unit where the rows come in "
                         "blocks, as nobody knows how many rows an epoch has, got rows")
    if resume:
        raise ValueError("resume: expected False where the rows come in blocks, got True")
    settings = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last,
                "epochs": epochs}
    record = RunRecord(settings, callbacks=callbacks)
    return BlockRun(network, source, record, validation, metrics, steps_per_epoch, class_weight)


def _counts_rows(schedule: Any) -> bool:
    """Whether a schedule, or the one that comes after a warm-up, goes by an epoch's rows."""
    if schedule is None:
        return False
    return getattr(schedule, "unit", None) == "rows" or _counts_rows(
        getattr(schedule, "then", None))
