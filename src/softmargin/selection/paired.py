"""McNemar's test of two classifiers on the same held-out samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from softmargin.selection.wording import paired_sentence
from softmargin.statistics import mcnemar

if TYPE_CHECKING:
    from softmargin.selection.records import PathPoint

__all__ = ["Candidate", "Correct", "CorrectRows", "PairedTest", "paired_test"]

_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class PairedTest:
    """McNemar's test of the selected loss or features against others, each at its own λ, on the held-out samples.

    Attributes
    ----------
    first, second : str
        Names of the losses, with their parameters where names repeat, or of the feature sets; the first is the
        selected one.
    only_first, only_second : int
        Number of held-out samples that only the first, or only the second, classifies correctly.
    p_value : float
        Two-sided mid-p value, by the exact binomial distribution.
    difference, standard_error : float
        Mean over the folds of the difference in accuracy, first minus second, and its standard error (NaN for a
        single fold).
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
        """Whether the p-value is below 0.05."""
        return self.p_value < _SIGNIFICANT

    def sentence(self) -> str:
        """Return one sentence that says whether the difference is significant."""
        return paired_sentence(self)

    def record(self) -> dict[str, Any]:
        """Return a dict of the attributes and the sentence."""
        return asdict(self) | {"sentence": self.sentence()}


class Correct(Protocol):
    """Which samples are held out and classified correctly."""

    def n_without(self, other: Correct) -> int:
        """Return how many of these samples another classifier misclassifies."""


@dataclass(frozen=True)
class CorrectRows:
    """Samples in memory that are held out and classified correctly.

    Attributes
    ----------
    rows : ndarray of bool, shape (N,)
        In the order in which the samples were given. A sample that several folds hold out counts in the first of
        them.
    """

    rows: NDArray[np.bool_]

    def n_without(self, other: Correct) -> int:
        """Return how many of these samples another classifier misclassifies."""
        assert isinstance(other, CorrectRows)
        return int((self.rows & ~other.rows).sum())


class Candidate(NamedTuple):
    """A classifier at its selected λ, and which held-out samples it classifies correctly."""

    name: str
    point: PathPoint
    correct: Correct


def paired_test(first: Candidate, second: Candidate) -> PairedTest:
    """Compare two classifiers that were evaluated on the same folds of the same samples."""
    only_first = first.correct.n_without(second.correct)
    only_second = second.correct.n_without(first.correct)
    pairs = zip(first.point.folds, second.point.folds, strict=True)
    differences = np.array([mine.validation_accuracy - theirs.validation_accuracy for mine, theirs in pairs])
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else float("nan")
    return PairedTest(
        first.name,
        second.name,
        only_first,
        only_second,
        mcnemar(only_first, only_second),
        float(differences.mean()),
        error,
    )
