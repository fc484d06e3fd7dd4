"""The reference engine: plain NumPy for any loss, short, and the oracle that tests compare the fast engines with.

It converts all of X to float64, so it is meant for small data and for tests. It needs no compiled code, but does
not support dual ascent, which visits the rows one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmargin.affine import Affine
from softmargin.engines.base import DualSource, DualSums, GivenRows, Moments, RowState
from softmargin.engines.hessians import PairProduct, Pairs
from softmargin.engines.in_memory import InMemoryEngine
from softmargin.engines.rows import OptionalRows, array_of
from softmargin.engines.triangular import row_panels
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.threads import Workers

__all__ = ["ReferenceEngine"]


class ReferenceEngine(InMemoryEngine):
    """Plain NumPy on a float64 copy of the samples of positive weight."""

    def __init__(self, samples: Samples, workers: Workers | None = None, classes: Ints | None = None) -> None:
        super().__init__(samples, workers or Workers(1), classes)
        self._X = self.dense_rows(self.rows)
        self._y = samples.y[self.rows]
        self._weights = samples.weights[self.rows]

    def _score(self, W: Floats, b: Floats, offsets: Floats | None = None) -> Floats:
        self.count(len(self.rows))
        # A class is contiguous in memory, since NumPy reduces a few long vectors faster than many short ones.
        scores: Floats = W.T.dot(self._X.T).T
        scores += b
        if offsets is not None:
            scores += offsets[self.rows]
        return scores

    def _scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        return np.asarray(self.dense_rows(rows) @ W + b)

    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> Floats:
        """Return a dense copy of ``rows``."""
        return np.asarray(self.samples.X[rows].astype(np.float64))

    def value(self, loss: Loss, W: Floats, b: Floats) -> float:
        """Return the weighted mean loss."""
        return float(self._weights @ loss._values(self._score(W, b), self._y))

    def _evaluate(
        self, loss: Loss, W: Floats, b: Floats, offsets: OptionalRows, scores_out: OptionalRows, single: bool
    ) -> tuple[float, Floats, Floats]:
        scores = self._score(W, b, offsets)
        if scores_out is not None:
            scores_out[self.rows] = scores
        values, rows = loss._values_and_gradient(scores, self._y)
        value, db = self._weights.dot(values), self._weights.dot(rows)
        rows *= self._weights[:, None]
        return float(value), self._X.T.dot(rows), db

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: RowState | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        rows = loss._hessian_product(self._score(W, b, array_of(offsets)), self._y, self._X @ V + c)
        rows *= self._weights[:, None]
        return self._X.T @ rows, rows.sum(axis=0)

    def _pair_product(self, pairs: Pairs, single: bool = True) -> PairProduct:
        rows, rival, target, factors = pairs
        X, places = self.dense_rows(rows), np.arange(len(rows))

        def product(V: Floats, c: Floats) -> tuple[Floats, Floats]:
            self.count_in_one_class(len(rows))
            S = X @ V + c
            z = factors * (S[places, rival] - S[places, target])
            A = np.zeros_like(S)
            A[places, rival], A[places, target] = z, -z
            return X.T @ A, A.sum(axis=0)

        return product

    def dual_sums(self, loss: Loss, W: Floats, b: Floats, source: DualSource) -> DualSums:
        """Return the value and the sums over the dual rows."""
        scores, kept = self._score(W, b), None
        value = float(self._weights @ loss._values(scores, self._y))
        if isinstance(source, GivenRows):
            rows = loss._feasible(array_of(source.rows)[self.rows].astype(np.float64, order="F"), self._y)
            rows = loss._rebalanced(rows, self._y, source.shift)
        else:
            offsets = array_of(source.offsets)
            rows = source.loss._gradient(scores if offsets is None else scores + offsets[self.rows], self._y)
            if source.keep:
                kept = self._zero_rows()
                kept.array[self.rows] = rows
        conjugate = float(self._weights @ loss._conjugate(rows, self._y))
        square = float(self._weights @ (rows**2).sum(axis=1))
        rows *= self._weights[:, None]
        return DualSums(value, conjugate, square, self._X.T @ rows, self._one_hot().T @ rows, kept)

    def moments(self) -> Moments:
        """Return the weighted mean and variance of each feature."""
        self.count(2 * len(self.rows))
        mean = self._weights @ self._X
        return Moments(mean, self._weights @ (self._X - mean) ** 2)

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""
        self.count(len(self.rows))
        return np.asarray(self._X.T @ (self._weights[:, None] * self._one_hot()))

    def covariance(self, affine: Affine, rows: Ints, single: bool) -> list[Floats]:
        """Return the weighted second moment of the mapped features over ``rows``, as `row_panels`."""
        self.count(len(rows))
        weights = self.samples.weights[rows]
        Z = affine.transform(self.samples.X[rows].astype(np.float64))
        Z *= np.sqrt(weights / weights.sum())[:, None]
        return row_panels(Z.T @ Z)

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        return float(np.finfo(np.float64).eps * (len(self.rows) + 8))

    def _one_hot(self) -> Floats:
        return np.eye(self.shape.n_classes)[self._y]
