"""Plain mini-batch stochastic gradient descent: the teaching baseline, with the same honest certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from softmargin.errors import ParameterError
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Recorder, Solver
from softmargin.validation import check_count, check_number

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(Solver):
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

    keeps_checkpoints: ClassVar[bool] = False
    max_passes: ClassVar[float] = np.inf  # type: ignore[misc]

    learning_rate: float = 0.3
    batch_size: int = 64
    epochs: int = 20
    seed: int = 0
    tol: float = 1e-4

    def solve(self, objective: Objective, P: Floats, record: Recorder) -> str:
        """Take ``epochs`` walks over the samples.

        Parameters
        ----------
        objective : Objective
        P : ndarray of shape (D + 1, C)
            Where to start: W, and b as its last row.
        record : Recorder
        """
        check_count("epochs", self.epochs)
        check_count("batch_size", self.batch_size)
        check_count("seed", self.seed, 0)
        if not 0.0 < check_number("learning_rate", self.learning_rate) < np.inf:
            raise ParameterError(f"learning_rate must be positive and finite, but it is {self.learning_rate!r}.")
        rng = np.random.default_rng(self.seed)
        W, b = P[:-1].copy(), P[-1].copy()
        for epoch in range(self.epochs):
            step = self.learning_rate / (1.0 + epoch)
            order = rng.permutation(objective.active_rows)
            for start in range(0, len(order), self.batch_size):
                _, dW, db = objective.batch_gradient(W, b, order[start : start + self.batch_size])
                W -= step * dW
                b -= step * db
            record.at(W.copy(), b.copy())
            record.step(objective.value(W, b), np.inf)
            ended = record.why_end()
            if ended is not None:
                return ended
        return f"{self.epochs} epochs of SGD are done."
