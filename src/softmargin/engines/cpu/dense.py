"""The engine for dense X in main memory: the products of the blocks that ``blocks.py`` adds up.

Blocks of float32 and float64 are used in place, and bytes where the arithmetic is float32; other types are
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
from softmargin.engines.cpu.row_code import gradient_code, has_code
from softmargin.engines.cpu.tiles import (
    Point,
    Scratch,
    accumulate_gradient,
    accumulate_gradient_in_parts,
    add_by_class,
    add_gradients,
    add_pairs,
    add_rows,
    add_scores,
    add_squares,
    gather_rows,
    widen_half,
)
from softmargin.engines.rows import sum_in_order
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.samples import Samples
from softmargin.threads import INLINE_WORK, Workers

__all__ = ["DenseEngine"]

_TILE_BYTES, _FEW_BYTES, _FEW_CLASSES = 1 << 20, 1 << 18, 128
"""The tiles multiply where W has at most so many bytes: it meets one tile of rows after the other, and beyond the
second cache of a core it comes from farther away each time. BLAS cuts W and X into pieces and copies them first,
which is soon worth it for W, but for X only where this many classes share the cost."""

_BLAS_CLASSES = 24
"""From this many classes on BLAS multiplies back: the tiles then pass over more of the sum than stays in cache."""

_BLOCK_BYTES = 3 << 18
"""A block of rows and its scores should stay in cache between the two products, and take long against a call."""

_CACHED_BYTES, _LEAST_CACHED, _MOST_CACHED = 1 << 17, 12, 252
"""Bytes of a block of rows that stays in the second cache of a core with W, its gradient and the next block, and
bounds on its rows: where a compiled loop goes from block to block, a short one costs nothing."""

_TILE_TYPES = {name: name for name in ("uint8", "int8", "float32", "float64")} | {"bool": "uint8"}
if READS_HALF:
    _TILE_TYPES["float16"] = "uint16"

_PARTITION_ROWS = 3072
"""A partition of gradients has at least so many rows, where that leaves four: then to clear its sums and to add
them up costs a hundredth."""

_MOST_AT_ONCE = 64
"""Classes of points that are gone through at once: with more, reading X is the least of it."""

_CHUNK_ROWS = 1 << 14
"""Rows of a partition that the compiled loop goes through at once; a request to stop has to wait for it."""

_MOST_ROWS, _MOST_ROWS_SINGLE = 516, 12 << 10
"""In float64 the rows that are added up one after the other stand in the bound on the rounding errors."""

_SQUARE_BYTES = 1 << 22
"""A certificate adds up an array of this size, classes by classes, in each partition; one of more only once."""

_CHUNK_BYTES, _LEAST_CHUNK, _LARGEST_CHUNK = 1 << 24, 256, 4096
"""A chunk of rows and its scores may take this much memory, or four times that of W, and has so many rows."""


_PAGE = 4096
"""Bytes after which places fall upon one another in a first cache."""

_LONG = 1024
"""From so many features on it pays to begin with a part of a vector."""

_SPACING, _STEP = 1024, 320
"""Rows that begin so many bytes apart, or any multiple of the first more, never fall upon one another."""


class DenseEngine(BlockEngine):
    """Blocks of dense rows in cache, over threads, with a fixed order of summation.

    Parameters
    ----------
    samples : Samples
    threads : int or Workers, optional
    classes : ndarray of shape (C,), optional
        As in `BlockEngine`.
    """

    def __init__(
        self, samples: Samples, threads: int | Workers | None = None, classes: Ints | None = None
    ) -> None:
        n_features, C, dtype = samples.X.shape[1], samples.n_classes, samples.X.dtype
        self.has_single = bool(dtype == np.bool_ or np.can_cast(dtype, np.float32, "safe"))
        # The types of X that the products read: as stored where the tiles can, else what they add up in.
        tiles = np.dtype(np.float32 if self.has_single else np.float64)
        self._block_dtype = tiles if _is_tiled(n_features, C, 8) else np.dtype(np.float64)
        as_it_is = dtype == np.uint8 and _is_tiled(n_features, C, 4)
        self._single_dtype = np.dtype(np.uint8 if as_it_is else np.float32)
        n_block = _block_rows(n_features * self._block_dtype.itemsize + 8 * C, _MOST_ROWS)
        n_single = _block_rows(n_features * self._single_dtype.itemsize + 4 * C, _MOST_ROWS_SINGLE)
        super().__init__(samples, threads, classes, n_block, n_features, n_single)
        self._contiguous = len(self.rows) == len(samples.y)
        self._numbers = _as_tiles_read(samples.X)

    def _block(self, rows: Ints, single: bool = False) -> NDArray[Any]:
        """Return these rows of X, contiguous and of a type for the products, in place where they already are."""
        X = self.samples.X
        block = X[rows[0] : rows[-1] + 1] if self._contiguous else X[rows]
        return _contiguous(block, self._single_dtype if single else self._block_dtype)

    def _gathered(self, rows: Ints) -> NDArray[Any]:
        return _contiguous(self.samples.X[rows], self._block_dtype)

    def dense_rows(self, rows: Ints, dtype: Any = np.float64) -> NDArray[Any]:
        """Return a copy of ``rows``."""
        wanted = np.dtype(dtype if self.has_single else np.float64)
        part = self.samples.X[rows]
        return (
            _contiguous(part, wanted) if part.dtype == np.float16 else np.asarray(part.astype(wanted, copy=False))
        )

    def mapped_rows(self, rows: Ints, affine: Affine, dtype: Any = np.float64) -> NDArray[Any]:
        """Return ``(X[rows] - mean) * scale`` as a dense array of the ``dtype``."""
        X = self._numbers
        if X is None or X.dtype == np.uint16:  # the bits of float16
            return super().mapped_rows(rows, affine, dtype)
        Z = np.empty((len(rows), X.shape[1]), dtype if self.has_single else np.float64)
        nearest = affine.mean.astype(Z.dtype)  # close to it this is exact; the rest of the mean follows
        rest = (affine.mean - nearest).astype(Z.dtype)
        gather_rows(X, rows, nearest, rest, affine.scale.astype(Z.dtype), Z)
        return Z.astype(dtype, copy=False)

    def _pair_rows(self, rows: Ints) -> tuple[NDArray[Any], Ints]:
        X = self.samples.X
        dtype = X.dtype if X.dtype in (np.uint8, np.float32) else np.float32 if self.has_single else np.float64
        if X.flags.c_contiguous and X.dtype == dtype:
            return X, rows
        return np.ascontiguousarray(X[rows], dtype), np.arange(len(rows))

    def _add_pairs(
        self,
        X: tuple[NDArray[Any], Ints],
        rival: Ints,
        target: Ints,
        factors: Floats,
        Vt: NDArray[Any],
        c: Floats,
        Gt: Floats,
        g: Floats,
    ) -> None:
        add_pairs(*X, rival, target, factors, Vt, c, Gt, g)

    def _n_chunk(self, single: bool) -> int:
        """Return how many rows the threads work on together: as many as fit, with their scores, into a few W."""
        size, D, C = 4 if single else 8, self._n_features, self.samples.n_classes
        if _is_tiled(D, C, size) and 8 * C * C <= _SQUARE_BYTES:
            return 0
        fitting = max(_CHUNK_BYTES, 4 * size * D * C) // (size * (D + C))
        return int(np.clip(fitting, _LEAST_CHUNK, _LARGEST_CHUNK))

    def _laid_out(self, W: Floats, single: bool = False) -> NDArray[Any]:
        # BLAS takes W without a copy; reordering it costs one thread 10 % of a pass if W is as large as X.
        size = 4 if single else 8
        order: Literal["C", "F"] = "C" if _is_tiled(W.shape[0], W.shape[1], size) else "F"
        return np.asarray(W.T, dtype=f"f{size}", order=order)

    def _score_block(self, X: NDArray[Any], Wt: NDArray[Any], b: Floats, S: NDArray[Any]) -> None:
        if _is_tiled(self._n_features, len(Wt), Wt.itemsize):
            S[:] = b
            add_scores(X, Wt, S, 0)
        else:
            np.matmul(X, Wt.T, out=S)
            S += b.astype(S.dtype, copy=False)

    def _back_block(self, X: NDArray[Any], A: Floats, Gt: Floats) -> None:
        if X.dtype == A.dtype and len(Gt) >= _BLAS_CLASSES:
            Gt += A.T @ X
        elif A.dtype == np.float32:  # sums of few rows, so that no error grows with the number of samples
            accumulate_gradient_in_parts(X, A, np.empty(Gt.shape, np.float32), Gt)
        else:
            accumulate_gradient(X, A, Gt, 0)

    def _in_place(self, single: bool) -> bool:
        X, dtype = self.samples.X, self._single_dtype if single else self._block_dtype
        return bool(self._contiguous and X.dtype == dtype and X.flags.c_contiguous)

    def _back_panel(self, X: NDArray[Any], A: NDArray[Any], G: Floats) -> None:
        G += X.T @ A

    def _evaluate(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        offsets: Floats | None,
        kept: NDArray[Any] | None,
        single: bool,
    ) -> tuple[float, Floats, Floats]:
        number = np.dtype(np.float32 if single and self.has_single else np.float64)
        if not (has_code(loss) and self._is_one_loop(W.shape[1], number)):
            return super()._evaluate(loss, W, b, offsets, kept, single)
        weights = self.samples.weights[None]
        values, G, g = self._gradients(loss, W[None], b[None], weights, offsets, kept, number)
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
        """Whether a compiled loop goes through X for this many classes in all."""
        size = number.itemsize
        return (
            self._numbers is not None
            and _is_tiled(self._n_features, n_classes, size)
            and self._n_chunk(size == 4) == 0
        )

    def _gradients(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        weights: Floats,
        offsets: Floats | None,
        kept: NDArray[Any] | None,
        number: np.dtype[Any],
    ) -> tuple[Floats, Floats, Floats]:
        """Return the values (K,) at K points and the gradients (K, D, C) and (K, C), from one reading of X."""
        code = gradient_code(loss, number)
        X, y = self._numbers, self.samples.y
        assert X is not None
        n_points, D, C = W.shape
        n_all = n_points * C
        Wt = _beside(X, (n_all, D), number, 0.25)
        Wt[:, :D] = W.transpose(0, 2, 1).reshape(n_all, D)
        offsets = np.empty((0, n_all)) if offsets is None else np.ascontiguousarray(offsets, np.float64)
        point = Point(Wt, b.ravel().astype(number), offsets)
        n_block = int(np.clip(_CACHED_BYTES // (X.itemsize * D) // 4 * 4, _LEAST_CACHED, _MOST_CACHED))

        def partition(chunks: Iterator[Ints]) -> tuple[Floats, Floats, Floats]:
            values, Gt, g = np.zeros((n_points, 2)), np.zeros((n_all, D)), np.zeros(n_all)
            S, of_one = np.empty((n_block, n_all), number), np.empty((0 if n_points == 1 else n_block, C), number)
            copy = np.empty((0 if self._contiguous else n_block, D), X.dtype)
            labels, shares = np.empty(n_block, np.int64), np.empty(n_block)
            part = _beside(X, (n_all, D), number, 0.5, _head(X, number))
            scratch = Scratch(copy, S, of_one, labels, shares, part)
            for rows in chunks:
                part_kept = np.empty((0 if kept is None else len(rows), n_all), number)
                add_gradients(X, y, weights, rows, point, *code, part_kept, scratch, values, Gt, g)
                if kept is not None:
                    kept[rows] = part_kept
            return values, Gt, g

        least = 4 if len(self.rows) * D * C >= INLINE_WORK else 1
        partitions = self._run_partitions(
            partition, self._n_partitions(D * C, least, _PARTITION_ROWS), _CHUNK_ROWS
        )
        values = np.array([math.fsum(found[k].sum() for found, _, _ in partitions) for k in range(n_points)])
        G = sum_in_order([Gt for _, Gt, _ in partitions]).reshape(n_points, C, D).transpose(0, 2, 1)
        return values, np.ascontiguousarray(G), sum_in_order([g for _, _, g in partitions]).reshape(n_points, C)

    def _add_classes(self, X: NDArray[Any], y: Ints, weights: Floats, Gt: Floats) -> None:
        add_by_class(X, y, weights, Gt)

    def moments(self) -> Moments:
        """Return the weighted mean and variance of each feature."""

        def summed(kernel: Any, *arguments: Any) -> Floats:
            def partition(blocks: Iterator[Ints]) -> Floats:
                total = np.zeros(self._n_features)
                for rows in blocks:
                    kernel(self._block(rows, self.has_single), self.samples.weights[rows], *arguments, total)
                return total

            n_rows = self._n_single if self.has_single else None
            return sum_in_order(self._run_partitions(partition, self._n_partitions(self._n_features), n_rows))

        mean = summed(add_rows)
        return Moments(mean, summed(add_squares, mean))


def _is_tiled(n_features: int, n_classes: int, size: int) -> bool:
    """Whether the tiles multiply with a W of numbers of this many bytes."""
    n_bytes = size * n_features * n_classes
    return n_bytes <= (_TILE_BYTES if n_classes < _FEW_CLASSES else _FEW_BYTES)


def _as_tiles_read(X: NDArray[Any]) -> NDArray[Any] | None:
    """Return X as the tiles read it, or None where they cannot: of float16 they take the bits."""
    if not (X.flags.c_contiguous and X.flags.aligned and X.dtype.isnative) or X.dtype.name not in _TILE_TYPES:
        return None
    X = X.view(_TILE_TYPES[X.dtype.name])
    if X.flags.writeable:
        return X
    # Kernels would be compiled once more for arrays that may not be written to; they do not write to X.
    view = type("", (), {"__array_interface__": X.__array_interface__ | {"data": (X.ctypes.data, False)}})()
    view.X = X  # lives as long as the view does
    return np.asarray(view)


def _contiguous(block: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the block as a contiguous array of the type; NumPy would step float16 into others one by one."""
    if block.dtype != np.float16 or dtype == np.float16 or not block.dtype.isnative:
        return np.ascontiguousarray(block, dtype=dtype)
    numbers = np.empty(block.shape, np.float32)
    widen_half(np.ascontiguousarray(block).view(np.uint16).reshape(-1), numbers.reshape(-1))
    return numbers.astype(dtype, copy=False)


def _beside(
    X: NDArray[Any], shape: tuple[int, int], dtype: np.dtype[Any], share: float, head: int = 0
) -> NDArray[Any]:
    """Return an empty array of these rows, and more columns, that the tiles go through beside X without delay.

    From the column ``head`` on no vector of it lies in two lines of a cache. Its rows do not fall upon one another
    in a first cache, nor upon those of X or of an array with another ``share`` of a page between it and X.
    """
    n_rows, n_columns = shape
    size = dtype.itemsize
    stride = -((_STEP - size * n_columns) // _SPACING) * _SPACING + _STEP
    numbers = np.empty((n_rows * stride + _PAGE) // size, dtype)
    wanted = (X.ctypes.data + head * X.itemsize + int(share * _PAGE)) // LINE * LINE - head * size
    first = (wanted - numbers.ctypes.data) % _PAGE // size
    return numbers[first : first + n_rows * stride // size].reshape(n_rows, stride // size)


def _head(X: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """Return with which column of X vectors should begin, so that none of them lies in two lines of a cache."""
    vector = LINE // dtype.itemsize * X.itemsize
    if X.strides[0] % vector > 0 or X.shape[1] < _LONG:
        return 0
    return int(-X.ctypes.data % vector // X.itemsize)


def _block_rows(row_bytes: int, most: int) -> int:
    """Return how many rows a block has: whole tiles of both kernels."""
    return int(np.clip(_BLOCK_BYTES // row_bytes // 12 * 12, 12, most))
