"""Whole trainings."""

from __future__ import annotations

import dataclasses
import functools

from ..cases import TRAININGS
from ..report import field, number, peer_columns
from ..runner import best, chosen, race

QUICK_EPOCHS = 1


def fit(pool, settings, report) -> None:
    """The time of a fit, with the loss, accuracy and epochs of the last one.

    A round is one whole training: what is compiled has been compiled in a run before.
    """
    names = chosen(settings, "torch", "torch.compile", "sklearn", "jax", "numpy")
    found = [(key, field("ends", show=functools.partial(_listed, key)))
             for key in ("loss", "accuracy", "epochs")]
    report.table(f"Whole trainings, {pool.threads} thread(s)",
                 [("data", field("case", "name")), *peer_columns(names, "ms", 1e3), *found])
    once = dataclasses.replace(settings, seconds=0.0)
    for case in TRAININGS.values():
        if settings.quick:
            if case.name != "digits":
                continue
            case = dataclasses.replace(case, epochs=QUICK_EPOCHS)
        outcomes = race(pool, once, names, "fit", case)
        ends = {name: pool.ask(name, "last_result")
                for name, outcome in outcomes.items() if "median" in outcome}
        report.add({"work": "fit", "case": dataclasses.asdict(case), "threads": pool.threads,
                    "peers": outcomes, "ends": ends, **best(outcomes)})


def _listed(key, ends):
    return ", ".join(f"{name} {number(end[key])}" for name, end in ends.items())
