"""L-BFGS whose first guess of the Hessian is the feature covariance: for smooth losses.

The guess takes the ill-conditioning of the features away; the pairs of L-BFGS learn what is left.

References
----------
Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from softmargin.checkpoint import State
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import FirstGuess, Point, SmoothSolver
from softmargin.validation import check_count

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class LBFGS(SmoothSolver):
    """Preconditioned L-BFGS for smooth losses: one pass an iteration.

    Parameters
    ----------
    tol, max_passes : float
        As in `SmoothSolver`.
    memory : int
        Number of pairs kept.
    """

    memory: int = 20

    def curvature(self, objective: Objective) -> _Pairs:
        """Return an empty memory."""
        return _Pairs(objective, check_count("memory", self.memory, 0))


class _Pairs:
    """The last steps and the changes of the gradient along them."""

    def __init__(self, objective: Objective, memory: int) -> None:
        self._guess = FirstGuess(objective)
        self._pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=memory)

    def direction(self, point: Point) -> Floats:
        """Return minus the estimate of the inverse Hessian times the gradient, by the two loops."""
        self._guess.look(point)
        q = point.gradient.copy()
        factors = []
        for step, change, product in reversed(self._pairs):
            factor = float(np.vdot(step, q)) / product
            factors.append(factor)
            q -= factor * change
        q = self._guess.solve(q)
        for (step, change, product), factor in zip(self._pairs, reversed(factors), strict=True):
            q += (factor - float(np.vdot(change, q)) / product) * step
        return -q

    def learn(self, before: Point, after: Point) -> None:
        """Keep the pair, unless rounding leaves nothing of its curvature."""
        step, change = after.P - before.P, after.gradient - before.gradient
        product = float(np.vdot(step, change))
        # W and b apart, so that the scale of the features makes no difference.
        sizes = [np.linalg.norm(step[part]) * np.linalg.norm(change[part]) for part in (slice(-1), -1)]
        if product > 1e-14 * float(sum(sizes)):
            self._pairs.append((step, change, product))

    def state(self) -> State:
        """Return the pairs, for a checkpoint."""
        steps, changes, products = zip(*self._pairs, strict=True) if self._pairs else ((), (), ())
        return self._guess.state() | {
            "steps": np.array(steps), "changes": np.array(changes), "products": np.array(products),
        }  # fmt: skip

    def restore(self, state: State) -> None:
        """Go on from a checkpoint."""
        self._guess.restore(state)
        self._pairs.extend(zip(state["steps"], state["changes"], state["products"].tolist(), strict=True))

    def forget(self) -> bool:
        """Drop all pairs."""
        had = bool(self._pairs)
        self._pairs.clear()
        return had
