"""The rules of a choice: the best λ of a path, the largest within one standard error, and what is an edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softmargin.selection.records import PathPoint

__all__ = ["as_good", "best_of", "edge", "falls", "largest_within_one_se"]

_ROUNDING = 1e-12
"""Scores that differ by less than this share are the same: means of equal counts differ in their last bits."""

_SAME_LOSS = 1e-3
"""Held-out losses that differ by no more than this share are the same: the fits are not proved any closer."""

_NEARLY = 0.05
"""λ‖W‖ that differs by no more than this share between two λ: W is that of the larger one, but longer."""

_FALLS, _RECENT = 0.98, 3
"""The held-out loss is falling while the last few λ took it below this share."""


def as_good(score: float, best: float) -> bool:
    """Return whether a score is as good as another, apart from the rounding of equal ones."""
    return score >= best - _ROUNDING * abs(best)


def best_of(points: Sequence[PathPoint]) -> int:
    """Return the index of the best score; of equal ones that of the smallest held-out loss, then the largest λ."""
    best = max(point.score for point in points)
    equal = [k for k, point in enumerate(points) if as_good(point.score, best)]
    least = min(points[k].validation_loss for k in equal)
    return next(k for k in equal if points[k].validation_loss <= (1.0 + _SAME_LOSS) * least)


def largest_within_one_se(points: Sequence[PathPoint], best: int) -> int:
    """Return the index of the largest λ within one standard error of the best score; the best if that is NaN."""
    least = points[best].score - points[best].standard_error
    return best if math.isnan(least) else next(k for k, point in enumerate(points) if as_good(point.score, least))


def falls(points: Sequence[PathPoint]) -> bool:
    """Return whether the held-out loss is still falling towards smaller λ."""
    return points[-1].validation_loss < _FALLS * points[-1 - _RECENT].validation_loss


def edge(points: Sequence[PathPoint], best: int) -> str:
    """Return "largest" or "smallest" if the best λ is the first or last that was tried, else "".

    The first is not an edge where W only shrinks as λ grows: larger ones change the class of no sample.
    """
    if len(points) == 1 or (best == 0 and _only_shrinks(*points[:2])):
        return ""
    return {0: "largest", len(points) - 1: "smallest"}.get(best, "")


def _only_shrinks(first: PathPoint, second: PathPoint) -> bool:
    """Return whether the scores at two λ are the same, and λ‖W‖ as well, to a few percent."""
    sizes = [point.reg * point.mean("square") ** 0.5 for point in (first, second)]
    return as_good(second.score, first.score) and abs(sizes[0] - sizes[1]) <= _NEARLY * sizes[0]
