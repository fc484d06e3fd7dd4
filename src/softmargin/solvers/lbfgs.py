"""L-BFGS whose first guess of the Hessian is the feature covariance: for smooth losses.

The guess is ``c Σ + 2λ I`` for the rows of W and ``c`` for b (centred features are uncorrelated with the
constant), with c the mean output curvature of the loss, refreshed at iterations 1, 2, 4, 8, … It takes the
ill-conditioning of the features away; the pairs of L-BFGS learn what is left.

References
----------
Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
Hager and Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search",
2005, for the approximate Wolfe condition, which still works where differences of F are rounding noise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Callback, Fit, Recorder, check_settings

__all__ = ["LBFGS"]

_SUFFICIENT_DECREASE = 1e-4
_CURVATURE_CONDITION = 0.9
_MAX_TRIALS = 40
_LEAST_CURVATURE = 1e-3
"""A step of the bias is at most a thousand units of the loss, whatever the curvature seems to be."""

_ROUNDING = 1e-12
"""Values of F that differ by less than this fraction are taken to be equal."""

_ROUNDING_OF_SCORES = 1e-15
"""So are values that differ by less than this many units of the loss: scores are rounded that much."""


class _Point(NamedTuple):
    P: Floats
    """(D + 1, C): W, and b as its last row."""
    value: float
    gradient: Floats


@dataclass(frozen=True)
class LBFGS:
    """Preconditioned L-BFGS for smooth losses.

    Parameters
    ----------
    tol : float
        Relative duality gap to prove.
    max_passes : float
        Budget of readings of X.
    memory : int
        Number of pairs kept.
    """

    tol: float = 1e-4
    max_passes: float = 2000
    memory: int = 20

    def minimize(
        self, objective: Objective, W0: Floats, b0: Floats, callback: Callback | None = None
    ) -> Fit:
        """Minimise from (W0, b0) until the gap is proved, the budget is used up or nothing improves."""
        check_settings(self.tol, self.max_passes)
        record = Recorder(objective, self.tol, callback)
        P, status = self.descend(objective, np.vstack([W0, b0]), record, self._prove(record))
        if record.gap > self.tol:
            record.certify(P[:-1], P[-1])
        return record.finish(status if record.gap > self.tol else "The requested gap is proved.")

    def _prove(self, record: Recorder) -> Callable[[Floats, float, float], bool]:
        """Return the stopping rule: prove the gap once the estimate says so, and again at each halving."""
        threshold = self.tol

        def proved(P: Floats, value: float, estimate: float) -> bool:
            nonlocal threshold
            if estimate > threshold:
                return False
            threshold = 0.5 * min(threshold, estimate)
            return record.certify(P[:-1], P[-1]) <= self.tol

        return proved

    def descend(
        self,
        objective: Objective,
        P: Floats,
        record: Recorder,
        done: Callable[[Floats, float, float], bool],
    ) -> tuple[Floats, str]:
        """Minimise from P (D + 1, C) until ``done(P, value, estimate)``; return the point and why it ended."""
        objective.loss.check_smooth("L-BFGS; take the augmented Lagrangian")
        preconditioner = objective.preconditioner()
        pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=self.memory)
        point = _evaluate(objective, P)
        curvature, refresh = 1.0, 1
        for iteration in range(1, 1_000_000):
            estimate = _estimate(objective, point)
            record.step(point.value, estimate)
            if done(point.P, point.value, estimate):
                return point.P, "Done."
            if record.stopped:
                return point.P, "Stopped by the callback."
            if record.n_passes >= self.max_passes:
                return point.P, f"The budget of {self.max_passes:g} passes is used up: raise max_passes."
            if iteration == refresh:
                # Where the loss is all but linear, the bias must not be sent to infinity.
                steepest = float(np.abs(point.gradient[-1]).max())
                floor = max(_LEAST_CURVATURE * steepest / objective.loss.unit, np.finfo(np.float64).tiny)
                curvature, refresh = max(objective.curvature(point.P[:-1], point.P[-1]), floor), 2 * refresh

            def first_guess(G: Floats, c: float = curvature) -> Floats:
                return np.vstack([preconditioner.solve(c, objective.reg, G[:-1]), G[-1:] / c])

            direction = -_two_loops(point.gradient, pairs, first_guess)
            found = _search(objective, point, direction)
            if found is None and pairs:  # the pairs mislead: try again from the covariance alone
                pairs.clear()
                found = _search(objective, point, -first_guess(point.gradient))
            if found is None:
                return point.P, "No step improves the value any more: rounding is in the way."
            step, change = found.P - point.P, found.gradient - point.gradient
            product = float(np.vdot(step, change))
            if product > 1e-14 * float(np.linalg.norm(step) * np.linalg.norm(change)):
                pairs.append((step, change, product))
            point = found
        raise AssertionError("unreachable: the budget of passes ends the loop")


def _evaluate(objective: Objective, P: Floats) -> _Point:
    value, dW, db = objective.value_and_grad(P[:-1], P[-1])
    return _Point(P, value, np.vstack([dW, db]))


def _estimate(objective: Objective, point: _Point) -> float:
    """Return the relative gap that a certificate would show: exact but for the balance of the bias."""
    gap = float((point.gradient[:-1] ** 2).sum()) / (4.0 * objective.reg)
    imbalance = objective.loss.unit * float(np.abs(point.gradient[-1]).sum())
    return (gap + imbalance) / point.value if point.value > 0.0 else 0.0


def _two_loops(
    gradient: Floats, pairs: deque[tuple[Floats, Floats, float]], first_guess: Callable[[Floats], Floats]
) -> Floats:
    """Return the L-BFGS estimate of the inverse Hessian times the gradient."""
    q = gradient.copy()
    factors = []
    for step, change, product in reversed(pairs):
        factor = float(np.vdot(step, q)) / product
        factors.append(factor)
        q -= factor * change
    q = first_guess(q)
    for (step, change, product), factor in zip(pairs, reversed(factors), strict=True):
        q += (factor - float(np.vdot(change, q)) / product) * step
    return q


def _search(objective: Objective, point: _Point, direction: Floats) -> _Point | None:
    """Return a point along the direction that meets the Wolfe conditions, or None.

    F is convex, so its slope along the direction only rises: the zero of the slope is bracketed and closed
    in upon by the secant, which needs no differences of F.
    """
    slope = float(np.vdot(direction, point.gradient))
    if not slope < 0.0:
        return None
    allowed = point.value + _ROUNDING * abs(point.value) + _ROUNDING_OF_SCORES * objective.loss.unit
    low, low_slope, high, high_slope = 0.0, slope, np.inf, np.inf
    t, width = 1.0, np.inf
    for _ in range(_MAX_TRIALS):
        trial = _evaluate(objective, point.P + t * direction)
        trial_slope = float(np.vdot(direction, trial.gradient))
        if np.isfinite(trial.value) and np.isfinite(trial_slope):
            low_enough = trial.value <= min(allowed, point.value + _SUFFICIENT_DECREASE * t * slope)
            low_enough |= trial.value <= allowed and trial_slope <= -(1.0 - 2.0 * _SUFFICIENT_DECREASE) * slope
            if low_enough and trial_slope >= _CURVATURE_CONDITION * slope:
                return trial
        else:
            trial_slope = np.inf
        if trial_slope < 0.0:
            low, low_slope = t, trial_slope
        else:
            high, high_slope = t, trial_slope
        if high == np.inf:
            t *= 4.0
        elif high - low > 0.5 * width or not np.isfinite(high_slope):
            t, width = 0.5 * (low + high), high - low  # the secant crept from one side: halve instead
        else:
            t, width = low - low_slope * (high - low) / (high_slope - low_slope), high - low
    return None
