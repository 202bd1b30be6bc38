"""Time against the share of the inputs that are not zero."""

from __future__ import annotations

from ..cases import NETWORKS, Case
from ..report import field, share
from .steps import TITLES, columns_of, measure, peers_for

SHARES = (1.0, 0.5, 0.2, 0.05)
BATCHES = {"predict": (1, 8, 256), "train": (64, 256)}


def zeros(pool, settings, report) -> None:
    """Predictions and training steps of mnist's network; where peers are named, only those."""
    network = "tiny" if settings.quick else "mnist"
    for work, batches in BATCHES.items():
        names = peers_for(work, settings, "torch", "jax", "numpy", "onnxruntime-bound")
        report.table(f"Inputs with zeros: {TITLES[work].lower()}, {pool.threads} thread(s)",
                     [("not zero", field("case", "filled", show=share)), *columns_of(names)])
        for batch in batches[:1] if settings.quick else batches:
            for filled in SHARES[:2] if settings.quick else SHARES:
                case = Case(network, NETWORKS[network], batch, filled=filled)
                report.add(measure(pool, settings, work, case, names))
