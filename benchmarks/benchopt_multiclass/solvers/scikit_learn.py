"""scikit-learn's LogisticRegression."""

import warnings

import numpy as np
from benchmark_utils.losses import two_columns
from benchmark_utils.stopping import Reached
from benchopt import BaseSolver
from sklearn.linear_model import LogisticRegression


class Solver(BaseSolver):
    """The tolerance is scikit-learn's: of a gradient, or of a step."""

    name = "scikit-learn"
    requirements = ["pip::scikit-learn"]
    parameters = {"solver": ["lbfgs", "newton-cg", "newton-cholesky", "saga"]}
    sampling_strategy = "tolerance"
    stopping_criterion = Reached(patience=6)

    def skip(self, X, y, loss, reg, fit_intercept):
        if loss != "cross_entropy":
            return True, "scikit-learn minimizes the joint loss of all classes for cross-entropy only"
        if self.solver == "newton-cholesky" and X.shape[1] * (y.max() + 1) > 5000:
            return True, "the Hessian of newton-cholesky would take gigabytes"
        return False, None

    def set_objective(self, X, y, loss, reg, fit_intercept):
        self.X, self.y = X, y
        self.model = LogisticRegression(
            C=1.0 / ((1.0 if y.max() == 1 else 2.0) * X.shape[0] * reg), solver=self.solver,
            fit_intercept=fit_intercept, max_iter=10**6, random_state=0,
        )  # fmt: skip

    def get_next(self, tol):
        return min(0.1, tol / 5.0)

    def run(self, tol):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.set_params(tol=min(tol, 1.0)).fit(self.X, self.y)

    def get_result(self):
        coef, intercept = self.model.coef_, np.ravel(self.model.intercept_)
        W, b = two_columns(coef, intercept) if len(coef) == 1 else (coef.T, intercept)
        return {"W": W, "b": np.zeros(W.shape[1]) + b}
