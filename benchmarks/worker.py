"""A peer's process: ``python -m benchmarks.worker DESCRIPTOR PEER THREADS PROCESSORS``.

It answers commands that come through a pipe (:mod:`benchmarks.runner`), each the name of a method
of :class:`Session` with its arguments. What counts threads is imported only after the process has
been bound to its processors.
"""

from __future__ import annotations

import gc
import os
import platform
import sys
import time
import traceback
from multiprocessing.connection import Connection

CHECKED_STEPS = 3
CALIBRATIONS = 4        # each comes closer: the first calls are slow ones
LARGEST_ANSWER = 1 << 20    # elements of an array that are sent to be compared


class Session:
    """A peer and what was prepared last."""

    def __init__(self, name: str, threads: int) -> None:
        from .peers import peer_class

        self.peer = peer_class(name)(threads)
        self.calls = []
        self.memory_before = 0
        self.memory_peak: int | None = None
        self.result = None

    def hello(self) -> dict:
        """Who is here."""
        return {"version": self.peer.version(), "python": platform.python_version()}

    def machine(self, function: str, *arguments):
        """What a function of :mod:`benchmarks.machine` finds in this process."""
        from . import machine

        return getattr(machine, function)(*arguments)

    def rates(self, case, work: str, threads: int, seconds: float):
        """What the machine does now of what a case asks for."""
        from .limits import measure_rates

        return measure_rates(case, work, threads, seconds)

    def level(self) -> str:
        """cymlp's instruction-set level."""
        from cymlp import kernels

        return kernels.level

    def activations(self) -> list[str]:
        """The activations that cymlp has."""
        from cymlp import kernels

        return list(kernels.activation_table())

    # -- preparing: each sets `calls`, and returns what is to be compared -------------------------

    def _begin(self) -> None:
        from .machine import reset_peak_memory

        self.calls = []
        self.memory_peak = None
        gc.collect()
        self.memory_before = reset_peak_memory()

    def predict(self, case, callers: int = 1, shared: bool = True) -> dict:
        """Prediction, by so many threads at a time, of one network or of one network each."""
        from .cases import draw_batch, draw_weights

        weights, rows = draw_weights(case), draw_batch(case).rows
        self._begin()
        networks = [self.peer.network(case, weights) for _ in range(1 if shared else callers)]
        self.calls = [self.peer.predict(networks[number % len(networks)], case, rows)
                      for number in range(callers)]
        return {"values": [_sample(self.calls[0]())]}

    def train(self, case) -> dict:
        """A training step; the first few are done here."""
        from .cases import draw_batch, draw_weights
        from .machine import memory, reset_peak_memory

        weights, batch = draw_weights(case), draw_batch(case)
        self._begin()
        step, parameters = self.peer.train(case, weights, batch)
        reset_peak_memory()                     # what making the network took is no step's
        self.calls = [step]
        losses = [step() for _ in range(CHECKED_STEPS)]
        self.memory_peak = memory("VmHWM")      # before the results are copied out
        before = [array for pair in weights for array in pair]
        return {"values": [_sample(losses)],
                "changes": [_sample(now) - _sample(then)
                            for now, then in zip(parameters(), before, strict=True)]}

    def kernel(self, kernel) -> dict:
        """A kernel on arrays; it is run a few times here."""
        from .cases import draw_kernel

        values, other = draw_kernel(kernel)
        self._begin()
        run, results = self.peer.kernel(kernel, values, other)
        for _ in range(CHECKED_STEPS):
            run()
        self.calls = [run]
        return {"values": [_sample(result) for result in results()]}

    def fit(self, case) -> dict:
        """A whole training; it is run once here, for what is compiled or learnt in it."""
        from .cases import draw_weights, training_data

        data = training_data(case.name)
        self._begin()
        self.calls = [self.peer.fit(case, draw_weights(case), data)]
        self.calls[0]()
        return {}

    # -- timing ----------------------------------------------------------------------------------

    def calibrate(self, seconds: float) -> int:
        """How many repetitions take about so long."""
        repetitions, taken = 1, 0.0
        for _ in range(CALIBRATIONS):
            if taken >= seconds / 2:
                break
            mean = self.round(repetitions)
            taken, repetitions = repetitions * mean, max(1, int(seconds / mean))
        return repetitions

    def round(self, repetitions: int) -> float:
        """Seconds of a call: the mean of so many, after one that is not counted."""
        if repetitions > 1:
            self.result = self.calls[0]()
        if len(self.calls) == 1:
            call, = self.calls
            begun = time.perf_counter()
            for _ in range(repetitions):
                self.result = call()
            return (time.perf_counter() - begun) / repetitions
        return self._round_together(repetitions)

    def _round_together(self, repetitions: int) -> float:
        from .machine import seconds_together

        def repeat(call):
            for _ in range(repetitions):
                call()

        seconds = seconds_together([lambda call=call: repeat(call) for call in self.calls])
        return seconds / (repetitions * len(self.calls))

    def last_result(self):
        """What the last call returned."""
        return self.result

    def memory_growth(self) -> int:
        """How much more memory than before its preparation the case has taken at the most.

        Of a training only while it makes steps: making the network is no part of that.
        """
        from .machine import memory

        peak = memory("VmHWM") if self.memory_peak is None else self.memory_peak
        return max(0, peak - self.memory_before)


def _sample(result):
    """A result as an array of its own; of a very large one every so many elements."""
    import numpy as np

    array = np.array(result.numpy() if hasattr(result, "numpy") else result)
    if array.size <= LARGEST_ANSWER:
        return array
    return array.ravel()[::1 + array.size // LARGEST_ANSWER].copy()


def _answer(action):
    """("ok", value), ("unsupported", reason) or ("error", what went wrong)."""
    try:
        return "ok", action()
    except Exception as error:
        # Its class is known by name only: to import it could fail in the same way.
        kind = "unsupported" if type(error).__name__ in ("Unsupported", "ImportError",
                                                         "ModuleNotFoundError") else "error"
        if os.environ.get("BENCHMARKS_DEBUG"):
            traceback.print_exc()
        text = str(error).strip() or type(error).__name__
        return kind, f"{type(error).__name__}: {text}"[:500]


def main() -> None:
    descriptor, name, threads, processors = sys.argv[1:]
    os.sched_setaffinity(0, [int(number) for number in processors.split(",")])
    connection = Connection(int(descriptor))
    session = None

    def start():
        nonlocal session
        session = Session(name, int(threads))
        return session.hello()

    connection.send(_answer(start))
    while session is not None:
        try:
            command, arguments = connection.recv()
        except EOFError:        # the runner has gone
            break
        connection.send(_answer(lambda: getattr(session, command)(*arguments)))  # noqa: B023


if __name__ == "__main__":
    main()
