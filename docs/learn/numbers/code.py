"""Numbers of page 7, The code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

import softmargin as sm
from softmargin.textbook import check, svm_loss_naive, svm_loss_vectorized

LEARN = Path(__file__).parents[1]


def last_program(page: Path) -> dict[str, Any]:
    """Return what the last Python block of a page defines."""
    space: dict[str, Any] = {"print": lambda *_: None}
    exec(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)[-1], space)
    return space


def numbers() -> dict[str, Any]:
    """Return the numbers by their keys."""
    speed = json.loads((LEARN / "data" / "textbook-speed.json").read_text("utf-8"))
    thousand = next(row for row in speed["rows"] if row["n"] == 1000)
    data = sm.load_dataset("digits")
    X, y = data.X.astype(np.float64), data.y
    n, d = X.shape
    few = 200
    W = 0.1 * np.random.default_rng(0).normal(size=(d, 10))
    naive, vectorized = (f(W, X[:few], y[:few], 1e-3) for f in (svm_loss_naive, svm_loss_vectorized))
    reg, text_reg = 1e-2, 2e-2

    def fit(reg: float) -> sm.Fit:
        return sm.minimize(sm.Objective(sm.CrossEntropy(), X, y, reg), tol=1e-6)

    def accuracy(reg: float) -> float:
        found = fit(reg)
        return float(np.mean((data.test.X @ found.W + found.b).argmax(1) == data.test.y))

    half = fit(text_reg / 2)
    loss = float(np.mean(sm.CrossEntropy().values(X @ half.W + half.b, y)))
    report = check(last_program(LEARN / "07-code.md")["softmax_loss"], "cross_entropy")
    return {
        "naive": naive,
        "difference": abs(naive - vectorized),
        "n_few": few,
        "n_digits": n,
        "n_features": d,
        "ratio": thousand["naive"] / thousand["vectorized"],
        "machine": speed["machine"],
        "factor": n / d,
        "reg": reg,
        "meant_reg": reg * d / n,
        "meant_accuracy": accuracy(reg * d / n),
        "right_accuracy": accuracy(reg),
        "text_reg": text_reg,
        "half_reg": text_reg / 2,
        "half_value": half.value,
        "text_value": loss + 0.5 * text_reg * float(np.sum(half.W**2)),
        "verdict": str(report).splitlines()[0],
    }
