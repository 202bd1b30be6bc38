"""The network: specifications in, a plan for each kind of call, the engine behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .arrays import as_input, as_output, as_target, as_weight, class_weighted, without_ignored
from .checks import as_integer, as_text
from .describing import FIXED, as_dtype, as_generator, as_layers, as_task_and_loss, check_output
from .engine.program import Program
from .engine.runtime import Engine
from .engine.short_way import ShortWay
from .history import History
from .keeping import Keeping
from .layers import Layer
from .layers.shapes import code_columns, declared_parameters, output_width, walk
from .optimizers import as_optimizer
from .parameters import Parameters
from .plan import Plan, build_plan, parameter_layout
from .update import as_update, check_update, hyper_of_groups

__all__ = ["Network"]

LARGEST_PLANNED_BATCH = 4096    # larger batches run the same plan, piece by piece


class Network(Keeping, ShortWay):
    """A multi-layer perceptron: its layers, its loss, its optimizer and its parameters.

    Parameters
    ----------
    layers : sequence of layers
        From the input to the output; at least one is Dense. The last layer gives the logits: the
        output activation belongs to the loss.
    in_features : int
        Numbers in a row of the input.
    task : {"binary", "multiclass", "multilabel", "regression"}, optional
        Chooses the loss with its output activation.
    loss : str or loss, optional
        A name such as ``"mean_squared_error"``, an object of :mod:`cymlp.losses`, or a function
        as :class:`cymlp.CustomLoss` takes it. One of `task` and `loss` must be given; both, where
        the loss is the task's with other settings.
    optimizer : str or optimizer
        ``"sgd"``, ``"adagrad"``, ``"rmsprop"``, ``"adam"``, or an object with its settings.
    update : Update, optional
        What goes around the optimizer's step: clipping, accumulation, penalties, averages.
    dtype : {"float32", "float64"}
        Precision of parameters and arithmetic.
    rng : None, int or numpy.random.Generator
        Where initial weights, the order of batches and dropout come from.

    Examples
    --------
    >>> import numpy as np, cymlp
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> y = np.array([0, 1, 1, 0])
    >>> net = cymlp.Network([cymlp.Dense(8, activation="tanh"), cymlp.Dense(1)],
    ...                     in_features=2, task="binary", optimizer=cymlp.Adam(0.1), rng=0)
    >>> history = net.fit(X, y, epochs=200, batch_size=None)
    >>> net.evaluate(X, y)["accuracy"]
    1.0
    >>> (net.predict(X) > 0.5).ravel().astype(int).tolist()
    [0, 1, 1, 0]
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        in_features: int,
        task: str | None = None,
        loss: Any = None,
        optimizer: Any = "adam",
        update: Any = None,
        dtype: Any = "float32",
        rng: Any = None,
    ) -> None:
        self._describe(layers, in_features, optimizer, dtype, task, loss, update)
        generator = as_generator(rng)
        place = generator.bit_generator.state
        try:
            self._start(int(generator.integers(2**64, dtype=np.uint64)))
            self.parameters.initialize(
                declared_parameters(self.layers, self.in_features), generator, self.dtype)
        except BaseException:
            generator.bit_generator.state = place   # a network that failed has drawn nothing
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED and name in self.__dict__:
            raise AttributeError(f"{name}: what a network was made with cannot be replaced; of "
                                 "its parameters set one at a time, net.parameters[name] = array")
        object.__setattr__(self, name, value)

    def _describe(self, layers, in_features, optimizer, dtype, task=None, loss=None,
                  update=None) -> None:
        """Take over a description, every part of it checked."""
        self.in_features = as_integer("in_features", in_features, least=1)
        self.layers = as_layers(layers, self.in_features)
        self.task, self.loss = as_task_and_loss(task, loss)
        self.optimizer = as_optimizer(optimizer)
        self.update = as_update(update)
        self.dtype = as_dtype(dtype)
        self.out_features = output_width(self.layers, self.in_features)
        self._ignores = getattr(self.loss, "ignore_index", None) is not None
        self._target_features = check_output(self.layers, self.task, self.loss,
                                             self.out_features, self.dtype)
        self._layout, self._parameter_bytes = parameter_layout(
            self.layers, self.in_features, self.dtype)
        self._full_batch = self.optimizer.full_batch
        check_update(self.update, self._full_batch, [parameter.name for parameter in self._layout])
        self._codes = code_columns(self.layers, self.in_features)
        self._whole_batch = any(
            layer.whole_batch for _, layer, _ in walk(self.layers, self.in_features))
        self._programs: dict[tuple, Program] = {}

    def _start(self, key: int) -> None:
        """An engine with memory for the parameters, all zero."""
        from . import kernels

        row = kernels.optimizer_table().get(self.optimizer.kernel,
                                            {"kind": -1, "hyper": [], "states": []})
        states = self.optimizer.states()
        starts = [self.optimizer.initial_state(name) for name in states]
        starts += [0.0] * len(self.update.states())
        self._engine = Engine(
            self._parameter_bytes, starts,
            [row["states"].index(name) for name in states if name in row["states"]],
            self.dtype, row["kind"], hyper_of_groups(self.optimizer, self.update, row["hyper"]),
            self.in_features, self.out_features, self._target_features, self.loss.limits,
            self.loss.takes_labels, key)
        self._engine.codes = self._codes
        schedule = getattr(self.optimizer, "schedule", None)
        if schedule is not None:
            self._engine.schedule = np.array(schedule.numbers())
        schedule = getattr(self.optimizer, "weight_decay_schedule", None)
        if schedule is not None:
            self._engine.decay = row["hyper"].index("weight_decay")
            self._engine.decay_schedule = np.array(schedule.numbers())
        self.parameters = Parameters(self._engine, self._layout)
        self._record = self._run = None     # of fit: how far it has come, and the run on its way

    # -- plans -------------------------------------------------------------------------------

    def _program(self, kind: str, rows: int, labels=False, weighted=False, metric=False):
        """The program for a kind of call with up to so many rows, made once and kept."""
        batch = 1 << max(rows - 1, 0).bit_length()
        if kind not in ("train", "gradients") or not self._whole_batch:
            batch = min(batch, LARGEST_PLANNED_BATCH)
        key = (kind, batch, labels, weighted, metric)
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = Program(build_plan(
                kind, self.layers, self.in_features, self.loss, self.optimizer, self.dtype, batch,
                target="labels" if labels else "dense", weighted=weighted, metric=metric,
                update=self.update))
        return program

    @property
    def plan(self) -> Plan:
        """The plan of a training step with a batch of 128; see :meth:`plan_for`."""
        return self.plan_for("train", 128)

    def plan_for(self, kind: str, batch_size: int) -> Plan:
        """The plan of a kind of call.

        Parameters
        ----------
        kind : {"train", "gradients", "evaluate", "predict", "forward"}
            Which call.
        batch_size : int
            Rows that come at a time; plans are made for the next power of two.

        Returns
        -------
        Plan
            Printing it gives a listing of memory and steps.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(4, [8], 1, task="regression")
        >>> [step.op for step in net.plan_for("predict", 1).steps]
        ['gather_input', 'dense_forward', 'dense_forward', 'scatter_output']
        """
        as_text("kind", kind, ["train", "gradients", "evaluate", "predict", "forward"])
        rows = as_integer("batch_size", batch_size, least=1)
        labels = self.loss.takes_labels and kind not in ("predict", "forward")
        return self._program(kind, rows, labels).plan

    # -- running -----------------------------------------------------------------------------

    def _run_forward(self, kind: str, X: Any, out: Any) -> np.ndarray:
        X = as_input(X, self.in_features)
        result = as_output(out, (X.shape[0], self.out_features), self.dtype, X)
        self._engine.predict(self._program(kind, X.shape[0]), X, result)
        return result if out is None else out

    def _learning_arrays(self, X, y, sample_weight, class_weight=None):
        """(X, y, sample_weight, whether y is labels), each of a good kind and shape."""
        X = as_input(X, self.in_features, least=1)
        y, labels = as_target(y, self.loss, X.shape[0], self._target_features, self.out_features)
        weight = as_weight(sample_weight, X.shape[0])
        y, weight = without_ignored(y, labels, weight, self.loss)
        weight = class_weighted(y, labels, weight, class_weight, self.loss, self.out_features)
        return X, y, weight, labels

    def _run_step(self, X: Any, y: Any, sample_weight: Any, class_weight: Any) -> float:
        X, y, sample_weight, labels = self._learning_arrays(X, y, sample_weight, class_weight)
        program = self._program("train", X.shape[0], labels, sample_weight is not None)
        return self._engine.train_step(program, X, y, sample_weight, labels)

    def gradients(self, X: Any, y: Any, sample_weight: Any = None, *, class_weight: Any = None):
        """Loss and gradients of one batch, without an update.

        Dropout draws what the next :meth:`train_step` will draw.

        Parameters
        ----------
        X : array_like of shape (n, in_features)
            The batch.
        y : array_like of shape (n,) or (n, out_features)
            Its targets.
        sample_weight : array_like of shape (n,), optional
            A weight for each row.
        class_weight : dict, array_like or "balanced", optional
            A weight for each class; see :meth:`fit`.

        Returns
        -------
        loss : float
            The mean loss.
        gradients : dict of str to numpy.ndarray
            The gradient of the loss by each parameter, with the parameter's name and shape.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
        >>> net.parameters["0.weight"] = [[0.0]]
        >>> loss, gradients = net.gradients([[3.0]], [1.0])
        >>> loss, float(gradients["0.weight"][0, 0])
        (1.0, -6.0)
        """
        loss, gradients, _ = self._gradients(X, y, sample_weight, class_weight=class_weight)
        return loss, gradients

    def _gradients(self, X, y, sample_weight=None, plan=None, class_weight=None):
        """Loss, gradients, and every array of the workspace where the batch is one chunk.

        `plan` may be another form of the plan that :meth:`_gradient_plan` gives.
        """
        X, y, sample_weight, labels = self._learning_arrays(X, y, sample_weight, class_weight)
        program = Program(plan) if plan is not None else self._program(
            "gradients", X.shape[0], labels, sample_weight is not None)
        return self._engine.gradients(program, X, y, sample_weight, labels)

    def _gradient_plan(self, X, y, sample_weight=None) -> Plan:
        """The plan by which :meth:`gradients` of such a batch are computed."""
        X, y, sample_weight, labels = self._learning_arrays(X, y, sample_weight)
        return self._program("gradients", X.shape[0], labels, sample_weight is not None).plan

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None, *,
                 class_weight: Any = None, metrics: Iterable = ()) -> dict[str, float]:
        """Mean loss and metric over all rows, in the state for prediction (no dropout).

        Parameters
        ----------
        X : array_like of shape (n, in_features), or iterable of blocks
            Rows, or without `y` blocks of them; see :meth:`fit`.
        y : array_like of shape (n,) or (n, out_features)
            Their targets; see :meth:`fit`.
        sample_weight : array_like of shape (n,), optional
            Weights of the rows in the loss; the metric counts all rows alike but those of
            weight 0, which leave no trace.
        class_weight : dict, array_like or "balanced", optional
            A weight for each class; see :meth:`fit`.
        metrics : iterable of str, Metric or function, optional
            More metrics, each by its name in the result; see :mod:`cymlp.metrics`. They need an
            array of the outputs of all rows.

        Returns
        -------
        dict
            ``{"loss": ..., "accuracy": ...}`` for classification,
            ``{"loss": ..., "mean_absolute_error": ...}`` for regression.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(1, [], 1, task="regression", rng=0)
        >>> net.parameters["0.weight"] = [[1.0]]
        >>> net.evaluate([[3.0], [5.0]], [2.0, 5.0])
        {'loss': 0.5, 'mean_absolute_error': 0.5}
        """
        from . import measuring  # only when asked for: what only predicts starts sooner

        return measuring.evaluate(self, X, y, sample_weight, class_weight, metrics)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 10,
        batch_size: int | None = 32,
        steps_per_epoch: int | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        shuffle: bool = True,
        drop_last: bool = False,
        validation_data: Any = None,
        validation_split: float = 0.0,
        metrics: Iterable = (),
        callbacks: Iterable = (),
        progress: bool = False,
        resume: bool = False,
    ) -> History:
        """Train for some epochs.

        Whole epochs run in native code; between them come validation, callbacks and progress.
        Ctrl-C ends training between two steps and leaves the network as that step left it;
        `resume` goes on from there.

        Parameters
        ----------
        X : array_like of shape (n, in_features), or iterable of blocks
            Rows, of any real dtype, order and stride, read-only or mapped from a file; never
            copied whole. Without `y`: blocks (X, y) or (X, y, sample_weight) of any numbers of
            rows, which a thread fetches ahead of the steps; only a few are in memory at a time.
            Batches are cut across their borders, and `shuffle` shuffles within each.
        y : array_like
            Targets. Multiclass: class numbers of shape (n,), or one-hot or soft rows of shape
            (n, out_features). Binary: zeros and ones (or probabilities) of shape (n,) or (n, 1).
            Multilabel: such of shape (n, out_features). Regression: numbers of shape
            (n, out_features), or (n,) for one output.
        epochs : int
            How often all rows are gone through.
        batch_size : int or None
            Rows in a step; None takes all of them: one step an epoch.
        steps_per_epoch : int, optional
            With blocks: after how many batches an epoch ends, wherever that is. A list or other
            object that can be gone through again is begun anew when it is at its end; a generator
            ends the run then. Without it every epoch goes once through the blocks.
        sample_weight : array_like of shape (n,), optional
            A weight for each row; the loss is the weighted mean over the batch.
        class_weight : dict, array_like of shape (classes,) or "balanced", optional
            For a loss of classes a weight of at least 0 for each, by which the weights of its
            rows are multiplied; a class that a dict does not name has 1. Of one-hot or soft rows
            the class is the greatest, of a single yes/no output 0 or 1. "balanced" gives n / (k
            n_c) to the n_c of n rows of one of the k classes that occur, as scikit-learn does.
            Validation is not weighed by it.
        shuffle : bool
            Whether each epoch goes through the rows in a new random order.
        drop_last : bool
            Whether a last batch that is not full is left out.
        validation_data : tuple (X, y) or (X, y, sample_weight), or iterable of them, optional
            Evaluated after each epoch. Blocks are gone through once more before the first epoch,
            so that a bad value comes to light there; a list of tuples is one of blocks.
        validation_split : float
            Share of the rows, from the end, that is kept for validation instead.
        metrics : iterable of str, Metric or function
            More metrics after each epoch; see :mod:`cymlp.metrics`. Where there are validation
            data, of these ("val_f1"), else of the training data ("f1"): then of all rows with the
            parameters that the epoch ended with, unlike loss and accuracy, which are summed up
            while the epoch goes on.
        callbacks : iterable of Callback
            Called between epochs, such as :class:`cymlp.EarlyStopping`.
        progress : bool
            Whether to show the epochs as they pass.
        resume : bool
            Whether to go on with the network's last run, which Ctrl-C or an error has ended or
            which a file has brought (:meth:`save` with its training state), as if it had never
            been left; `epochs` counts all of its epochs. Without such a run a new one begins.

        Returns
        -------
        History
            Loss, metric and seconds of each epoch, and the same for validation.

        Examples
        --------
        >>> import numpy as np, cymlp
        >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
        >>> net = cymlp.mlp(1, [16], 1, activation="tanh", task="regression",
        ...                 optimizer=cymlp.Adam(0.02), rng=0)
        >>> history = net.fit(X, X[:, 0] ** 2, epochs=100, batch_size=16)
        >>> history["loss"][-1] < 0.01
        True
        """
        from . import training  # as in `evaluate`

        return training.fit(
            self, X, y, epochs=epochs, batch_size=batch_size,
            steps_per_epoch=steps_per_epoch, sample_weight=sample_weight,
            class_weight=class_weight, shuffle=shuffle, drop_last=drop_last,
            validation_data=validation_data, validation_split=validation_split, metrics=metrics,
            callbacks=callbacks, progress=progress, resume=resume)

    def __repr__(self) -> str:
        goal = f"task={self.task!r}" if self.task else f"loss={self.loss!r}"
        update = "" if self.update.is_plain else f"update={self.update!r}, "
        return (f"Network({list(self.layers)}, in_features={self.in_features}, {goal}, "
                f"optimizer={self.optimizer!r}, {update}dtype={self.dtype.name!r})")
