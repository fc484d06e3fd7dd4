"""The CPU engine for sparse X: products over the stored entries.

X is a CSR array and is read in place. Entries of float32 and float64 are multiplied as they are; other types are
converted one block at a time. W and the partial gradients are stored as (D, C), so that the weights of all classes
for an entry are contiguous. Centring is folded into W and b before they reach the engine. So X stays sparse,
except for blocks of rows whose covariance is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.base import Capability, DualState, Moments
from softmargin.engines.cpu.blocks import BlockEngine
from softmargin.engines.cpu.sparse_dual import SparseDualRows
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.threads import Workers

__all__ = ["SparseEngine"]

_COMPILED = numba.njit(nogil=True, cache=True)
_PRODUCT = numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
"""A product and an addition may be fused; the order of additions is fixed."""

_TILE_CLASSES = 8
"""Below this many classes, scores are summed in registers, otherwise in memory. With 3 classes and 100 entries per
row, registers took half the time; with 8 classes, both took the same."""

_BLOCK_BYTES = 3 << 18
"""Size of a block of rows with its scores, which should stay in cache between the two products. With many columns,
however, W and the gradient evict each other between the products. Then a block has enough entries to use each
column four times on average. (With 100,000 columns and 3 classes, that saved a third of the time.)"""


class _Rows(NamedTuple):
    """Rows of a CSR array: row i has the entries ``starts[i]:stops[i]``."""

    starts: Ints
    stops: Ints
    indices: NDArray[Any]
    data: NDArray[Any]


@_PRODUCT
def _add_scores(X: _Rows, W: Floats, S: Floats) -> None:
    """S += X @ W. Column numbers are read as unsigned, since Numba would test signed ones for negative values."""
    starts, stops, indices, data = X
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
def _accumulate_gradient(X: _Rows, A: Floats, G: Floats) -> None:
    """G += X.T @ A."""
    starts, stops, indices, data = X
    for i in range(len(starts)):
        for k in range(starts[i], stops[i]):
            v, d = data[k], np.uint64(indices[k])
            for j in range(G.shape[1]):
                G[d, j] += v * A[i, j]


@_PRODUCT
def _add_pairs(
    X: _Rows, rival: Ints, target: Ints, factors: Floats, Vt: Floats, c: Floats, Gt: Floats, g: Floats
) -> None:
    """Compute what `BlockEngine._add_pairs` specifies."""
    starts, stops, indices, data = X
    V, G = Vt.T, Gt.T
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
    """Add a term to total[d] and the rounding error of the sum to rest[d]."""
    before = total[d]
    after = before + term
    part = after - before
    total[d] = after
    rest[d] += (before - (after - part)) + (term - part)


@_COMPILED
def _add_first(X: _Rows, weights: Floats, sums: Floats, mass: Floats) -> None:
    """Add ωx to ``sums`` (2, D), and ω to ``mass`` (2, D + 1) for each column with an entry and at the end."""
    starts, stops, indices, data = X
    for i in range(len(starts)):
        _add_exactly(mass[0], mass[1], len(mass[0]) - 1, weights[i])
        for k in range(starts[i], stops[i]):
            _add_exactly(sums[0], sums[1], indices[k], weights[i] * data[k])
            _add_exactly(mass[0], mass[1], indices[k], weights[i])


@_COMPILED
def _add_second(X: _Rows, weights: Floats, mean: Floats, sums: Floats) -> None:
    """Add ω(x - mean)² of the entries to the sum of each column."""
    starts, stops, indices, data = X
    for i in range(len(starts)):
        for k in range(starts[i], stops[i]):
            deviation = data[k] - mean[indices[k]]
            sums[indices[k]] += weights[i] * deviation * deviation


class SparseEngine(BlockEngine):
    """Sums over blocks of sparse rows, on several threads, in a fixed order.

    Parameters
    ----------
    samples : Samples
        X must be canonical CSR: the kernels do not check column numbers.
    threads : int or Workers, optional
    classes : ndarray of shape (C,), optional
        As in `BlockEngine`.
    """

    _order: ClassVar[Literal["C", "F"]] = "F"
    _add_pairs = staticmethod(_add_pairs)

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
        self.supports |= {Capability.CHEAP_SWEEPS}

    def _block(self, rows: Ints, single: bool = False) -> _Rows:
        """Return rows in ascending order; if necessary, all entries from the first to the last are converted."""
        if self._as_stored:
            return self._gather(rows)
        X = self.samples.X
        first, last = X.indptr[rows[0]], X.indptr[rows[-1] + 1]
        starts, stops = X.indptr[rows] - first, X.indptr[rows + 1] - first
        data = X.data[first:last].astype(np.float64)
        return _Rows(starts.astype(np.int64), stops.astype(np.int64), X.indices[first:last], data)

    def _gather(self, rows: Ints) -> _Rows:
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
        _add_scores(X, Wt.T, S)

    def _back_block(self, X: _Rows, A: Floats, Gt: Floats) -> None:
        _accumulate_gradient(X, A, Gt.T)

    def moments(self) -> Moments:
        """Return the weighted mean and variance of each feature.

        The weight of the zeros of a column is the total weight minus that of its entries. Both sums have twice the
        precision of float64, so that the difference is accurate and is exactly 0 for a column without zeros.
        """
        D = self._n_features

        def first(blocks: Iterator[Ints]) -> tuple[Floats, Floats]:
            sums, mass = np.zeros((2, D)), np.zeros((2, D + 1))
            for rows in blocks:
                _add_first(self._block(rows), self.samples.weights[rows], sums, mass)
            return sums, mass

        partitions = self._run_partitions(first, self._n_partitions(4 * D))
        sums, mass = (_exact_sum([partition[part] for partition in partitions]) for part in (0, 1))
        mean = sums[0] + sums[1]
        zeros = np.maximum((mass[0, D] - mass[0, :D]) + (mass[1, D] - mass[1, :D]), 0.0)

        def second(rows: Ints, total: Floats) -> None:
            _add_second(self._block(rows), self.samples.weights[rows], mean, total)

        return Moments(mean, self._summed(second, (D,)) + zeros * mean**2)

    def dual_state(self, loss: Loss, reg: float, affine: Affine, penalty: float, single: bool) -> DualState:
        """Return dual rows for dual ascent."""
        return SparseDualRows(self, loss, reg, affine, penalty, np.float32 if single else np.float64)

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        n_partitions = self._n_partitions((self._n_features + self.samples.n_classes) * self.samples.n_classes)
        terms = -(-len(self.rows) // n_partitions) + self._n_block + n_partitions
        return float(np.finfo(np.float64).eps * (terms + 8))


def _exact_sum(parts: list[Floats]) -> Floats:
    """Return the sum of arrays (2, D) that hold numbers and their rounding errors."""
    total, rest = parts[0].copy()
    for term, more in parts[1:]:
        after = total + term
        part = after - total
        rest += (total - (after - part)) + (term - part) + more
        total = after
    return np.array([total, rest])
