"""Numbers of the page on softmax and the cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

import softmargin as sm
from softmargin.textbook import softmax_loss_naive

W = np.array([[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0.0, -0.45, -0.2, 0.03]])
X = np.array([-15.0, 22.0, -44.0, 56.0])
B = np.array([0.0, 0.2, -0.3])
LOSS = sm.CrossEntropy()


def numbers() -> dict[str, Any]:
    """Return the numbers by name."""

    def entropy(scores: list[float], y: int = 0) -> float:
        return float(LOSS.values(np.array([scores]), np.array([y]))[0])

    def at_start(n_classes: int) -> float:
        return softmax_loss_naive(np.zeros((2, n_classes)), np.ones((3, 2)), np.arange(3), 0.0)

    def by_definition(scores: list[float], y: int) -> float:
        top = max(scores)
        return float(np.log(np.exp(np.array(scores) - top).sum()) - (scores[y] - top))

    found: dict[str, Any] = {}
    rows = {"p": [1, -2, 0], "half": [0.5, -1, 0], "double": [2, -4, 0], "two": [2, 0]}
    for name, row in rows.items():
        found |= {f"{name}{j}": float(p) for j, p in enumerate(sm.softmax(np.array([row], float))[0])}
    lead = [10.0, -100.0, -100.0]
    gradient = LOSS.gradient(np.array([lead]), np.array([0]))[0]
    return found | {
        "entropy_0": entropy([1, -2, 0], 0),
        "entropy_1": entropy([1, -2, 0], 1),
        "zero_10": at_start(10),
        "zero_1000": at_start(1000),
        "example": entropy((W @ X + B).tolist(), 2),
        "example_hinge": float(sm.Hinge().values((W @ X + B)[None], np.array([2]))[0]),
        "largest": float(np.log(np.finfo(float).max)),
        "lead": entropy(lead),
        "lead_naive": by_definition(lead, 0),
        "part": float(np.exp(-110.0)),
        "epsilon": float(np.finfo(float).eps),
        "smallest": float(np.finfo(float).tiny),
        "gradient": float(gradient[0]),
        "gradient_naive": float(sm.softmax(np.array([lead]))[0, 0] - 1.0),
        "fifty": entropy([0.0, 50.0], 1),
        "fifty_naive": by_definition([0.0, 50.0], 1),
        "fifty_wrong": entropy([0.0, 50.0], 0),
    }
