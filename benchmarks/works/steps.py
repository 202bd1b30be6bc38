"""Prediction and training steps of single cases, of the four networks and of the random set."""

from __future__ import annotations

import dataclasses
import math

from ..cases import NETWORKS, Case, random_cases
from ..limits import least_seconds
from ..peers import OURS, PEERS
from ..report import field, number, peer_columns, share
from ..runner import Settings, best, chosen, race

BATCHES = {"predict": (1, 32, 1024), "train": (32, 256, 2048)}
TITLES = {"predict": "Prediction", "train": "Training step"}
TRAINABLE = [name for name in PEERS if not name.startswith("onnxruntime")]


def peers_for(work: str, settings: Settings, *names: str) -> list[str]:
    """The peers that can do this kind of work."""
    able = PEERS if work == "predict" else TRAINABLE
    return chosen(settings, *(name for name in able if not names or name in names))


def measure(pool, settings, work: str, case: Case, names: list[str], callers: int = 1,
            shared: bool = True) -> dict:
    """The row of a case: times of all, the best peer, cymlp's shares of the peak and the limit.

    What the machine can do changes from minute to minute: it is measured just before and after.
    Several callers, each with the pool's threads, use as many processors as there are.
    """
    cores = min(len(pool.processors), pool.threads * callers)
    more = (callers, shared) if callers > 1 else ()

    def rates():
        return pool.ask(OURS, "rates", case, work, cores, settings.seconds / 5)

    before = rates()
    outcomes = race(pool, settings, names, work, case, *more)
    row = {"work": work, "case": dataclasses.asdict(case), "threads": pool.threads,
           "peers": outcomes, **best(outcomes), "rate": None, "peak_share": None,
           "limit": None, "limit_share": None}
    if "median" in outcomes[OURS]:
        seconds = outcomes[OURS]["median"]
        row["rate"] = case.operations(work) / seconds
        if before is not None:
            found = before.or_better(rates())
            row["peak_share"] = row["rate"] / (found.operations * cores)
            row["limit"] = least_seconds(case, work, found, cores)
            row["limit_share"] = row["limit"] / seconds
    return row


def columns_of(names: list[str]) -> list:
    """The columns of all tables of cases."""
    return [("network", field("case", "name")), ("batch", field("case", "batch")),
            *peer_columns(names),
            ("GFLOP/s", lambda row: number(row["rate"] and row["rate"] / 1e9)),
            ("of peak", field("peak_share", show=share)),
            ("of the limit", field("limit_share", show=share))]


def _networks(work, pool, settings, report):
    names = peers_for(work, settings)
    report.table(f"{TITLES[work]}, {pool.threads} thread(s)", columns_of(names))
    batches = settings.batches or (BATCHES[work][:1] if settings.quick else BATCHES[work])
    for network in settings.networks:
        for batch in batches:
            case = Case(network, NETWORKS[network], batch)
            report.add(measure(pool, settings, work, case, names))


def predict(pool, settings, report) -> None:
    """Prediction of the networks."""
    _networks("predict", pool, settings, report)


def train(pool, settings, report) -> None:
    """A training step of the networks."""
    _networks("train", pool, settings, report)


def random(pool, settings, report) -> None:
    """Networks drawn at random: the ratio to the best peer, the worst and the mean of them."""
    activations = pool.ask(OURS, "activations")
    cases = random_cases(settings.seed, settings.count, activations)
    for work in ("predict", "train"):
        names = peers_for(work, settings, "torch", "jax", "numpy", "onnxruntime",
                          "onnxruntime-bound")
        kinds = [(name, field("case", name))
                 for name in ("activation", "optimizer", "dtype", "task")]
        report.table(f"Random networks (seed {settings.seed}): {TITLES[work].lower()}, "
                     f"{pool.threads} thread(s)", columns_of(names) + kinds)
        rows = []
        for case in cases:
            rows.append(measure(pool, settings, work, case, names))
            report.add(rows[-1])
        report.end()
        _summary(rows, report)


def _summary(rows, report):
    ratios = {row["case"]["name"]: row["ratio"] for row in rows if row["ratio"]}
    if ratios:
        worst = min(ratios, key=ratios.__getitem__)
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        report.say(f"\nBest peer ÷ {OURS}: worst {ratios[worst]:.2f} ({worst}), "
                   f"geometric mean {mean:.2f} of {len(ratios)}.")
