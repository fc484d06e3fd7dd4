"""The engine for sparse X in main memory: products over the stored entries of the blocks of ``blocks.py``.

X is a CSR array, read in place; entries of float32 and float64 are multiplied as they are, other types
are converted one block at a time. W and the partial gradients lie as (D, C), so that an entry meets the
weights of all classes in one place. Centring is folded into W and b above the engines: nothing here fills
in zeros, but for the blocks of rows whose covariance is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Moments
from softmargin.engines.cpu.blocks import BlockEngine
from softmargin.engines.rows import sum_in_order
from softmargin.losses.base import Floats, Ints
from softmargin.samples import Samples
from softmargin.threads import Workers

__all__ = ["SparseEngine"]

_COMPILED = numba.njit(nogil=True, cache=True)
_PRODUCT = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
"""An entry's product with a class may be fused with its addition; the order of additions stays."""

_TILE_CLASSES = 8
"""Below this many classes, scores are added up in registers, beyond it in memory. (At 3 classes and 100 entries
a row that took half the time; at 8 both took the same.)"""

_BLOCK_BYTES = 3 << 18
"""A block of rows and its scores should stay in cache between its two products. But where there are many columns,
it is W and the gradient that push each other out of the cache between one product and the next: then a block
has entries enough to meet each column four times. (With 100,000 columns and 3 classes that took a third off.)"""


class _Rows(NamedTuple):
    """Rows of a CSR array: row i has the entries from ``starts[i]`` up to ``stops[i]``."""

    starts: Ints
    stops: Ints
    indices: NDArray[Any]
    data: NDArray[Any]


@_PRODUCT
def _add_scores(
    starts: Ints, stops: Ints, indices: NDArray[Any], data: NDArray[Any], W: Floats, S: Floats
) -> None:
    """S += X @ W. Columns are read as unsigned numbers, since Numba would look whether they are negative."""
    C = W.shape[1]
    for i in range(len(starts)):
        if C >= _TILE_CLASSES:
            for k in range(starts[i], stops[i]):
                v, d = data[k], np.uint64(indices[k])
                for j in range(C):
                    S[i, j] += v * W[d, j]
            continue
        j = 0
        while j < C:
            s0 = s1 = s2 = s3 = 0.0
            left = C - j
            if left >= 4:
                for k in range(starts[i], stops[i]):
                    v, d = data[k], np.uint64(indices[k])
                    s0 += v * W[d, j]
                    s1 += v * W[d, j + 1]
                    s2 += v * W[d, j + 2]
                    s3 += v * W[d, j + 3]
                S[i, j + 3] += s3
                S[i, j + 2] += s2
                S[i, j + 1] += s1
            elif left == 3:
                for k in range(starts[i], stops[i]):
                    v, d = data[k], np.uint64(indices[k])
                    s0 += v * W[d, j]
                    s1 += v * W[d, j + 1]
                    s2 += v * W[d, j + 2]
                S[i, j + 2] += s2
                S[i, j + 1] += s1
            elif left == 2:
                for k in range(starts[i], stops[i]):
                    v, d = data[k], np.uint64(indices[k])
                    s0 += v * W[d, j]
                    s1 += v * W[d, j + 1]
                S[i, j + 1] += s1
            else:
                for k in range(starts[i], stops[i]):
                    s0 += data[k] * W[np.uint64(indices[k]), j]
            S[i, j] += s0
            j += 4


@_PRODUCT
def _add_back(starts: Ints, stops: Ints, indices: NDArray[Any], data: NDArray[Any], A: Floats, G: Floats) -> None:
    """G += X.T @ A."""
    for i in range(len(starts)):
        for k in range(starts[i], stops[i]):
            v, d = data[k], np.uint64(indices[k])
            for j in range(G.shape[1]):
                G[d, j] += v * A[i, j]


@_PRODUCT
def _add_pairs(
    starts: Ints,
    stops: Ints,
    indices: NDArray[Any],
    data: NDArray[Any],
    rival: Ints,
    target: Ints,
    factors: Floats,
    V: Floats,
    c: Floats,
    G: Floats,
    g: Floats,
) -> None:
    """Do what `BlockEngine._add_pairs` says."""
    for i in range(len(starts)):
        j, y = rival[i], target[i]
        s = c[j] - c[y]
        for k in range(starts[i], stops[i]):
            d = np.uint64(indices[k])
            s += data[k] * (V[d, j] - V[d, y])
        z = factors[i] * s
        for k in range(starts[i], stops[i]):
            d = np.uint64(indices[k])
            G[d, j] += data[k] * z
            G[d, y] -= data[k] * z
        g[j] += z
        g[y] -= z


@_COMPILED
def _add_exactly(total: Floats, rest: Floats, d: int, term: float) -> None:
    """Add a term to total[d], and what that loses to rest[d]."""
    before = total[d]
    after = before + term
    part = after - before
    total[d] = after
    rest[d] += (before - (after - part)) + (term - part)


@_COMPILED
def _add_first(
    starts: Ints,
    stops: Ints,
    indices: NDArray[Any],
    data: NDArray[Any],
    weights: Floats,
    sums: Floats,
    mass: Floats,
) -> None:
    """Add up ωx of each column (2, D), and the ω of the rows with an entry there (2, D + 1), all rows last."""
    for i in range(len(starts)):
        _add_exactly(mass[0], mass[1], len(mass[0]) - 1, weights[i])
        for k in range(starts[i], stops[i]):
            _add_exactly(sums[0], sums[1], indices[k], weights[i] * data[k])
            _add_exactly(mass[0], mass[1], indices[k], weights[i])


@_COMPILED
def _add_second(
    starts: Ints,
    stops: Ints,
    indices: NDArray[Any],
    data: NDArray[Any],
    weights: Floats,
    mean: Floats,
    sums: Floats,
) -> None:
    """Add up ω(x - mean)² of each column over the entries."""
    for i in range(len(starts)):
        for k in range(starts[i], stops[i]):
            away = data[k] - mean[indices[k]]
            sums[indices[k]] += weights[i] * away * away


class SparseEngine(BlockEngine):
    """Blocks of sparse rows, over threads, with a fixed order of summation.

    Parameters
    ----------
    samples : Samples
        X is canonical CSR: the kernels do not check its columns.
    threads : int or Workers, optional
    classes : ndarray of shape (C,), optional
        As in `BlockEngine`.
    """

    _order: ClassVar[Literal["C", "F"]] = "F"

    def __init__(
        self, samples: Samples, threads: int | Workers | None = None, classes: Ints | None = None
    ) -> None:
        X = samples.X
        self._as_stored = X.dtype in (np.float32, np.float64)
        row_size = max(1, -(-X.nnz // X.shape[0]))
        row_bytes = row_size * (8 + X.indices.itemsize) + 16 * samples.n_classes
        in_cache = min(4096, _BLOCK_BYTES // row_bytes)
        revisiting = min(65536, 4 * X.shape[1] // row_size)
        super().__init__(samples, threads, classes, max(16, in_cache, revisiting), row_size)

    def _block(self, rows: Ints, single: bool = False) -> _Rows:
        """Return these rows, which ascend; what is converted for them reaches from the first to the last."""
        if self._as_stored:
            return self._gathered(rows)
        X = self.samples.X
        first, last = X.indptr[rows[0]], X.indptr[rows[-1] + 1]
        starts, stops = X.indptr[rows] - first, X.indptr[rows + 1] - first
        data = X.data[first:last].astype(np.float64)
        return _Rows(starts.astype(np.int64), stops.astype(np.int64), X.indices[first:last], data)

    def _gathered(self, rows: Ints) -> _Rows:
        X = self.samples.X
        if self._as_stored:
            starts, stops = X.indptr[rows], X.indptr[rows + 1]
            return _Rows(starts.astype(np.int64), stops.astype(np.int64), X.indices, X.data)
        part = X[rows]
        borders = part.indptr.astype(np.int64)
        return _Rows(borders[:-1], borders[1:], part.indices, part.data.astype(np.float64))

    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> Floats:
        """Return a dense copy of ``rows``."""
        return np.asarray(self.samples.X[rows].toarray().astype(np.float64))

    def _score_block(self, X: _Rows, Wt: Floats, b: Floats, S: Floats) -> None:
        S[:] = b
        _add_scores(*X, Wt.T, S)

    def _back_block(self, X: _Rows, A: Floats, Gt: Floats) -> None:
        _add_back(*X, A, Gt.T)

    def _pair_rows(self, rows: Ints) -> _Rows:
        return self._gathered(rows)

    def _add_pairs(
        self, X: _Rows, rival: Ints, target: Ints, factors: Floats, Vt: Floats, c: Floats, Gt: Floats, g: Floats
    ) -> None:
        _add_pairs(*X, rival, target, factors, Vt.T, c, Gt.T, g)

    def moments(self) -> Moments:
        """Return the weighted mean and variance of each feature.

        The zeros of a column weigh what its entries leave of the whole. Both are kept to twice the precision,
        so that this difference is right even where they are close, and is 0 for a column without zeros.
        """
        D = self._n_features

        def first(blocks: Iterator[Ints]) -> tuple[Floats, Floats]:
            sums, mass = np.zeros((2, D)), np.zeros((2, D + 1))
            for rows in blocks:
                _add_first(*self._block(rows), self.samples.weights[rows], sums, mass)
            return sums, mass

        partitions = self._run_partitions(first, self._n_partitions(4 * D))
        sums, mass = (_exact_sum([partition[part] for partition in partitions]) for part in (0, 1))
        mean = sums[0] + sums[1]
        zeros = np.maximum((mass[0, D] - mass[0, :D]) + (mass[1, D] - mass[1, :D]), 0.0)

        def second(blocks: Iterator[Ints]) -> Floats:
            total = np.zeros(D)
            for rows in blocks:
                _add_second(*self._block(rows), self.samples.weights[rows], mean, total)
            return total

        return Moments(mean, sum_in_order(self._run_partitions(second, self._n_partitions(D))) + zeros * mean**2)

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples.

        A partition adds its rows one after the other.
        """
        n_partitions = self._n_partitions((self._n_features + self.samples.n_classes) * self.samples.n_classes)
        terms = -(-len(self.rows) // n_partitions) + self._n_block + n_partitions
        return float(np.finfo(np.float64).eps * (terms + 8))


def _exact_sum(parts: list[Floats]) -> Floats:
    """Return the sum of pairs (2, D) of a number and its rest."""
    total, rest = parts[0].copy()
    for term, more in parts[1:]:
        after = total + term
        part = after - total
        rest += (total - (after - part)) + (term - part) + more
        total = after
    return np.array([total, rest])
