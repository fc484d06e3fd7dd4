"""What an evaluation needs of some samples: counts and moments, which add up to those of all samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin import metrics
from softmargin.arguments import Floats, Ints, brief
from softmargin.errors import ParameterError
from softmargin.losses import CrossEntropy, softmax
from softmargin.metrics import Moments
from softmargin.model import Model
from softmargin.model.predict import class_numbers

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Probabilities", "Tally", "scored", "tally_of"]

_BLOCK = 1 << 20
"""Number of scores in a block of rows: 8 MB."""

_FEW_CELLS = 1 << 16
"""Up to this many pairs of classes, all are counted, also those that do not occur."""


@dataclass(frozen=True)
class Probabilities:
    """Moments of the metrics of probabilities, of the samples with known labels.

    Attributes
    ----------
    log_loss, brier : Moments
        Of -log P of the label, and of `metrics.brier_terms`.
    bins : Moments
        Of correct - confidence, by bin of the confidence.
    """

    log_loss: Moments
    brier: Moments
    bins: Moments

    def merged(self, other: Probabilities) -> Probabilities:
        """Return the moments of the samples of both."""
        return Probabilities(
            self.log_loss.merged(other.log_loss), self.brier.merged(other.brier), self.bins.merged(other.bins)
        )


@dataclass(frozen=True)
class Tally:
    """Counts of samples.

    Attributes
    ----------
    n_classes : int
        C.
    pairs : ndarray of shape (K,), int64
        C · true class + predicted class, for each pair that occurs, ascending.
    counts : ndarray of shape (K,), int64
        Number of samples of each pair.
    unknown : mapping from (label, int) to int
        Number of samples by label that is not a class of the model, and predicted class.
    n_top : int
        Number of samples whose label is among the k classes of largest score; 0 if k ≥ C.
    probabilities : Probabilities, optional
        None if the scores define no probabilities.
    """

    n_classes: int
    pairs: Ints
    counts: Ints
    unknown: Mapping[tuple[Any, int], int]
    n_top: int
    probabilities: Probabilities | None

    @property
    def n_known(self) -> int:
        """Number of samples with known labels."""
        return int(self.counts.sum())

    def confusion(self) -> tuple[list[Any], Ints]:
        """Return the unknown labels, and the confusion matrix (L, L) of the classes and of these labels."""
        names, C = sorted({label for label, _ in self.unknown}), self.n_classes
        rows = {name: row for row, name in enumerate(names, C)}
        matrix = np.zeros((C + len(names), C + len(names)), np.int64)
        matrix[self.pairs // C, self.pairs % C] = self.counts
        for (label, predicted), n in self.unknown.items():
            matrix[rows[label], predicted] = n
        return names, matrix

    @classmethod
    def sum(cls, tallies: Sequence[Tally]) -> Tally:
        """Return the counts of the samples of all; moments are added in this order."""
        first = tallies[0]
        unknown: Counter[tuple[Any, int]] = Counter()
        for each in tallies:
            unknown.update(each.unknown)
        moments = [each.probabilities for each in tallies if each.probabilities is not None]
        pairs, counts = (np.concatenate([getattr(each, name) for each in tallies]) for name in ("pairs", "counts"))
        return cls(
            first.n_classes,
            *_counted(pairs, counts, first.n_classes),
            unknown,
            sum(each.n_top for each in tallies),
            reduce(Probabilities.merged, moments) if moments else None,
        )


def _counted(pairs: Ints, counts: Ints | None, n_classes: int) -> tuple[Ints, Ints]:
    """Return the different pairs, ascending, and the sum of the counts of each."""
    n_cells = n_classes**2
    if n_cells <= max(len(pairs), _FEW_CELLS):
        sums = np.bincount(pairs, counts, n_cells)
        places = np.flatnonzero(sums)
        return places, sums[places].astype(np.int64)
    found, places = np.unique(pairs, return_inverse=True)
    return found, np.bincount(places, counts).astype(np.int64)


def scored(
    model: Model | Any, X: ArrayLike | csr_array, n_threads: int | None = None, first_row: int = 0
) -> tuple[NDArray[Any], Floats, float | None]:
    """Return classes (C,), scores (N, C) and the temperature of a model or a fitted estimator.

    The further parameters are those of `Model.scores`; an estimator has its own number of threads.

    Raises
    ------
    ParameterError
        If ``model`` is neither.
    """
    if isinstance(model, Model):
        return model.classes, model.scores(X, n_threads, first_row=first_row), model.temperature
    if not (hasattr(model, "loss_") and hasattr(model, "decision_function")):
        raise ParameterError(f"model must be a Model or a fitted LinearClassifier, got {brief(model)}.")
    scores = model.decision_function(X)
    if scores.ndim == 1:  # the second score minus the first: probabilities and predictions are the same
        scores = np.column_stack((np.zeros_like(scores), scores))
    calibration = getattr(model, "calibration_", None)
    own = 1.0 if model.loss_.probabilistic else None
    return model.classes_, scores, own if calibration is None else calibration.temperature


def tally_of(
    scores: Floats, labels: NDArray[Any], classes: NDArray[Any], temperature: float | None, top_k: int
) -> Tally:
    """Return the counts of some samples; probabilities are computed in blocks of rows.

    Parameters
    ----------
    scores : ndarray of shape (n, C), n > 0
    labels : ndarray of shape (n,)
    classes : ndarray of shape (C,)
    temperature : float or None
        Divides the scores before the softmax; None if they define no probabilities.
    top_k : int
    """
    codes, C = class_numbers(classes, labels), len(classes)
    predicted, is_known = scores.argmax(axis=1), codes >= 0
    names, numbers = np.unique(labels[~is_known], return_inverse=True)
    places, n_each = np.unique(numbers * C + predicted[~is_known], return_counts=True)
    keys = [(names[place // C].item(), place % C) for place in places.tolist()]
    pairs, counts = _counted(codes[is_known] * C + predicted[is_known], None, C)
    n_top, moments, n_rows = 0, [], max(1, _BLOCK // C)
    for start in range(0, len(labels), n_rows):
        rows = slice(start, start + n_rows)
        known, y = scores[rows][is_known[rows]], codes[rows][is_known[rows]]
        n_top += int(metrics.top_k_hits(known, y, top_k).sum()) if top_k < C else 0
        if temperature is not None:
            moments.append(_probabilities(known / temperature, y))
    probabilities = reduce(Probabilities.merged, moments) if moments else None
    return Tally(C, pairs, counts, dict(zip(keys, n_each.tolist(), strict=True)), n_top, probabilities)


def _probabilities(scores: Floats, y: Ints) -> Probabilities:
    P = softmax(scores)
    bins, excess = metrics.confidence_excess(P, y)
    return Probabilities(
        Moments.of(CrossEntropy().values(scores, y)),
        Moments.of(metrics.brier_terms(P, y)),
        Moments.of(excess, bins, metrics.N_BINS),
    )
