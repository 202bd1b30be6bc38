"""What PyTorch makes of the cases of test_losses.py: the losses of twenty steps in float64.

`test_losses.py` compares with PyTorch itself where it is installed, and always with `losses.npz`,
which this script writes:

    python tests/data/record_losses.py
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from test_losses import CASES, IDS, ROWS, case_data, case_network, torch_curve  # noqa: E402


def record(path):
    """Write the file."""
    arrays = {}
    for name, (loss, function, targets) in zip(IDS, CASES, strict=True):
        X, y, weight = case_data(loss, targets)
        for with_weights in (False, True):
            losses, _, _ = torch_curve(case_network(loss), function, X, y,
                                       weight if with_weights else np.ones(ROWS), "float64")
            arrays[f"{name}/{with_weights}"] = losses
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    record(HERE / "losses.npz")
