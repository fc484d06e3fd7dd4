"""LIBLINEAR through scikit-learn; with two classes and no bias its objective is ours."""

import warnings

import numpy as np
from benchmark_utils.losses import two_columns
from benchmark_utils.stopping import Reached
from benchopt import BaseSolver
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC


class Solver(BaseSolver):
    """Trust-region Newton for cross-entropy, dual coordinate descent for both hinges."""

    name = "LIBLINEAR"
    requirements = ["pip::scikit-learn"]
    sampling_strategy = "tolerance"
    stopping_criterion = Reached(patience=6)

    def skip(self, X, y, loss, reg, fit_intercept):
        if y.max() > 1:
            return True, "LIBLINEAR minimizes one-vs-rest or Crammer-Singer losses for more than two classes"
        return (True, "LIBLINEAR penalizes the bias") if fit_intercept else (False, None)

    def set_objective(self, X, y, loss, reg, fit_intercept):
        self.X, self.y = X, y
        common = {"C": 1.0 / (X.shape[0] * reg), "fit_intercept": False, "max_iter": 10**7, "random_state": 0}
        if loss == "cross_entropy":
            self.model = LogisticRegression(solver="liblinear", **common)
        else:
            self.model = LinearSVC(loss=loss, dual=True, **common)

    def get_next(self, tol):
        return min(1.0, tol / 5.0)

    def run(self, tol):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.set_params(tol=min(tol, 10.0)).fit(self.X, self.y)

    def get_result(self):
        W, b = two_columns(self.model.coef_)
        return {"W": W, "b": np.zeros_like(b)}
