"""L-BFGS of SciPy on F in plain NumPy."""

import numpy as np
from benchmark_utils.losses import value_and_gradient
from benchmark_utils.stopping import Reached
from benchopt import BaseSolver
from scipy.optimize import minimize


class Solver(BaseSolver):
    """The baseline of the two smooth losses; points are taken after its iterations."""

    name = "SciPy-L-BFGS"
    requirements = ["pip::scipy"]
    sampling_strategy = "callback"
    stopping_criterion = Reached(patience=6)

    def skip(self, X, y, loss, reg, fit_intercept):
        return (True, "L-BFGS needs a smooth loss") if loss == "hinge" else (False, None)

    def set_objective(self, X, y, loss, reg, fit_intercept):
        self.shape = X.shape[1] + 1, int(y.max()) + 1
        self.problem = X, y, loss, reg, fit_intercept

    def run(self, callback):
        self.P = np.zeros(self.shape)

        def F(p):
            value, gradient = value_and_gradient(*self.problem, p.reshape(self.shape))
            return value, gradient.ravel()

        def after(p):
            self.P = p.reshape(self.shape).copy()
            if not callback():
                raise StopIteration

        callback()
        options = {"maxiter": 10**6, "maxfun": 10**7, "gtol": 0.0, "ftol": 0.0, "maxcor": 20}
        minimize(F, self.P.ravel(), jac=True, method="L-BFGS-B", options=options, callback=after)

    def get_result(self):
        return {"W": self.P[:-1], "b": self.P[-1]}
