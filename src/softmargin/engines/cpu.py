"""The engine for dense X in main memory: the products of the blocks that ``blocks.py`` walks over.

Blocks of float32 and float64 are used in place, and bytes where the arithmetic is float32; other types are
converted one block at a time, never as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Samples, sum_in_order
from softmargin.engines.blocks import BlockEngine
from softmargin.losses.base import Floats, Ints
from softmargin.tiles import add_back, add_by_class, add_pairs, add_rows, add_scores, add_squares

__all__ = ["CpuEngine"]

_TILE_BYTES = 1 << 20
"""The tiles multiply where W lies within this many bytes, which stay in the cache of a core while they meet one
tile of rows after the other; beyond it BLAS does, which cuts W into pieces."""

_BLOCK_BYTES = 3 << 18
"""A block of rows should stay in cache between its two products, and be long against the time of a call."""


class CpuEngine(BlockEngine):
    """Blocks of dense rows in cache, over threads, with a fixed order of summation.

    Parameters
    ----------
    samples : Samples
    n_threads : int, optional
        Number of threads; by default one for each core this process may use.
    """

    def __init__(self, samples: Samples, n_threads: int | None = None) -> None:
        n_features, dtype = samples.X.shape[1], samples.X.dtype
        self.has_single = bool(dtype == np.bool_ or np.can_cast(dtype, np.float32, "safe"))
        W_size = n_features * samples.n_classes
        # The types of X that the products read: as stored where the tiles can, else what they add up in.
        tiles = np.dtype(np.float32 if self.has_single else np.float64)
        self._block_dtype = np.dtype(np.float64) if 8 * W_size > _TILE_BYTES else tiles
        as_it_is = dtype == np.uint8 and 4 * W_size <= _TILE_BYTES
        self._single_dtype = np.dtype(np.uint8 if as_it_is else np.float32)
        n_block = _block_rows(n_features, self._block_dtype.itemsize, 8 * W_size)
        n_single = _block_rows(n_features, self._single_dtype.itemsize, 4 * W_size)
        super().__init__(samples, n_threads, n_block, n_features, n_single)
        self._contiguous = len(self.rows) == len(samples.y)

    def _block(self, rows: Ints, single: bool = False) -> NDArray[Any]:
        """Return these rows of X, contiguous and of a type for the products, in place where they already are."""
        X = self.samples.X
        block = X[rows[0] : rows[-1] + 1] if self._contiguous else X[rows]
        return np.ascontiguousarray(block, dtype=self._single_dtype if single else self._block_dtype)

    def _gathered(self, rows: Ints) -> NDArray[Any]:
        return np.ascontiguousarray(self.samples.X[rows], dtype=self._block_dtype)

    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> NDArray[Any]:
        """Return a copy of ``rows``."""
        return np.asarray(self.samples.X[rows].astype(dtype if self.has_single else np.float64, copy=False))

    def _pair_rows(self, rows: Ints) -> NDArray[Any]:
        X = self.samples.X
        as_it_is = X.dtype in (np.uint8, np.float32)
        return np.ascontiguousarray(
            X[rows], dtype=None if as_it_is else np.float32 if self.has_single else np.float64
        )

    def _add_pairs(
        self, X: Any, wrong: Ints, right: Ints, factors: Floats, Vt: NDArray[Any], c: Floats, Gt: Floats, g: Floats
    ) -> None:
        add_pairs(X, wrong, right, factors, Vt, c, Gt, g)

    def _score_block(self, X: NDArray[Any], W: Floats, Wt: NDArray[Any], b: Floats) -> Floats:
        if Wt.nbytes > _TILE_BYTES:
            scores = np.asarray(X @ Wt.T, dtype=np.float64)
            scores += b
            return scores
        if Wt.dtype == np.float32:
            products = np.zeros((len(X), len(b)), np.float32)
            add_scores(X, Wt, products)
            return b + products
        scores = np.empty((len(X), len(b)))
        scores[:] = b
        add_scores(X, Wt, scores)
        return scores

    def _back_block(self, X: NDArray[Any], A: Floats, Gt: Floats, single: bool = False) -> None:
        if single:
            A = A.astype(np.float32)
        if Gt.size * A.itemsize > _TILE_BYTES:
            Gt += A.T @ X
        elif single:  # sums of one block, so that no error grows with the number of samples
            part = np.zeros(Gt.shape, np.float32)
            add_back(X, A, part)
            Gt += part
        else:
            add_back(X, A, Gt)

    def _add_classes(self, X: NDArray[Any], y: Ints, weights: Floats, Gt: Floats) -> None:
        add_by_class(X, y, weights, Gt)

    def moments(self) -> tuple[Floats, Floats]:
        """Return the weighted mean and variance of each feature."""

        def summed(kernel: Any, *arguments: Any) -> Floats:
            def lane(blocks: Iterator[Ints]) -> Floats:
                total = np.zeros(self._n_features)
                for rows in blocks:
                    kernel(self._block(rows, self.has_single), self.samples.weights[rows], *arguments, total)
                return total

            return sum_in_order(self._walk(lane, self.has_single))

        mean = summed(add_rows)
        return mean, summed(add_squares, mean)


def _block_rows(n_features: int, itemsize: int, W_bytes: int) -> int:
    """Return how many rows a block has: whole tiles of both kernels, more of them where BLAS needs tall blocks."""
    rows = _BLOCK_BYTES // max(1, n_features * itemsize)
    return max(128, min(1024, rows * 4)) if W_bytes > _TILE_BYTES else max(12, min(516, rows // 12 * 12))
