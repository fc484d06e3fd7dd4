"""How λ was chosen and how the fit went, as far as the model's card remembers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softmargin.accuracy import standard_error
from softmargin.model import Model
from softmargin.report.base import Convergence, Curve, PathPanel
from softmargin.report.fill.base import words_of

__all__ = ["convergence", "path"]

_ACCURACY, _LOSS = "validation_accuracy", "validation_loss"


def path(model: Model) -> PathPanel | None:
    """Return the path of each loss; None if loss and λ were given, or if the record is of an unknown kind."""
    record = model.selection
    curves = tuple(curve for entry in _list(record.get("paths")) if (curve := _curve(entry, record)) is not None)
    if not curves:
        return None
    return PathPanel(curves, model.loss.name, model.reg, words_of(record.get("reason", "")))


def convergence(model: Model) -> Convergence | None:
    """Return the history of the fit, None if it was not kept."""
    steps = {name: [float(number) for number in column] for name, column in model.history.items()}
    if not steps or len(steps["value"]) < 2:
        return None
    values = [_known(number) for number in steps["value"]]
    bounds = [_known(number) if number > 0.0 else None for number in steps["lower_bound"]]
    bounds[-1] = model.lower_bound if math.isfinite(model.lower_bound) else bounds[-1]
    values[-1] = model.value if math.isfinite(model.value) else values[-1]
    gaps = [
        None if value is None or bound is None or value <= 0.0 else max(0.0, (value - bound) / value)
        for value, bound in zip(values, bounds, strict=True)
    ]
    gaps[-1] = _known(model.gap)
    return Convergence(
        n_passes=tuple(steps["n_passes"]),
        seconds=tuple(steps["seconds"]),
        value=tuple(values),
        lower_bound=tuple(bounds),
        gap=tuple(gaps),
        estimate=tuple(_known(number) if number > 0.0 else None for number in steps["estimate"]),
    )


def _curve(entry: Any, record: dict[str, Any]) -> Curve | None:
    """Return one loss's path of the record."""
    if not isinstance(entry, dict):
        return None
    points = [point for point in _list(entry.get("points")) if isinstance(point, dict) and "reg" in point]
    best = entry.get("best")
    if not points or not isinstance(best, int) or not 0 <= best < len(points):
        return None
    accuracy = _column(points, _ACCURACY)
    if not accuracy:
        return None
    errors = _errors(points, accuracy, record)
    one_se = entry.get("one_se")
    training_loss, penalty = _column(points, "training_loss"), _penalties(points)
    values = _column(points, "value")
    if not training_loss and penalty and values:  # F is the two together
        training_loss = tuple(value - part for value, part in zip(values, penalty, strict=True))
    if not penalty and training_loss and values:
        penalty = tuple(value - part for value, part in zip(values, training_loss, strict=True))
    return Curve(
        loss=words_of(entry.get("loss", "")),
        reg=_column(points, "reg"),
        training_accuracy=_column(points, "training_accuracy"),
        validation_accuracy=accuracy,
        low=tuple(a - error for a, error in zip(accuracy, errors, strict=True)),
        high=tuple(a + error for a, error in zip(accuracy, errors, strict=True)),
        training_loss=training_loss,
        validation_loss=_column(points, _LOSS),
        penalty=penalty,
        best=best,
        one_se=one_se if isinstance(one_se, int) and 0 <= one_se < len(points) else None,
        warning=_edge(points, best),
    )


def _edge(points: list[Any], best: int) -> str:
    if len(points) > 1 and best == len(points) - 1:
        return "The best λ is the smallest that was tried: a smaller one may be better."
    if len(points) > 1 and best == 0:
        return "The best λ is the largest that was tried: a larger one may be better."
    return ""


def _errors(points: list[Any], accuracy: tuple[float, ...], record: dict[str, Any]) -> list[float]:
    """Return the standard error of each validation accuracy: as recorded, over folds, or Wilson's."""
    recorded = _column(points, "standard_error")
    if recorded and record.get("scoring", "accuracy") == "accuracy":
        return list(recorded)
    folds = [_folds(point) for point in points]
    if all(len(values) > 1 for values in folds):
        return [float(np.std(values, ddof=1)) / math.sqrt(len(values)) for values in folds]
    n = record.get("n_validation")
    return [standard_error(a, n) if isinstance(n, int) and n > 0 else 0.0 for a in accuracy]


def _column(points: list[Any], name: str) -> tuple[float, ...]:
    """Return a number of each point (the mean where it is a list over folds), () unless all points have it."""
    column = []
    for point in points:
        found = point.get(name)
        if found is None:
            numbers = [fold.get(name) for fold in _list(point.get("folds")) if isinstance(fold, dict)]
        else:
            numbers = found if isinstance(found, list) else [found]
        known = [float(x) for x in numbers if isinstance(x, (int, float)) and not isinstance(x, bool)]
        if not numbers or len(known) < len(numbers):
            return ()
        column.append(float(np.mean(known)))
    return tuple(column)


def _folds(point: dict[str, Any]) -> list[float]:
    found = point.get(_ACCURACY)
    values = found if isinstance(found, list) else []
    values = values or [fold.get(_ACCURACY) for fold in _list(point.get("folds")) if isinstance(fold, dict)]
    return [float(value) for value in values if isinstance(value, (int, float))]


def _penalties(points: list[Any]) -> tuple[float, ...]:
    """Return λΣW² of each point."""
    penalty = _column(points, "penalty")
    squares = () if penalty else _column(points, "square") or _column(points, "sum_of_squares")
    return penalty or tuple(p["reg"] * square for p, square in zip(points, squares, strict=False))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
