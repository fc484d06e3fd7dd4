"""Mini-batch stochastic gradient descent: the baseline, with the same certificate as the other solvers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from softmargin.arguments import brief, check_count, check_number
from softmargin.errors import ParameterError
from softmargin.objective import Problem
from softmargin.solvers.base import Solver, State, Steps

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGDState(State):
    """The point after an epoch."""


@dataclass(frozen=True)
class SGD(Solver):
    """Mini-batch SGD with step size ``learning_rate / (1 + epoch)``, for any loss.

    It shows what a certificate says about the usual way of training. Samples are shuffled in every epoch. Sample
    weights are applied to the gradient. The gap is certified once, at the end.

    Parameters
    ----------
    learning_rate : float
        Step size in the first epoch.
    batch_size : int
        Samples per step.
    epochs : int
        Passes over the samples.
    seed : int
        Seed of the shuffling.
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
            raise ParameterError(f"learning_rate must be a finite number > 0, got {brief(self.learning_rate)}.")
        rng, P = np.random.default_rng(self.seed), start.P
        for epoch in range(self.epochs):
            step = self.learning_rate / (1.0 + epoch)
            for gradient in problem.batches(self.batch_size, rng):
                P = P - step * gradient(P)
            yield SGDState(P=P, reg=problem.reg, value=problem.evaluate(P).value, resumable=False)
        return f"Reached epochs={self.epochs}; increase epochs."
