"""Sentences that describe a selection and its tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from softmargin.losses import Loss
from softmargin.selection.rules import as_good, comparable_score
from softmargin.text import pluralize

if TYPE_CHECKING:
    from softmargin.selection.feature_records import FeatureChoice
    from softmargin.selection.paired import PairedTest
    from softmargin.selection.records import Comparison, PathPoint

__all__ = [
    "choice_sentences", "feature_sentences", "paired_sentence", "uncalibrated_sentence", "unconverged_sentence",
    "unique_name",
]  # fmt: skip


def unique_name(loss: Loss, losses: Sequence[Loss]) -> str:
    """Return the name of one of the losses, with its parameters if another one has the same name."""
    if all(other.name != loss.name or other == loss for other in losses):
        return loss.name
    return f"{loss.name} ({', '.join(f'{name} {number:g}' for name, number in loss.parameters().items())})"


def paired_sentence(test: PairedTest) -> str:
    """Return one sentence that says whether two losses or feature sets differ significantly."""
    n, p = test.only_first + test.only_second, test.p_value
    different = f"{test.first} and {test.second} are not significantly different"
    if n == 0:
        return f"{different}: they classify the same held-out samples correctly."
    if test.significant:
        better, worse = test.first, test.second
        if test.only_second > test.only_first:
            better, worse = worse, better
        different = f"{better} is significantly more accurate than {worse}"
    return (
        f"{different} (McNemar {_p_value(p)}): {pluralize(n, 'held-out sample')} {'is' if n == 1 else 'are'} "
        f"classified correctly by only one of them, {test.only_first:,} by {test.first} and {test.only_second:,} "
        f"by {test.second}."
    )


def _p_value(p: float) -> str:
    """Return a p-value; close to 0.05, with the digits that tell on which side it is."""
    if p == 0.0:
        return "p < 1e-300"
    if p < 0.001:
        return f"p = {p:.0e}"
    return f"p = {p:.5f}" if abs(p - 0.05) < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def choice_sentences(found: Comparison, name_of: Callable[[str], str] = str, reg: str = "reg") -> list[str]:
    """Return sentences that describe what was selected, and why.

    Parameters
    ----------
    found : Comparison
    name_of : callable
        Returns how the sentences name a loss, from its name in ``found``.
    reg : str
        How the sentences name λ: by default as the option of the command line.
    """
    path, scoring, features = found.chosen_path, found.scoring, found.features
    name = name_of(found.name_of(found.loss))
    n_folds, n_losses = len(found.folds), len(found.paths)
    where = f"over {n_folds} folds" if n_folds > 1 else f"on {pluralize(found.n_validation, 'sample')}"
    if found.recorded.n_groups is not None:
        n_groups = pluralize(found.recorded.n_groups, "group")
        where += f" of {n_groups}" if n_folds > 1 else f"; {n_groups} in total"
    compared = ["losses"] * (n_losses > 1) + ["features"] * (features is not None and len(features.sets) > 1)
    by_accuracy = scoring == "loss" and bool(compared)
    score = _score(scoring, path.chosen)
    if by_accuracy or scoring == "accuracy":
        score = f"accuracy {path.chosen.validation_accuracy:.4f}"
        score += "" if by_accuracy else f" ± {found.accuracy_error(path.chosen):.4f}"
    what = name if features is None else f"features {features.selected} and {name}"
    sentences = [f"Selected: {what} with {reg} {found.reg:.3g} (held-out {score} {where})."]
    if by_accuracy:
        sentences.append(
            f"Each {reg} was selected by the held-out loss; the {' and '.join(compared)} were compared by "
            f"accuracy."
        )
    if found.rule == "one_se":
        best = path.points[path.best]
        sentences.append(
            f"This is the largest {reg} within one standard error of the best score "
            f"({_score(scoring, best)} at {reg} {best.reg:.3g})."
        )
    if features is not None:
        sentences += features.sentences()
    measure = "accuracy" if by_accuracy else scoring
    rest = [other for other in found.paths if other is not path]
    others = [(name_of(found.name_of(other.loss)), comparable_score(other.chosen, scoring)) for other in rest]
    if others:
        held_out = "Best held-out" if found.rule == "best" and not by_accuracy else "Held-out"
        on = "" if features is None else f" on {features.selected}"
        values = _values(others)
        sentences.append(
            f"{held_out} {measure} of the other {'losses' if n_losses > 2 else 'loss'}{on}: {values}."
        )
    sentences += _ties(name, comparable_score(path.chosen, scoring), others, measure)
    tests = (replace(test, first=name_of(test.first), second=name_of(test.second)) for test in found.tests)
    sentences += map(paired_sentence, tests)
    if found.tests and found.has_groups:
        sentences.append(
            "McNemar's test counts samples as independent. Those of a group are not: the p-values are too small."
        )
    left_out = [f"{len(one.skipped)} of {name_of(found.name_of(one.loss))}" for one in found.paths if one.skipped]
    if left_out:
        worse = "loss" if scoring == "loss" else f"{scoring} and loss"
        sentences.append(
            f"The smallest values of {reg} were not fitted, since held-out {worse} had become worse before them: "
            f"{', '.join(left_out)}."
        )
    if path.at_edge:
        sentences.append(f"The best {reg} is the {path.at_edge} tried; a wider range may contain a better one.")
    return sentences


def unconverged_sentence(found: Comparison) -> str:
    """Return a warning if a fit of the selected loss and λ did not converge, else ""."""
    gaps = [fold.gap for fold in found.chosen_path.chosen.folds]
    n_failed = sum(not gap <= found.path_tol for gap in gaps)
    if not n_failed:
        return ""
    where = f"{n_failed} of {len(gaps)} folds" if len(gaps) > 1 else "the held-out split"
    return (
        f"The selected fit, {found.name_of(found.loss)} with reg {found.reg:.3g}, did not converge on {where}: "
        f"largest gap {max(gaps):.1e} > {found.path_tol:.0e}; its score is uncertain."
    )


def uncalibrated_sentence(found: Comparison) -> str:
    """Return a warning if the probabilities of the selected loss are badly calibrated, else ""."""
    calibration = found.chosen_path.calibration
    if calibration is None or not calibration.is_poor(found.recorded.n_groups):
        return ""
    advice = "try another loss of equal accuracy"
    if found.scoring != "loss":
        advice = f'select λ with scoring="loss" (--scoring loss), or {advice}'
    return (
        f"The probabilities of {found.name_of(found.loss)} are badly calibrated: confidence and accuracy differ "
        f"by {calibration.error:.2f} on average on {pluralize(calibration.n_samples, 'held-out sample')} (ECE); "
        f"{advice}."
    )


def feature_sentences(found: FeatureChoice) -> list[str]:
    """Return sentences that compare the selected features with the others."""
    own = next(one.accuracy for one in found.sets if one.name == found.selected)
    others = [(one.name, one.accuracy) for one in found.sets if one.name != found.selected]
    sentences = [f"Held-out accuracy of the other features: {_values(others)}."] if others else []
    return sentences + _ties(found.selected, own, others, "accuracy") + list(map(paired_sentence, found.tests))


def _values(others: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in others)


def _ties(name: str, score: float, others: Sequence[tuple[str, float]], measure: str) -> list[str]:
    """Return a sentence if others are as good as the selected one, which was listed before them."""
    ties = [other for other, value in others if as_good(value, score)]
    return [f"{name} has the same {measure} as {' and '.join(ties)}, and was listed first."] if ties else []


def _score(scoring: str, point: PathPoint) -> str:
    """Return the name and value of a score, with its standard error; a loss was negated to be a score."""
    error = "" if math.isnan(point.standard_error) else f" ± {point.standard_error:.4f}"
    return f"{scoring} {-point.score if scoring == 'loss' else point.score:.4f}{error}"
