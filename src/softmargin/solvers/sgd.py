"""Plain mini-batch stochastic gradient descent: the teaching baseline, with the same honest certificate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmargin.errors import ParameterError
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Callback, Fit, Recorder, check_settings
from softmargin.validation import check_count, check_number

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD:
    """Mini-batch SGD with a step of ``learning_rate / (1 + epoch)``, for any loss.

    It shows what a certificate says about the usual way of training. Samples are drawn anew in every
    epoch, by weight 1 each and their own weight in the gradient.

    Parameters
    ----------
    learning_rate : float
        Step at the first epoch, in units of W per unit of gradient.
    batch_size : int
        Samples a step.
    epochs : int
        Readings of X.
    seed : int
        Of the order of the samples.
    tol : float
        Relative duality gap at which the fit is called converged; looked at once, at the end.
    """

    learning_rate: float = 0.3
    batch_size: int = 64
    epochs: int = 20
    seed: int = 0
    tol: float = 1e-4

    def minimize(self, objective: Objective, W0: Floats, b0: Floats, callback: Callback | None = None) -> Fit:
        """Take ``epochs`` walks over the samples, then certify the point.

        Parameters
        ----------
        objective : Objective
        W0 : ndarray of shape (D, C)
        b0 : ndarray of shape (C,)
            Where to start.
        callback : callable, optional
            Called with a `Step` after each epoch; a true return value stops.
        """
        check_settings(check_number("tol", self.tol), check_count("epochs", self.epochs))
        check_count("batch_size", self.batch_size)
        check_count("seed", self.seed, 0)
        if not 0.0 < check_number("learning_rate", self.learning_rate) < np.inf:
            raise ParameterError(f"learning_rate must be positive and finite, but it is {self.learning_rate!r}.")
        record = Recorder(objective, self.tol, callback)
        rng = np.random.default_rng(self.seed)
        W, b = W0.copy(), b0.copy()
        for epoch in range(self.epochs):
            step = self.learning_rate / (1.0 + epoch)
            order = rng.permutation(objective.active_rows)
            for start in range(0, len(order), self.batch_size):
                _, dW, db = objective.batch_gradient(W, b, order[start : start + self.batch_size])
                W -= step * dW
                b -= step * db
            record.step(objective.value(W, b), np.inf)
            if record.stopped:
                break
        record.certify(W, b)
        return record.finish(f"{self.epochs} epochs of SGD are done.")
