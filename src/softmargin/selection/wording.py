"""The sentences about a choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softmargin.losses import Loss
from softmargin.selection.rules import as_good
from softmargin.text import pluralize

if TYPE_CHECKING:
    from softmargin.selection.records import Comparison, PairedTest

__all__ = ["choice_sentences", "paired_sentence", "unique_name"]


def unique_name(loss: Loss, losses: Sequence[Loss]) -> str:
    """Return the name of one of the losses, with its parameters where another one has the same name."""
    if all(other.name != loss.name or other == loss for other in losses):
        return loss.name
    return f"{loss.name} ({', '.join(f'{name} {number:g}' for name, number in loss.parameters().items())})"


def paired_sentence(test: PairedTest) -> str:
    """Say in one sentence whether the difference is significant."""
    n, p = test.only_first + test.only_second, test.p_value
    if n == 0:
        return f"{test.first} and {test.second} are right on the same held-out samples: nothing tells them apart."
    counts = (
        f"of the {pluralize(n, 'held-out sample')} that only one of them has right, {test.first} has "
        f"{test.only_first:,} and {test.second} {test.only_second:,} "
        f"(McNemar's p = {f'{p:.2f}' if p >= 0.01 else f'{p:.0e}'})"
    )
    if not test.significant:
        return f"The difference between {test.first} and {test.second} is noise: {counts}."
    better, worse = test.first, test.second
    if test.only_second > test.only_first:
        better, worse = worse, better
    return f"{better} is right more often than {worse}, by more than chance: {counts}."


def choice_sentences(found: Comparison) -> list[str]:
    """Say in a few sentences what was chosen and why."""
    path = found.chosen_path
    name, point = found.name_of(found.loss), path.chosen
    where = f"{found.n_validation:,} held-out samples"
    if len(found.folds) > 1:
        where = f"the held-out samples of {len(found.folds)} folds"
    if found.scoring == "loss" and len(found.paths) > 1:  # of which the values of two losses cannot be compared
        said = [
            f"Chosen: {name} with reg {found.reg:.3g}, by its accuracy of {point.validation_accuracy:.4f} on "
            f"{where}; each reg by the loss."
        ]
    else:
        shown = f"{_score(found.scoring, point.score)} ± {point.standard_error:.4f}"
        said = [f"Chosen: {name} with reg {found.reg:.3g}, by its {shown} on {where}."]
    if found.rule == "one_se":
        best = path.points[path.best]
        said.append(
            f"This is the largest reg within one standard error of the best, {_score(found.scoring, best.score)} "
            f"at reg {best.reg:.3g}."
        )
    others = {
        found.name_of(other.loss): other.chosen.validation_accuracy for other in found.paths if other is not path
    }
    if others:
        shown = ", ".join(f"{other} {accuracy:.4f}" for other, accuracy in others.items())
        said.append(f"The accuracy of the others, each at its own choice of reg: {shown}.")
        ties = [other for other, accuracy in others.items() if as_good(accuracy, point.validation_accuracy)]
        if ties:
            said.append(
                f"{name} does no better than {' and '.join(ties)}: it is taken because it was tried first."
            )
    said += map(paired_sentence, found.tests)
    if path.at_edge:
        said.append(f"The best reg is the {path.at_edge} that was tried: a wider range may hold a better one.")
    return said


def _score(scoring: str, score: float) -> str:
    """Name a score; a loss is scored by its negative, and shown as it is."""
    return f"loss of {-score:.4f}" if scoring == "loss" else f"{scoring} of {score:.4f}"
