"""Regression on real data: how far diabetes has progressed a year after ten measurements.

442 patients (Efron et al., "Least angle regression", 2004), as scikit-learn ships them. So few
rows make one split a matter of luck: the figures are means over five folds. A linear model is
the yardstick, and on these data hardly anything beats it.

    python -m pip install cymlp scikit-learn
    python examples/diabetes_regression.py
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

import cymlp

X, y = load_diabetes(return_X_y=True, scaled=False)


def errors(fold, train, test):
    """Mean absolute errors on the fold of the network and of the linear model."""
    mean, deviation = X[train].mean(0), X[train].std(0)
    Z = (X - mean) / deviation
    centre, scale = y[train].mean(), y[train].std()
    t = (y - centre) / scale

    net = cymlp.mlp(10, [64], 1, activation="tanh", dropout=0.3, task="regression",
                    optimizer=cymlp.Adam(3e-3, weight_decay=1e-2), rng=fold)
    history = net.fit(Z[train], t[train], epochs=300, batch_size=32, validation_split=0.2,
                      callbacks=[cymlp.EarlyStopping(patience=20)])
    predicted = net.predict(Z[test])[:, 0] * scale + centre
    line = LinearRegression().fit(Z[train], y[train]).predict(Z[test])
    print(f"fold {fold}: {history.epochs:3d} epochs, {sum(history['time']):.2f} s")
    return np.abs(predicted - y[test]).mean(), np.abs(line - y[test]).mean()


folds = KFold(5, shuffle=True, random_state=0).split(X)
network, line = np.mean([errors(i, *rows) for i, rows in enumerate(folds)], axis=0)
print(f"mean absolute error: network {network:.1f}, linear model {line:.1f}, "
      f"always the mean {np.abs(y - y.mean()).mean():.1f}")
