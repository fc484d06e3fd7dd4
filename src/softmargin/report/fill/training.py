"""Model selection and convergence, as recorded in the model."""

from __future__ import annotations

import math
from dataclasses import fields

from softmargin.model import Model
from softmargin.report.records import ComparedFeatures, Convergence, Curve, PathPanel
from softmargin.report.wording import capitalized, loss_name
from softmargin.selection import Comparison, LossPath
from softmargin.selection.wording import choice_sentences
from softmargin.text import Phrase, printable

__all__ = ["convergence", "path_panel"]

_EDGES = {
    "smallest": Phrase("The best λ is the smallest one tried; a smaller λ may be better."),
    "largest": Phrase("The best λ is the largest one tried; a larger λ may be better."),
    "": "",
}
"""The warning of a path, by the end at which its best λ is."""


def path_panel(model: Model, comparison: Comparison | None) -> PathPanel | None:
    """Return the path of each loss; None if loss and λ were given."""
    if comparison is None:
        return None
    curves = tuple(_curve(path, comparison) for path in comparison.paths)
    sentences = choice_sentences(comparison, loss_name, "λ")
    choice = comparison.features
    if choice is None or len(choice.sets) == 1:
        return PathPanel(curves, model.loss.name, model.reg, _as_text(sentences, comparison))
    names = [f.name for f in fields(ComparedFeatures) if f.name not in ("name", "selected")]
    compared = tuple(
        ComparedFeatures(
            name=printable(one.name),
            selected=one.name == choice.selected,
            **{name: getattr(one, name) for name in names},
        )
        for one in choice.sets
    )
    tests = [test.sentence() for test in choice.tests]
    words = _as_text([sentence for sentence in sentences if sentence not in tests], comparison)
    return PathPanel(curves, model.loss.name, model.reg, words, compared, tuple(map(printable, tests)))


def convergence(model: Model) -> Convergence | None:
    """Return the history of the fit, None if it was not recorded."""
    steps = {name: [float(number) for number in column] for name, column in model.history.items()}
    if not steps or len(steps["value"]) < 2:
        return None
    steps["value"][-1], steps["lower_bound"][-1] = model.value, model.lower_bound
    values = [_known(number) for number in steps["value"]]
    bounds = [_known(number) if number > 0.0 else None for number in steps["lower_bound"]]
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


def _curve(path: LossPath, comparison: Comparison) -> Curve:
    accuracy = [point.validation_accuracy for point in path.points]
    errors = [comparison.accuracy_error(point) for point in path.points]
    return Curve(
        loss=path.loss.name,
        reg=tuple(point.reg for point in path.points),
        training_accuracy=tuple(point.training_accuracy for point in path.points),
        validation_accuracy=tuple(accuracy),
        low=tuple(a - error for a, error in zip(accuracy, errors, strict=True)),
        high=tuple(a + error for a, error in zip(accuracy, errors, strict=True)),
        training_loss=tuple(point.mean("training_loss") for point in path.points),
        validation_loss=tuple(point.validation_loss for point in path.points),
        penalty=tuple(point.reg * point.mean("square") for point in path.points),
        best=path.best,
        one_se=path.one_se,
        warning=_EDGES[path.at_edge],
    )


def _as_text(sentences: list[str], comparison: Comparison) -> str:
    """Return the sentences; those that start with the name of a loss get a capital."""
    names = tuple(loss_name(comparison.name_of(path.loss)) for path in comparison.paths)
    return printable(Phrase.joined(" ", [capitalized(s) if s.startswith(names) else s for s in sentences]))


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
