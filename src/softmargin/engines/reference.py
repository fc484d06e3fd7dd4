"""The engine that is plain NumPy: short, generic over losses, and the oracle of the fast ones.

It converts X to float64 as a whole, so it is meant for small data and for tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import DualSums, Engine, Product, Samples
from softmargin.losses.base import Floats, Ints, Loss

__all__ = ["ReferenceEngine"]


class ReferenceEngine(Engine):
    """Plain NumPy over a float64 copy of the samples of positive weight."""

    def __init__(self, samples: Samples) -> None:
        super().__init__(samples)
        self._X = samples.X[self.rows].astype(np.float64)
        self._y = samples.y[self.rows]
        self._weights = samples.weights[self.rows]

    def _scores(self, W: Floats, b: Floats, offsets: Floats | None) -> Floats:
        self.count(len(self.rows))
        scores = self._X @ W + b
        return scores if offsets is None else scores + offsets[self.rows]

    def scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        """Return the scores of ``rows``."""
        self.count(len(rows))
        return self.samples.X[rows].astype(np.float64) @ W + b

    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> Floats:
        """Return a dense copy of ``rows``."""
        return np.asarray(self.samples.X[rows].astype(np.float64))

    def value(self, loss: Loss, W: Floats, b: Floats, offsets: Floats | None = None) -> float:
        """Return the weighted mean loss."""
        return float(self._weights @ loss._values(self._scores(W, b, offsets), self._y))

    def value_and_grad(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        offsets: Floats | None = None,
        keep: NDArray[Any] | None = None,
        single: bool = False,
    ) -> tuple[float, Floats, Floats]:
        """Return the weighted mean loss and its gradient."""
        scores = self._scores(W, b, offsets)
        if keep is not None:
            keep[self.rows] = scores
        rows = self._weights[:, None] * loss._gradient(scores, self._y)
        return float(self._weights @ loss._values(scores, self._y)), self._X.T @ rows, rows.sum(axis=0)

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        rows = loss._hessian_product(self._scores(W, b, offsets), self._y, self._X @ V + c)
        rows *= self._weights[:, None]
        return self._X.T @ rows, rows.sum(axis=0)

    def pair_products(self, rows: Ints, wrong: Ints, right: Ints, factors: Floats) -> Product:
        """Return the product with a sum over pairs."""
        X, pairs = self.samples.X[rows].astype(np.float64), np.arange(len(rows))

        def product(V: Floats, c: Floats) -> tuple[Floats, Floats]:
            self.count(len(rows))
            S = X @ V + c
            z = factors * (S[pairs, wrong] - S[pairs, right])
            A = np.zeros_like(S)
            A[pairs, wrong], A[pairs, right] = z, -z
            return X.T @ A, A.sum(axis=0)

        return product

    def dual_sums(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        source: Loss,
        offsets: Floats | None = None,
        dual: tuple[NDArray[Any], Floats] | None = None,
        keep: NDArray[Any] | None = None,
    ) -> DualSums:
        """Return the value and the sums of the dual rows."""
        scores = self._scores(W, b, None)
        value = float(self._weights @ loss._values(scores, self._y))
        if dual is None:
            rows = source._gradient(scores if offsets is None else scores + offsets[self.rows], self._y)
        else:
            rows = loss._feasible(dual[0][self.rows].astype(np.float64), self._y)
            rows = loss._tilted(rows, self._y, dual[1])
        if keep is not None:
            keep[self.rows] = rows
        conjugate = float(self._weights @ loss._conjugate(rows, self._y))
        square = float(self._weights @ (rows**2).sum(axis=1))
        rows *= self._weights[:, None]
        return DualSums(value, conjugate, square, self._X.T @ rows, self._one_hot().T @ rows)

    def moments(self) -> tuple[Floats, Floats]:
        """Return the weighted mean and variance of each feature."""
        self.count(2 * len(self.rows))
        mean = self._weights @ self._X
        return mean, self._weights @ (self._X - mean) ** 2

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""
        self.count(len(self.rows))
        return np.asarray(self._X.T @ (self._weights[:, None] * self._one_hot()))

    def covariance(self, mean: Floats, scale: Floats, rows: Ints, single: bool = False) -> Floats:
        """Return the weighted second moment of the preprocessed features over ``rows``."""
        self.count(len(rows))
        weights = self.samples.weights[rows]
        Z = (self.samples.X[rows].astype(np.float64) - mean) * scale
        Z *= np.sqrt(weights / weights.sum())[:, None]
        return np.asarray(Z.T @ Z)

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        return float(np.finfo(np.float64).eps * (len(self.rows) + 8))

    def _one_hot(self) -> Floats:
        return np.eye(self.samples.n_classes)[self._y]
