"""Training in one place, answering in another: one row at a time, without any allocation.

569 real breast tumours (Street, Wolberg and Mangasarian, 1993), as scikit-learn ships them.

    python -m pip install cymlp scikit-learn
    python examples/save_and_serve.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import cymlp

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
mean, deviation = X_train.mean(axis=0), X_train.std(axis=0)
X_train, X_test = (((part - mean) / deviation).astype("float32") for part in (X_train, X_test))


def train(path):
    net = cymlp.mlp(30, [32], 1, activation="relu", dropout=0.2, task="binary", rng=0)
    net.fit(X_train, y_train, epochs=40, batch_size=32)
    net.save(path)
    print(net.evaluate(X_test, y_test))


def serve(path):
    net = cymlp.load(path)  # runs no code of the file, and checks all of it
    answer = np.empty((1, 1), dtype="float32")
    right = 0
    begin = time.perf_counter()
    for row, benign in zip(X_test, y_test, strict=True):
        net.predict(row[np.newaxis], out=answer)
        right += (answer[0, 0] > 0.5) == benign
    each = (time.perf_counter() - begin) / len(X_test)
    print(f"{right} of {len(X_test)} right, {each * 1e6:.1f} microseconds a row, loop included")


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "tumours.safetensors"
    train(path)
    print(f"{path.stat().st_size} bytes on disk")
    serve(path)
