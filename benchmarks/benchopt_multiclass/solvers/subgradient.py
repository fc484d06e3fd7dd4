"""Averaged subgradient steps on the whole data, in NumPy."""

import numpy as np
from benchmark_utils.losses import value_and_gradient
from benchmark_utils.stopping import Reached
from benchopt import BaseSolver


class Solver(BaseSolver):
    """Steps 1/(λ(t + t0)) as in Pegasos, with the average that weights the point t by t."""

    name = "subgradient"
    requirements = []
    sampling_strategy = "callback"
    stopping_criterion = Reached(patience=30)

    def skip(self, X, y, loss, reg, fit_intercept):
        return (False, None) if loss == "hinge" else (True, "the smooth losses have L-BFGS as their baseline")

    def set_objective(self, X, y, loss, reg, fit_intercept):
        self.shape = X.shape[1] + 1, int(y.max()) + 1
        self.problem, self.reg = (X, y, loss, reg, fit_intercept), reg

    def run(self, callback):
        P, self.P, t = np.zeros(self.shape), np.zeros(self.shape), 0
        while callback():
            t += 1
            P = P - value_and_gradient(*self.problem, P)[1] / (self.reg * (t + 1.0 / self.reg))
            self.P += (P - self.P) * 2.0 / (t + 1)

    def get_result(self):
        return {"W": self.P[:-1], "b": self.P[-1]}
