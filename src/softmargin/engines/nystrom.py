"""A randomised low-rank preconditioner, for more features than a (D, D) matrix is worth.

The products of Σ with r random vectors Ω give the Nyström approximation ``Σ ≈ B Bᵀ`` with B of shape (D, r):
``B = Σ Ω C⁻ᵀ`` with ``C Cᵀ = Ωᵀ Σ Ω``. It is at most Σ. The remainder is replaced by its diagonal t, as if that
were all of Σ for a diagonal preconditioner. With T = t + 2λ/c and ``I + Bᵀ T⁻¹ B = L Lᵀ``, by Woodbury's identity

    (B Bᵀ + T)⁻¹ = T⁻¹ - Mᵀ M,    M = L⁻¹ Bᵀ T⁻¹.

References
----------
Frangella, Tropp and Udell, "Randomized Nyström preconditioning", 2021, arXiv 2110.02820.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.preconditioners import STEP, PanelPreconditioner, PanelProduct, panel_product
from softmargin.engines.triangular import PANEL, cholesky_in_place, row_panels, solve_lower
from softmargin.losses.base import Floats
from softmargin.threads import Workers

__all__ = ["MEMORY", "NystromPreconditioner", "affordable_rank"]

MEMORY = 1 << 31
"""Maximum size in bytes of the arrays of the preconditioner, 2 GiB; setting it up takes 50 MB more per thread."""

_ARRAYS = 4
"""Number of arrays (r, D) at the same time: B and M for three λ, or Ω, ΣΩ and what is computed from them."""

_LARGEST, _SMALLEST = 2048, 64
"""The largest rank, since setting up takes time proportional to it, and the smallest that memory must allow."""

_VECTORS, _FEATURES = 256, 2048
"""Number of random vectors per task, and of features per task in float64."""

_EPS = float(np.finfo(np.float32).eps)

_RAISED = 10.0
"""Factor by which the shift of Σ grows until Ωᵀ Σ Ω is positive definite in spite of rounding."""

_SHRUNK = 1.0 - 4.0 * _EPS
"""Factor of M, so that T⁻¹ - MᵀM stays positive definite in float32."""


def affordable_rank(n_rows: int, n_features: int, itemsize: int) -> int:
    """Return the rank that `MEMORY` allows for numbers of this size in bytes, or 0 if it is too small to help."""
    rank = MEMORY // (_ARRAYS * itemsize * n_features)
    return min(rank, _LARGEST, n_rows) if rank >= _SMALLEST else 0


class NystromPreconditioner(PanelPreconditioner):
    """Solves approximately with ``c Σ + 2λ I``, by a low-rank approximation of Σ = ZᵀZ plus a diagonal.

    It has the same bits for any number of threads, and needs at most `MEMORY` for a rank of `affordable_rank`.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n, D)
        The rows of Z in blocks: preprocessed rows, each multiplied by the square root of its weight. Read once.
    draws : ndarray of shape (r, D)
        Ωᵀ, of independent standard normal numbers.
    workers : Workers
        The threads to use.
    product : callable
        The product with a panel.
    """

    def __init__(
        self, blocks: Iterable[NDArray[Any]], draws: NDArray[Any], workers: Workers,
        product: PanelProduct = panel_product,
    ) -> None:  # fmt: skip
        rank, D = draws.shape
        sketch, diagonal = np.zeros_like(draws), np.zeros(D)
        for Z in blocks:
            draws, sketch = (array.astype(Z.dtype, copy=False) for array in (draws, sketch))
            tasks = [partial(_add_sketch, sketch, draws, Z, start) for start in range(0, rank, _VECTORS)]
            workers.run(tasks, 2 * rank * Z.size)
            diagonal += np.square(Z, dtype=np.float64).sum(axis=0)
        # The rounding errors of ΣΩ are about those of a Σ that differs by ε times its Frobenius norm.
        norm = sum(float(np.square(row, dtype=np.float64).sum()) for row in sketch) ** 0.5 / rank**0.5
        shift = _EPS * (norm or 1.0)
        unit = float(diagonal.max(initial=0.0)) or 1.0
        super().__init__(4 * draws.size, unit, shift, workers, product)
        added = 0.0
        while True:
            sketch += draws.dtype.type(shift - added) * draws
            added = shift
            gram = _gram(draws, sketch, np.ones(D), workers)
            try:
                corners = cholesky_in_place(row_panels(gram), workers)
                break
            except np.linalg.LinAlgError:
                shift *= _RAISED
        self._Bt = sketch

        def finish(columns: slice, _: threading.Event) -> None:
            block = sketch[:, columns].astype(np.float64)
            solve_lower(gram, corners, block)
            sketch[:, columns] = block
            diagonal[columns] -= np.square(block).sum(axis=0)

        self._in_columns(finish)
        self._tail = np.maximum(diagonal, 0.0)

    def solve(self, curvature: float, reg: float, G: Floats) -> Floats:
        """Return approximately (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""
        power = self._power(curvature, reg)
        return G / (curvature * self._diagonal(power)[:, None]) - self._multiply(power, curvature, G)

    def _make(self, power: int) -> list[NDArray[np.float32]]:
        """Return M in panels of rows, in the unit of `_multiply`."""
        T, M = self._diagonal(power), np.empty(self._Bt.shape, np.float32)
        inner = _gram(self._Bt, self._Bt, 1.0 / T, self._workers)
        inner[np.diag_indices_from(inner)] += 1.0
        corners = cholesky_in_place(row_panels(inner), self._workers)
        factors = _SHRUNK * self._unit**0.5 / T

        def fill(columns: slice, _: threading.Event) -> None:
            block = self._Bt[:, columns] * factors[columns]
            solve_lower(inner, corners, block)
            M[:, columns] = block

        self._in_columns(fill)
        return [M[start : start + PANEL] for start in range(0, len(M), PANEL)]

    def _diagonal(self, power: int) -> Floats:
        return np.asarray(self._tail + self._unit * STEP**power)

    def _in_columns(self, task: Any) -> None:
        rank, D = self._Bt.shape
        tasks = [partial(task, slice(start, start + _FEATURES)) for start in range(0, D, _FEATURES)]
        self._workers.run(tasks, rank * rank * D)


def _add_sketch(
    sketch: NDArray[Any], draws: NDArray[Any], Z: NDArray[Any], start: int, stop: threading.Event
) -> None:
    part = slice(start, start + _VECTORS)
    sketch[part] += (draws[part] @ Z.T) @ Z


def _gram(A: NDArray[Any], B: NDArray[Any], scale: Floats, workers: Workers) -> Floats:
    """Return the lower triangle of A diag(scale) Bᵀ, in float64."""
    rank, D = A.shape
    total = np.zeros((rank, rank))
    for start in range(0, D, _FEATURES):
        columns = slice(start, start + _FEATURES)
        left, right = A[:, columns] * scale[columns], B[:, columns].astype(np.float64)

        def add(first: int, _: threading.Event, left: Floats = left, right: Floats = right) -> None:
            rows = slice(first, min(first + PANEL, rank))
            total[rows, : rows.stop] += left[rows] @ right[: rows.stop].T

        workers.run([partial(add, first) for first in range(0, rank, PANEL)], rank * rank * left.shape[1])
    return total
