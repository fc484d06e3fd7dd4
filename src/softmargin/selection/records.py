"""The records of a choice: plain numbers, finished, for models and reports."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from softmargin.errors import DataError
from softmargin.losses import LOSSES, Loss
from softmargin.selection import rules
from softmargin.selection.wording import choice_sentences, paired_sentence, unique_name
from softmargin.text import to_json

__all__ = ["Calibration", "Comparison", "FoldPoint", "LossPath", "PairedTest", "PathPoint"]

_SIGNIFICANT = 0.05


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

    def record(self) -> dict[str, Any]:
        """Return everything as plain numbers, means over the folds first."""
        mean = {name: self.mean(name) for name in ("square", "training_loss")}
        names = (
            "reg", "score", "standard_error", "value", "gap", "training_accuracy", "validation_loss",
            "validation_accuracy", "n_passes", "seconds", "folds",
        )  # fmt: skip
        return mean | {name: getattr(self, name) for name in names}


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
        Index of the best score; of equal ones that of the smallest held-out loss, then the largest λ.
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
        """Which end of the path the best λ is at, "largest" or "smallest"; else ""."""
        return rules.edge(self.points, self.best)

    def record(self) -> dict[str, Any]:
        """Return everything as plain numbers and strings."""
        return {
            "loss": self.loss.name,
            "parameters": self.loss.parameters(),
            "best": self.best,
            "one_se": self.one_se,
            "index": self.index,
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "points": [point.record() for point in self.points],
        }


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
        """Say in one sentence whether the difference is significant."""
        return paired_sentence(self)


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
        return unique_name(loss, [path.loss for path in self.paths])

    def sentences(self) -> list[str]:
        """Return these sentences one by one."""
        return choice_sentences(self)

    def record(self) -> dict[str, Any]:
        """Return everything as plain numbers and strings, for model files and reports."""
        record = {
            "loss": self.loss.name,
            "parameters": self.loss.parameters(),
            "reg": self.reg,
            "rule": self.rule,
            "scoring": self.scoring,
            "folds": self.folds,
            "n_training": self.n_training,
            "n_validation": self.n_validation,
            "path_tol": self.path_tol,
            "seconds": self.seconds,
            "reason": self.reason(),
            "paths": [path.record() for path in self.paths],
            "tests": [asdict(test) | {"sentence": test.sentence()} for test in self.tests],
        }
        return dict(to_json(record, lambda number: None))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Comparison:
        """Return the comparison of a `record`.

        Raises
        ------
        DataError
            It is the record of something else.
        """
        try:
            return cls(
                loss=LOSSES[record["loss"]](**record["parameters"]),
                paths=tuple(map(_path_from, record["paths"])),
                tests=tuple(_made(PairedTest, test) for test in record["tests"]),
                folds=tuple((n_training, n_held_out) for n_training, n_held_out in record["folds"]),
                **{name: record[name] for name in ("reg", "rule", "scoring", "path_tol", "seconds")},
            )
        except (LookupError, TypeError, ValueError) as error:
            raise DataError("The record of how loss and reg were chosen is not that of a comparison.") from error


def _made(kind: type[Any], record: dict[str, Any]) -> Any:
    """Return a flat record of this kind; None stands for a number that is not finite."""
    values = {f.name: record[f.name] for f in fields(kind)}
    return kind(**{name: math.nan if value is None else value for name, value in values.items()})


def _path_from(record: dict[str, Any]) -> LossPath:
    points = [
        _made(PathPoint, point | {"folds": tuple(_made(FoldPoint, fold) for fold in point["folds"])})
        for point in record["points"]
    ]
    calibration = record["calibration"]
    return LossPath(
        LOSSES[record["loss"]](**record["parameters"]),
        tuple(points),
        calibration=None if calibration is None else _made(Calibration, calibration),
        **{name: record[name] for name in ("best", "one_se", "index")},
    )
