"""Mean loss + reg · ΣW² of a linear classifier with one of three losses, measured against a proved optimum."""

import time

import numpy as np
from benchmark_utils import losses
from benchopt import BaseObjective

import softmargin as sm

LOSSES = {"cross_entropy": sm.CrossEntropy(), "squared_hinge": sm.SquaredHinge(), "hinge": sm.Hinge()}
REFERENCE_SECONDS = 30.0


class Objective(BaseObjective):
    """F in NumPy; the excess over a certified lower bound; the duality gap of the point itself."""

    name = "Multiclass linear classifier"
    min_benchopt_version = "1.9"
    requirements = ["pip::softmargin"]
    parameters = {
        "loss": ["cross_entropy", "squared_hinge", "hinge"],
        "reg": [1e-3, 1e-5],
        "fit_intercept": [True],
    }
    test_config = {"reg": 1e-2, "dataset": {"name": "simulated"}}

    def skip(self, X, y):
        return (True, "X must be given, got no file; set path") if X is None else (False, None)

    def set_data(self, X, y):
        self.X, self.y = X, y
        self.problem = sm.Objective(LOSSES[self.loss], X, y, self.reg, fit_intercept=self.fit_intercept)
        started = time.perf_counter()
        reference = sm.minimize(
            self.problem, tol=1e-10, max_passes=float("inf"),
            callback=lambda _: time.perf_counter() - started > REFERENCE_SECONDS,
        )  # fmt: skip
        self.lower_bound, self.reference_gap = reference.lower_bound, reference.gap

    def get_objective(self):
        return {"X": self.X, "y": self.y, "loss": self.loss, "reg": self.reg, "fit_intercept": self.fit_intercept}

    def evaluate_result(self, W, b):
        W, b = np.asarray(W, np.float64), np.asarray(b, np.float64)
        value = losses.objective(self.X, self.y, self.loss, self.reg, W, b)
        return {
            "value": value,
            "excess": (value - self.lower_bound) / self.lower_bound,
            "gap": self.problem.certificate(W, b).gap,
            "reference_gap": self.reference_gap,
        }

    def get_one_result(self):
        n_classes = int(self.y.max()) + 1
        return {"W": np.zeros((self.X.shape[1], n_classes)), "b": np.zeros(n_classes)}
