"""The samples of a search in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.losses.base import Floats, Ints
from softmargin.samples import Fold, Labelled, Samples
from softmargin.selection.calibration import calibrate
from softmargin.selection.folds import fold_signs
from softmargin.selection.out_of_fold import OutOfFold, collect
from softmargin.selection.paired import CorrectRows
from softmargin.selection.records import Calibration
from softmargin.selection.search import FoldFit, Judged
from softmargin.sparse import issparse

__all__ = ["SearchSamples", "gather"]

_COPIED = 1 << 27
"""X of at most this many bytes is copied into an order that depends on its rows alone."""

_Scored = tuple[Floats, Ints, Floats, Ints]
"""Scores, classes, weights and row numbers of the held-out samples of a fold."""


class SearchSamples(NamedTuple):
    """The samples of a search, in an order that depends on their content and not on the order of the rows.

    Attributes
    ----------
    samples : Samples
        With the folds, the training weights and the scoring weights.
    labels : ndarray of shape (N,)
        Labels of the user.
    hashes : ndarray of shape (N,)
        Hash of the features, per sample.
    sizes : tuple of tuple of int
        Number of given samples in the training and held-out part, per fold.
    counts : ndarray of shape (N,)
        Number of given samples that each row represents.
    places : ndarray of shape (number of given samples,)
        The row that represents each given sample; -1 if its weight is 0.
    """

    samples: Samples
    labels: NDArray[Any]
    hashes: NDArray[np.uint64]
    sizes: tuple[tuple[int, int], ...]
    counts: Ints
    places: Ints

    def loss_error(self, found: FoldFit) -> float:
        """Return the standard error of the mean loss of the only fold's held-out samples."""
        scores, y, _, rows = found.objective.held_out_scores(found.fit.W, found.fit.b)
        losses = found.objective.loss.values(scores, y).repeat(self.counts[rows])
        return float(np.std(losses, ddof=1) / np.sqrt(len(losses))) if len(losses) > 1 else np.inf

    def judge(self, fits: Sequence[FoldFit], calibrated: bool) -> Judged:
        """Judge a fit per fold on the held-out samples."""
        found = [one.objective.held_out_scores(one.fit.W, one.fit.b) for one in fits]
        correct = np.zeros(len(self.hashes), bool)
        new = np.ones(len(self.hashes), bool)
        for fold, (scores, y, _, rows) in zip(self.samples.folds, found, strict=True):
            correct[rows] |= new[rows] & (scores.argmax(axis=1) == y)
            new[fold.validation] = False
        of_given = correct[self.places] & (self.places >= 0)
        return Judged(self._calibration(fits, found) if calibrated else None, CorrectRows(of_given))

    def _calibration(self, fits: Sequence[FoldFit], found: Sequence[_Scored]) -> Calibration | None:
        n_classes, parts = self.samples.n_classes, []
        for one, (scores, codes, weights, rows) in zip(fits, found, strict=True):
            classes = one.objective.classes
            if len(classes) < n_classes:  # a class without training samples gets the lowest score
                lowest = scores.min(axis=1, keepdims=True, initial=0.0)
                known, scores = scores, np.repeat(lowest, n_classes, axis=1)
                scores[:, classes] = known
            parts.append((scores, classes[codes], weights, rows))
        scores, y, weights, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not len(rows):  # all held-out samples are of classes without training samples
            return None
        kinds = np.column_stack((self.hashes[rows].view(np.int64), self.samples.y[rows]))
        n_different = len(np.unique(kinds, axis=0))
        n_samples = int(self.counts[rows].sum())
        return calibrate(fits[0].objective.loss, scores, y, weights, n_different, n_samples)

    def out_of_fold(self, fits: Sequence[FoldFit], temperature: float | None) -> OutOfFold:
        """Return the scores of all samples, each from the first fold that holds it out."""
        parts = []
        for fold, (objective, fit) in zip(self.samples.folds, fits, strict=True):
            rows = np.unique(fold.validation)
            parts.append((rows, objective.classes, objective.scores(fit.W, fit.b, rows)))
        return collect(parts, self.places, len(self.hashes), self.samples.n_classes, temperature)


def gather(
    labelled: Labelled,
    hashes: NDArray[np.uint64],
    folds: Sequence[Fold],
    training_weights: Floats | None = None,
    merge: bool = True,
) -> SearchSamples:
    """Return the samples and folds of a search.

    Equal samples in the same folds are merged, with the sum of their weights. Copies are then the same as weights,
    to the last bit. X of more than 128 MB is neither copied nor merged. Samples are equal if their hashes and
    labels are; with keys, the features of a picture are assumed to depend on the picture alone.

    Parameters
    ----------
    labelled : Labelled
    hashes : ndarray of shape (N,)
    folds : sequence of Fold
    training_weights : ndarray of shape (N,), optional
        By default the scoring weights.
    merge : bool
        Whether to merge equal samples.
    """
    X, y, labels, weights = labelled.X, labelled.y, labelled.labels, labelled.weights
    fitted = weights if training_weights is None else training_weights
    same = fitted is weights
    sizes = tuple((len(fold.training), len(fold.validation)) for fold in folds)
    counts = np.ones(len(y), np.int64)
    places = np.where(weights > 0.0, np.arange(len(y)), -1)
    if (X.data.nbytes + X.indices.nbytes if issparse(X) else X.nbytes) <= _COPIED:
        signs = fold_signs(folds, len(y))
        order = np.lexsort((fitted, weights, signs, y, hashes))
        order = order[weights[order] > 0.0]
        first = np.ones(len(order), bool)
        if merge:
            first[1:] = np.any([np.diff(key[order]) != 0 for key in (hashes, y, signs)], axis=0)
        places[order] = np.cumsum(first) - 1
        rows = order[first]
        weights, fitted = (
            np.bincount(places[order], given[order]).astype(np.float64) for given in (weights, fitted)
        )
        counts = np.bincount(places[order]).astype(np.int64)
        folds = [Fold(*(_moved(part, places, merge) for part in fold)) for fold in folds]
        X, y, labels, hashes = X[rows], y[rows], labels[rows], hashes[rows]
    scored = None if same else weights / weights.max()
    samples = Samples.weighted(X, y, fitted / fitted.max(), len(labelled.classes), tuple(folds), scored)
    return SearchSamples(samples, labels, hashes, sizes, counts, places)


def _moved(part: Ints, places: Ints, merge: bool) -> Ints:
    """Return the new row numbers of one part of a fold; merged samples count once."""
    if not merge:
        return np.sort(places[part])
    numbers, counts = np.unique(part, return_counts=True)
    found, at = np.unique(places[numbers], return_index=True)
    return np.repeat(found, counts[at])
