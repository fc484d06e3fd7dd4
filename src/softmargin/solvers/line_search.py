"""A line search for convex functions: find the zero of the slope along a direction by the secant method."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from softmargin.objective import Point
from softmargin.vectors import Vector, inner

__all__ = ["search"]

_SUFFICIENT_DECREASE = 1e-4
_CURVATURE_CONDITION = 0.9
_MAX_TRIALS = 40
_FAR_APART = 8.0


def search(evaluate: Callable[[Vector], Point], point: Point, direction: Vector, rounding: float) -> Point | None:
    """Return a point along the direction that meets the Wolfe conditions, or None.

    F is convex, so its slope along the direction is non-decreasing. The zero of the slope is bracketed, and the
    bracket reduced by the secant method, which needs no differences of F.

    Parameters
    ----------
    evaluate : callable
        Returns the `Point` at a P (D + 1, C).
    point : Point
        Start of the search.
    direction : array of shape (D + 1, C)
    rounding : float
        Increase of F that rounding errors alone can cause.
    """
    slope = inner(direction, point.gradient)
    if not slope < 0.0:
        return None
    allowed = point.value + rounding
    low, low_slope, high, high_slope = 0.0, slope, np.inf, np.inf
    t, width = 1.0, np.inf
    for _ in range(_MAX_TRIALS):
        with np.errstate(over="ignore", invalid="ignore"):  # too long a step is shortened below
            trial = evaluate(point.P + t * direction)
            trial_slope = inner(direction, trial.gradient)
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
            # The secant approaches from one side only: bisect, in the exponent if the ends differ much in size.
            t = math.sqrt(low * high) if high > _FAR_APART * low > 0.0 else 0.5 * (low + high)
            width = high - low
        else:
            t, width = low - low_slope * (high - low) / (high_slope - low_slope), high - low
    return None
