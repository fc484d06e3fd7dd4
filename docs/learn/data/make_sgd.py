"""What SGD reaches on the pixels of CIFAR-10, against the certified optimum of the same objective, for page 8.

    python docs/learn/data/make_sgd.py FOLDER

FOLDER holds the images of CIFAR-10, one folder per class below ``train`` and ``test``. The result is written to
``cifar10-sgd.json``. λ is the one that ``softmargin compare cifar10`` selects on five folds
(docs/guides/choosing.md). SGD is plain NumPy: batches of 200 rows, from zero weights, for 6 epochs (1,500 steps),
once on pixels from 0 to 1 and once with the average picture subtracted. The subtraction does not change the
minimum of F: the bias is not penalised. The best rate then gets 30 epochs, in which it decreases by 0.9 per epoch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import softmargin as sm

CHOSEN = ((sm.Hinge(), 0.0177828), (sm.CrossEntropy(), 0.00177828))
RATES = {
    ("pixels", "hinge"): (3e-4, 1e-3, 3e-3, 1e-2),
    ("pixels", "cross_entropy"): (1e-3, 3e-3, 1e-2, 3e-2),
    ("centered", "hinge"): (1e-3, 3e-3, 1e-2, 3e-2),
    ("centered", "cross_entropy"): (3e-3, 1e-2, 3e-2, 1e-1),
}
BATCH, EPOCHS, MORE_EPOCHS, DECAY = 200, 6, 30, 0.9
Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def sgd(
    objective: sm.Objective, training: Rows, test: Rows, features: str, rate: float, epochs: int, decay: float
) -> dict[str, Any]:
    """Run SGD and return F and the test accuracy after each epoch."""
    X, y = training
    rng = np.random.default_rng(0)
    W, b = np.zeros((X.shape[1], 10), X.dtype), np.zeros(10, X.dtype)
    values, accuracies = [], []
    for epoch in range(epochs):
        step = rate * decay**epoch
        for rows in np.array_split(rng.permutation(len(X)), -(-len(X) // BATCH)):
            x, target = X[rows], y[rows]
            G = objective.loss.gradient(x @ W + b, target).astype(X.dtype) / len(rows)
            W -= step * (x.T @ G + 2 * objective.reg * W)
            b -= step * G.sum(axis=0)
        values.append(objective.value(W, b))
        accuracies.append(accuracy(W, b, test))
    print(objective.loss.name, features, rate, epochs, values[-1], accuracies[-1], file=sys.stderr, flush=True)
    return {
        "loss": objective.loss.name, "features": features, "rate": rate, "decay": decay, "epochs": epochs,
        "values": values, "test_accuracies": accuracies,
    }  # fmt: skip


def accuracy(W: NDArray[Any], b: NDArray[Any], rows: Rows) -> float:
    """Return the share of rows whose class has the largest score."""
    return float(np.mean((rows[0] @ W + b).argmax(1) == rows[1]))


def optimum(objective: sm.Objective, training: Rows, test: Rows) -> dict[str, Any]:
    """Return the certified optimum."""
    fit = sm.minimize(objective, tol=1e-4)
    print(objective.loss.name, fit, file=sys.stderr, flush=True)
    return {
        "loss": objective.loss.name, "reg": objective.reg, "value": fit.value, "lower_bound": fit.lower_bound,
        "gap": fit.gap, "n_passes": fit.n_passes,
        "accuracy": accuracy(fit.W, fit.b, training), "test_accuracy": accuracy(fit.W, fit.b, test),
    }  # fmt: skip


def main(folder: str) -> None:
    """Fit, run SGD and write."""
    data = sm.load_dataset(folder)
    classes = sorted(set(data.y))
    y, y_test = np.searchsorted(classes, data.y), np.searchsorted(classes, data.test.y)
    pixels, test_pixels = (np.asarray(part.X, np.float32) / np.float32(255) for part in (data, data.test))
    average = pixels.mean(axis=0, dtype=np.float64).astype(np.float32)
    training, test = (pixels, y), (test_pixels, y_test)
    optima = [optimum(sm.Objective(loss, pixels, y, reg), training, test) for loss, reg in CHOSEN]
    runs = []
    for features in ("pixels", "centered"):
        if features == "centered":
            pixels -= average
            test_pixels -= average
        for (loss, reg), best in zip(CHOSEN, optima, strict=True):
            objective = sm.Objective(loss, pixels, y, reg)
            rates = RATES[features, loss.name]
            own = [sgd(objective, training, test, features, rate, EPOCHS, 1.0) for rate in rates]
            if features == "centered":
                rate = min(own, key=lambda run: run["values"][-1])["rate"]
                own.append(sgd(objective, training, test, features, rate, MORE_EPOCHS, DECAY))
            runs += [run | {"gap": 1.0 - best["lower_bound"] / run["values"][-1]} for run in own]
    record = {
        "command": "python docs/learn/data/make_sgd.py FOLDER", "batch": BATCH, "epochs": EPOCHS,
        "n_samples": len(y), "n_test": len(y_test), "optima": optima, "runs": runs,
    }  # fmt: skip
    (Path(__file__).parent / "cifar10-sgd.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
