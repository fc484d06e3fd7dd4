"""What an evaluation needs of some samples: counts and moments, which add up to those of all samples."""

from __future__ import annotations

from collections.abc import Mapping
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
    known : ndarray of shape (C, C), int64
        Number of samples of each true class (row) and predicted class (column).
    unknown : mapping from label to ndarray of shape (C,)
        For each label that is not a class of the model, the number of samples by predicted class.
    n_top : int
        Number of samples whose label is among the k classes of largest score; 0 if k ≥ C.
    probabilities : Probabilities, optional
        None if the scores define no probabilities.
    """

    known: Ints
    unknown: Mapping[Any, Ints]
    n_top: int
    probabilities: Probabilities | None

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.known.sum() + sum(counts.sum() for counts in self.unknown.values()))

    def confusion(self) -> tuple[list[Any], Ints]:
        """Return the unknown labels, and the confusion matrix (L, L) of the classes and of these labels."""
        names, C = sorted(self.unknown), len(self.known)
        matrix = np.zeros((C + len(names), C + len(names)), np.int64)
        matrix[:C, :C] = self.known
        for row, name in enumerate(names, C):
            matrix[row, :C] = self.unknown[name]
        return names, matrix

    def merged(self, other: Tally) -> Tally:
        """Return the counts of the samples of both."""
        unknown = dict(self.unknown)
        for label, counts in other.unknown.items():
            unknown[label] = unknown[label] + counts if label in unknown else counts
        probabilities = self.probabilities
        if probabilities is not None and other.probabilities is not None:
            probabilities = probabilities.merged(other.probabilities)
        return Tally(self.known + other.known, unknown, self.n_top + other.n_top, probabilities)


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
    """Return the counts of some samples, made in blocks of rows.

    Parameters
    ----------
    scores : ndarray of shape (n, C), n > 0
    labels : ndarray of shape (n,)
    classes : ndarray of shape (C,)
    temperature : float or None
        Divides the scores before the softmax; None if they define no probabilities.
    top_k : int
    """
    n_rows = max(1, _BLOCK // len(classes))
    blocks = (slice(start, start + n_rows) for start in range(0, len(labels), n_rows))
    return reduce(Tally.merged, (_tally(scores[b], labels[b], classes, temperature, top_k) for b in blocks))


def _tally(
    scores: Floats, labels: NDArray[Any], classes: NDArray[Any], temperature: float | None, top_k: int
) -> Tally:
    codes, C = class_numbers(classes, labels), len(classes)
    known, predicted = codes >= 0, scores.argmax(axis=1)
    names, numbers = np.unique(labels[~known], return_inverse=True)
    counts = np.bincount(numbers * C + predicted[~known], minlength=len(names) * C).reshape(-1, C)
    unknown = dict(zip(names.tolist(), counts, strict=True))
    scores, codes = scores[known], codes[known]
    hits = metrics.top_k_hits(scores, codes, top_k).sum() if top_k < C else 0
    probabilities = None if temperature is None else _probabilities(scores / temperature, codes)
    return Tally(metrics.confusion_matrix(codes, predicted[known], C), unknown, int(hits), probabilities)


def _probabilities(scores: Floats, y: Ints) -> Probabilities:
    P = softmax(scores)
    bins, excess = metrics.confidence_excess(P, y)
    return Probabilities(
        Moments.of(CrossEntropy().values(scores, y)),
        Moments.of(metrics.brier_terms(P, y)),
        Moments.of(excess, bins, metrics.N_BINS),
    )
