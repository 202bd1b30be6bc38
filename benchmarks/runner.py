"""The peers' processes, and rounds of timing that they take in turn."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

from . import machine
from .peers import OURS, PEERS

ROOT = Path(__file__).resolve().parent.parent
PAUSE_SECONDS = 0.25    # until the threads of others sleep; 0.06 was too short
LONG_SECONDS = 1.0              # cases whose calls take longer get few rounds
FEW_ROUNDS = 3
THREAD_VARIABLES = ("CYMLP_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                    "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class Settings:
    """What was asked for on the command line."""

    work: list[str]
    threads: list[int]
    networks: list[str]
    peers: list[str]
    batches: list[int] | None
    rounds: int
    seconds: float
    timeout: float
    seed: int
    count: int
    quick: bool


class Failure(Exception):
    """A worker could not do what it was asked for."""


class Absent(Failure):
    """The peer is not there, or cannot do this."""


# ---- processes ---------------------------------------------------------------------------------


def environment(threads: int) -> dict[str, str]:
    """The variables of a process with so many threads."""
    variables = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads))
    variables["TORCHINDUCTOR_COMPILE_THREADS"] = "1"    # no pool of processes beside the worker
    variables["JAX_PLATFORMS"] = "cpu"
    if threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return variables


class Worker:
    """A peer's process; see :mod:`benchmarks.worker`."""

    def __init__(self, name: str, threads: int, processors: list[int], timeout: float) -> None:
        self.timeout = timeout
        self.connection, theirs = Pipe()
        # A session of its own: Ctrl-C comes to the runner alone, and all that the worker has
        # started, such as a compiler, ends with it.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", str(theirs.fileno()), name, str(threads),
             ",".join(map(str, processors))],
            pass_fds=[theirs.fileno()], env=environment(threads), cwd=ROOT,
            stdout=subprocess.DEVNULL, start_new_session=True)
        theirs.close()
        try:
            self.facts = self._receive()
        except BaseException:
            self.close()
            raise

    def ask(self, command: str, *arguments: Any) -> Any:
        """The answer to a command."""
        try:
            self.connection.send((command, arguments))
        except OSError as error:
            raise Failure(f"the worker has ended ({error})") from None
        return self._receive()

    def _receive(self):
        if not self.connection.poll(self.timeout):
            self.close()
            raise Failure(f"no answer within {self.timeout:g} seconds")
        try:
            kind, value = self.connection.recv()
        except EOFError:
            raise Failure(f"the worker ended with status {self.process.wait()}") from None
        if kind == "ok":
            return value
        raise (Absent if kind == "unsupported" else Failure)(value)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None and not self.connection.closed

    def close(self) -> None:
        """End the process, and what it has started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.connection.close()


class Pool:
    """The workers of one number of threads, each started when it is asked for first."""

    def __init__(self, threads: int, timeout: float, processors: list[int] | None = None) -> None:
        self.threads, self.timeout = threads, timeout
        self.processors = processors or machine.processors()[:threads]
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def ask(self, name: str, command: str, *arguments: Any) -> Any:
        """A worker's answer; one that has ended is started anew."""
        return self._worker(name).ask(command, *arguments)

    def facts(self, name: str) -> dict:
        """What a worker said of itself."""
        return self._worker(name).facts

    def _worker(self, name: str) -> Worker:
        if name in self.absent:
            raise Absent(self.absent[name])
        worker = self.workers.get(name)
        if worker is None or not worker.alive:
            try:
                worker = self.workers[name] = Worker(name, self.threads, self.processors,
                                                     self.timeout)
            except Absent as error:
                self.absent[name] = str(error)
                raise
        return worker


# ---- comparing ---------------------------------------------------------------------------------

# Relative and absolute differences of single values; of the parameters' changes, which a step
# such as Adam's makes of gradients near 0 too, the relative difference of the whole.
TOLERANCES = {"float32": (2e-3, 2e-5), "float64": (1e-6, 1e-9)}
CHANGES = {"float32": 3e-2, "float64": 1e-5}


def difference(ours: dict, theirs: dict, dtype: str) -> str | None:
    """In what two answers differ by more than rounding; None where they agree."""
    relative, absolute = TOLERANCES[dtype]
    for mine, other in zip(ours.get("values", ()), theirs.get("values", ()), strict=True):
        if mine.shape != other.shape:
            return f"wrong result: shape {other.shape} instead of {mine.shape}"
        if not np.allclose(other, mine, rtol=relative, atol=absolute):
            return f"wrong result: differs by up to {np.abs(other - mine).max():.3g}"
    if "changes" not in ours:
        return None
    shapes = [[part.shape for part in answer["changes"]] for answer in (ours, theirs)]
    if shapes[0] != shapes[1]:
        return "wrong result: parameters of other shapes"
    mine, other = (np.concatenate([part.ravel() for part in answer["changes"]])
                   for answer in (ours, theirs))
    share = np.linalg.norm(other - mine) / max(np.linalg.norm(mine), np.finfo(dtype).tiny)
    if not share <= CHANGES[dtype]:
        return f"wrong result: the parameters' changes differ by {share:.1%}"
    return None


def prepare(pool: Pool, names: list[str], command: str, case: Any, *arguments: Any
            ) -> dict[str, dict]:
    """Prepare a case everywhere; an outcome for each peer, with an error where it failed.

    cymlp comes first: all others are compared with it.
    """
    outcomes, ours = {}, None
    for name in names:
        try:
            answer = pool.ask(name, command, case, *arguments)
            ours = answer if name == OURS else ours
            wrong = ours and difference(ours, answer, case.dtype)
            outcomes[name] = {"error": wrong} if wrong else {}
        except Absent as error:
            outcomes[name] = {"absent": str(error)}
        except Failure as error:
            outcomes[name] = {"error": str(error)}
    return outcomes


# ---- timing ------------------------------------------------------------------------------------


def race(pool: Pool, settings: Settings, names: list[str], command: str, case: Any,
         *arguments: Any) -> dict[str, dict]:
    """Time a case everywhere, in rounds that follow each other in turn.

    Returns, by peer, ``median`` and ``minimum`` seconds of a call, ``repetitions`` in a round,
    ``rounds`` and the growth of ``memory`` in bytes; or ``error``, or ``absent``.
    """
    outcomes = prepare(pool, names, command, case, *arguments)
    times: dict[str, list[float]] = {}

    def ask(name, *asked):
        try:
            return pool.workers[name].ask(*asked)
        except Failure as error:
            outcomes[name] = {"error": str(error)}
            times.pop(name, None)
            return None

    for name in [name for name in names if not outcomes[name]]:
        time.sleep(PAUSE_SECONDS)
        times[name] = []
        outcomes[name]["repetitions"] = ask(name, "calibrate", settings.seconds)
    rounds, done = settings.rounds, 0
    while done < rounds:
        turn = list(times)
        for name in turn[done % len(turn):] + turn[:done % len(turn)] if turn else ():
            time.sleep(PAUSE_SECONDS)
            seconds = ask(name, "round", outcomes[name]["repetitions"])
            if seconds is not None:
                times[name].append(seconds)
        done += 1
        if any(found[0] > LONG_SECONDS for found in times.values()):
            rounds = min(rounds, FEW_ROUNDS)
    for name in list(times):
        memory = ask(name, "memory_growth")
        if memory is not None:
            outcomes[name] |= {"median": statistics.median(times[name]), "rounds": done,
                               "minimum": min(times[name]), "memory": memory}
    return outcomes


def best(outcomes: dict[str, dict], field: str = "median") -> dict:
    """The peer with the smallest median, and how many times cymlp's it is (above 1: cymlp is
    faster)."""
    peers = {name: found[field] for name, found in outcomes.items()
             if name != OURS and field in found}
    if not peers or field not in outcomes.get(OURS, {}):
        return {"best": None, "ratio": None}
    name = min(peers, key=peers.__getitem__)
    return {"best": name, "ratio": peers[name] / outcomes[OURS][field]}


def chosen(settings: Settings, *names: str) -> list[str]:
    """cymlp and those of the peers that were asked for (of `names`, where given).

    A peer that is none of `PEERS`, given as ``module:Class``, takes part in everything.
    """
    return [OURS] + [name for name in settings.peers if name != OURS and (
        not names or name in names or name not in PEERS)]
