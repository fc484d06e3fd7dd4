"""Records of a selection, for models and reports."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from softmargin.errors import DataError
from softmargin.losses import LOSSES, Loss
from softmargin.notebook import table
from softmargin.selection import rules
from softmargin.selection.feature_records import FeatureChoice
from softmargin.selection.out_of_fold import OutOfFold
from softmargin.selection.paired import PairedTest
from softmargin.selection.wording import choice_sentences, unique_name
from softmargin.statistics import standard_error
from softmargin.text import from_json, to_json

__all__ = ["Calibration", "Comparison", "FoldPoint", "LossPath", "PathPoint", "Recorded"]


_POOR = 0.1
"""Calibration errors up to this value are not worth a warning."""


@dataclass(frozen=True)
class FoldPoint:
    """The fit for one λ on one fold, evaluated on its training part and on the held-out samples.

    Attributes
    ----------
    value, gap : float
        F on the training part, and its certified relative gap.
    square : float
        ΣW²; the penalty in ``value`` is λ times this.
    training_loss, validation_loss : float
        Mean loss of the samples of each part.
    training_accuracy, validation_accuracy : float
        Weighted fraction of the samples that are classified correctly.
    score : float
        The value that λ is selected by; larger is better.
    n_passes : int
    seconds : float
        Its share of the wall time of all folds, which may run concurrently.
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
        """Return the mean over the folds of an attribute of `FoldPoint`, given by ``name``."""
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
        """Passes over X by all folds."""
        return sum(fold.n_passes for fold in self.folds)

    @property
    def seconds(self) -> float:
        """Sum over the folds."""
        return sum(fold.seconds for fold in self.folds)

    def record(self) -> dict[str, Any]:
        """Return a dict of the attributes and of the means over the folds."""
        means = {f.name: self.mean(f.name) for f in fields(FoldPoint)}
        names = ("reg", "score", "standard_error", "gap", "n_passes", "seconds", "folds")
        return means | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Calibration:
    """How well the probabilities of one loss are calibrated on the held-out samples.

    Attributes
    ----------
    method : str
        "softmax": the loss defines probabilities itself. "temperature": they are the softmax of the scores divided
        by ``temperature``, which was fitted to the held-out scores.
    temperature : float
        1 for "softmax".
    error : float
        Expected calibration error: mean absolute difference between confidence and accuracy, over bins of
        confidence.
    log_loss : float
        Mean of -log of the probability of the true class.
    n_bins : int
    n_samples : int
        Number of held-out samples.
    """

    method: str
    temperature: float
    error: float
    log_loss: float
    n_bins: int
    n_samples: int

    def is_poor(self, n_groups: int | None = None) -> bool:
        """Return whether the error is above 0.1, and above what chance explains (at the level of 1 %).

        With perfect calibration the expected error of n independent samples in B bins is at most √(B / (4n)), by
        the inequality of Cauchy and Schwarz. One sample changes the error by at most 1/n. It exceeds its
        expectation by √(ln 100 / (2n)) with a probability of at most 1 % (McDiarmid).

        Parameters
        ----------
        n_groups : int, optional
            Number of groups of dependent samples, which is n then.
        """
        noise = math.sqrt(0.25 * self.n_bins) + math.sqrt(0.5 * math.log(100.0))
        return self.error > max(_POOR, noise / math.sqrt(n_groups or self.n_samples))


class Recorded(NamedTuple):
    """Settings of a selection that its result does not show, for the record.

    Attributes
    ----------
    seed : int
        Seed of the folds.
    n_groups : int or None
        Number of groups that were kept together.
    class_weight : dict of str to float, "balanced" or None
        Factors on the sample weights per class, by the text of the label.
    weighted : bool
        Whether the samples had different weights.
    """

    seed: int = 0
    n_groups: int | None = None
    class_weight: dict[str, float] | str | None = None
    weighted: bool = False


@dataclass(frozen=True)
class LossPath:
    """The path of one loss, from large λ to small.

    Attributes
    ----------
    loss : Loss
    points : tuple of PathPoint
    best : int
        Index of the best score; ties go to the smallest held-out loss, then to the largest λ.
    one_se : int
        Index of the largest λ whose score is within one standard error of the best.
    index : int
        Index that the rule selects: ``best`` or ``one_se``.
    calibration : Calibration or None
        Calibration at ``index``.
    skipped : tuple of float
        λ of a list or a number of λ that were not fitted: at larger ones, held-out score and loss became worse.
    ended_at : float or None
        The λ after the last point, if its first folds sufficed to end the path: score and loss were clearly worse.
    """

    loss: Loss
    points: tuple[PathPoint, ...]
    best: int
    one_se: int
    index: int
    calibration: Calibration | None = None
    skipped: tuple[float, ...] = ()
    ended_at: float | None = None

    @property
    def chosen(self) -> PathPoint:
        """The selected point."""
        return self.points[self.index]

    @property
    def at_edge(self) -> str:
        """The end of the path at which the best λ is, "largest" or "smallest"; else ""."""
        found = rules.edge(self.points, self.best)
        return "" if found == "smallest" and self.ended_at is not None else found

    def record(self) -> dict[str, Any]:
        """Return a dict of the attributes, with the loss as its name and parameters."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "loss": self.loss.name,
            "parameters": self.loss.parameters(),
            "points": [point.record() for point in self.points],
        }


@dataclass(frozen=True)
class Comparison:
    """The result of `compare` or `choose`: every fit, the tests between losses, and the selection.

    Attributes
    ----------
    loss : Loss
        The selected loss.
    reg : float
        Its λ.
    paths : tuple of LossPath
        One per loss, in the given order.
    tests : tuple of PairedTest
        The selected loss against each of the others.
    rule : {"best", "one_se"}
    scoring : str
        Name of the score.
    folds : tuple of tuple of int
        Number of training and of held-out samples, per fold.
    path_tol : float
        Tolerance on the relative gap of each fit on a path.
    seconds : float
        Total wall time.
    features : FeatureChoice, optional
        The other feature sets that were compared, if this is the comparison of the selected one.
    recorded : Recorded
        The seed, the groups and the weights.
    out_of_fold : OutOfFold, optional
        Held-out scores of all samples at the selected loss and λ, if they were requested; not in the ``record``.
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
    features: FeatureChoice | None = None
    recorded: Recorded = field(default_factory=Recorded)
    out_of_fold: OutOfFold | None = field(default=None, repr=False, compare=False)

    @property
    def chosen_path(self) -> LossPath:
        """The path of the selected loss."""
        return next(path for path in self.paths if path.loss == self.loss)

    @property
    def n_training(self) -> int:
        """Number of training samples of the first fold."""
        return self.folds[0][0]

    @property
    def n_validation(self) -> int:
        """Number of held-out samples, summed over the folds."""
        return sum(n_held_out for _, n_held_out in self.folds)

    @property
    def standard_error(self) -> float:
        """Standard error of the selected score."""
        return self.chosen_path.chosen.standard_error

    def accuracy_error(self, point: PathPoint) -> float:
        """Return the standard error of the held-out accuracy at a ``point``, for people.

        It is the larger of the standard error over the folds and Wilson's for as many independent samples. Folds
        of equal accuracy, for example without any error, do not make it certain.
        """
        accuracies = [fold.validation_accuracy for fold in point.folds]
        over_folds = float(np.std(accuracies, ddof=1)) / math.sqrt(len(accuracies)) if len(accuracies) > 1 else 0.0
        n_different = min(self.n_validation, sum(self.folds[0]))  # a splitter may hold a sample out repeatedly
        return max(over_folds, standard_error(point.validation_accuracy, n_different))

    @property
    def has_groups(self) -> bool:
        """Whether groups hold several samples; if each sample is its own group, they are independent."""
        return self.recorded.n_groups is not None and self.recorded.n_groups < sum(self.folds[0])

    def reason(self) -> str:
        """Return a few sentences that describe what was selected, and why."""
        return " ".join(self.sentences())

    def name_of(self, loss: Loss) -> str:
        """Return the name of a ``loss``, with its parameters if another one has the same name."""
        return unique_name(loss, [path.loss for path in self.paths])

    def sentences(self) -> list[str]:
        """Return the sentences of `reason` as a list."""
        return choice_sentences(self)

    def _repr_html_(self) -> str:
        """Return the losses at their selected λ, and the reason for the selection, as a table for notebooks."""
        headings = ("loss", "λ", "training accuracy", "held-out accuracy", "held-out loss", "seconds")
        rows = []
        for path in self.paths:
            point = path.chosen
            accuracy = f"{point.validation_accuracy:.4f} ± {self.accuracy_error(point):.4f}"
            seconds = f"{sum(one.seconds for one in path.points):.1f}"
            training, loss = f"{point.training_accuracy:.4f}", f"{point.validation_loss:.4g}"
            rows.append((self.name_of(path.loss), f"{point.reg:.3g}", training, accuracy, loss, seconds))
        return table("Comparison", rows, headings, self.sentences())

    def record(self) -> dict[str, Any]:
        """Return a dict of JSON values, for model files and reports; numbers that are not finite become None."""
        names = [f.name for f in fields(self) if f.name not in ("recorded", "out_of_fold")]
        record = {name: getattr(self, name) for name in names} | {
            **self.recorded._asdict(),
            "loss": self.loss.name,
            "parameters": self.loss.parameters(),
            "n_training": self.n_training,
            "n_validation": self.n_validation,
            "reason": self.reason(),
            "paths": [path.record() for path in self.paths],
            "tests": [test.record() for test in self.tests],
            "features": None if self.features is None else self.features.record(),
        }
        return dict(to_json(record, lambda number: None))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Comparison:
        """Return the comparison from the dict that its method ``record`` returned.

        Raises
        ------
        DataError
            If ``record`` is not the record of a comparison.
        """
        try:
            features = record.get("features")  # older records have none
            return cls(
                loss=LOSSES[record["loss"]](**record["parameters"]),
                paths=tuple(map(_path_from, record["paths"])),
                tests=tuple(from_json(PairedTest, test) for test in record["tests"]),
                features=None if features is None else FeatureChoice.from_record(features),
                recorded=Recorded(**{name: record[name] for name in Recorded._fields if name in record}),
                folds=tuple((n_training, n_held_out) for n_training, n_held_out in record["folds"]),
                **{name: record[name] for name in ("reg", "rule", "scoring", "path_tol", "seconds")},
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DataError("selection must be the record of a Comparison, got another one.") from error


def _path_from(record: dict[str, Any]) -> LossPath:
    points = [
        from_json(PathPoint, point | {"folds": tuple(from_json(FoldPoint, fold) for fold in point["folds"])})
        for point in record["points"]
    ]
    calibration = record["calibration"]
    return LossPath(
        LOSSES[record["loss"]](**record["parameters"]),
        tuple(points),
        calibration=None if calibration is None else from_json(Calibration, calibration),
        skipped=tuple(record.get("skipped", ())),  # older records have none
        ended_at=record.get("ended_at"),
        **{name: record[name] for name in ("best", "one_se", "index")},
    )
