"""The samples of a learning curve: nested random subsets of the training samples, and the test samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.content import content_hashes
from softmargin.errors import DataError, ParameterError
from softmargin.labels import labels_of_rows
from softmargin.losses.base import Floats, Ints
from softmargin.preprocessing import unit_rows
from softmargin.samples import Labelled, check_features
from softmargin.selection.folds import held_out
from softmargin.sparse import issparse
from softmargin.threads import one_blas_thread

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["HeldOut", "Subsets", "split"]

_HELD_OUT = 0.2
_BLOCK_ELEMENTS = 1 << 20


class HeldOut(NamedTuple):
    """The test samples."""

    X: Any
    labels: NDArray[Any]

    def accuracy(self, classes: NDArray[Any], W: Floats, b: Floats) -> float:
        """Return the fraction that W (D, C) and b (C,) for the features as given classify correctly."""
        size = self.X.nnz if issparse(self.X) else self.X.size
        n_correct, step = 0, max(16, _BLOCK_ELEMENTS * len(self.labels) // max(1, size))
        with one_blas_thread():
            for start in range(0, len(self.labels), step):
                rows = slice(start, start + step)
                scores = self.X[rows].astype(np.float64, copy=False) @ W + b
                n_correct += int((classes[scores.argmax(axis=1)] == self.labels[rows]).sum())
        return n_correct / len(self.labels)


class Subsets(NamedTuple):
    """The training samples, and their rank among those of their class in each repeat."""

    training: Labelled
    sorted: Ints
    counts: Ints
    seed: int

    @classmethod
    def of(cls, training: Labelled, seed: int) -> Subsets:
        """Sort the samples by their content."""
        order = np.lexsort((training.y, content_hashes(training.identity, seed)))
        return cls(training, order, np.bincount(training.y), seed)

    def size(self, shots: int | None) -> int:
        """Return the number of samples of a subset."""
        return int(self.counts.sum() if shots is None else np.minimum(self.counts, shots).sum())

    def rows(self, repeat: int, shots: int | None) -> Ints:
        """Return the row numbers of a subset, in an order that does not depend on the order of the rows."""
        order = np.random.default_rng([self.seed, repeat]).permutation(self.sorted)
        if shots is None:
            return order
        y = self.training.y[order]
        by_class = np.argsort(y, kind="stable")
        begins = np.cumsum(self.counts) - self.counts
        ranks = np.empty(len(y), np.int64)
        ranks[by_class] = np.arange(len(y)) - np.repeat(begins, self.counts)
        return order[ranks < shots]


def split(
    labelled: Labelled,
    X_test: ArrayLike | csr_array | None,
    y_test: ArrayLike | None,
    seed: int,
    groups: Ints | None = None,
) -> tuple[Labelled, HeldOut, Ints | None]:
    """Return the training and the test samples, and the groups of the training samples.

    Without test samples a fifth of each class is held out, as whole groups.
    """
    if (X_test is None) != (y_test is None):
        raise ParameterError("X_test and y_test must be given together, got only one of them.")
    if X_test is not None and y_test is not None:
        X = check_features(X_test)
        if X.shape[1] != labelled.X.shape[1]:
            raise DataError(f"X_test must have {labelled.X.shape[1]} features like X, got {X.shape[1]}.")
        labels = labels_of_rows(y_test, X.shape[0])
        if not np.isin(labels, labelled.classes).any():
            raise DataError("y_test must hold at least one label of y, got only other labels.")
        return labelled, HeldOut(unit_rows(X) if labelled.rows == "l2" else X, labels), groups
    hashes = content_hashes(labelled.identity, seed)
    fold = held_out(labelled.y, labelled.weights, _HELD_OUT, hashes, groups)
    test = HeldOut(labelled.X[fold.validation], labelled.labels[fold.validation])
    rows = fold.training
    keys = None if labelled.keys is None else labelled.keys[rows]
    training = replace(
        labelled,
        X=labelled.X[rows],
        labels=labelled.labels[rows],
        y=labelled.y[rows],
        weights=labelled.weights[rows],
        keys=keys,
    )
    return training, test, None if groups is None else groups[rows]
