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
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.triangular import PANEL, cholesky_in_place, inverse_columns, row_panels, solve_both
from softmargin.losses.base import Floats, Ints
from softmargin.threads import ForkLock, Workers, scipy_linalg

__all__ = [
    "CovariancePreconditioner", "DiagonalPreconditioner", "GramPairs", "GramPreconditioner",
    "PanelPreconditioner", "PanelProduct", "panel_product",
]  # fmt: skip

PanelProduct: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Returns ``(panelᵀ panel G)ᵀ`` for a panel of rows of L⁻¹ and Gᵀ, cut to the columns of the panel."""

_SMALLEST = 1e-300

STEP = 6.0
"""2λ/c is rounded to a power of this, so that few factors are needed, each determined by 2λ/c alone."""

_MOST_KEPT, _KEPT_BYTES = 3, 1 << 29
"""Number of cached factors, at least one, and their size; folds that are fitted concurrently need the same few."""

_ONE_THREAD = 1024
"""Up to this size, one thread factors a matrix fastest."""

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


class PanelPreconditioner(ABC):
    """Makes float32 panels M for each 2λ/c, rounded, and multiplies with their Σ MᵀM.

    Fits in several threads may share it; the last few lists of panels are cached.

    Parameters
    ----------
    n_bytes : int
        Size of the panels for one ratio.
    unit, floor : float
        Ratios 2λ/c are at least ``floor``, and rounded to powers of `STEP` in units of ``unit``.
    workers : Workers
        The threads to use.
    product : callable
        The product with a panel.
    """

    limitation = ""

    def __init__(self, n_bytes: int, unit: float, floor: float, workers: Workers, product: PanelProduct) -> None:
        self._most_kept = min(max(_KEPT_BYTES // n_bytes, 1), _MOST_KEPT)
        self._unit, self._floor, self._workers, self._product = unit, floor, workers, product
        self._made: dict[int, list[NDArray[np.float32]]] = {}

    @abstractmethod
    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return approximately (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""

    @abstractmethod
    def _make(self, power: int) -> list[NDArray[np.float32]]:
        """Return the panels for the ratio of this power, each with at most D columns."""

    def _power(self, curvature: float, reg: float) -> int:
        return _power(max(2.0 * reg / curvature, self._floor) / self._unit)

    def _multiply(self, power: int, curvature: float, G: Floats) -> Floats:
        """Return Σ MᵀM G over the panels of this power, divided by c and the unit."""
        with _MAKING.lock:
            if power not in self._made:
                if len(self._made) == self._most_kept:
                    del self._made[next(iter(self._made))]
                self._made[power] = self._make(power)
            panels = self._made[power]
        size = float(np.abs(G).max(initial=0.0)) or 1.0
        Gt = np.ascontiguousarray(G.T / size, dtype=np.float32)

        def of_panel(panel: NDArray[np.float32], stop: threading.Event) -> NDArray[np.float32]:
            return self._product(panel, np.ascontiguousarray(Gt[:, : panel.shape[1]]))

        tasks = [partial(of_panel, panel) for panel in reversed(panels)]  # largest first, to balance the threads
        total = np.zeros(Gt.shape)
        for part in self._workers.run(tasks, len(G) * G.size):
            total[:, : part.shape[1]] += part
        return np.asarray(total.T * (size / curvature / self._unit))


class CovariancePreconditioner(PanelPreconditioner):
    """Solves approximately with ``c Σ + 2λ I``, by an inverse triangular factor for each 2λ/c, rounded.

    Parameters
    ----------
    covariance : list of ndarray
        Σ, or an estimate of Σ from some of the rows, as `row_panels`: only its lower triangle. Factors have its
        type.
    workers : Workers
        The threads to use.
    product : callable
        The product with a panel.
    """

    def __init__(self, covariance: list[Floats], workers: Workers, product: PanelProduct = panel_product) -> None:
        self._covariance = covariance
        diagonal = np.concatenate([panel.diagonal(panel.shape[1] - len(panel)) for panel in covariance])
        # By rounding, the smallest eigenvalues of Σ may be negative, of about this size.
        floor = 4.0 * float(np.finfo(diagonal.dtype).eps) * float(diagonal.sum(dtype=np.float64))
        if diagonal.dtype == np.float32:  # the bound would exceed a small λ; random errors add up to less
            floor /= math.sqrt(len(diagonal))
        unit = float(diagonal.max(initial=0.0)) or 1.0
        super().__init__(2 * len(diagonal) ** 2, unit, floor, workers, product)

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return approximately (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""
        return self._multiply(self._power(curvature, reg), curvature, G)

    def _make(self, power: int) -> list[NDArray[np.float32]]:
        """Return row panels of L⁻¹ for the ratio of this power, or the next for which the matrix is definite."""
        while True:
            shifted = [panel / self._unit for panel in self._covariance]  # close to 1, for float32
            for k, panel in enumerate(shifted):
                panel[:, k * PANEL :][np.diag_indices(len(panel))] += STEP**power
            try:
                corners = cholesky_in_place(shifted, self._workers)
                break
            except np.linalg.LinAlgError:
                power += 1
        tasks = [partial(inverse_columns, shifted, corners, k) for k in range(len(corners))]
        columns = self._workers.run(tasks, shifted[-1].shape[1] ** 2)
        del shifted, tasks  # as large as the covariance
        # Row panel k of L⁻¹, from the panels of its columns, which are let go as they are used.
        return [np.hstack([column.pop(0) for column in columns[: k + 1]]) for k in range(len(corners))]


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

    limitation = ""

    def __init__(self, Z: Floats, roots: Floats, workers: Workers) -> None:
        self._roots, self._workers = roots, workers
        self._panels = [Z[start : start + PANEL] for start in range(0, len(Z), PANEL)]
        self._gram = np.zeros((len(Z), len(Z)))

        def corner(j: int, k: int, _: threading.Event) -> None:
            rows, columns = slice(j * PANEL, (j + 1) * PANEL), slice(k * PANEL, (k + 1) * PANEL)
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
        ratio = self._unit * STEP**power
        if power != self._current:
            shifted = self._gram.copy()
            shifted[np.diag_indices_from(shifted)] += ratio
            self._current, self._factor = power, (shifted, cholesky_in_place(row_panels(shifted), self._workers))
        return (G - self._back(solve_both(*self._factor, self._forth(G)))) / (curvature * ratio)

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
            last = min(first + PANEL, len(rows))
            _pair_products(products, first, last, pairs, incidence, self._gram, reg, self._roots, pull)

        self._workers.run([partial(fill, first) for first in range(0, len(rows), PANEL)], products.size)
        amounts = _solved(products, near[rows, rival] - near[rows, target], self._workers)
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
        parts = [A[start : start + PANEL] for start in range(0, len(A), PANEL)]
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


def _solved(A: Floats, b: Floats, workers: Workers) -> Floats:
    """Return A⁻¹ b for a positive definite A, which is overwritten; only its lower triangle is read."""
    if len(A) > _ONE_THREAD:
        return solve_both(A, cholesky_in_place(row_panels(A), workers), b[:, None])[:, 0]
    _, x, info = scipy_linalg().lapack.dposv(A.T, b, lower=False, overwrite_a=True)
    if info > 0:
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    return np.asarray(x)


def _power(ratio: float) -> int:
    """Return the exponent of the power of `STEP` closest to a ratio."""
    return round(math.log(max(ratio, _SMALLEST), STEP))


def _forth(panel: Floats, G: Floats, stop: threading.Event) -> Floats:
    return np.asarray(panel @ G)


def _back(panel: Floats, rows: Floats, stop: threading.Event) -> Floats:
    return np.asarray(panel.T @ rows)


class DiagonalPreconditioner:
    """Solves with ``c diag(σ²) + 2λ I``, for too many features for any other.

    Parameters
    ----------
    variance : ndarray of shape (D,)
        σ², the variance of each feature.
    kind : str, optional
        An adjective for the features, for the message of a fit that did not converge.
    """

    def __init__(self, variance: Floats, kind: str = "") -> None:
        self._variance = variance
        features = f"{len(variance):,} {kind} features" if kind else f"{len(variance):,} features"
        self.limitation = f"X has {features}, for which only a diagonal preconditioner is available: "
        self.limitation += "use fewer features or a larger reg."

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return (c diag(σ²) + 2λ I)⁻¹ G for G of shape (D, C)."""
        return np.asarray(G / (curvature * self._variance + 2.0 * reg)[:, None])
