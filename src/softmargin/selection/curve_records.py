"""The record of a learning curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from softmargin.text import to_json

__all__ = ["CurvePoint", "LearningCurve", "LossCurve"]

_BAND = (0.1, 0.9)


@dataclass(frozen=True)
class CurvePoint:
    """The fits of one loss to the subsets of one size.

    Attributes
    ----------
    shots : int or None
        Number of samples per class; None for all.
    n_samples : int
        Number of samples of each subset; a class may have fewer than ``shots``.
    reg : float
        λ.
    accuracies : tuple of float
        Test accuracy of each repeat; a single one if the subset holds all samples.
    gap : float
        The largest relative duality gap of any fit.
    n_passes : int
        Passes over the subsets, of all repeats.
    seconds : float
        Sum over the fits.
    """

    shots: int | None
    n_samples: int
    reg: float
    accuracies: tuple[float, ...]
    gap: float
    n_passes: int
    seconds: float

    @property
    def name(self) -> str:
        """The number of shots as text, or "all"."""
        return "all" if self.shots is None else str(self.shots)

    @property
    def mean(self) -> float:
        """Mean of the accuracies."""
        return float(np.mean(self.accuracies))

    @property
    def standard_error(self) -> float:
        """Standard error of ``mean``, over the random subsets; NaN for a single fit."""
        n = len(self.accuracies)
        return float(np.std(self.accuracies, ddof=1)) / math.sqrt(n) if n > 1 else math.nan

    @property
    def band(self) -> tuple[float, float]:
        """The 10 % and 90 % quantiles of the accuracies: where a single random subset usually lies."""
        low, high = np.quantile(self.accuracies, _BAND)
        return float(low), float(high)

    def record(self) -> dict[str, Any]:
        """Return a dict of the attributes and of mean, standard error and band."""
        low, high = self.band
        return {
            "shots": self.name, "n_samples": self.n_samples, "reg": self.reg, "mean": self.mean,
            "standard_error": self.standard_error, "low": low, "high": high, "accuracies": self.accuracies,
            "gap": self.gap, "n_passes": self.n_passes, "seconds": self.seconds,
        }  # fmt: skip


@dataclass(frozen=True)
class LossCurve:
    """The curve of one loss.

    Attributes
    ----------
    loss : str
        Its name, with its parameters if another loss has the same name.
    parameters : dict
    points : tuple of CurvePoint
        By increasing number of shots.
    """

    loss: str
    parameters: dict[str, Any]
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class LearningCurve:
    """The result of `learning_curve`.

    Attributes
    ----------
    curves : tuple of LossCurve
    n_training, n_test, n_classes : int
    n_groups : int or None
        Number of groups of the given samples, without those of a separate test set; None without groups.
    held_out : bool
        Whether the test samples are a fifth of the given ones, which is in no subset.
    selected : bool
        Whether λ was selected on the whole training set.
    repeats, seed : int
    tol : float
        Tolerance on the relative duality gap of each fit.
    seconds : float
        Wall time.
    """

    curves: tuple[LossCurve, ...]
    n_training: int
    n_test: int
    n_classes: int
    n_groups: int | None
    held_out: bool
    selected: bool
    repeats: int
    seed: int
    tol: float
    seconds: float

    @property
    def n_not_converged(self) -> int:
        """Number of points with a fit whose gap is larger than ``tol``."""
        return sum(point.gap > self.tol for curve in self.curves for point in curve.points)

    def record(self) -> dict[str, Any]:
        """Return a dict of JSON values; numbers that are not finite become None."""
        record = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "curves"}
        curves = [
            {"loss": c.loss, "parameters": c.parameters, "points": [point.record() for point in c.points]}
            for c in self.curves
        ]
        return dict(to_json(record | {"curves": curves}, lambda number: None))
