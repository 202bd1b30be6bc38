"""What a network does beside computing: it is copied, kept in a file, and shown."""

from __future__ import annotations

from typing import Any

from .describing import summary_text

__all__ = ["Keeping"]


class Keeping:
    """The part of :class:`cymlp.Network` that keeps and shows it.

    It relies on the attributes that the network sets up.

    >>> import cymlp
    >>> isinstance(cymlp.mlp(2, [], 1, task="binary"), Keeping)
    True
    """

    def copy(self) -> Any:
        """An independent twin: same parameters, optimizer state and random numbers to come.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(2, [3], 1, task="regression", rng=0)
        >>> twin = net.copy()
        >>> net.train_step([[1, 2]], [3]) == twin.train_step([[1, 2]], [3])
        True
        """
        return self._twin(self.optimizer)

    def _twin(self, optimizer: Any) -> Any:
        """A copy with an optimizer that has the same states."""
        twin = type(self).__new__(type(self))
        twin._describe(self.layers, self.in_features, optimizer, self.dtype, self.task,
                       self.loss, self.update)
        twin._resume(*self._progress())
        twin._engine.rate_factor = self._engine.rate_factor
        return twin

    def averaged(self) -> Any:
        """A copy whose trained parameters are the averages that the update has kept.

        Running statistics of batch normalisation are those of the network itself.

        Raises
        ------
        ValueError
            Where the network's update keeps no average, or has not begun it yet.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(1, [], 1, task="regression", update=cymlp.Update(average=0.9))
        >>> loss = net.train_step([[1.0]], [1.0])
        >>> bool((net.averaged().parameters["0.bias"] == net.parameters["0.bias"]).all())
        True
        """
        if self.update.average is None:
            raise ValueError("update: expected one with average=..., as there are no averages "
                             f"otherwise, got {self.update!r}")
        if self._engine.step // self.update.accumulate <= self.update.average_from:
            raise ValueError(f"averaged: expected more than {self.update.average_from} steps of "
                             f"the optimizer, got {self._engine.step // self.update.accumulate}")
        states = (*self.optimizer.states(), *self.update.states())
        twin = self.copy()
        for parameter in self._layout:
            if parameter.trained:
                twin.parameters[parameter.name] = self._engine.read(
                    parameter, states.index("average"))
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo: dict) -> Any:
        return self.copy()

    def _progress(self) -> tuple[int, int, int, bytes]:
        return self._engine.progress()

    def _resume(self, key: int, step: int, epoch: int, arena: bytes) -> None:
        self._start(key)
        self._engine.step, self._engine.epoch = step, epoch
        self._engine.restore_arena(arena)

    def __reduce__(self):
        from . import files

        return files.restore, (files.describe(self, functions=True), *self._progress())

    def save(self, path: Any, training_state: bool = False) -> None:
        """Write description and parameters to a safetensors file; :func:`cymlp.load` reads it.

        Parameters
        ----------
        path : str or os.PathLike
            The file; one that is there is replaced in one go or not at all.
        training_state : bool
            Whether the file also gets what an exact continuation needs: the optimizer's states
            and counters, the key of the random numbers, and the last or present run of
            :meth:`fit` with its history, its place within an epoch and its callbacks' states.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(2, [3], 1, task="binary")
        >>> history = net.fit([[0, 1], [1, 0]], [0, 1], epochs=5)
        >>> net.save("net.safetensors", training_state=True)
        >>> net = cymlp.load("net.safetensors")
        >>> net.fit([[0, 1], [1, 0]], [0, 1], epochs=8, resume=True).epochs
        8
        """
        from . import files

        files.save(self, path, training_state)

    def diagnose(self, X: Any, y: Any, sample_weight: Any = None, since: Any = None):
        """How training goes in each layer, seen on one batch; nothing is changed.

        Parameters
        ----------
        X, y, sample_weight
            A batch, of some hundred rows, as for :meth:`train_step`.
        since : Diagnosis, optional
            An earlier one, of the same rows: the drift of each layer's output since then is
            given too.

        Returns
        -------
        cymlp.diagnosis.Diagnosis
            A mapping from layer to a dict of numbers: norms of gradient and update, share of
            dead and of saturated units, mean and deviation. It prints as a table.

        Examples
        --------
        >>> import cymlp
        >>> net = cymlp.mlp(1, [2], 1, task="regression", rng=0)
        >>> net.parameters["0.weight"] = [[1.0, -1.0]]
        >>> net.diagnose([[1.0], [2.0]], [1.0, 2.0])["0"]["dead"]
        0.5
        """
        from .diagnosis import diagnose

        return diagnose(self, X, y, sample_weight, since)

    def graph(self):
        """The computational graph: nodes with shapes, edges with the gradients that flow back.

        Returns
        -------
        cymlp.graph.Graph
            With the texts ``dot`` and ``mermaid``, and ``svg()`` where Graphviz is installed.

        Examples
        --------
        >>> import cymlp
        >>> print(cymlp.mlp(4, [], 1, task="binary").graph().dot.splitlines()[0])
        digraph network {
        """
        from .graph import graph_of

        return graph_of(self)

    def summary(self) -> None:
        """Print the layers with their output widths and numbers of parameters.

        Examples
        --------
        >>> import cymlp
        >>> cymlp.mlp(784, [128], 10, dropout=0.2, task="multiclass").summary()
        layer                                  output  parameters
        input                                     784
        0  Dense(128, relu)                       128     100,480
        1  Dropout(0.2)                           128           0
        2  Dense(10)                               10       1,290
        softmax, categorical_cross_entropy, Adam()
        101,770 parameters in float32
        """
        print(summary_text(self))
