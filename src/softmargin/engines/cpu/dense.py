"""The CPU engine for dense X.

Blocks of float32 and float64 are read in place, and so is uint8 if the arithmetic is float32. Other types are
converted one block at a time, never as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.base import Moments
from softmargin.engines.cpu.blocks import BlockEngine
from softmargin.engines.cpu.microkernel import LINE, READS_HALF
from softmargin.engines.cpu.products import accumulate_gradient, add_scores, gradient_product, score_product
from softmargin.engines.cpu.row_code import gradient_code, has_code
from softmargin.engines.cpu.tiles import (
    PART_ROWS,
    Point,
    Scratch,
    add_by_class,
    add_gradients,
    add_moments,
    add_pairs,
    gather_rows,
    widen_half,
)
from softmargin.engines.rows import OptionalRows, sum_in_order
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.threads import INLINE_WORK, Workers

__all__ = ["DenseEngine"]

_TILE_BYTES, _FEW_BYTES, _FEW_CLASSES = 1 << 20, 1 << 18, 128
"""Compiled tiles multiply if W has at most `_TILE_BYTES`, since W is read again for each tile of rows and should
stay in the L2 cache. BLAS copies pieces of W and X first. That soon pays for W, but for X only if there are at
least `_FEW_CLASSES` classes; then the limit is `_FEW_BYTES`."""

_BLAS_CLASSES = 24
"""From this many classes on, BLAS computes the gradient, since the sum no longer stays in cache for the tiles."""

_BLOCK_BYTES = 3 << 18
"""Size of a block of rows with its scores: it should stay in cache, but make the cost of calls negligible."""

_CACHED_BYTES, _LEAST_CACHED, _MOST_CACHED = 1 << 17, 12, 252
"""Size in bytes of a block that stays in the L2 cache together with W, its gradient and the next block, and bounds
on its number of rows. These blocks may be short, since a compiled loop iterates over them."""

_TILE_TYPES = {name: name for name in ("uint8", "int8", "float32", "float64")} | {"bool": "uint8"}
if READS_HALF:
    _TILE_TYPES["float16"] = "uint16"

_PARTITION_ROWS = 3072
"""Minimum number of rows of a partition of gradients, if that leaves four partitions. Then clearing and adding
their sums takes about 1 % of the time."""

_MOST_AT_ONCE = 64
"""Maximum number of classes, over all points, per pass; with more, reading X is a small part of the cost."""

_CHUNK_ROWS = 1 << 14
"""Number of rows per call of the compiled loop; a request to stop is handled between calls."""

_MOST_ROWS, _MOST_ROWS_SINGLE = 516, 12 << 10
"""Maximum number of rows of a block. In float64 it is smaller, since it enters the bound on the rounding error."""

_SQUARE_BYTES = 1 << 22
"""Up to this size in bytes, each partition has its own (C, C) sum for certificates; beyond, chunks share one."""

_CHUNK_BYTES, _LEAST_CHUNK, _LARGEST_CHUNK = 1 << 24, 256, 4096
"""Maximum size in bytes of a chunk with its scores (or four times the size of W), and bounds on its rows."""


_PAGE = 4096
"""Addresses that differ by a multiple of this share a set of the L1 cache."""

_LONG = 1024
"""From this many features on, it pays to align the vectors by starting with a partial one."""

_SPACING, _STEP = 1024, 320
"""Rows whose distance in bytes is `_STEP` plus a multiple of `_SPACING` do not share sets of the L1 cache."""


_LONG_ROWS = 256
"""Blocks of rows of at least this many bytes are converted for float64 products as fast as one loop computes them,
which would have to be compiled for these products, too."""

_LARGE_BYTES = 1 << 26
"""Rows of active pairs are copied if X has at most this size. A copy is read faster, but may be as large as X."""


class DenseEngine(BlockEngine):
    """Sums over blocks of dense rows, on several threads, in a fixed order.

    Parameters
    ----------
    samples : Samples
    threads : int or Workers, optional
    classes : ndarray of shape (C,), optional
        As in `BlockEngine`.
    """

    _add_pairs, _add_classes = staticmethod(add_pairs), staticmethod(add_by_class)

    def __init__(
        self, samples: Samples, threads: int | Workers | None = None, classes: Ints | None = None
    ) -> None:
        n_features, C, dtype = samples.X.shape[1], samples.n_classes, samples.X.dtype
        self.has_single = bool(dtype == np.bool_ or np.can_cast(dtype, np.float32, "safe"))
        # The types of X that the products read: as stored if the tiles support it, else the type of the sums.
        tiles = np.dtype(np.float32 if self.has_single else np.float64)
        self._block_dtype = tiles if _is_tiled(n_features, C, 8) else np.dtype(np.float64)
        reads_bytes = dtype == np.uint8 and _is_tiled(n_features, C, 4)
        self._single_dtype = np.dtype(np.uint8 if reads_bytes else np.float32)
        n_block = _block_rows(n_features * self._block_dtype.itemsize + 8 * C, _MOST_ROWS)
        n_single = _block_rows(n_features * self._single_dtype.itemsize + 4 * C, _MOST_ROWS_SINGLE)
        super().__init__(samples, threads, classes, n_block, n_features, n_single)
        self._contiguous = len(self.rows) == len(samples.y)
        self._tile_X = _tile_view(samples.X)

    def _block(self, rows: Ints, single: bool = False) -> NDArray[Any]:
        """Return rows of X, contiguous and of a type that the products read; a view if possible."""
        X = self.samples.X
        block = X[rows[0] : rows[-1] + 1] if self._contiguous else X[rows]
        return _contiguous(block, self._single_dtype if single else self._block_dtype)

    def _gather(self, rows: Ints) -> NDArray[Any]:
        return _contiguous(self.samples.X[rows], self._block_dtype)

    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> NDArray[Any]:
        """Return a copy of ``rows``."""
        wanted = np.dtype(dtype if self.has_single else np.float64)
        part = self.samples.X[rows]
        return _contiguous(part, wanted) if part.dtype == np.float16 else part.astype(wanted, copy=False)

    def mapped_rows(self, rows: Ints, affine: Affine, dtype: Any = np.float64) -> NDArray[Any]:
        """Return ``(X[rows] - mean) * scale`` as a dense array of the ``dtype``."""
        X = self._tile_X
        if X is None or X.dtype == np.uint16:  # the bits of float16
            return super().mapped_rows(rows, affine, dtype)
        Z = np.empty((len(rows), X.shape[1]), dtype if self.has_single else np.float64)
        nearest = affine.mean.astype(Z.dtype)  # exact for x close to the mean; the rest follows
        rest = (affine.mean - nearest).astype(Z.dtype)
        gather_rows(X, rows, nearest, rest, affine.scale.astype(Z.dtype), Z)
        return Z.astype(dtype, copy=False)

    def _pair_rows(self, rows: Ints, single: bool) -> tuple[NDArray[Any], Ints]:
        X, number = self.samples.X, np.dtype(np.float32 if single else np.float64)
        if single and X.dtype == np.uint8:
            number = X.dtype
        if X.nbytes > _LARGE_BYTES and X.flags.c_contiguous and X.dtype == number:
            return X, rows
        return np.ascontiguousarray(X[rows], number), np.arange(len(rows))

    def _n_chunk(self, single: bool) -> int:
        """Return the number of rows of a chunk, which has the size of a few W, or 0 for separate partitions."""
        size, D, C = 4 if single else 8, self._n_features, self.samples.n_classes
        if _is_tiled(D, C, size) and 8 * C * C <= _SQUARE_BYTES:
            return 0
        fitting = max(_CHUNK_BYTES, 4 * size * D * C) // (size * (D + C))
        return int(np.clip(fitting, _LEAST_CHUNK, _LARGEST_CHUNK))

    def _transposed(self, W: Floats, single: bool = False) -> NDArray[Any]:
        # BLAS reads W without a copy. If W is as large as X, reordering it would take 10 % of a pass.
        size = 4 if single else 8
        order: Literal["C", "F"] = "C" if _is_tiled(W.shape[0], W.shape[1], size) else "F"
        return np.asarray(W.T, dtype=f"f{size}", order=order)

    def _score_block(self, X: NDArray[Any], Wt: NDArray[Any], b: Floats, S: NDArray[Any]) -> None:
        if _is_tiled(self._n_features, len(Wt), Wt.itemsize):
            S[:] = b
            add_scores(X, Wt, S)
        else:
            np.matmul(X, Wt.T, out=S)
            S += b.astype(S.dtype, copy=False)

    def _back_block(self, X: NDArray[Any], A: Floats, Gt: Floats) -> None:
        if X.dtype == A.dtype and len(Gt) >= _BLAS_CLASSES:
            Gt += A.T @ X
        elif A.dtype == np.float32:  # float32 sums over few rows each, so that the error is independent of N
            for start in range(0, len(X), PART_ROWS):
                part = np.zeros(Gt.shape, np.float32)
                accumulate_gradient(X[start : start + PART_ROWS], A[start : start + PART_ROWS], part)
                Gt += part
        else:
            accumulate_gradient(X, A, Gt)

    def _in_place(self, single: bool) -> bool:
        X, dtype = self.samples.X, self._single_dtype if single else self._block_dtype
        return bool(self._contiguous and X.dtype == dtype and X.flags.c_contiguous)

    def _evaluate(
        self, loss: Loss, W: Floats, b: Floats, offsets: OptionalRows, scores_out: OptionalRows, single: bool
    ) -> tuple[float, Floats, Floats]:
        number = np.dtype(np.float32 if single and self.has_single else np.float64)
        if not (has_code(loss) and self._is_one_loop(W.shape[1], number)):
            return super()._evaluate(loss, W, b, offsets, scores_out, single)
        weights = self.samples.weights[None]
        values, G, g = self._gradients(loss, W[None], b[None], weights, offsets, scores_out, number)
        return float(values[0]), G[0], g[0]

    def _evaluate_many(
        self, loss: Loss, W: Floats, b: Floats, weights: Floats | None, single: bool
    ) -> tuple[list[float], Floats, Floats] | None:
        number = np.dtype(np.float32 if single and self.has_single else np.float64)
        n_points, _, C = W.shape
        n_at_once = min(n_points, _MOST_AT_ONCE // C)
        while n_at_once > 1 and not self._is_one_loop(n_at_once * C, number):
            n_at_once -= 1
        if n_at_once < 2 or not has_code(loss):
            return None
        parts = []
        for part in np.array_split(np.arange(n_points), -(-n_points // n_at_once)):
            given = self.samples.weights[None] if weights is None else weights[part]
            parts.append(self._gradients(loss, W[part], b[part], given, None, None, number))
        values, G, g = (np.concatenate(found) for found in zip(*parts, strict=True))
        return values.tolist(), G, g

    def _is_one_loop(self, n_classes: int, number: np.dtype[Any]) -> bool:
        """Whether one compiled loop over X computes the gradients, for this many classes over all points."""
        size, X = number.itemsize, self._tile_X
        if X is None or (X.itemsize == 1 and size == 8 and X.shape[1] >= _LONG_ROWS):
            return False
        return _is_tiled(self._n_features, n_classes, size) and self._n_chunk(size == 4) == 0

    def _gradients(
        self, loss: Loss, W: Floats, b: Floats, weights: Floats, offsets: OptionalRows, scores_out: OptionalRows,
        number: np.dtype[Any],
    ) -> tuple[Floats, Floats, Floats]:  # fmt: skip
        """Return the values (K,) at K points and the gradients (K, D, C) and (K, C), from a single pass."""
        X, y = self._tile_X, self.samples.y
        assert X is not None
        code, numbers = gradient_code(loss, number)
        codes = score_product(X.dtype, number).address, gradient_product(X.dtype, number).address, code
        n_points, D, C = W.shape
        n_all = n_points * C
        Wt = _empty_beside(X, (n_all, D), number, 0.25)
        Wt[:, :D] = W.transpose(0, 2, 1).reshape(n_all, D)
        offsets = np.empty((0, n_all)) if offsets is None else np.ascontiguousarray(offsets, np.float64)
        point = Point(Wt, b.ravel().astype(number), offsets)
        n_block = int(np.clip(_CACHED_BYTES // (X.itemsize * D) // 4 * 4, _LEAST_CACHED, _MOST_CACHED))

        def partition(chunks: Iterator[Ints]) -> tuple[Floats, Floats, Floats]:
            values, Gt, g = np.zeros((n_points, 2)), np.zeros((n_all, D)), np.zeros(n_all)
            S, S_k = np.empty((n_block, n_all), number), np.empty((0 if n_points == 1 else n_block, C), number)
            copy = np.empty((0 if self._contiguous else n_block, D), X.dtype)
            labels, shares = np.empty(n_block, np.int64), np.empty(n_block)
            part = _empty_beside(X, (n_all, D), number, 0.5, _head(X, number))
            scratch = Scratch(copy, S, S_k, labels, shares, part)
            for rows in chunks:
                scores = np.empty((0 if scores_out is None else len(rows), n_all), number)
                add_gradients(X, y, weights, rows, point, codes, numbers, scores, scratch, values, Gt, g)
                if scores_out is not None:
                    scores_out[rows] = scores
            return values, Gt, g

        least = 4 if len(self.rows) * D * C >= INLINE_WORK else 1
        n_partitions = self._n_partitions(D * C, least, _PARTITION_ROWS)
        partitions = self._run_partitions(partition, n_partitions, _CHUNK_ROWS)
        values = np.array([math.fsum(found[k].sum() for found, _, _ in partitions) for k in range(n_points)])
        G = sum_in_order([Gt for _, Gt, _ in partitions]).reshape(n_points, C, D).transpose(0, 2, 1)
        return values, np.ascontiguousarray(G), sum_in_order([g for _, _, g in partitions]).reshape(n_points, C)

    def moments(self) -> Moments:
        """Return the weighted mean and variance of each feature."""

        def summed(mean: Floats) -> Floats:
            def add(rows: Ints, total: Floats) -> None:
                add_moments(self._block(rows, self.has_single), self.samples.weights[rows], mean, total)

            return self._summed(add, (2, self._n_features), self._n_single if self.has_single else None)

        mean = summed(np.zeros(self._n_features))[0]
        return Moments(mean, summed(mean)[1])


def _is_tiled(n_features: int, n_classes: int, size: int) -> bool:
    """Whether compiled tiles multiply, for a W whose numbers have ``size`` bytes."""
    n_bytes = size * n_features * n_classes
    return n_bytes <= (_TILE_BYTES if n_classes < _FEW_CLASSES else _FEW_BYTES)


def _tile_view(X: NDArray[Any]) -> NDArray[Any] | None:
    """Return X as the tiles read it, or None if they cannot; float16 is viewed as uint16."""
    if not (X.flags.c_contiguous and X.flags.aligned and X.dtype.isnative) or X.dtype.name not in _TILE_TYPES:
        return None
    X = X.view(_TILE_TYPES[X.dtype.name])
    if X.flags.writeable:
        return X
    # Numba compiles kernels separately for read-only arrays. They never write to X, so mark it as writable.
    view = type("", (), {"__array_interface__": X.__array_interface__ | {"data": (X.ctypes.data, False)}})()
    view.X = X  # keeps X alive as long as the view
    return np.asarray(view)


def _contiguous(block: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the block as a contiguous array of the type; NumPy converts float16 slowly, one number at a time."""
    if block.dtype != np.float16 or dtype == np.float16 or not block.dtype.isnative:
        return np.ascontiguousarray(block, dtype=dtype)
    numbers = np.empty(block.shape, np.float32)
    widen_half(np.ascontiguousarray(block).view(np.uint16).reshape(-1), numbers.reshape(-1))
    return numbers.astype(dtype, copy=False)


def _empty_beside(
    X: NDArray[Any], shape: tuple[int, int], dtype: np.dtype[Any], share: float, head: int = 0
) -> NDArray[Any]:
    """Return an empty array (with padded rows) that causes no cache conflicts when it is used together with X.

    From column ``head`` on, its vectors do not cross cache lines. Its rows share no sets of the L1 cache with each
    other, with X, or with arrays at another offset from X; the offset is the fraction ``share`` of a page.
    """
    n_rows, n_columns = shape
    size = dtype.itemsize
    stride = -((_STEP - size * n_columns) // _SPACING) * _SPACING + _STEP
    numbers = np.empty((n_rows * stride + _PAGE) // size, dtype)
    wanted = (X.ctypes.data + head * X.itemsize + int(share * _PAGE)) // LINE * LINE - head * size
    first = (wanted - numbers.ctypes.data) % _PAGE // size
    return numbers[first : first + n_rows * stride // size].reshape(n_rows, stride // size)


def _head(X: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """Return the column of X at which vectors should begin so that none of them crosses a cache line."""
    vector = LINE // dtype.itemsize * X.itemsize
    if X.strides[0] % vector > 0 or X.shape[1] < _LONG:
        return 0
    return int(-X.ctypes.data % vector // X.itemsize)


def _block_rows(row_bytes: int, most: int) -> int:
    """Return the number of rows of a block: a multiple of the tile heights of both kernels."""
    return int(np.clip(_BLOCK_BYTES // row_bytes // 12 * 12, 12, most))
