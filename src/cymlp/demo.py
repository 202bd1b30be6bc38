"""The demonstration: learning to read 1,797 real handwritten digits.

The digits are those of scikit-learn: 8x8 pixels, collected by Alpaydin and Kaynak (UCI, 1998).
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

import cymlp

__all__ = ["run"]

_HIDDEN = (256, 128)
_BATCH = 32
_RED, _GREY = "#c81e1e", "#404040"


class MissingPackage(Exception):
    """A package that the demonstration cannot do without."""


def run(
    *, epochs: int = 60, seed: int = 0, dtype: str = "float32", output: str = "cymlp-demo"
) -> float:
    """Trains, prints what came out, saves pictures; returns the accuracy on the test digits.

    Parameters
    ----------
    epochs : int
        Passes over the training digits.
    seed : int
        For the split, the start and the order of the batches.
    dtype : {"float32", "float64"}
        Precision of the network.
    output : str
        Folder for the pictures; made if needed.

    Raises
    ------
    MissingPackage
        Where scikit-learn is not installed.
    """
    pixels, digits, train, test = _split(seed)
    pixels = pixels.astype(dtype)
    net = cymlp.mlp(
        pixels.shape[1], list(_HIDDEN), 10, activation="relu", dropout=0.3, task="multiclass",
        optimizer=cymlp.Adam(1e-3), dtype=dtype, rng=seed,
    )
    shape = "-".join(str(size) for size in (pixels.shape[1], *_HIDDEN, 10))
    count = cymlp.get_num_threads()
    print(f"{len(train)} digits to learn from, {len(test)} others to be tested on; network "
          f"{shape}, {dtype}, {count} thread{'s' if count != 1 else ''}", flush=True)

    # The test digits give the second curve of the picture; nothing is chosen by them.
    history = net.fit(
        pixels[train], digits[train], epochs=epochs, batch_size=_BATCH,
        validation_data=(pixels[test], digits[test]), progress=True,
    )
    probabilities = net.predict(pixels[test])
    accuracy = _report(probabilities.argmax(axis=1), digits[test])
    seconds = sum(history["time"])
    steps = epochs * -(-len(train) // _BATCH)
    print(f"\n{steps} training steps of up to {_BATCH} digits in {seconds:.2f} s: "
          f"{steps / seconds:,.0f} steps per second")
    _save_pictures(history, pixels[test], digits[test], probabilities, output)
    return accuracy


def _split(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels from 0 to 1, digits, and the rows to train and to test on: every digit's share is
    the same in both."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
        selection = importlib.import_module("sklearn.model_selection")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sklearn":
            raise
        raise MissingPackage(
            "the demo needs scikit-learn, which has the digits (and matplotlib for pictures):\n"
            "    python -m pip install scikit-learn matplotlib"
        ) from None
    pixels, digits = datasets.load_digits(return_X_y=True)
    train, test = selection.train_test_split(
        np.arange(len(digits)), test_size=0.25, random_state=seed, stratify=digits
    )
    return pixels / 16.0, digits, train, test


def _report(predicted: np.ndarray, digits: np.ndarray) -> float:
    wrong = int((predicted != digits).sum())
    accuracy = 1.0 - wrong / len(digits)
    print(f"\ntest accuracy {accuracy:.2%} ({wrong} of {len(digits)} wrong)\n")
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (digits, predicted), 1)
    print("confusion: a row for each true digit, a column for each predicted one")
    print("     " + "".join(f"{digit:4d}" for digit in range(10)))
    for digit, row in enumerate(confusion):
        print(f"{digit:4d} " + "".join(f"{count or '.':>4}" for count in row))
    return accuracy


def _save_pictures(
    history: Any, pixels: np.ndarray, digits: np.ndarray, probabilities: np.ndarray, output: str
) -> None:
    try:
        # Figures without pyplot need no display and leave no global state.
        figure = importlib.import_module("matplotlib.figure").Figure
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        print("no pictures without matplotlib:\n    python -m pip install matplotlib")
        return
    os.makedirs(output, exist_ok=True)
    curve, grid = (os.path.join(output, name) for name in ("loss.png", "digits.png"))
    _draw_curve(figure, history).savefig(curve, dpi=120)
    _draw_digits(figure, pixels, digits, probabilities).savefig(grid, dpi=120)
    print(f"pictures: {curve}, {grid}")


def _draw_curve(figure: Any, history: Any) -> Any:
    picture = figure(figsize=(6.4, 4.0), layout="constrained")
    axes = picture.subplots()
    epochs = range(1, history.epochs + 1)
    marker = "o" if history.epochs == 1 else None  # a line of one point would be invisible
    axes.plot(epochs, history["loss"], marker=marker, label="training digits (with dropout)")
    axes.plot(epochs, history["val_loss"], marker=marker, label="test digits")
    axes.set(xlabel="epoch", ylabel="cross-entropy", yscale="log", title="Loss")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return picture


def _draw_digits(
    figure: Any, pixels: np.ndarray, digits: np.ndarray, probabilities: np.ndarray
) -> Any:
    predicted = probabilities.argmax(axis=1)
    right = predicted == digits
    rows, columns = 5, 8
    # Stable: the wrong ones first, each kind in the order of the test set.
    order = np.argsort(right, kind="stable")[: rows * columns]
    picture = figure(figsize=(columns * 1.2, rows * 1.5), layout="constrained")
    picture.suptitle(f"Test digits; the wrong ones ({(~right).sum()} of {len(digits)}) in red")
    for axes, index in zip(picture.subplots(rows, columns).flat, order, strict=True):
        axes.imshow(pixels[index].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        text = f"{predicted[index]}  ({probabilities[index].max():.0%})"
        if not right[index]:
            text += f"\nis {digits[index]}"
        color = _GREY if right[index] else _RED
        axes.set_title(text, fontsize=9, color=color)
        axes.spines[:].set(color=color, linewidth=0.8 if right[index] else 2.0)
    return picture
