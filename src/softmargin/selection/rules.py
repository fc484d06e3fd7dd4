"""Selection rules: the best λ of a path, the largest within one standard error, and edges of the path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from softmargin.selection.records import FoldPoint, PathPoint

__all__ = [
    "as_good", "best_of", "comparable_score", "edge", "first_best", "is_far_below", "is_past_best",
    "is_past_best_on", "largest_within_one_se", "path_ends",
]  # fmt: skip

_ROUNDING = 1e-12
"""Relative difference up to which scores count as equal: means of equal counts differ in their last bits."""

_SAME_LOSS = 1e-3
"""Relative difference up to which held-out losses count as equal: the fits are not certified any closer."""

_NEARLY = 0.05
"""Relative difference of λ‖W‖ between two λ up to which their W differ only in length."""

_PATIENCE, _FALLS = 3, 0.98
"""A path ends after this many λ without a better score, unless they reduced the held-out loss by more than this
factor. The score can stay constant for a while: features of different scale take effect one after the other."""

_WORSE = 2
"""A path also ends after this many λ in a row whose score and held-out loss are both worse than the best before
them, or after the first such λ if its score is clearly worse: by more than one standard error of the best score,
and of the differences over the folds."""

_CLEAR = 2.0
"""The first folds end a path if their scores are below the best by this many standard errors on average."""

_FAR = 4.0
"""A score is far below the best if this many standard errors of either are between them."""

_SOLVED = 0.01
"""A path also ends where the held-out loss is at most this share of that at the largest λ and the score does not
rise. On separable data the loss would fall for ever."""


def as_good(score: float, best: float) -> bool:
    """Return whether a score is at least as good as another, up to rounding error."""
    return score >= best - _ROUNDING * abs(best)


def first_best(scores: Sequence[float]) -> int:
    """Return the index of the best score, the first one among equal scores."""
    return next(k for k, score in enumerate(scores) if as_good(score, max(scores)))


def comparable_score(point: PathPoint, scoring: object) -> float:
    """Return the score by which losses are compared: accuracy if λ is selected by the value of each loss."""
    return point.validation_accuracy if scoring == "loss" else point.score


def best_of(points: Sequence[PathPoint]) -> int:
    """Return the index of the best score; ties go to the smallest held-out loss, then to the largest λ."""
    best = max(point.score for point in points)
    equal = [k for k, point in enumerate(points) if as_good(point.score, best)]
    least = min(points[k].validation_loss for k in equal)
    return next(k for k in equal if points[k].validation_loss <= (1.0 + _SAME_LOSS) * least)


def largest_within_one_se(points: Sequence[PathPoint], best: int) -> int:
    """Return the index of the largest λ within one standard error of the best score (``best`` if that is NaN)."""
    least = points[best].score - points[best].standard_error
    return best if math.isnan(least) else next(k for k, point in enumerate(points) if as_good(point.score, least))


def is_past_best(points: Sequence[PathPoint]) -> bool:
    """Return whether score and loss have both become worse at the end of a path, in descending order of λ."""
    n_worse = 1 if _is_clearly_worse(points) else _WORSE
    before = points[:-n_worse]
    if not before:
        return False
    best, least = points[best_of(before)].score, min(point.validation_loss for point in before)
    return all(
        point.validation_loss > (1.0 + _SAME_LOSS) * least and not as_good(point.score, best)
        for point in points[-n_worse:]
    )


def _is_clearly_worse(points: Sequence[PathPoint]) -> bool:
    """Return whether the last score is below the best by more than one standard error, in both meanings."""
    best, last = points[best_of(points)], points[-1]
    differences = [mine.score - its.score for mine, its in zip(best.folds, last.folds, strict=True)]
    paired = float(np.std(differences, ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    drop = best.score - last.score
    return drop > paired and drop > best.standard_error  # not if that is NaN


def is_past_best_on(points: Sequence[PathPoint], folds: Sequence[FoldPoint]) -> bool:
    """Return whether the first ``folds`` suffice to see that the λ after the ``points`` is past the best.

    Score and loss must be worse on each of these folds, and the score by more than `_CLEAR` standard errors.
    """
    if len(points) < 2:
        return False
    best, least = points[best_of(points)], min(points, key=lambda point: point.validation_loss)
    drops = [mine.score - its.score for mine, its in zip(best.folds, folds, strict=False)]
    rises = [
        its.validation_loss > (1.0 + _SAME_LOSS) * mine.validation_loss
        for mine, its in zip(least.folds, folds, strict=False)
    ]
    is_clear = sum(drops) > _CLEAR * len(drops) * best.standard_error  # not if that is NaN
    return min(drops) > 0.0 and all(rises) and is_clear


def is_far_below(points: Sequence[PathPoint], k: int) -> bool:
    """Return whether the score of point ``k`` is so far below the best that larger λ need not be tried."""
    best, point = points[best_of(points)], points[k]
    # Not if an error is NaN.
    return all(best.score - point.score > _FAR * one.standard_error for one in (best, point))


def path_ends(points: Sequence[PathPoint]) -> bool:
    """Return whether smaller λ than those of a path, in descending order, are not worth trying."""
    if is_past_best(points):
        return True
    if _is_solved(points):
        return as_good(points[-2].score, points[-1].score)
    if len(points) - 1 - best_of(points) < _PATIENCE:
        return False
    return not points[-1].validation_loss < _FALLS * points[-1 - _PATIENCE].validation_loss


def edge(points: Sequence[PathPoint], best: int) -> str:
    """Return "largest" or "smallest" if the best λ is the first or last of the path, else "".

    The first is not an edge if a larger λ only shrinks W, which changes no prediction. The last is not one if the
    held-out loss is nearly zero there.
    """
    if len(points) == 1 or (best == 0 and _only_shrinks(*points[:2])):
        return ""
    if best == len(points) - 1:
        return "" if _is_solved(points) else "smallest"
    return "largest" if best == 0 else ""


def _is_solved(points: Sequence[PathPoint]) -> bool:
    return len(points) > 1 and points[-1].validation_loss <= _SOLVED * points[0].validation_loss


def _only_shrinks(first: PathPoint, second: PathPoint) -> bool:
    """Return whether the scores at two λ are equal, and λ‖W‖ agrees within a few percent."""
    sizes = [point.reg * point.mean("square") ** 0.5 for point in (first, second)]
    return as_good(second.score, first.score) and abs(sizes[0] - sizes[1]) <= _NEARLY * sizes[0]
