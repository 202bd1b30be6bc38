"""Time against width, depth, batch, and number of Python threads that predict."""

from __future__ import annotations

from .. import machine
from ..cases import NETWORKS, Case
from ..report import field
from ..runner import Pool
from .steps import columns_of, measure, peers_for

WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
DEPTHS = (1, 2, 4, 8, 16, 32)
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
CALLERS = (1, 2, 4, 8)
CALLERS_BATCH = 8


def _cases(quick: bool):
    """(what grows, case)"""
    few = 2 if quick else None
    for width in WIDTHS[:few]:
        yield "width", Case(f"{width}-{width}-{width}-10", (width, width, width, 10), 256)
    for depth in DEPTHS[:few]:
        yield "depth", Case(f"{depth} x 128", (*(128,) * (depth + 1), 10), 256)
    for batch in BATCHES[:few]:
        network = "tiny" if quick else "mnist"
        yield "batch", Case(network, NETWORKS[network], batch)


def scale(pool, settings, report) -> None:
    """All four; where peers are named, only those, else PyTorch."""
    for work in ("predict", "train"):
        names = peers_for(work, settings, "torch")
        report.table(f"Growth: {work}, {pool.threads} thread(s)",
                     [("of", field("grows")), *columns_of(names)])
        for grows, case in _cases(settings.quick):
            report.add({**measure(pool, settings, work, case, names), "grows": grows})
    if pool.threads == settings.threads[0]:
        _callers(settings, report)


def _callers(settings, report):
    """Threads of Python that predict, on all processors, each with one thread of the engine."""
    names = peers_for("predict", settings, "torch")
    report.table("Python threads that predict: time divided by the number of predictions",
                 [("threads", field("callers")), ("networks", field("networks")),
                  *columns_of(names)])
    network = "tiny" if settings.quick else "mnist"
    case = Case(network, NETWORKS[network], CALLERS_BATCH)
    with Pool(1, settings.timeout, machine.processors()) as pool:
        for callers in CALLERS[:2] if settings.quick else CALLERS:
            for shared in (True, False):
                row = measure(pool, settings, "predict", case, names, callers, shared)
                report.add(row | {"work": "callers", "callers": callers,
                                  "networks": "one" if shared else "one each"})
