"""cymlp beside its peers, each by its own best way, checked to compute the same.

Run from the repository's root, with the extra `peers` installed::

    python -m benchmarks.compare --work predict train --threads 1 2 --output results

Every peer runs in a process of its own, bound to as many processors as it has threads. Rounds of
all of them follow each other in turn, so that the machine's noise hits all alike; reported are
medians, and how many times cymlp's the best peer's is. What is computed is compared with cymlp's
before it is timed. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from pathlib import Path

import numpy as np

from . import machine
from .cases import NETWORKS
from .peers import OURS, PEERS
from .report import Report
from .runner import Failure, Pool, Settings, chosen
from .works.fits import fit
from .works.imports import imports
from .works.kernels import kernels
from .works.memory import memory
from .works.scale import scale
from .works.steps import predict, random, train
from .works.zeros import zeros

# Those with workers of their own come first; the others share them.
OWN = {"import": imports, "memory": memory}
SHARED = {"predict": predict, "train": train, "fit": fit, "kernels": kernels, "scale": scale,
          "random": random, "zeros": zeros}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare",
                                     description=__doc__.splitlines()[0])
    add = parser.add_argument
    works = [*OWN, *SHARED]
    add("--work", nargs="+", choices=works, default=works, help="default: everything")
    add("--threads", nargs="+", type=int, default=[1], help="default: 1")
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    add("--peers", nargs="+", default=list(PEERS), metavar="PEER",
        help=f"of {', '.join(PEERS)}, or MODULE:CLASS; default: all")
    add("--batches", nargs="+", type=int, help="default: three, by the work")
    add("--rounds", type=int, default=11)
    add("--seconds", type=float, default=0.05, help="length of a round")
    add("--timeout", type=float, default=900, help="seconds until a worker counts as hung")
    add("--seed", type=int, default=0, help="of the random networks")
    add("--count", type=int, default=24, help="number of the random networks")
    add("--quick", action="store_true", help="tiny cases, to see that everything runs")
    add("--output", type=Path, help="folder for results.json and results.md")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.peers if name not in PEERS and ":" not in name]
    if unknown:
        parser.error(f"no peer is named {', '.join(unknown)}")
    most = len(machine.processors())
    if not all(1 <= threads <= most for threads in given.threads):
        parser.error(f"--threads: this process may use 1 to {most} processors")
    return given


def settings_of(given: argparse.Namespace) -> Settings:
    """The settings, small ones where it has to be quick."""
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: getattr(given, name) for name in names})
    if settings.quick:
        settings.rounds, settings.seconds = min(settings.rounds, 2), 0.001
        settings.networks, settings.count = ["tiny"], 3
    return settings


def facts(pool: Pool, settings: Settings) -> dict:
    """The machine and the versions, with a word on every peer that is not there."""
    peers = {}
    for name in chosen(settings):
        try:
            peers[name] = pool.facts(name)["version"]
        except Failure as error:
            peers[name] = f"absent: {error}"
    peak = pool.ask(OURS, "machine", "fma_peak", "float32")
    return {"processor": machine.processor(), "processors": len(machine.processors()),
            "level": pool.ask(OURS, "level"), "python": sys.version.split()[0],
            "numpy": np.__version__, "peers": peers, "fma_peak": peak,
            "settings": dataclasses.asdict(settings)}


def introduce(report: Report) -> None:
    """The facts, as the head of the report."""
    found = report.facts
    report.say(f"# {OURS} beside its peers\n")
    report.say(f"- {found['processor']}, {found['processors']} processors, "
               f"level {found['level']}, Python {found['python']}, NumPy {found['numpy']}")
    if found["fma_peak"]:
        report.say(f"- peak of a core: {found['fma_peak'] / 1e9:,.0f} GFLOP/s in float32")
    for name, version in found["peers"].items():
        report.say(f"- {name} {version}")


def run(settings: Settings, output: Path | None = None) -> Report:
    """Do all the work; what there is is written also when it is interrupted."""
    report = Report()
    try:
        for threads in settings.threads:
            with Pool(threads, settings.timeout) as pool:
                if not report.facts:
                    report.facts = facts(pool, settings)
                    introduce(report)
                    for name in [name for name in OWN if name in settings.work]:
                        OWN[name](settings, report)
                for name in [name for name in SHARED if name in settings.work]:
                    SHARED[name](pool, settings, report)
        report.end()
    finally:
        if output is not None:
            report.write(output)
    return report


def main() -> None:
    given = parse()
    # Ends as after Ctrl-C: with all workers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run(settings_of(given), given.output)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
