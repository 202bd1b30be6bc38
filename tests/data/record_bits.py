"""Digests of short training runs, which are the same on every machine with fused multiply-add.

`python tests/data/record_bits.py` writes them to bits.json; do so only after a change that is
meant to change the bits. Start and data come from exact arithmetic, not from a library's normal
distribution, so that nothing but cymlp can make them differ.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

import cymlp

RECORD = Path(__file__).with_name("bits.json")

# activation of the hidden layers, task, outputs, optimizer
RUNS = [
    ("relu", "multiclass", 7, cymlp.Adam(1e-2)),
    ("tanh", "regression", 3, cymlp.SGD(1e-2, momentum=0.9, nesterov=True)),
    ("sigmoid", "binary", 1, cymlp.RMSprop(1e-2, momentum=0.5, centered=True)),
    ("silu", "multilabel", 5, cymlp.Adagrad(0.05)),
    ("leaky_relu", "multiclass", 70, cymlp.Adam(1e-2, amsgrad=True, weight_decay=0.01)),
    ("softmax", "regression", 2, cymlp.Adam(1e-2)),
    ("gelu", "multiclass", 7, cymlp.Adam(1e-2)),
    ("gelu_tanh", "regression", 3, cymlp.Adam(1e-2)),
]


def numbers(shape, seed):
    """Multiples of 2^-12 in [-1, 1)."""
    rng = np.random.Generator(np.random.Philox(seed))
    return rng.integers(-4096, 4096, shape) / 4096


def digest(activation, task, outputs, optimizer, dtype):
    """What two epochs with dropout make of a network, and what it then predicts."""
    rows = 600
    X = numbers((rows, 37), 1)
    y = numbers((rows, outputs), 2)
    if task == "multiclass":
        y = np.floor((y[:, 0] + 1) / 2 * outputs)
    elif task != "regression":
        y = y > 0
    net = cymlp.mlp(37, [91, 53], outputs, activation=activation, dropout=0.25, task=task,
                    optimizer=optimizer, dtype=dtype, rng=0)
    for seed, (name, array) in enumerate(net.parameters.items()):
        net.parameters[name] = numbers(array.shape, 3 + seed) / 4
    losses = net.fit(X, y, epochs=2, batch_size=300)["loss"]
    found = hashlib.sha256(repr(losses).encode())
    for array in [*net.parameters.values(), net.predict(X)]:
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()[:16]


def digests():
    return {f"{run[0]} {run[1]} {dtype}": digest(*run, dtype)
            for run in RUNS for dtype in ("float32", "float64")}


if __name__ == "__main__":
    RECORD.write_text(json.dumps(digests(), indent=1) + "\n")
