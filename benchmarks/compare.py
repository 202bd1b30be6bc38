"""cymlp beside PyTorch: prediction and training steps of a few networks.

Run from the repository's root, with the extra `peers` installed::

    python -m benchmarks.compare --threads 1

Both run in this process with the same number of threads, the same weights and the same rows;
what they compute is compared before it is timed. Rounds of the two follow each other in turn, so
that the machine's noise hits both, and the medians are reported.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import numpy as np
import torch

import cymlp

NETWORKS = {
    "tiny": [16, 64, 64, 4],
    "small": [64, 128, 64, 10],
    "mnist": [784, 256, 128, 10],
    "large": [1024, 4096, 4096, 1000],
}
ROUNDS = 11
ROUND_SECONDS = 0.05
PAUSE_SECONDS = 0.02    # until the other's threads have stopped spinning


def make_pair(widths):
    """The same network twice: ours, and PyTorch's with its fused Adam."""
    ours = cymlp.mlp(widths[0], widths[1:-1], widths[-1], task="multiclass", rng=0)
    modules = []
    for inputs, outputs in zip(widths, widths[1:]):
        modules += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    theirs = torch.nn.Sequential(*modules[:-1])
    parameters = iter(ours.parameters.values())
    with torch.no_grad():
        for linear in theirs[::2]:
            linear.weight.copy_(torch.from_numpy(next(parameters).T.copy()))
            linear.bias.copy_(torch.from_numpy(next(parameters).copy()))
    return ours, theirs, torch.optim.Adam(theirs.parameters(), 1e-3, fused=True)


def prediction(ours, theirs, _, rows):
    """Callables that predict the same rows, ours into an array that is there already."""
    given = torch.from_numpy(rows)
    out = np.empty((rows.shape[0], ours.out_features), np.float32)

    def run_theirs():
        with torch.inference_mode():
            return theirs(given).softmax(1)

    np.testing.assert_allclose(ours.predict(rows), run_theirs().numpy(), rtol=1e-3, atol=1e-5)
    return lambda: ours.predict(rows, out=out), run_theirs


def training(ours, theirs, optimizer, rows):
    """Callables that do one training step on the same batch."""
    labels = np.random.default_rng(1).integers(0, ours.out_features, rows.shape[0])
    given, classes = torch.from_numpy(rows), torch.from_numpy(labels)

    def run_theirs():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(given), classes)
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(3):
        np.testing.assert_allclose(ours.train_step(rows, labels), run_theirs(), rtol=1e-3)
    return lambda: ours.train_step(rows, labels), run_theirs


def seconds_of(run, repetitions):
    time.sleep(PAUSE_SECONDS)
    run()
    begun = time.perf_counter()
    for _ in range(repetitions):
        run()
    return (time.perf_counter() - begun) / repetitions


def compare(*runs):
    """Median seconds of each callable, measured in turn."""
    repetitions = [max(1, int(ROUND_SECONDS / seconds_of(run, 2))) for run in runs]
    rounds = [[seconds_of(run, n) for run, n in zip(runs, repetitions)] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds)]


def processor():
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    chosen = parser.parse_args()
    cymlp.set_num_threads(chosen.threads)
    torch.set_num_threads(chosen.threads)
    from cymlp import kernels

    print(f"{processor()}, {chosen.threads} thread(s), level {kernels.level}; "
          f"cymlp {cymlp.__version__}, PyTorch {torch.__version__}, NumPy {np.__version__}, "
          f"Python {platform.python_version()}\n")
    print("| network | work | batch | cymlp, µs | PyTorch, µs | PyTorch ÷ cymlp |")
    print("|---|---|---:|---:|---:|---:|")
    work = {"predict": (prediction, (1, 32, 1024)), "training step": (training, (32, 256, 2048))}
    for name in chosen.networks:
        for label, (prepare, batches) in work.items():
            for batch in batches:
                rows = np.random.default_rng(0).standard_normal(
                    (batch, NETWORKS[name][0])).astype(np.float32)
                ours, theirs = compare(*prepare(*make_pair(NETWORKS[name]), rows))
                print(f"| {name} | {label} | {batch} | {ours * 1e6:,.1f} | {theirs * 1e6:,.1f} "
                      f"| {theirs / ours:.1f} |", flush=True)


if __name__ == "__main__":
    main()
