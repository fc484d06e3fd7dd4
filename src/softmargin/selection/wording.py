"""Sentences that describe a selection and its tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from softmargin.losses import Loss
from softmargin.selection.rules import as_good, comparable_score
from softmargin.text import Phrase, pluralize

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


_MEASURES = {"accuracy": Phrase("accuracy"), "loss": Phrase("loss")}


def paired_sentence(test: PairedTest) -> str:
    """Return one sentence that says whether two losses or feature sets differ significantly."""
    n, p = test.only_first + test.only_second, test.p_value
    different = Phrase("{0} and {1} are not significantly different", test.first, test.second)
    if n == 0:
        return Phrase("{0}: they classify the same held-out samples correctly.", different)
    if test.significant:
        better, worse = test.first, test.second
        if test.only_second > test.only_first:
            better, worse = worse, better
        different = Phrase("{0} is significantly more accurate than {1}", better, worse)
    return Phrase(
        "{0} (McNemar {1}): {2} is classified correctly by only one of them, {3} by {4} and {5} by {6}."
        if n == 1
        else "{0} (McNemar {1}): {2} are classified correctly by only one of them, {3} by {4} and {5} by {6}.",
        different,
        _p_value(p),
        pluralize(n, "held-out sample"),
        f"{test.only_first:,}",
        test.first,
        f"{test.only_second:,}",
        test.second,
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
    n_losses = len(found.paths)
    compared = [Phrase("losses")] * (n_losses > 1)
    compared += [Phrase("features")] * (features is not None and len(features.sets) > 1)
    by_accuracy = scoring == "loss" and bool(compared)
    score = _score(scoring, path.chosen)
    if by_accuracy or scoring == "accuracy":
        error = "" if by_accuracy else f" ± {found.accuracy_error(path.chosen):.4f}"
        score = Phrase("{1} {0}", f"{path.chosen.validation_accuracy:.4f}{error}", _MEASURES["accuracy"])
    what = name if features is None else Phrase("features {0} and {1}", features.selected, name)
    sentences: list[str] = [
        Phrase(
            "Selected: {0} with {1} {2} (held-out {3} {4}).", what, reg, f"{found.reg:.3g}", score, _where(found)
        )
    ]
    if by_accuracy:
        sentences.append(
            Phrase(
                "Each {0} was selected by the held-out loss; the {1} were compared by accuracy.",
                reg,
                Phrase.joined(" and ", compared),
            )
        )
    if found.rule == "one_se":
        best = path.points[path.best]
        sentences.append(
            Phrase(
                "This is the largest {0} within one standard error of the best score ({1} at {0} {2}).",
                reg,
                _score(scoring, best),
                f"{best.reg:.3g}",
            )
        )
    if features is not None:
        sentences += features.sentences()
    measure = _MEASURES["accuracy"] if by_accuracy else _MEASURES.get(scoring, scoring)
    rest = [other for other in found.paths if other is not path]
    others = [(name_of(found.name_of(other.loss)), comparable_score(other.chosen, scoring)) for other in rest]
    if others:
        held_out = Phrase("{0} of the other losses" if n_losses > 2 else "{0} of the other loss", measure)
        if features is not None:
            held_out = Phrase("{1} on {0}", features.selected, held_out)
        best_ones = found.rule == "best" and not by_accuracy
        sentences.append(
            Phrase("Best held-out {0}: {1}." if best_ones else "Held-out {0}: {1}.", held_out, _values(others))
        )
    sentences += _ties(name, comparable_score(path.chosen, scoring), others, measure)
    tests = (replace(test, first=name_of(test.first), second=name_of(test.second)) for test in found.tests)
    sentences += map(paired_sentence, tests)
    if found.tests and found.has_groups:
        sentences.append(
            Phrase(
                "McNemar's test counts samples as independent. Those of a group are not: the p-values are too "
                "small."
            )
        )
    left_out = [
        Phrase("{1} of {0}", name_of(found.name_of(one.loss)), str(len(one.skipped)))
        for one in found.paths
        if one.skipped
    ]
    if left_out:
        own = _MEASURES.get(scoring, scoring)
        sentences.append(
            Phrase(
                "The smallest values of {0} were not fitted, since held-out {1} had become worse before them: "
                "{2}.",
                reg,
                own if scoring == "loss" else Phrase("{0} and {1}", own, _MEASURES["loss"]),
                Phrase.joined(", ", left_out),
            )
        )
    if path.at_edge:
        sentences.append(
            Phrase(
                "The best {0} is the smallest tried; a wider range may contain a better one."
                if path.at_edge == "smallest"
                else "The best {0} is the largest tried; a wider range may contain a better one.",
                reg,
            )
        )
    return sentences


def _where(found: Comparison) -> str:
    """Return on which samples the scores were computed."""
    n_folds, n_groups = len(found.folds), found.recorded.n_groups
    where: str = Phrase("on {0}", pluralize(found.n_validation, "sample"))
    if n_folds > 1:
        where = Phrase("over {0} folds", str(n_folds))
    if n_groups is None:
        return where
    return Phrase("{0} of {1}" if n_folds > 1 else "{0}; {1} in total", where, pluralize(n_groups, "group"))


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
    sentences = [Phrase("Held-out accuracy of the other features: {0}.", _values(others))] if others else []
    return sentences + _ties(found.selected, own, others, "accuracy") + list(map(paired_sentence, found.tests))


def _values(others: Sequence[tuple[str, float]]) -> str:
    return Phrase.joined(", ", (Phrase("{1} {0}", f"{value:.4f}", name) for name, value in others))


def _ties(name: str, score: float, others: Sequence[tuple[str, float]], measure: str) -> list[str]:
    """Return a sentence if others are as good as the selected one, which was listed before them."""
    ties = [other for other, value in others if as_good(value, score)]
    if not ties:
        return []
    same = Phrase.joined(" and ", ties)
    return [Phrase("{0} has the same {1} as {2}, and was listed first.", name, measure, same)]


def _score(scoring: str, point: PathPoint) -> str:
    """Return the name and value of a score, with its standard error; a loss was negated to be a score."""
    error = "" if math.isnan(point.standard_error) else f" ± {point.standard_error:.4f}"
    score = -point.score if scoring == "loss" else point.score
    return Phrase("{1} {0}", f"{score:.4f}{error}", _MEASURES.get(scoring, scoring))
