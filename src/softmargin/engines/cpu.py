"""The engine for dense X in main memory: the products of the blocks that ``blocks.py`` walks over.

Blocks of float32 and float64 are used in place; other types are converted one block at a time, never as
a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Samples, sum_in_order
from softmargin.engines.blocks import BlockEngine
from softmargin.losses.base import Floats, Ints

__all__ = ["CpuEngine"]

_PRODUCT = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
"""Products may be summed in any order (that is what vectors are); inf and NaN keep their meaning."""

_TILE_CLASSES = 32
"""Up to this many classes the tile kernels multiply, beyond it BLAS. (At 10 classes the tiles took half the time
of BLAS on blocks, with AVX2; where the two really cross has not been measured.)"""

_BLOCK_BYTES = 3 << 18
"""A block of rows should stay in cache between its two products, and be long against the time of a call."""


@_PRODUCT
def _add_scores(X: NDArray[Any], Wt: NDArray[Any], S: NDArray[Any]) -> None:
    """S += X @ Wt.T, four rows and three classes at a time."""
    n, C, D = X.shape[0], Wt.shape[0], Wt.shape[1]
    zero = Wt.dtype.type(0)  # of the type to add up in
    i = 0
    while i + 4 <= n:
        x0, x1, x2, x3 = X[i][:D], X[i + 1][:D], X[i + 2][:D], X[i + 3][:D]
        j = 0
        while j + 3 <= C:
            w0, w1, w2 = Wt[j][:D], Wt[j + 1][:D], Wt[j + 2][:D]
            s00 = s01 = s02 = s10 = s11 = s12 = s20 = s21 = s22 = s30 = s31 = s32 = zero
            for d in range(D):
                u0, u1, u2 = w0[d], w1[d], w2[d]
                v = x0[d]
                s00 += v * u0
                s01 += v * u1
                s02 += v * u2
                v = x1[d]
                s10 += v * u0
                s11 += v * u1
                s12 += v * u2
                v = x2[d]
                s20 += v * u0
                s21 += v * u1
                s22 += v * u2
                v = x3[d]
                s30 += v * u0
                s31 += v * u1
                s32 += v * u2
            S[i, j] += s00
            S[i, j + 1] += s01
            S[i, j + 2] += s02
            S[i + 1, j] += s10
            S[i + 1, j + 1] += s11
            S[i + 1, j + 2] += s12
            S[i + 2, j] += s20
            S[i + 2, j + 1] += s21
            S[i + 2, j + 2] += s22
            S[i + 3, j] += s30
            S[i + 3, j + 1] += s31
            S[i + 3, j + 2] += s32
            j += 3
        while j < C:
            w = Wt[j][:D]
            s0 = s1 = s2 = s3 = zero
            for d in range(D):
                u = w[d]
                s0 += x0[d] * u
                s1 += x1[d] * u
                s2 += x2[d] * u
                s3 += x3[d] * u
            S[i, j] += s0
            S[i + 1, j] += s1
            S[i + 2, j] += s2
            S[i + 3, j] += s3
            j += 1
        i += 4
    while i < n:
        x = X[i][:D]
        for j in range(C):
            w = Wt[j][:D]
            s = zero
            for d in range(D):
                s += x[d] * w[d]
            S[i, j] += s
        i += 1


@_PRODUCT
def _add_back(X: NDArray[Any], A: NDArray[Any], Gt: NDArray[Any]) -> None:
    """Gt += A.T @ X, four rows and two classes at a time."""
    n, C, D = X.shape[0], Gt.shape[0], Gt.shape[1]
    i = 0
    while i + 4 <= n:
        x0, x1, x2, x3 = X[i][:D], X[i + 1][:D], X[i + 2][:D], X[i + 3][:D]
        j = 0
        while j + 2 <= C:
            g0, g1 = Gt[j][:D], Gt[j + 1][:D]
            a00, a10, a20, a30 = A[i, j], A[i + 1, j], A[i + 2, j], A[i + 3, j]
            a01, a11, a21, a31 = A[i, j + 1], A[i + 1, j + 1], A[i + 2, j + 1], A[i + 3, j + 1]
            for d in range(D):
                v0, v1, v2, v3 = x0[d], x1[d], x2[d], x3[d]
                g0[d] += (v0 * a00 + v1 * a10) + (v2 * a20 + v3 * a30)
                g1[d] += (v0 * a01 + v1 * a11) + (v2 * a21 + v3 * a31)
            j += 2
        if j < C:
            g = Gt[j][:D]
            a0, a1, a2, a3 = A[i, j], A[i + 1, j], A[i + 2, j], A[i + 3, j]
            for d in range(D):
                g[d] += (x0[d] * a0 + x1[d] * a1) + (x2[d] * a2 + x3[d] * a3)
        i += 4
    while i < n:
        x = X[i][:D]
        for j in range(C):
            g = Gt[j][:D]
            a = A[i, j]
            for d in range(D):
                g[d] += x[d] * a
        i += 1


@_PRODUCT
def _add_by_class(X: NDArray[Any], y: Ints, weights: Floats, Gt: Floats) -> None:
    """Add each row times its weight to the row of Gt of its class."""
    for i in range(X.shape[0]):
        x, g, weight = X[i], Gt[y[i]], weights[i]
        for d in range(X.shape[1]):
            g[d] += weight * x[d]


class CpuEngine(BlockEngine):
    """Blocks of dense rows in cache, over threads, with a fixed order of summation.

    Parameters
    ----------
    samples : Samples
    n_threads : int, optional
        Number of threads; by default one for each core this process may use.
    """

    def __init__(self, samples: Samples, n_threads: int | None = None) -> None:
        n_features = samples.X.shape[1]
        self._use_blas = samples.n_classes > _TILE_CLASSES
        dtype = samples.X.dtype
        fits_float32 = dtype == np.bool_ or np.can_cast(dtype, np.float32, "safe")
        self._block_dtype = np.dtype(np.float32 if fits_float32 and not self._use_blas else np.float64)
        self.has_single = bool(fits_float32)
        n_block = _block_rows(n_features, self._block_dtype.itemsize, self._use_blas)
        super().__init__(samples, n_threads, n_block, n_features)
        self._contiguous = len(self.rows) == len(samples.y)

    def _block(self, rows: Ints, single: bool = False) -> NDArray[Any]:
        """Return these rows of X as contiguous float32 or float64, in place where they already are."""
        X = self.samples.X
        block = X[rows[0] : rows[-1] + 1] if self._contiguous else X[rows]
        return np.ascontiguousarray(block, dtype=np.float32 if single else self._block_dtype)

    def _gathered(self, rows: Ints) -> NDArray[Any]:
        return np.ascontiguousarray(self.samples.X[rows], dtype=self._block_dtype)

    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> NDArray[Any]:
        """Return a copy of ``rows``."""
        return np.asarray(self.samples.X[rows].astype(dtype if self.has_single else np.float64, copy=False))

    def _kept_rows(self, rows: Ints) -> NDArray[Any]:
        return self._gathered(rows)  # converted once, not in every product

    def _score_block(self, X: NDArray[Any], W: Floats, Wt: NDArray[Any], b: Floats) -> Floats:
        if self._use_blas:
            scores = np.asarray(X @ Wt.T, dtype=np.float64)
            scores += b
            return scores
        if Wt.dtype == np.float32:
            products = np.zeros((len(X), len(b)), np.float32)
            _add_scores(X, Wt, products)
            return b + products
        scores = np.tile(b, (len(X), 1))
        _add_scores(X, Wt, scores)
        return scores

    def _back_block(self, X: NDArray[Any], A: Floats, Gt: Floats, single: bool = False) -> None:
        if self._use_blas:
            Gt += (A.astype(np.float32) if single else A).T @ X
        elif single:  # sums of one block, so that no error grows with the number of samples
            part = np.zeros(Gt.shape, np.float32)
            _add_back(X, A.astype(np.float32), part)
            Gt += part
        else:
            _add_back(X, A, Gt)

    def _add_classes(self, X: NDArray[Any], y: Ints, weights: Floats, Gt: Floats) -> None:
        _add_by_class(X, y, weights, Gt)

    def moments(self) -> tuple[Floats, Floats]:
        """Return the weighted mean and variance of each feature."""

        def first(blocks: Iterator[Ints]) -> Floats:
            total = np.zeros(self._n_features)
            for rows in blocks:
                total += self.samples.weights[rows] @ self._block(rows).astype(np.float64)
            return total

        mean = sum_in_order(self._walk(first))

        def second(blocks: Iterator[Ints]) -> Floats:
            total = np.zeros(self._n_features)
            for rows in blocks:
                total += self.samples.weights[rows] @ (self._block(rows) - mean) ** 2
            return total

        return mean, sum_in_order(self._walk(second))


def _block_rows(n_features: int, itemsize: int, use_blas: bool) -> int:
    """Return how many rows a block has: a multiple of four, more of them where BLAS needs tall blocks."""
    rows = _BLOCK_BYTES // max(1, n_features * itemsize)
    return max(128, min(1024, rows * 4)) if use_blas else max(16, min(512, rows // 4 * 4))
