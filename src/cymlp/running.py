"""A run of training on its way: epochs, batches, what callbacks are told, and going on later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .callbacks import Callback
from .checks import shown
from .measuring import measure_epoch
from .runs import RunRecord, SavedCallback

__all__ = ["Run", "begin_run", "watchers_of"]

_EPOCHS_A_CALL = 1024   # their losses have room in a small array, however many are wanted


def begin_run(
    record: RunRecord | None, settings: dict[str, Any], callbacks: Sequence[Callback]
) -> RunRecord:
    """The record of a new run, or, with the record of an earlier one, of its continuation.

    Raises ValueError where the continuation is not like what came before.

    >>> begin_run(None, {"rows": 8}, []).settings
    {'rows': 8}
    """
    if record is None:
        return RunRecord(settings, callbacks=callbacks)
    if record.place[0] and record.settings != settings:
        name = next(name for name in settings if settings[name] != record.settings[name])
        raise ValueError(f"{name}: expected {record.settings[name]}, as in the epoch that is to "
                         f"be gone on with, got {settings[name]}")
    partners = _partners(record.saved_callbacks(), callbacks)
    # A callback that is new in the run has nothing to say about an epoch that it has not seen.
    known = {} if record.logs is None else {
        index for index in range(len(callbacks))
        if index not in partners or partners[index].told}
    for index, saved in partners.items():
        try:
            callbacks[index].restore(saved.state)
        except TypeError as error:      # the state is from a file, and a fault in it a value's
            raise ValueError(f"callbacks[{index}]: {error}") from None
    return RunRecord(settings, record.history, callbacks, (), record.epoch, record.stopped,
                     record.logs, set(known), record.place)


def _partners(
    saved: Sequence[SavedCallback], callbacks: Sequence[Callback]
) -> dict[int, SavedCallback]:
    """By the place of a callback, what was saved of it: the first of a class is again the first.
    """
    free = list(enumerate(callbacks))
    partners = {}
    for entry in saved:
        found = next((pair for pair in free if type(pair[1]).__name__ == entry.kind), None)
        if found is not None:
            free.remove(found)
            partners[found[0]] = entry
        elif entry.state:
            names = [type(callback).__name__ for callback in callbacks]
            raise ValueError(f"callbacks: expected the {entry.kind} of the run that is to be gone "
                             f"on with, got {shown(names)}")
    return partners


def watchers_of(callbacks: Sequence[Callback]) -> list[Callback]:
    """Those that want to hear of batches.

    >>> watchers_of([Callback()])
    []
    """
    return [callback for callback in callbacks
            if type(callback).on_batch_end is not Callback.on_batch_end]


class Run:
    """The rows of a run and how they are gone through."""

    def __init__(self, network: Any, record: RunRecord, arrays: tuple, validation: Any,
                 metrics: Sequence[Any] = ()) -> None:
        self.network, self.record = network, record
        self.arrays, self.validation, self.metrics = arrays, validation, metrics
        X, _, weight, labels = arrays
        settings = record.settings
        self.program = network._program(
            "gradients" if network._full_batch else "train", settings["batch_size"], labels,
            weight is not None, True)
        self.order = np.empty(X.shape[0] if settings["shuffle"] else 0, np.int64)
        if record.place[0] and settings["shuffle"]:
            from .ops.rng import permutation

            permutation(X.shape[0], key=network._engine.key, epoch=network._engine.epoch,
                        out=self.order)
        self.watchers = watchers_of(record.callbacks)

    def epochs(self, wanted: int) -> None:
        """Epochs that nobody looks at, as many as a call takes in each."""
        record = self.record

        def over(logs):
            record.history._append(logs)
            record.epoch += 1

        while record.epoch < wanted and not record.stopped:
            self._engine_fit(min(_EPOCHS_A_CALL, wanted - record.epoch), over)

    def watched_epochs(self, wanted: int) -> None:
        """Epochs with validation and callbacks."""
        record = self.record
        while record.epoch < wanted and not record.stopped or record.logs is not None:
            if record.logs is None:
                if not self._steps():
                    record.stopped = True
                    return
            self._close_epoch()

    def _steps(self) -> bool:
        """The steps of an epoch, from where it stands; False where a callback stopped it there."""
        record, network = self.record, self.network

        def over(logs):
            record.logs = logs

        if not record.place[0]:
            for callback in record.callbacks:
                callback.on_epoch_begin(network, record.epoch)
        while record.logs is None:
            due = self._batches_until_watched()
            begun = network._engine.step
            self._engine_fit(1, over, due)
            if record.stopped and record.logs is None:      # L-BFGS: no more is to be gained
                return False
            if due >= 0 and network._engine.step - begun == due and self._tell_of_batch():
                if record.logs is None:
                    return False
                record.stopped = True
        return True

    def _batches_until_watched(self) -> int:
        """How many batches to run until one that a callback wants to see; below 0: all."""
        step = self.network._engine.step
        return min((callback.batch_interval - step % callback.batch_interval
                    for callback in self.watchers), default=-1)

    def _tell_of_batch(self) -> bool:
        """Tell of the last batch those who want it; whether one of them ends the run."""
        step = self.network._engine.step
        logs = self._logs(*self.record.place[6:].tolist())
        return any([callback.on_batch_end(self.network, step, logs) for callback in self.watchers
                    if step % callback.batch_interval == 0])

    def _engine_fit(self, count: int, over: Any, batches: int = -1) -> None:
        """Some epochs in one native call; `over` gets the values of each that came to its end.

        So it does where Ctrl-C ends the call: what was learnt by then is in the network.
        """
        network, settings = self.network, self.record.settings
        X, y, weight, labels = self.arrays
        results = np.zeros((3, count))
        before = network._engine.epoch
        try:
            if network._full_batch:
                _, self.record.stopped = network._engine.minimize(
                    self.program, X, y, weight, labels, network.optimizer.settings(), results)
                return
            network._engine.fit(self.program, X, y, weight, labels, self.order, results,
                                self.record.place, settings["batch_size"], settings["shuffle"],
                                settings["drop_last"], batches)
        finally:
            for loss, metric, seconds in results[:, :network._engine.epoch - before].T.tolist():
                over(self._logs(loss, metric) | {"time": seconds})

    def repeat(self, twin: Any, place: np.ndarray, order: np.ndarray, batches: int) -> None:
        """Some batches of the run's rows on another network, from a place on."""
        X, y, weight, labels = self.arrays
        settings = self.record.settings
        twin._engine.fit(self.program, X, y, weight, labels, order, np.zeros((3, 1)), place,
                         settings["batch_size"], settings["shuffle"], settings["drop_last"],
                         batches)

    def find_bad(self, before: Any, place: np.ndarray, order: np.ndarray) -> tuple:
        """See :func:`cymlp.finding.find_bad`."""
        from .finding import find_bad

        return find_bad(self, before, place, order)

    def batch(self, order: np.ndarray, position: int) -> tuple[np.ndarray, Any, Any, Any]:
        """(rows, X, y, sample_weight) of the batch at a place of an epoch."""
        X, y, weight, _ = self.arrays
        end = min(position + self.record.settings["batch_size"], X.shape[0])
        rows = order[position:end] if order.size else np.arange(position, end)
        return rows, X[rows], y[rows], None if weight is None else weight[rows]

    def _logs(self, loss: float, metric: float) -> dict[str, float]:
        name = self.network.loss.metric
        return {"loss": loss} | ({name: metric} if name else {})

    def _close_epoch(self) -> None:
        """Validation, history and callbacks, as far as they have not been."""
        record, network = self.record, self.network
        if record.history.epochs == record.epoch:
            logs = dict(record.logs)
            seconds = logs.pop("time")
            logs |= measure_epoch(network, self.metrics, self.arrays, self.validation)
            record.logs = logs | {"time": seconds}
            record.history._append(record.logs)
        # Every callback hears of the epoch, also when an earlier one asks to stop.
        for index, callback in enumerate(record.callbacks):
            if index not in record.told:
                record.told.add(index)
                if callback.on_epoch_end(network, record.epoch, record.logs):
                    record.stopped = True
        record.epoch, record.logs, record.told = record.epoch + 1, None, set()
