"""Numbers of page 3, Regularization."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import softmargin as sm

DATA = Path(__file__).parents[1] / "data"


def numbers() -> dict[str, Any]:
    """Return the numbers by their keys."""
    digits, photos = (
        json.loads((DATA / f"{name}-optima.json").read_text("utf-8")) for name in ("digits", "cifar10")
    )
    path = digits["paths"]["cross_entropy"]
    best, last = max(path, key=lambda notch: notch["test_accuracy"]), path[-1]
    x, half = np.ones(4), np.array([0.5, 0.5, 0.0, 0.0])
    data = sm.load_dataset("digits")
    X, y = data.X.astype(np.float64), data.y
    small, copied, tol = 1e-4, 1e-2, 1e-8

    def fit(X: Any, y: Any, reg: float, tol: float = 1e-6) -> sm.Fit:
        return sm.minimize(sm.Objective(sm.CrossEntropy(), X, y, reg), tol=tol)

    def accuracy(found: sm.Fit) -> float:
        return float(np.mean((data.test.X @ found.W + found.b).argmax(1) == data.test.y))

    once, twice = fit(X, y, copied, tol), fit(np.repeat(X, 2, axis=0), np.repeat(y, 2), copied, tol)
    return {
        "one_pixel": float(np.sum(np.array([1.0, 0, 0, 0]) ** 2)),
        "all_pixels": float(np.sum(np.full(4, 0.25) ** 2)),
        "half_score": float(half @ x),
        "half_penalty": float(half @ half),
        "n_digits": digits["n_samples"],
        "n_photos": photos["n_samples"],
        "digits_gap": max(notch["gap"] for each in digits["paths"].values() for notch in each),
        "photos_gap": max(notch["gap"] for each in photos["paths"].values() for notch in each),
        "zero_cross_entropy": float(sm.CrossEntropy().values(np.zeros((1, 10)), [0])[0]),
        "best_reg": best["reg"],
        "best_accuracy": best["test_accuracy"],
        "least_test_loss": min(notch["test_loss"] for notch in path),
        "last_training": last["accuracy"],
        "last_test": last["test_accuracy"],
        "last_test_loss": last["test_loss"],
        "small_reg": small,
        "strong_reg": small * len(y),
        "small_test": accuracy(fit(X, y, small)),
        "strong_test": accuracy(fit(X, y, small * len(y))),
        "copied_reg": copied,
        "copied_tol": tol,
        "once_value": once.value,
        "twice_value": twice.value,
        "twice_difference": float(np.abs(once.W - twice.W).max()),
        "largest_weight": float(np.abs(once.W).max()),
    }
