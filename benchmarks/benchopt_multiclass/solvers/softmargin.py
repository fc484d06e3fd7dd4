"""softmargin: stops at a relative duality gap."""

import warnings

from benchmark_utils.stopping import Reached
from benchopt import BaseSolver

import softmargin as sm

LOSSES = {"cross_entropy": sm.CrossEntropy(), "squared_hinge": sm.SquaredHinge(), "hinge": sm.Hinge()}


class Solver(BaseSolver):
    """Its tolerance is the gap; SOFTMARGIN_THREADS sets the threads."""

    name = "softmargin"
    requirements = ["pip::softmargin"]
    sampling_strategy = "tolerance"
    stopping_criterion = Reached(patience=6)

    def set_objective(self, X, y, loss, reg, fit_intercept):
        self.arguments = LOSSES[loss], X, y, reg
        self.fit_intercept = fit_intercept

    def warm_up(self):
        self.run(1e-2)

    def get_next(self, tol):
        return min(0.3, tol / 3.0)

    def run(self, tol):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sm.errors.ConvergenceWarning)
            objective = sm.Objective(*self.arguments, fit_intercept=self.fit_intercept)
            fit = sm.minimize(objective, tol=min(tol, 0.9), max_passes=20_000)
        self.W, self.b = fit.W, fit.b

    def get_result(self):
        return {"W": self.W, "b": self.b}
