"""The training loop between the native calls: epochs, validation, callbacks, progress."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import class_weighted
from .callbacks import Callback, Progress
from .checks import as_flag, as_integer, as_number, shown
from .history import History
from .measuring import measure_epoch
from .metrics import as_metrics

__all__ = ["fit"]

_EPOCHS_A_CALL = 1024   # their losses have room in a small array, however many are wanted


def fit(network, X, y, *, epochs, batch_size, sample_weight, class_weight, shuffle, drop_last,
        validation_data, validation_split, metrics, callbacks, progress) -> History:
    """What :meth:`cymlp.Network.fit` does."""
    epochs = as_integer("epochs", epochs, least=1)
    if batch_size is not None:
        batch_size = as_integer("batch_size", batch_size, least=1)
    shuffle, drop_last = as_flag("shuffle", shuffle), as_flag("drop_last", drop_last)
    metrics = as_metrics(metrics, network.loss)
    callbacks = _as_callbacks(callbacks)
    if as_flag("progress", progress):
        callbacks.append(Progress(epochs))
    arrays = network._learning_arrays(X, y, sample_weight)
    arrays, validation = _split(network, arrays, validation_data, validation_split)
    arrays = _weighed(network, arrays, class_weight)
    rows = arrays[0].shape[0]
    batch_size = rows if batch_size is None else min(batch_size, rows)
    run = _Run(network, arrays, batch_size, shuffle, drop_last)
    history = History()
    if not callbacks and not metrics and validation is None:
        for begin in range(0, epochs, _EPOCHS_A_CALL):
            run.epochs(min(_EPOCHS_A_CALL, epochs - begin), history)
        return history
    for callback in callbacks:
        callback.on_train_begin(network)
    try:
        for epoch in range(epochs):
            for callback in callbacks:
                callback.on_epoch_begin(network, epoch)
            logs = run.epochs(1, history, metrics, validation)
            # Every callback hears of the epoch, also when an earlier one asks to stop.
            if any([callback.on_epoch_end(network, epoch, logs) for callback in callbacks]):
                break
    finally:
        for callback in callbacks:
            callback.on_train_end(network)
    return history


class _Run:
    """The rows of a training run and how they are gone through."""

    def __init__(self, network, arrays, batch_size, shuffle, drop_last):
        self.network = network
        self.arrays = arrays
        self.settings = (batch_size, shuffle, drop_last)
        X, _, weight, labels = arrays
        self.program = network._program("train", batch_size, labels, weight is not None, True)
        self.order = np.empty(X.shape[0] if shuffle else 0, np.int64)

    def epochs(self, count: int, history: History, metrics=(),
               validation=None) -> dict[str, float]:
        """Some epochs in one native call; what they reported goes to the history."""
        network = self.network
        batch_size, shuffle, drop_last = self.settings
        X, y, weight, labels = self.arrays
        results = network._engine.fit(
            self.program, X, y, weight, labels, self.order, batch_size, count, shuffle, drop_last)
        logs: dict[str, float] = {}
        for loss, metric, seconds in zip(*(column.tolist() for column in results)):
            logs = {"loss": loss} | ({network.loss.metric: metric} if network.loss.metric else {})
            logs |= measure_epoch(network, metrics, self.arrays, validation)
            logs["time"] = seconds
            history._append(logs)
        return logs


def _weighed(network, arrays, class_weight):
    """The arrays to train on with the weights of the classes; those to validate on have none."""
    if class_weight is None:
        return arrays
    X, y, weight, labels = arrays
    weight = class_weighted(y, labels, weight, class_weight, network.loss, network.out_features)
    network._engine.check(X, y, weight, labels)
    return X, y, weight, labels


def _as_callbacks(callbacks: Any) -> list[Callback]:
    if isinstance(callbacks, Callback):
        callbacks = [callbacks]
    try:
        callbacks = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks: expected a sequence of callbacks, "
                        f"got {shown(callbacks)}") from None
    for index, callback in enumerate(callbacks):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{index}]: expected a cymlp.Callback, "
                            f"got {shown(callback)}")
    return callbacks


def _split(network, arrays, data, share):
    """The arrays to train on, and those to validate on (None where there are none).

    All values are looked at here: a bad label must not come to light after the first epoch.
    """
    share = as_number("validation_split", share, least=0.0, below=1.0)
    X, y, weight, labels = arrays
    network._engine.check(*arrays)
    if data is None:
        kept = int(X.shape[0] * share)
        if share and not 0 < kept < X.shape[0]:
            raise ValueError(f"validation_split: expected a share that leaves rows on both sides, "
                             f"got {share:g} of {X.shape[0]} rows")
        if not kept:
            return arrays, None
        cut = X.shape[0] - kept
        head = (X[:cut], y[:cut], None if weight is None else weight[:cut], labels)
        return head, (X[cut:], y[cut:], None if weight is None else weight[cut:])
    if share:
        raise ValueError("validation_split: expected 0 where validation_data is given, "
                         f"got {share:g}")
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError("validation_data: expected (X, y) or (X, y, sample_weight), "
                         f"got {shown(data)}")
    try:
        X, y, weight, labels = network._learning_arrays(*data, *(None,) * (3 - len(data)))
        network._engine.check(X, y, weight, labels)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from None
    return arrays, (X, y, weight)
