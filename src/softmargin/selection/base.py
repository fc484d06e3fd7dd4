"""The records of a choice: plain numbers, finished, for models and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from softmargin.data.base import counted
from softmargin.losses.base import Loss

__all__ = [
    "Calibration",
    "Comparison",
    "FoldPoint",
    "LossPath",
    "PairedTest",
    "PathPoint",
    "as_good",
    "told_apart",
]

_SIGNIFICANT = 0.05

_ROUNDING = 1e-12
"""Scores that differ by less than this share are the same: means of equal counts differ in their last bits."""

_NEARLY = 0.05
"""λ‖W‖ that differs by no more than this share between two λ: W is that of the larger one, but longer."""


def told_apart(loss: Loss, losses: Sequence[Loss]) -> str:
    """Return the name of one of the losses, with its parameters where another one has the same name."""
    if all(other.name != loss.name or other == loss for other in losses):
        return loss.name
    return f"{loss.name} ({', '.join(f'{name} {number:g}' for name, number in loss.parameters().items())})"


def as_good(score: float, best: float) -> bool:
    """Return whether a score is as good as another, but for what rounding makes of equal ones."""
    return score >= best - _ROUNDING * abs(best)


@dataclass(frozen=True)
class FoldPoint:
    """One λ on one fold: what was fitted without its held-out samples, and how that does on them.

    Attributes
    ----------
    value, gap : float
        F on the training part and its proved relative gap.
    square : float
        ΣW², so that λ times it is the penalty's share of ``value``.
    training_loss, validation_loss : float
        Mean loss of the samples of either part.
    training_accuracy, validation_accuracy : float
        Share of samples (by weight) whose class has the largest score.
    score : float
        What the choice goes by: larger is better.
    n_passes : int
    seconds : float
        Its share of the time in which all folds were fitted, some of them at once.
    """

    value: float
    gap: float
    square: float
    training_loss: float
    training_accuracy: float
    validation_loss: float
    validation_accuracy: float
    score: float
    n_passes: int
    seconds: float


@dataclass(frozen=True)
class PathPoint:
    """One λ of a path, over all folds.

    Attributes
    ----------
    reg : float
        λ.
    folds : tuple of FoldPoint
    score, standard_error : float
        Mean of the folds' scores, and its standard error.
    """

    reg: float
    folds: tuple[FoldPoint, ...]
    score: float
    standard_error: float

    def mean(self, name: str) -> float:
        """Return the mean over the folds of the attribute of this ``name`` of `FoldPoint`."""
        return sum(float(getattr(fold, name)) for fold in self.folds) / len(self.folds)

    @property
    def value(self) -> float:
        """Mean of F over the folds."""
        return self.mean("value")

    @property
    def training_accuracy(self) -> float:
        """Mean over the folds."""
        return self.mean("training_accuracy")

    @property
    def validation_accuracy(self) -> float:
        """Mean over the folds."""
        return self.mean("validation_accuracy")

    @property
    def validation_loss(self) -> float:
        """Mean over the folds."""
        return self.mean("validation_loss")

    @property
    def gap(self) -> float:
        """The largest gap of any fold."""
        return max(fold.gap for fold in self.folds)

    @property
    def n_passes(self) -> int:
        """Readings of X by all folds."""
        return sum(fold.n_passes for fold in self.folds)

    @property
    def seconds(self) -> float:
        """Of all folds."""
        return sum(fold.seconds for fold in self.folds)


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of one loss can be trusted, by the held-out samples.

    Attributes
    ----------
    method : str
        "softmax": the loss has probabilities of its own. "temperature": they are the softmax of the scores
        divided by ``temperature``, which was fitted to the held-out scores; the loss itself promises none.
    temperature : float
        1 for "softmax".
    error : float
        Expected calibration error: mean distance between confidence and accuracy, over bins of confidence.
    log_loss : float
        Mean of -log of the probability of the right class.
    n_bins : int
    n_samples : int
        Held-out samples these were measured on.
    """

    method: str
    temperature: float
    error: float
    log_loss: float
    n_bins: int
    n_samples: int


@dataclass(frozen=True)
class LossPath:
    """The path of one loss, from large λ to small.

    Attributes
    ----------
    loss : Loss
    points : tuple of PathPoint
    best : int
        Index of the best score; of equal ones the largest λ.
    one_se : int
        Index of the largest λ whose score is within one standard error of the best.
    index : int
        That of the two which the rule takes.
    calibration : Calibration or None
        Of the point at ``index``.
    """

    loss: Loss
    points: tuple[PathPoint, ...]
    best: int
    one_se: int
    index: int
    calibration: Calibration | None = None

    @property
    def chosen(self) -> PathPoint:
        """The point that the rule takes."""
        return self.points[self.index]

    @property
    def at_edge(self) -> str:
        """Return "largest" or "smallest" if the best λ is the first or last that was tried, else "".

        The first is no edge where W does nothing but shrink as λ grows: larger ones change no sample's class.
        """
        if len(self.points) == 1 or (self.best == 0 and self._only_shrinks()):
            return ""
        return {0: "largest", len(self.points) - 1: "smallest"}.get(self.best, "")

    def _only_shrinks(self) -> bool:
        """Whether the scores at the two largest λ are the same, and λ‖W‖ as well, to a few percent."""
        first, second = self.points[:2]
        sizes = [point.reg * point.mean("square") ** 0.5 for point in (first, second)]
        return as_good(second.score, first.score) and abs(sizes[0] - sizes[1]) <= _NEARLY * sizes[0]


@dataclass(frozen=True)
class PairedTest:
    """The chosen loss against another, each at its own λ, on the same held-out samples.

    Attributes
    ----------
    first, second : str
        Names of the losses, with their parameters where names repeat; the first is the one that was chosen.
    only_first, only_second : int
        Held-out samples that only this one has right. The others do not tell the two apart.
    p_value : float
        McNemar's test with the exact binomial distribution, mid-p, two-sided.
    difference, standard_error : float
        Of the mean accuracies over the folds, first minus second, and the standard error of that over the folds
        (NaN for a single one).
    """

    first: str
    second: str
    only_first: int
    only_second: int
    p_value: float
    difference: float
    standard_error: float

    @property
    def significant(self) -> bool:
        """Whether chance would show such a difference in less than one of twenty cases."""
        return self.p_value < _SIGNIFICANT

    def sentence(self) -> str:
        """Say in one sentence whether the difference is more than noise."""
        n = self.only_first + self.only_second
        counts = (
            f"of the {counted(n, 'held-out sample')} that only one of them has right, {self.first} has "
            f"{self.only_first:,} and {self.second} {self.only_second:,} (McNemar's p = {_shown(self.p_value)})"
        )
        if n == 0:
            return (
                f"{self.first} and {self.second} are right on the same held-out samples: nothing tells them apart."
            )
        if not self.significant:
            return f"The difference between {self.first} and {self.second} is noise: {counts}."
        better, worse = self.first, self.second
        if self.only_second > self.only_first:
            better, worse = worse, better
        return f"{better} is right more often than {worse}, by more than chance: {counts}."


def _shown(p: float) -> str:
    return f"{p:.2f}" if p >= 0.01 else f"{p:.0e}"


@dataclass(frozen=True)
class Comparison:
    """What was compared, what was chosen, and why.

    Attributes
    ----------
    loss : Loss
        The chosen one.
    reg : float
        Its λ.
    paths : tuple of LossPath
        One for each loss, in the order in which they were given.
    tests : tuple of PairedTest
        The chosen loss against each other one.
    rule : {"best", "one_se"}
    scoring : str
        Name of the score.
    folds : tuple of tuple of int
        Numbers of training and of held-out samples of each fold.
    path_tol : float
        The gap that each point of a path was asked to prove.
    seconds : float
        Wall time of it all.
    """

    loss: Loss
    reg: float
    paths: tuple[LossPath, ...]
    tests: tuple[PairedTest, ...]
    rule: str
    scoring: str
    folds: tuple[tuple[int, int], ...]
    path_tol: float
    seconds: float

    @property
    def chosen_path(self) -> LossPath:
        """The path of the chosen loss."""
        return next(path for path in self.paths if path.loss == self.loss)

    @property
    def n_training(self) -> int:
        """Samples that the first fold is fitted to."""
        return self.folds[0][0]

    @property
    def n_validation(self) -> int:
        """Held-out samples, of all folds."""
        return sum(n_held_out for _, n_held_out in self.folds)

    @property
    def standard_error(self) -> float:
        """Standard error of the chosen score."""
        return self.chosen_path.chosen.standard_error

    def reason(self) -> str:
        """Say in a few sentences what was chosen and why."""
        return " ".join(self.sentences())

    def name_of(self, loss: Loss) -> str:
        """Return what a loss is called here: by its name, with its parameters where another has the same."""
        return told_apart(loss, [path.loss for path in self.paths])

    def sentences(self) -> list[str]:
        """Return these sentences one by one."""
        name = self.name_of(self.loss)
        point = self.chosen_path.chosen
        where = f"{self.n_validation:,} held-out samples"
        if len(self.folds) > 1:
            where = f"the held-out samples of {len(self.folds)} folds"
        if self.scoring == "loss" and len(self.paths) > 1:  # of which the values of two losses cannot be compared
            said = [
                f"Chosen: {name} with reg {self.reg:.3g}, by its accuracy of {point.validation_accuracy:.4f} on "
                f"{where}; each reg by the loss."
            ]
        else:
            shown = f"accuracy of {point.score:.4f}" if self.scoring == "accuracy" else _score(self, point.score)
            error = f"± {point.standard_error:.4f}"
            said = [f"Chosen: {name} with reg {self.reg:.3g}, by its {shown} {error} on {where}."]
        if self.rule == "one_se":
            best = self.chosen_path.points[self.chosen_path.best]
            said.append(
                f"This is the largest reg within one standard error of the best, {_score(self, best.score)} at "
                f"reg {best.reg:.3g}."
            )
        others = [path for path in self.paths if path is not self.chosen_path]
        if others:
            shown = ", ".join(
                f"{self.name_of(path.loss)} {path.chosen.validation_accuracy:.4f}" for path in others
            )
            said.append(f"The accuracy of the others, each at its own choice of reg: {shown}.")
            mine = point.validation_accuracy
            ties = [self.name_of(path.loss) for path in others if as_good(path.chosen.validation_accuracy, mine)]
            if ties:
                said.append(
                    f"{name} does no better than {' and '.join(ties)}: it is taken because it was tried first."
                )
        said += [test.sentence() for test in self.tests]
        edge = self.chosen_path.at_edge
        if edge:
            said.append(f"The best reg is the {edge} that was tried: a wider range may hold a better one.")
        return said

    def record(self) -> dict[str, Any]:
        """Return everything as plain numbers and strings, for model files and reports."""
        return {
            "loss": self.loss.name,
            "reg": self.reg,
            "rule": self.rule,
            "scoring": self.scoring,
            "folds": [list(fold) for fold in self.folds],
            "n_training": self.n_training,
            "n_validation": self.n_validation,
            "path_tol": self.path_tol,
            "seconds": self.seconds,
            "reason": self.reason(),
            "paths": [_path_record(path) for path in self.paths],
            "tests": [_finite(asdict(test)) | {"sentence": test.sentence()} for test in self.tests],
        }


def _score(comparison: Comparison, score: float) -> str:
    """Name a score; a loss is scored by its negative, and shown as it is."""
    return f"loss of {-score:.4f}" if comparison.scoring == "loss" else f"{comparison.scoring} of {score:.4f}"


def _path_record(path: LossPath) -> dict[str, Any]:
    points = [
        _finite(
            {
                "reg": point.reg,
                "score": point.score,
                "standard_error": point.standard_error,
                "value": point.value,
                "gap": point.gap,
                "square": point.mean("square"),
                "training_loss": point.mean("training_loss"),
                "training_accuracy": point.training_accuracy,
                "validation_loss": point.validation_loss,
                "validation_accuracy": point.validation_accuracy,
                "n_passes": point.n_passes,
                "seconds": point.seconds,
            }
        )
        | {"folds": [_finite(asdict(fold)) for fold in point.folds]}
        for point in path.points
    ]
    return {
        "loss": path.loss.name,
        "parameters": path.loss.parameters(),
        "best": path.best,
        "one_se": path.one_se,
        "index": path.index,
        "calibration": None if path.calibration is None else asdict(path.calibration),
        "points": points,
    }


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with None for what is no finite number, which JSON cannot say."""
    return {
        name: None if isinstance(entry, float) and not abs(entry) < float("inf") else entry
        for name, entry in record.items()
    }
