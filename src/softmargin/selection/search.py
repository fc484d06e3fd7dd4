"""What a cross-validation asks of its samples, which may be in memory or on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from softmargin.objective import Objective
from softmargin.samples import Samples
from softmargin.selection.out_of_fold import OutOfFold
from softmargin.selection.paired import Correct
from softmargin.shards import Shards
from softmargin.solvers import Fit

if TYPE_CHECKING:
    from softmargin.selection.records import Calibration

__all__ = ["FoldFit", "Judged", "Search"]


class FoldFit(NamedTuple):
    """The objective of the training part of a fold, and a fit of it."""

    objective: Objective
    fit: Fit


class Judged(NamedTuple):
    """The calibration of one fit per fold on the held-out samples, and which samples they classify correctly."""

    calibration: Calibration | None
    correct: Correct


class Search(Protocol):
    """The samples of a cross-validation, with their folds.

    Attributes
    ----------
    samples : Samples or Shards
    sizes : tuple of tuple of int
        Number of given samples in the training and held-out part, per fold.
    """

    @property
    def samples(self) -> Samples | Shards:
        """The samples."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Number of given samples in the training and held-out part, per fold."""

    def loss_error(self, found: FoldFit) -> float:
        """Return the standard error of the mean loss of the only fold's held-out samples."""

    def judge(self, fits: Sequence[FoldFit], calibrated: bool) -> Judged:
        """Judge a fit per fold on the held-out samples; the calibration is computed if ``calibrated`` is true."""

    def out_of_fold(self, fits: Sequence[FoldFit], temperature: float | None) -> OutOfFold:
        """Return the scores of all samples, each from the first fold that holds it out."""
