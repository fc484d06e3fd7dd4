"""Dual ascent on sparse rows: one row after the other, at the cost of its stored entries.

With centred features ``z = x - m`` (x scaled), a change c of a dual row changes W by ``-(x - m) cᵀ``, which is
dense. A sweep therefore keeps ``W = V + m uᵀ``: V changes in the columns of x alone, u by c, and ``t = Vᵀm`` by
``-(x·m) c``. The scores are ``z·W = Vᵀx - t + (x·m - m·m) u``. After the sweep, u is added to V.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.cpu.dual import DualRows
from softmargin.engines.cpu.dual_kernel import SMALLEST_CURVATURE
from softmargin.engines.cpu.native import call_code
from softmargin.engines.cpu.row_code import ascent_code
from softmargin.losses.base import Floats, Ints

__all__ = ["SparseDualRows"]


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _visit(
    code: int, numbers: Floats, data: Any, indices: Any, indptr: Any, mean: Any, along: Floats, squares: Floats,
    V: Any, b: Floats, sums: Floats, A: Any, rows: Ints, y: Ints, weights: Floats, factor: float, pull: float,
    values: Floats, gaps: Floats,
) -> None:  # fmt: skip
    """Maximise the dual over the rows one by one, as `dual_kernel.visit` does, for ``W = V`` (D, C).

    ``along`` and ``squares`` are x·m and the squared length of z of each row. Column numbers are read as unsigned,
    since Numba would test signed ones for negative values.
    """
    n_classes = V.shape[1]
    s, change, scratch, gap = np.empty(n_classes), np.empty(n_classes), np.empty(n_classes), np.empty(1)
    products, step = np.empty(n_classes, V.dtype), np.empty(n_classes, V.dtype)
    changed = np.empty(n_classes, np.int64)
    t, u, square = np.zeros(n_classes), np.zeros(n_classes), 0.0
    for d in range(len(mean)):
        square += mean[d] * mean[d]
        for j in range(n_classes):
            t[j] += mean[d] * V[d, j]
    for i in range(len(rows)):
        row = rows[i]
        products[:] = V.dtype.type(0)
        for k in range(indptr[row], indptr[row + 1]):
            v, column = data[k], np.uint64(indices[k])
            for j in range(n_classes):
                products[j] += v * V[column, j]
        shift = along[row] - square
        for j in range(n_classes):
            s[j] = b[j] + products[j] - t[j] + shift * u[j]
        q = max(factor * weights[i] * (squares[row] + pull), SMALLEST_CURVATURE)
        value = call_code(code, (numbers, s, A[row], n_classes, y[i], q, change, scratch, gap))
        values[i], gaps[i] = weights[i] * value, 0.0
        n = 0
        for j in range(n_classes):
            if change[j] != 0.0:
                changed[n] = j
                n += 1
        if n == 0:
            continue
        gaps[i] = weights[i] * max(gap[0], 0.0)
        for j in changed[:n]:
            c = factor * weights[i] * change[j]
            step[j] = c
            u[j] += c
            t[j] -= along[row] * c
            b[j] -= pull * c
            sums[j] += c / factor
        if 4 * n > n_classes:
            for j in range(n_classes):
                step[j] = factor * weights[i] * change[j]
            for k in range(indptr[row], indptr[row + 1]):
                v, column = data[k], np.uint64(indices[k])
                for j in range(n_classes):
                    V[column, j] -= v * step[j]
        else:
            for k in range(indptr[row], indptr[row + 1]):
                v, column = data[k], np.uint64(indices[k])
                for j in changed[:n]:
                    V[column, j] -= v * step[j]
    for d in range(len(mean)):
        for j in range(n_classes):
            V[d, j] += mean[d] * u[j]


class SparseDualRows(DualRows):
    """The dual rows of all samples of a sparse X with the corresponding W and b.

    A sweep costs two multiplications per stored entry and class, and two per entry of W. Memory beyond X and that
    of `DualRows`: 16 bytes per sample, and a copy of the stored values if their type or their scale differ.
    """

    _order = "F"
    _scaled: NDArray[Any] | None = None

    @cached_property
    def _mean(self) -> Floats:
        return np.asarray(self._affine.mean * self._affine.scale, np.float64)

    @cached_property
    def _lengths(self) -> tuple[Floats, Floats]:
        """``x·m`` and the squared length of ``x - m`` of each row, with the scaled x and mean m."""
        X, scale, mean = self._engine.samples.X, self._affine.scale, self._mean
        along = X @ (scale * mean)
        owner = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        scaled = X.data * scale[X.indices]
        squares = np.bincount(owner, weights=scaled * scaled, minlength=X.shape[0])
        return along, np.maximum(squares - 2.0 * along + np.square(mean).sum(), 0.0)

    def _data(self) -> NDArray[Any]:
        """Return the stored values, scaled, in the type of the products; a view if they are so."""
        X, scale = self._engine.samples.X, self._affine.scale
        if self._scaled is None or self._scaled.dtype != self.A.dtype:
            data = X.data if (scale == 1.0).all() else X.data * scale[X.indices]
            self._scaled = data.astype(self.A.dtype, copy=False)
        return self._scaled

    def _ascend(self, rows: Ints) -> None:
        samples = self._engine.samples
        X = samples.X
        values, gaps = np.empty(len(rows)), np.empty(len(rows))
        code = ascent_code(self._loss, self.A.dtype)
        _visit(
            *code, self._data(), X.indices, X.indptr, self._mean, *self._lengths, self._Wt.T, self.b, self._sums,
            self.A, rows, samples.y[rows], samples.weights[rows], self._factor, self._penalty / self._factor,
            values, gaps,
        )  # fmt: skip
        self._values[rows], self._gaps[rows] = values, gaps
