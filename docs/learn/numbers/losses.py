"""Numbers of the page that compares the SVM with softmax."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import softmargin as sm
from softmargin.statistics import mcnemar

ROWS = [[10.0, -2.0, 3.0], [10.0, 9.0, 9.0], [10.0, -100.0, -100.0]]


def counted(prefix: str, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of two classifiers and the p value of McNemar's test."""
    first, second = stored["only_hinge"], stored["only_softmax"]
    return {
        f"{prefix}_n": stored["n"],
        f"{prefix}_only_hinge": first,
        f"{prefix}_only_softmax": second,
        f"{prefix}_hinge": (stored["both"] + first) / stored["n"],
        f"{prefix}_softmax": (stored["both"] + second) / stored["n"],
        f"{prefix}_p": mcnemar(first, second),
    }


def numbers() -> dict[str, Any]:
    """Return the numbers by name."""
    data = Path(__file__).parents[1] / "data"
    digits = json.loads((data / "digits.json").read_text("utf-8"))
    pictures = json.loads((data / "disagreement.json").read_text("utf-8"))
    y = np.zeros(3, int)
    hinge, entropy = sm.Hinge().values(np.array(ROWS), y), sm.CrossEntropy().values(np.array(ROWS), y)
    found: dict[str, Any] = {f"hinge{i}": float(v) for i, v in enumerate(hinge)}
    found |= {f"entropy{i}": float(v) for i, v in enumerate(entropy)}
    found |= counted("digits", digits) | counted("cifar", pictures)
    second = np.array([ROWS[1]])
    return found | {
        "digits_differ": len(digits["disagree"]),
        "cifar_differ": pictures["differ"] / pictures["n"],
        "wide": float(sm.Hinge(2.0).values(second, y[:1])[0]),
        "wide_squared": float(sm.SquaredHinge(2.0).values(second, y[:1])[0]),
        "push": float(sm.CrossEntropy().gradient(np.array([[10.0, 5.0, -2.0]]), y[:1])[0, 1]),
        "needed": next(k for k in range(1, 100) if mcnemar(1, k) < 0.05),
        "lead": math.log(2 / math.expm1(0.01)),
    }
