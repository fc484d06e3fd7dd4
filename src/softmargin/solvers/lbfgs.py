"""L-BFGS for smooth losses, with the feature covariance as the initial Hessian.

The covariance removes the ill-conditioning of the features; the L-BFGS pairs correct the rest.

References
----------
Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from softmargin.arguments import check_count
from softmargin.objective import Point, Problem
from softmargin.solvers.base import Saved
from softmargin.solvers.descent import CovarianceModel, Descent
from softmargin.vectors import Vector, inner, namespace, to_numpy

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class LBFGS(Descent):
    """Preconditioned L-BFGS for smooth losses: one pass per iteration.

    Parameters
    ----------
    memory : int
        Number of pairs kept.
    """

    memory: int = 20

    def direction(self, problem: Problem, saved: Saved | None = None) -> _Pairs:
        """Return an empty memory, or the saved one."""
        return _Pairs(problem, check_count("memory", self.memory, 0), saved)


class _Pairs:
    """The last steps and changes of the gradient."""

    def __init__(self, problem: Problem, memory: int, saved: Saved | None) -> None:
        self._model = CovarianceModel(problem, None if saved is None else saved["model"])
        self._pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=memory)
        if saved is not None:
            for k, product in enumerate(saved["products"]):
                self._pairs.append((saved["steps"][k, ...], saved["changes"][k, ...], product))

    def at(self, point: Point) -> Vector:
        """Return minus the estimated inverse Hessian times the gradient, by the two-loop recursion."""
        self._model.refresh(point)
        q = namespace(point.P).asarray(point.gradient, copy=True)
        factors = []
        for step, change, product in reversed(self._pairs):
            factor = inner(step, q) / product
            factors.append(factor)
            q -= factor * change
        q = self._model.solve(q)
        for (step, change, product), factor in zip(self._pairs, reversed(factors), strict=True):
            q += (factor - inner(change, q) / product) * step
        return -q

    def update(self, before: Point, after: Point) -> None:
        """Keep the pair, unless its curvature is at the level of rounding errors."""
        step, change = after.P - before.P, after.gradient - before.gradient
        product = inner(step, change)
        # W and b separately, so that the scale of the features does not matter.
        parts = ((array[:-1, :], array[-1, :]) for array in (step, change))
        sizes = [math.sqrt(inner(s, s)) * math.sqrt(inner(c, c)) for s, c in zip(*parts, strict=True)]
        if product > 1e-14 * sum(sizes):
            self._pairs.append((step, change, product))

    def reset(self) -> bool:
        """Drop all pairs; return whether there were any."""
        had = bool(self._pairs)
        self._pairs.clear()
        return had

    def saved(self) -> Saved:
        """Return the pairs, for a checkpoint."""
        steps, changes, products = zip(*self._pairs, strict=True) if self._pairs else ((), (), ())
        return {
            "model": self._model.saved(), "steps": np.array([to_numpy(step) for step in steps]),
            "changes": np.array([to_numpy(change) for change in changes]), "products": list(products),
        }  # fmt: skip
