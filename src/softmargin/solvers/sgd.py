"""Plain mini-batch stochastic gradient descent: the teaching baseline, with the same honest certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from softmargin.arguments import check_count, check_number
from softmargin.errors import ParameterError
from softmargin.objective import Problem
from softmargin.solvers.base import Solver, State, Steps

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGDState(State):
    """The point after an epoch."""


@dataclass(frozen=True)
class SGD(Solver):
    """Mini-batch SGD with a step of ``learning_rate / (1 + epoch)``, for any loss.

    It shows what a certificate says about the usual way of training. Samples are drawn anew in every
    epoch, by weight 1 each and their own weight in the gradient. The gap is proved once, at the end.

    Parameters
    ----------
    learning_rate : float
        Step at the first epoch, in units of W per unit of gradient.
    batch_size : int
        Samples per step.
    epochs : int
        Readings of X.
    seed : int
        Of the order of the samples.
    """

    max_passes: ClassVar[float] = np.inf

    learning_rate: float = 0.3
    batch_size: int = 64
    epochs: int = 20
    seed: int = 0

    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield the point after each epoch."""
        check_count("epochs", self.epochs)
        check_count("batch_size", self.batch_size)
        check_count("seed", self.seed, 0)
        if not 0.0 < check_number("learning_rate", self.learning_rate) < np.inf:
            raise ParameterError(f"learning_rate must be positive and finite, but it is {self.learning_rate!r}.")
        rng, P = np.random.default_rng(self.seed), start.P
        for epoch in range(self.epochs):
            step = self.learning_rate / (1.0 + epoch)
            for gradient in problem.batches(self.batch_size, rng):
                P = P - step * gradient(P)
            yield SGDState(P=P, reg=problem.reg, value=problem.evaluate(P).value, resumable=False)
        return f"{self.epochs} epochs of SGD are done."
