"""Numbers of the page on the multiclass SVM loss."""

from __future__ import annotations

import numpy as np

import softmargin as sm
from softmargin.textbook import svm_loss_naive

SCORES = np.array([[13.0, -7.0, 11.0]])
PLANE_W = np.array([[2.06, 0.44, 2.27], [1.48, -1.82, -2.04]])
PLANE_B = np.array([-0.42, 0.52, -0.1])
PLANE_X = np.array(
    [[0.5, 0.4], [0.8, 0.3], [0.3, 0.8], [-0.4, 0.3], [-0.3, 0.7],
     [-0.7, 0.2], [0.7, -0.4], [0.5, -0.6], [-0.4, -0.5]]
)  # fmt: skip
PLANE_Y = np.repeat([0, 1, 2], 3)


def numbers() -> dict[str, float]:
    """Return the numbers by name."""

    def hinge(y: int, delta: float = 10.0) -> float:
        return float(sm.Hinge(delta).values(SCORES, np.array([y]))[0])

    def at_start(n_classes: int) -> float:
        return svm_loss_naive(np.zeros((2, n_classes)), np.ones((3, 2)), np.arange(3), 0.0)

    total = sm.Objective(sm.Hinge(), PLANE_X, PLANE_Y, reg=0.1).value(PLANE_W, PLANE_B)
    data = sm.Objective(sm.Hinge(), PLANE_X, PLANE_Y, reg=0.0).value(PLANE_W, PLANE_B)
    return {
        "example": hinge(0),
        "example_squared": float(sm.SquaredHinge(10.0).values(SCORES, np.array([0]))[0]),
        "example_1": hinge(0, 1.0),
        "example_2": hinge(0, 2.0),
        "class_2": hinge(2),
        "class_2_squared": float(sm.SquaredHinge(10.0).values(SCORES, np.array([2]))[0]),
        "class_1": hinge(1),
        "with_target": hinge(0) + 10.0,
        "zero_10": at_start(10),
        "zero_1000": at_start(1000),
        "plane_data": data,
        "plane_penalty": total - data,
        "plane": total,
    }
