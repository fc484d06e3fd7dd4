"""cyanure: stops at a relative duality gap; with an intercept its bound can exceed the optimum."""

import os

import numpy as np
from benchmark_utils.losses import two_columns
from benchmark_utils.stopping import Reached
from benchopt import BaseSolver
from cyanure.estimators import Classifier


class Solver(BaseSolver):
    """Its default method ("auto"), in float64; OMP_NUM_THREADS sets the threads."""

    name = "cyanure"
    requirements = ["pip::cyanure"]
    sampling_strategy = "tolerance"
    stopping_criterion = Reached(patience=6)

    def skip(self, X, y, loss, reg, fit_intercept):
        if loss == "hinge":
            return True, "cyanure has no hinge loss"
        if loss == "squared_hinge" and y.max() > 1:
            return True, "cyanure minimizes the squared hinge one-vs-rest"
        return False, None

    def set_objective(self, X, y, loss, reg, fit_intercept):
        two, squared = y.max() == 1, loss == "squared_hinge"  # its squared hinge has a factor ½
        self.X, self.y = X, y
        self.model = Classifier(
            loss="sqhinge" if squared else "logistic" if two else "multiclass-logistic", penalty="l2",
            lambda_1=0.5 * reg if squared else reg if two else 2.0 * reg, fit_intercept=fit_intercept,
            max_iter=10**5, verbose=False, n_threads=int(os.environ.get("OMP_NUM_THREADS", -1)),
        )  # fmt: skip

    def get_next(self, tol):
        return min(0.3, tol / 5.0)

    def run(self, tol):
        self.model.set_params(tol=min(tol, 0.9)).fit(self.X, self.y)

    def get_result(self):
        coef = self.model.coef_
        b = np.ravel(self.model.intercept_) if self.model.fit_intercept else np.zeros(1)
        W, b = two_columns(coef, b) if self.y.max() == 1 else (coef, np.zeros(coef.shape[1]) + b)
        return {"W": W, "b": b}
