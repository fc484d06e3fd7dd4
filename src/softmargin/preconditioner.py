"""The inverse of the feature covariance, which turns ill-conditioned features into easy ones.

With output curvature c, the Hessian of F in W is close to ``c Σ + 2λ I`` for every class, where Σ is the
covariance of the features. Σ is made once and serves every λ, class and fold.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from softmargin.losses.base import Floats

__all__ = ["CovariancePreconditioner", "DiagonalPreconditioner"]


class CovariancePreconditioner:
    """Solves with ``c Σ + 2λ I`` by a Cholesky factor, made anew only when 2λ/c has moved.

    Parameters
    ----------
    covariance : ndarray of shape (D, D)
        Σ, or an estimate of it from a part of the rows.
    """

    _REFACTOR = 1.5
    """A factor for a ratio 2λ/c within this factor of the wanted one serves as well."""

    def __init__(self, covariance: Floats) -> None:
        self._covariance = covariance
        # Rounding can push the smallest eigenvalues of Σ below zero by about this much.
        self._floor = 4.0 * np.finfo(np.float64).eps * float(np.trace(covariance))
        self._ratio = np.nan
        self._factor: tuple[Floats, bool] | None = None

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""
        ratio = max(2.0 * reg / curvature, self._floor)
        if self._factor is None or not (1 / self._REFACTOR <= ratio / self._ratio <= self._REFACTOR):
            shifted = self._covariance.copy(order="F")
            shifted[np.diag_indices_from(shifted)] += ratio
            self._factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
            self._ratio = ratio
        return np.asarray(cho_solve(self._factor, G, check_finite=False)) / curvature


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
