"""Preconditioners: the approximate inverse of the feature covariance, for ill-conditioned features.

With output curvature c, the Hessian of F in W is close to ``c Σ + 2λ I`` for every class, where Σ is the
covariance of the features. Σ is made once and serves every λ, class and fold.

``Σ + (2λ/c) I = L Lᵀ`` is solved with L⁻¹ rather than L. For few columns, two products with a triangular matrix
are much faster than two triangular solves. They read it once, and in float32 the product is still that of a
positive definite matrix. A preconditioner affects only the speed of a solver, not the accuracy of its result.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from softmargin.losses.base import Floats, Ints
from softmargin.threads import ForkLock, Workers

__all__ = [
    "CovariancePreconditioner", "DiagonalPreconditioner", "GramPairs", "GramPreconditioner", "PanelProduct",
    "panel_product",
]  # fmt: skip

_PANEL = 512
"""Number of rows of a triangular matrix per task."""

PanelProduct: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Returns ``(panelᵀ panel G)ᵀ`` for a panel of rows of L⁻¹ and Gᵀ, cut to the columns of the panel."""

_SMALLEST = 1e-300

_STEP = 6.0
"""2λ/c is rounded to a power of this, so that few factors are needed, each determined by 2λ/c alone."""

_MOST_KEPT = 3
"""Number of cached factors; folds that are fitted concurrently need the same few."""

_MAKING = ForkLock()


class GramPairs(NamedTuple):
    """Active pairs of a sample and a class, with the Hessian ``curvature · (z (e_j - e_y)ᵀ)(…)ᵀ`` each.

    Attributes
    ----------
    rows : ndarray of int64
        The samples, as row numbers of the Z of `GramPreconditioner`.
    rival, target : ndarray of int64
        The classes j and y.
    curvature : float
        Curvature of each pair, for a sample of weight 1.
    """

    rows: Ints
    rival: Ints
    target: Ints
    curvature: float


def panel_product(panel: NDArray[np.float32], Gt: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``(panelᵀ panel G)ᵀ`` by BLAS."""
    return np.asarray((Gt @ panel.T) @ panel)


class CovariancePreconditioner:
    """Solves approximately with ``c Σ + 2λ I``, by an inverse triangular factor for each 2λ/c, rounded.

    Fits in several threads may share it; the last few factors are cached.

    Parameters
    ----------
    covariance : ndarray of shape (D, D)
        Σ, or an estimate of Σ from some of the rows; only the lower triangle is read.
    workers : Workers
        The threads to use.
    product : callable
        The product with a panel.
    """

    def __init__(self, covariance: Floats, workers: Workers, product: PanelProduct = panel_product) -> None:
        self._covariance, self._workers, self._product = covariance, workers, product
        self._unit = float(np.diag(covariance).max(initial=0.0)) or 1.0
        # By rounding, the smallest eigenvalues of Σ may be negative, of about this size.
        self._floor = 4.0 * float(np.finfo(np.float64).eps) * float(np.trace(covariance))
        self._made: dict[int, list[NDArray[np.float32]]] = {}

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return approximately (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""
        power = _power(max(2.0 * reg / curvature, self._floor) / self._unit)
        with _MAKING.lock:
            if power not in self._made:
                if len(self._made) == _MOST_KEPT:
                    del self._made[next(iter(self._made))]
                self._made[power] = self._inverse(power)
            panels = self._made[power]
        size = float(np.abs(G).max(initial=0.0)) or 1.0
        Gt = np.ascontiguousarray(G.T / size, dtype=np.float32)

        def of_panel(panel: NDArray[np.float32], stop: threading.Event) -> NDArray[np.float32]:
            return self._product(panel, np.ascontiguousarray(Gt[:, : panel.shape[1]]))

        tasks = [partial(of_panel, panel) for panel in reversed(panels)]  # largest first, to balance the threads
        total = np.zeros(Gt.shape)
        for part in self._workers.run(tasks, len(G) * G.size):
            total[:, : part.shape[1]] += part
        return total.T * (size / curvature / self._unit)

    def _inverse(self, power: int) -> list[NDArray[np.float32]]:
        """Return row panels of L⁻¹ for the ratio of this power, or the next for which the matrix is definite."""
        while True:
            shifted = self._covariance / self._unit  # close to 1, for float32
            shifted[np.diag_indices_from(shifted)] += _STEP**power
            try:
                corners = _cholesky(shifted, self._workers)
                break
            except LinAlgError:
                power += 1
        tasks = [partial(_inverse_columns, shifted, corners, k) for k in range(len(corners))]
        columns = self._workers.run(tasks, shifted.size)
        del shifted, tasks  # as large as the covariance
        # Row panel k of L⁻¹, from the panels of its columns.
        return [np.hstack([columns[j][k - j] for j in range(k + 1)]) for k in range(len(corners))]


class GramPreconditioner:
    """Solves with ``c Σ + 2λ I`` for Σ = ZᵀZ of fewer rows than columns, through the small matrix Z Zᵀ.

    ``(ZᵀZ + r I)⁻¹ = (I - Zᵀ (Z Zᵀ + r I)⁻¹ Z) / r``, and similarly for the Hessian of active pairs.

    Parameters
    ----------
    Z : ndarray of shape (n, D)
        Preprocessed rows, each multiplied by the square root of its weight.
    roots : ndarray of shape (n,)
        These square roots.
    workers : Workers
        The threads to use.
    """

    def __init__(self, Z: Floats, roots: Floats, workers: Workers) -> None:
        self._roots, self._workers = roots, workers
        self._panels = [Z[start : start + _PANEL] for start in range(0, len(Z), _PANEL)]
        self._gram = np.zeros((len(Z), len(Z)))

        def corner(j: int, k: int, _: threading.Event) -> None:
            rows, columns = slice(j * _PANEL, (j + 1) * _PANEL), slice(k * _PANEL, (k + 1) * _PANEL)
            product = self._panels[j] @ self._panels[k].T
            self._gram[rows, columns], self._gram[columns, rows] = product, product.T

        tasks = [partial(corner, j, k) for j in range(len(self._panels)) for k in range(j + 1)]
        workers.run(tasks, len(Z) * Z.size)
        self._unit = float(np.square(Z).sum(axis=0).max(initial=0.0)) or 1.0
        self._floor = 4.0 * float(np.finfo(np.float64).eps) * float(np.trace(self._gram))
        self._current: int | None = None
        self._factor: tuple[Floats, list[Floats]] = self._gram, []

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return approximately (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""
        power = _power(max(2.0 * reg / curvature, self._floor) / self._unit)
        ratio = self._unit * _STEP**power
        if power != self._current:
            shifted = self._gram.copy()
            shifted[np.diag_indices_from(shifted)] += ratio
            self._current, self._factor = power, (shifted, _cholesky(shifted, self._workers))
        return (G - self._back(_solved(*self._factor, self._forth(G)))) / (curvature * ratio)

    def solve_pairs(self, pairs: GramPairs, reg: float, pull: float, G: Floats) -> Floats:
        """Return the inverse Hessian of the pairs plus penalty, times G of shape (D + 1, C).

        Parameters
        ----------
        pairs : GramPairs
        reg : float
            λ; the Hessian of the penalty in W is 2λ.
        pull : float
            The inverse of the same for b, or 0 if b is fixed.
        G : ndarray of shape (D + 1, C)

        Raises
        ------
        LinAlgError
            If the matrix is not positive definite after rounding.
        """
        rows, rival, target, _ = pairs
        near = self._forth(G[:-1]) / (2.0 * reg) + pull * np.outer(self._roots, G[-1])
        products = np.zeros((len(rows), len(rows)))
        incidence = np.zeros((len(rows), G.shape[1]))
        incidence[np.arange(len(rows)), rival] = 1.0
        incidence[np.arange(len(rows)), target] = -1.0

        def fill(first: int, _: threading.Event) -> None:
            last = min(first + _PANEL, len(rows))
            _pair_products(products, first, last, pairs, incidence, self._gram, reg, self._roots, pull)

        self._workers.run([partial(fill, first) for first in range(0, len(rows), _PANEL)], products.size)
        corners = _cholesky(products, self._workers)
        amounts = _solved(products, corners, (near[rows, rival] - near[rows, target])[:, None])[:, 0]
        A = np.zeros(near.shape)
        A[rows, rival] = amounts  # each pair occurs once
        np.subtract.at(A, (rows, target), amounts)
        return np.vstack([(G[:-1] - self._back(A)) / (2.0 * reg), pull * (G[-1:] - self._roots @ A)])

    def _forth(self, G: Floats) -> Floats:
        """Return Z G."""
        tasks = [partial(_forth, panel, G) for panel in self._panels]
        return np.vstack(self._workers.run(tasks, len(self._gram) * G.size))

    def _back(self, A: Floats) -> Floats:
        """Return Zᵀ A."""
        parts = [A[start : start + _PANEL] for start in range(0, len(A), _PANEL)]
        tasks = [partial(_back, panel, rows) for panel, rows in zip(self._panels, parts, strict=True)]
        found = self._workers.run(tasks, self._panels[0].shape[1] * A.size)
        return sum(found[1:], start=found[0])


def _pair_products(
    products: Floats, first: int, last: int, pairs: GramPairs, incidence: Floats, gram: Floats, reg: float,
    roots: Floats, pull: float,
) -> None:  # fmt: skip
    """Fill some rows of the lower triangle of the matrix of products between the pairs."""
    mine, all_rows = pairs.rows[first:last], pairs.rows[:last]
    found = gram[np.ix_(mine, all_rows)]
    found *= 0.5 / reg
    if pull > 0.0:
        found += np.outer(pull * roots[mine], roots[all_rows])
    found *= incidence[first:last] @ incidence[:last].T
    found[np.arange(last - first), np.arange(first, last)] += 1.0 / pairs.curvature
    products[first:last, :last] = found


def _power(ratio: float) -> int:
    """Return the exponent of the power of `_STEP` closest to a ratio."""
    return round(math.log(max(ratio, _SMALLEST), _STEP))


def _forth(panel: Floats, G: Floats, stop: threading.Event) -> Floats:
    return np.asarray(panel @ G)


def _back(panel: Floats, rows: Floats, stop: threading.Event) -> Floats:
    return np.asarray(panel.T @ rows)


def _cholesky(A: Floats, workers: Workers) -> list[Floats]:
    """Overwrite the lower triangle of A with its Cholesky factor L, except for the diagonal blocks.

    Return the inverses of these blocks. The result is the same, to the last bit, for any number of threads.
    """
    n = len(A)
    corners: list[Floats] = []

    def below(first: int, start: int, stop: int, _: threading.Event) -> None:
        rows = slice(first, first + _PANEL)
        A[rows, start:stop] = A[rows, start:stop] @ corners[-1].T

    def update(first: int, start: int, stop: int, _: threading.Event) -> None:
        rows = slice(first, min(first + _PANEL, n))
        A[rows, stop : rows.stop] -= A[rows, start:stop] @ A[stop : rows.stop, start:stop].T

    for start in range(0, n, _PANEL):
        stop = min(start + _PANEL, n)
        corner = cholesky(A[start:stop, start:stop], lower=True, check_finite=False)
        corners.append(solve_triangular(corner, np.eye(stop - start), lower=True, check_finite=False))
        for step in (below, update):
            tasks = [partial(step, first, start, stop) for first in range(stop, n, _PANEL)]
            workers.run(tasks, (n - stop) * _PANEL * (n - stop))
    return corners


def _solved(L: Floats, corners: list[Floats], B: Floats) -> Floats:
    """Return (L Lᵀ)⁻¹ B, from the results of `_cholesky`."""
    X, n = B.copy(), len(L)
    slices = [slice(start, min(start + _PANEL, n)) for start in range(0, n, _PANEL)]
    for rows, corner in zip(slices, corners, strict=True):
        X[rows] = corner @ (X[rows] - L[rows, : rows.start] @ X[: rows.start])
    for rows, corner in zip(slices[::-1], corners[::-1], strict=True):
        X[rows] = corner.T @ (X[rows] - L[rows.stop :, rows].T @ X[rows.stop :])
    return X


def _inverse_columns(L: Floats, corners: list[Floats], k: int, stop: threading.Event) -> list[NDArray[np.float32]]:
    """Return column panel k of L⁻¹, as blocks from the diagonal down."""
    found = [corners[k]]
    start = k * _PANEL
    for j in range(k + 1, len(corners)):
        first = j * _PANEL
        L_row = L[first : first + _PANEL]
        total = L_row[:, start : start + len(corners[k])] @ found[0]
        for m, rows in enumerate(found[1:], k + 1):
            total += L_row[:, m * _PANEL : m * _PANEL + len(rows)] @ rows
        found.append(corners[j] @ -total)
    return [rows.astype(np.float32, order="C") for rows in found]


class DiagonalPreconditioner:
    """Solves with ``c diag(σ²) + 2λ I``, for too many features for a (D, D) array.

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
