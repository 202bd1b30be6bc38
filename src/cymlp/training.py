"""The training loop between the native calls: epochs, validation, callbacks, progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .arrays import class_weighted
from .blocks import checked_blocks, is_once
from .callbacks import Callback, Progress
from .checks import as_flag, as_integer, as_number, shown
from .data import begin_block_run
from .history import History
from .metrics import as_metrics
from .running import Run, begin_run

__all__ = ["fit"]


def fit(network, X, y, *, epochs, batch_size, steps_per_epoch, sample_weight, class_weight,
        shuffle, drop_last, validation_data, validation_split, metrics, callbacks, progress,
        resume) -> History:
    """What :meth:`cymlp.Network.fit` does."""
    epochs = as_integer("epochs", epochs, least=1)
    if batch_size is not None:
        batch_size = as_integer("batch_size", batch_size, least=1)
    shuffle, drop_last = as_flag("shuffle", shuffle), as_flag("drop_last", drop_last)
    metrics = as_metrics(metrics, network.loss)
    callbacks = _as_callbacks(callbacks)
    if as_flag("progress", progress):
        callbacks.append(Progress(epochs))
    resume = as_flag("resume", resume)
    if y is None and not isinstance(X, np.ndarray):
        _, validation = _split(network, None, validation_data, validation_split)
        network._record = None
        with begin_block_run(
                network, X, epochs=epochs, batch_size=batch_size, sample_weight=sample_weight,
                class_weight=class_weight, shuffle=shuffle, drop_last=drop_last,
                steps_per_epoch=steps_per_epoch, validation=validation, metrics=metrics,
                callbacks=callbacks, resume=resume) as run:
            return _watched(run, epochs)
    if steps_per_epoch is not None:
        raise ValueError("steps_per_epoch: expected None where X is an array, "
                         f"got {shown(steps_per_epoch)}")
    arrays = network._learning_arrays(X, y, sample_weight)
    if network._full_batch and batch_size is not None:
        raise ValueError("batch_size: expected None with L-BFGS, which works on all rows at once, "
                         f"got {batch_size}")
    arrays, validation = _split(network, arrays, validation_data, validation_split)
    arrays = _weighed(network, arrays, class_weight)
    rows = arrays[0].shape[0]
    settings = {"rows": rows, "batch_size": rows if batch_size is None else min(batch_size, rows),
                "shuffle": shuffle, "drop_last": drop_last}
    record = begin_run(network._record if resume else None, settings, callbacks)
    network._record = record
    run = Run(network, record, arrays, validation, metrics)
    if not (callbacks or metrics) and validation is None and record.logs is None:
        run.epochs(epochs)
        return record.history
    return _watched(run, epochs)


def _watched(run, epochs) -> History:
    """A run with its callbacks."""
    network, callbacks, begun = run.network, run.record.callbacks, []
    network._run = run
    try:
        for callback in callbacks:
            begun.append(callback)
            callback.on_train_begin(network)
        run.watched_epochs(epochs)
    finally:
        network._run = None
        with contextlib.ExitStack() as stack:   # each is told, also where another one fails
            for callback in reversed(begun):
                stack.callback(callback.on_train_end, network)
    return run.record.history


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
    if arrays is None and share:
        raise ValueError("validation_split: expected 0 where the rows come in blocks, "
                         f"got {share:g}")
    if arrays is not None:
        X, y, weight, labels = arrays
        network._engine.check(*arrays)
    if data is None and arrays is None:
        return None, None
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
    try:
        return arrays, _validation(network, data)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from None


def _validation(network, data):
    """What is given to :meth:`Network.evaluate`: (X, y, sample_weight), or (blocks,)."""
    if isinstance(data, list) and data and all(isinstance(block, tuple) for block in data) or (
            isinstance(data, Iterable)
            and not isinstance(data, (tuple, list, np.ndarray, str, bytes, Mapping))):
        if is_once(data):
            raise ValueError("expected blocks that can be gone through again after each epoch, "
                             f"such as a list, got {shown(data)}")
        for _ in checked_blocks(network, data):
            pass
        return (data,)
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError("expected (X, y) or (X, y, sample_weight), or an iterable of such "
                         f"blocks, got {shown(data)}")
    X, y, weight, labels = network._learning_arrays(*data, *(None,) * (3 - len(data)))
    network._engine.check(X, y, weight, labels)
    return X, y, weight
