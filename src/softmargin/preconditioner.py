"""The inverse of the feature covariance, which turns ill-conditioned features into easy ones.

With output curvature c, the Hessian of F in W is close to ``c Σ + 2λ I`` for every class, where Σ is the
covariance of the features. Σ is made once and serves every λ, class and fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotri

from softmargin.losses.base import Floats

__all__ = ["CovariancePreconditioner", "DiagonalPreconditioner"]


_SOLVES = 4
_SINGLE = 512
"""After so many solves with one factor of at least so many features the inverse is made, in float32: one product
is far quicker than two triangular solves with few columns, and it only steers a search."""


def symmetric_from_lower(A: NDArray[Any]) -> NDArray[Any]:
    """Fill the upper triangle of A from the lower one, in place and in blocks, and return A."""
    for start in range(0, len(A), 256):
        stop = start + 256
        A[start:stop, stop:] = A[stop:, start:stop].T
        corner = A[start:stop, start:stop]
        corner[...] = np.tril(corner) + np.tril(corner, -1).T
    return A


class CovariancePreconditioner:
    """Solves with ``c Σ + 2λ I`` by a Cholesky factor, made anew only when 2λ/c has moved.

    Parameters
    ----------
    covariance : ndarray of shape (D, D)
        Σ, or an estimate of it from a part of the rows; its lower triangle is read, and mirrored in place.
    """

    _REFACTOR = 2.0
    """A factor for a ratio 2λ/c within this factor of the wanted one serves as well."""

    def __init__(self, covariance: Floats) -> None:
        self._covariance = symmetric_from_lower(covariance)
        # Rounding can push the smallest eigenvalues of Σ below zero by about this much.
        self._floor = 4.0 * np.finfo(np.float64).eps * float(np.trace(covariance))
        self._ratio = np.nan
        self._factor: tuple[Floats, bool] | None = None
        self._inverse: NDArray[np.float32] | None = None
        self._solved = 0

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""
        ratio = max(2.0 * reg / curvature, self._floor)
        if self._factor is None or not (1 / self._REFACTOR <= ratio / self._ratio <= self._REFACTOR):
            self._make_factor(ratio)
        assert self._factor is not None
        self._solved += 1
        if self._inverse is None and self._solved > _SOLVES and len(self._covariance) >= _SINGLE:
            self._inverse = symmetric_from_lower(dpotri(self._factor[0], lower=True)[0].astype(np.float32))
        if self._inverse is None:
            return np.asarray(cho_solve(self._factor, G, check_finite=False)) / curvature
        size = float(np.abs(G).max(initial=0.0)) or 1.0  # float32 must not under- or overflow
        product = self._inverse @ (G / size).astype(np.float32)
        return np.asarray(product, dtype=np.float64) * (size / curvature)

    def _make_factor(self, ratio: float) -> None:
        shifted = self._covariance.copy().T  # symmetric, and LAPACK wants its columns contiguous
        shifted[np.diag_indices_from(shifted)] += ratio
        self._factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
        self._ratio, self._inverse, self._solved = ratio, None, 0

    def state(self) -> list[float]:
        """Return what `restore` needs to go on with the same bits."""
        return [] if self._factor is None else [self._ratio, self._solved]

    def restore(self, state: list[float]) -> None:
        """Go on from a state."""
        if state:
            self._make_factor(state[0])
            self._solved = int(state[1])


class DiagonalPreconditioner:
    """Solves with ``c diag(σ²) + 2λ I``: for features too many for a (D, D) array.

    Parameters
    ----------
    variance : ndarray of shape (D,)
        σ², the variance of each feature.
    """

    def __init__(self, variance: Floats) -> None:
        self._variance = variance

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return (c diag(σ²) + 2λ I)⁻¹ G for G of shape (D, C)."""
        return np.asarray(G / (curvature * self._variance + 2.0 * reg)[:, None])

    def state(self) -> list[float]:
        """Return what `restore` needs: nothing."""
        return []

    def restore(self, state: list[float]) -> None:
        """Go on from a state."""
