"""What SGD reaches on the pixels of CIFAR-10, against the certified optimum of the same objective, for page 8.

    python docs/learn/data/make_sgd.py FOLDER

FOLDER holds the images of CIFAR-10, one folder per class below ``train`` and ``test``. It writes ``cifar10-sgd.json``.
λ is the one that ``softmargin compare cifar10`` selects on five folds (docs/guides/choosing.md). SGD is plain NumPy:
batches of 200 rows, from zero weights, for 6 epochs (1,500 steps), once on pixels from 0 to 1 and once with the
average picture subtracted. The subtraction does not change the minimum of F: the bias is not penalised. The best rate
then gets 30 epochs, in which it decreases by 0.9 per epoch.
"""

from __future__ import annotations

import json
import sys
import time
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


def sgd(objective: sm.Objective, X: NDArray[Any], y: NDArray[Any], rate: float, epochs: int, decay: float) -> Any:
    """Yield (F, W, b) after each epoch."""
    rng = np.random.default_rng(0)
    W, b = np.zeros((X.shape[1], 10), X.dtype), np.zeros(10, X.dtype)
    for epoch in range(epochs):
        step = rate * decay**epoch
        for rows in np.array_split(rng.permutation(len(X)), -(-len(X) // BATCH)):
            x, target = X[rows], y[rows]
            G = objective.loss.gradient(x @ W + b, target).astype(X.dtype) / len(rows)
            W -= step * (x.T @ G + 2 * objective.reg * W)
            b -= step * G.sum(axis=0)
        yield objective.value(W, b), W, b


def main(folder: str) -> None:
    """Fit, run SGD and write."""
    data = sm.load_dataset(folder)
    classes = sorted(set(data.y))
    y, y_test = np.searchsorted(classes, data.y), np.searchsorted(classes, data.test.y)
    pixels, test_pixels = (np.asarray(part.X, np.float32) / np.float32(255) for part in (data, data.test))
    average = pixels.mean(axis=0, dtype=np.float64).astype(np.float32)
    runs, optima = [], []
    for loss, reg in CHOSEN:
        fit = sm.minimize(sm.Objective(loss, pixels, y, reg), tol=1e-4)
        found = {
            "loss": loss.name, "reg": reg, "value": fit.value, "lower_bound": fit.lower_bound, "gap": fit.gap,
            "accuracy": float(np.mean((pixels @ fit.W + fit.b).argmax(1) == y)),
            "test_accuracy": float(np.mean((test_pixels @ fit.W + fit.b).argmax(1) == y_test)),
            "n_passes": fit.n_passes,
        }  # fmt: skip
        optima.append(found)
        print(found, file=sys.stderr, flush=True)
    for features in ("pixels", "centered"):
        if features == "centered":
            pixels -= average
            test_pixels -= average
        for (loss, reg), optimum in zip(CHOSEN, optima, strict=True):
            objective = sm.Objective(loss, pixels, y, reg)

            def run(rate: float, epochs: int, decay: float, objective: Any = objective, best: Any = optimum) -> Any:
                begun = time.perf_counter()
                values, accuracies = [], []
                for value, W, b in sgd(objective, pixels, y, rate, epochs, decay):
                    values.append(value)
                    accuracies.append(float(np.mean((test_pixels @ W + b).argmax(1) == y_test)))
                gap = 1.0 - best["lower_bound"] / values[-1]
                seconds = time.perf_counter() - begun
                print(objective.loss.name, features, rate, epochs, f"gap {gap:.3f}, {accuracies[-1]:.4f}, {seconds:.1f} s",
                      file=sys.stderr, flush=True)  # fmt: skip
                runs.append({
                    "loss": objective.loss.name, "features": features, "rate": rate, "decay": decay, "epochs": epochs,
                    "values": values, "test_accuracies": accuracies, "gap": gap,
                })  # fmt: skip
                return gap

            gaps = {rate: run(rate, EPOCHS, 1.0) for rate in RATES[features, loss.name]}
            if features == "centered":
                run(min(gaps, key=gaps.__getitem__), MORE_EPOCHS, DECAY)
    record = {
        "command": "python docs/learn/data/make_sgd.py FOLDER", "batch": BATCH, "epochs": EPOCHS,
        "n_samples": len(y), "n_test": len(y_test), "optima": optima, "runs": runs,
    }  # fmt: skip
    (Path(__file__).parent / "cifar10-sgd.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
