"""Memory that a training step takes, beside what it has to take."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..cases import NETWORKS, STATES, Case
from ..report import field, number, peer_columns
from ..runner import Pool, best, prepare
from .steps import peers_for

BATCHES = (32, 128, 512, 2048, 8192)
MEASURED = ("mnist", "large")
CHUNK_ROWS = 256            # rows that go through all layers of a small network at a time
CHUNKED_BYTES = 8 << 20     # parameters of a network that is small
WARMING = Case("warming", (8, 8, 2), 32)


def bound(case: Case) -> int:
    """Parameters, gradients, optimizer states, and the activations of one piece of the batch."""
    item = np.dtype(case.dtype).itemsize
    parameters = case.parameters * item
    rows = min(case.batch, CHUNK_ROWS) if parameters <= CHUNKED_BYTES else case.batch
    return parameters * (2 + STATES[case.optimizer]) + rows * sum(case.widths) * item


def memory(settings, report) -> None:
    """The growth of each peer's peak memory, in a fresh process for every number."""
    for threads in settings.threads:
        _table(settings, threads, report)


def _table(settings, threads, report):
    names = peers_for("train", settings)
    report.table(f"Memory of a training step, {threads} thread(s)", [
        ("network", field("case", "name")), ("batch", field("case", "batch")),
        ("needed, MB", lambda row: number(row["bound"] / 1e6)),
        *peer_columns(names, "MB", 1e-6, "memory")])
    networks = ["tiny"] if settings.quick else [n for n in settings.networks if n in MEASURED]
    batches = settings.batches or (BATCHES[:1] if settings.quick else BATCHES)
    for network in networks:
        for batch in batches:
            case = Case(network, NETWORKS[network], batch)
            outcomes = _growth(settings, threads, names, case)
            report.add({"work": "memory", "case": dataclasses.asdict(case), "threads": threads,
                        "bound": bound(case), "peers": outcomes, **best(outcomes, "memory")})


def _growth(settings, threads, names, case):
    """One process after the other, so that only one of them holds its memory.

    A few steps of another network come first: what a library loads at its first use is no
    memory of this training.
    """
    outcomes = {}
    for name in names:
        with Pool(threads, settings.timeout) as pool:
            prepare(pool, [name], "train", WARMING)
            outcomes |= prepare(pool, [name], "train", case)
            if not outcomes[name]:
                outcomes[name]["memory"] = pool.ask(name, "memory_growth")
    return outcomes
