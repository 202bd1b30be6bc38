"""Single kernels: activations, the loss and the optimizers' updates, beside memory's speed."""

from __future__ import annotations

import dataclasses

from ..cases import LEARNING_RATES, Kernel
from ..peers import OURS
from ..report import field, number, peer_columns, share
from ..runner import best, chosen, race

SIZES = (1 << 14, 1 << 24)
QUICK_SIZES = (1 << 10,)


def kernels(pool, settings, report) -> None:
    """Nanoseconds an element of each kernel, and its share of the bandwidth of a copy."""
    names = chosen(settings, "torch", "jax", "numpy")
    report.table(f"Kernels, float32, {pool.threads} thread(s)", [
        ("kernel", field("case", "name")), ("elements", field("case", "elements")),
        *peer_columns(names, "ns an element", 1e9, "element"),
        ("GB/s", lambda row: number(row["rate"] and row["rate"] / 1e9)),
        ("of a copy", field("copy_share", show=share))])
    named = [("activation", name) for name in ["exp", *pool.ask(OURS, "activations")]]
    named += [("loss", "softmax_cross_entropy")]
    named += [("optimizer", name) for name in LEARNING_RATES]
    for elements in QUICK_SIZES if settings.quick else SIZES:
        copy = pool.ask(OURS, "machine", "copy_bandwidth", elements, pool.threads)
        for kind, name in named:
            report.add(_row(pool, settings, names, Kernel(kind, name, elements), copy))


def _row(pool, settings, names, case, copy):
    outcomes = race(pool, settings, names, "kernel", case)
    for outcome in outcomes.values():
        if "median" in outcome:
            outcome["element"] = outcome["median"] / case.elements
    row = {"work": "kernels", "case": dataclasses.asdict(case), "threads": pool.threads,
           "peers": outcomes, **best(outcomes), "rate": None, "copy_share": None}
    if "median" in outcomes[OURS]:
        row["rate"] = case.bytes / outcomes[OURS]["median"]
        row["copy_share"] = row["rate"] / copy
    return row
