"""The engine for X in main memory: blocks of rows that stay in cache, over several threads.

One block of rows is scored, its scores are turned into dual rows by the compiled row functions of the
loss, and these are multiplied back while the block is still in cache: X is read once per pass and the
(N, C) score matrix never exists. Blocks of float32 and float64 are used in place; other types are
converted one block at a time, never as a whole.

The rows are cut into *lanes*, whose number depends on the shape of the problem alone. A lane adds up its
blocks in order, the lanes are added up in order, and threads only take turns at the lanes: the same bits
come out for any number of threads.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import DualSums, Engine, Samples
from softmargin.losses.base import Floats, Ints, Loss, row_conjugate, row_gradient, row_hessian_product
from softmargin.threads import INLINE_WORK, blas, usable_cores
from softmargin.validation import check_count

__all__ = ["CpuEngine"]

_Result = TypeVar("_Result")

_PRODUCT = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
"""Products may be summed in any order (that is what vectors are); inf and NaN keep their meaning."""

_TILE_CLASSES = 32
"""Up to this many classes the tile kernels multiply, beyond it BLAS. (At 10 classes the tiles took half the time
of BLAS on blocks, with AVX2; where the two really cross has not been measured.)"""

_BLOCK_BYTES = 3 << 18
"""A block of rows should stay in cache between its two products, and be long against the time of a call."""

_LANE_BYTES = 1 << 25
"""All partial gradients together should not exceed this."""


@_PRODUCT
def _add_scores(X: NDArray[Any], Wt: Floats, S: Floats) -> None:
    """S += X @ Wt.T, four rows and three classes at a time."""
    n, C, D = X.shape[0], Wt.shape[0], Wt.shape[1]
    i = 0
    while i + 4 <= n:
        x0, x1, x2, x3 = X[i][:D], X[i + 1][:D], X[i + 2][:D], X[i + 3][:D]
        j = 0
        while j + 3 <= C:
            w0, w1, w2 = Wt[j][:D], Wt[j + 1][:D], Wt[j + 2][:D]
            s00 = s01 = s02 = s10 = s11 = s12 = s20 = s21 = s22 = s30 = s31 = s32 = 0.0
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
            s0 = s1 = s2 = s3 = 0.0
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
            s = 0.0
            for d in range(D):
                s += x[d] * w[d]
            S[i, j] += s
        i += 1


@_PRODUCT
def _add_back(X: NDArray[Any], A: Floats, Gt: Floats) -> None:
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


def _gradient_rows(loss: Loss, S: Floats, y: Ints, weights: Floats) -> float:
    """Turn scores into weighted dual rows in place; return the weighted sum of the losses."""
    total = 0.0
    for i in range(S.shape[0]):
        total += weights[i] * row_gradient(loss, S[i], y[i])
        for j in range(S.shape[1]):
            S[i, j] *= weights[i]
    return total


def _hessian_rows(loss: Loss, S: Floats, y: Ints, weights: Floats, T: Floats) -> None:
    """Turn score directions T into weighted Hessian products in place; S is scratch afterwards."""
    for i in range(S.shape[0]):
        row_hessian_product(loss, S[i], y[i], T[i])
        for j in range(S.shape[1]):
            T[i, j] *= weights[i]


def _dual_rows(
    loss: Loss, source: Loss, S: Floats, T: Floats, given: bool, y: Ints, weights: Floats, class_sums: Floats
) -> tuple[float, float, float]:
    """Turn T into weighted dual rows in place and add them up by class; return the sums of L, L* and squares.

    S are the scores of the loss, scratch afterwards. T are the scores of the source or, if given, dual rows.
    """
    value = 0.0
    conjugate = 0.0
    square = 0.0
    for i in range(S.shape[0]):
        value += weights[i] * row_gradient(loss, S[i], y[i])
        if not given:
            row_gradient(source, T[i], y[i])
        conjugate += weights[i] * row_conjugate(loss, T[i], y[i])
        sums = class_sums[y[i]]
        for j in range(T.shape[1]):
            square += weights[i] * T[i, j] * T[i, j]
            T[i, j] *= weights[i]
            sums[j] += T[i, j]
    return value, conjugate, square


_KERNELS: tuple[Callable[..., Any], ...] = (_gradient_rows, _hessian_rows, _dual_rows)
_CACHED: dict[Callable[..., Any], Any] = {f: numba.njit(nogil=True, cache=True)(f) for f in _KERNELS}
_FOREIGN: dict[Callable[..., Any], Any] = {f: numba.njit(nogil=True)(f) for f in _KERNELS}


def _compiled(kernel: Callable[..., _Result], *losses: Loss) -> Callable[..., _Result]:
    """Return the compiled kernel: from the cache on disk for our own losses only.

    The index of Numba's cache names the type of the loss. One that another program cannot import (from a
    notebook, say) would make the whole index unreadable there.
    """
    ours = all(type(loss).__module__.startswith("softmargin.") for loss in losses)
    found: Callable[..., _Result] = (_CACHED if ours else _FOREIGN)[kernel]
    return found


class CpuEngine(Engine):
    """Blocks of rows in cache, over threads, with a fixed order of summation.

    Parameters
    ----------
    samples : Samples
    n_threads : int, optional
        Number of threads; by default one for each core this process may use.
    """

    def __init__(self, samples: Samples, n_threads: int | None = None) -> None:
        super().__init__(samples)
        self.n_threads = usable_cores() if n_threads is None else check_count("n_threads", n_threads)
        self._n_features = samples.X.shape[1]
        self._use_blas = samples.n_classes > _TILE_CLASSES
        dtype = samples.X.dtype
        fits_float32 = dtype == np.bool_ or np.can_cast(dtype, np.float32, "safe")
        self._block_dtype = np.dtype(np.float32 if fits_float32 and not self._use_blas else np.float64)
        self._n_block = _block_rows(self._n_features, self._block_dtype.itemsize, self._use_blas)
        n_blocks = -(-len(self.rows) // self._n_block)
        affordable = _LANE_BYTES // (8 * self._n_features * samples.n_classes)
        self._n_lanes = max(1, min(n_blocks, max(4, min(32, affordable))))
        self._contiguous = len(self.rows) == len(samples.y)
        self._pool: ThreadPoolExecutor | None = None
        self._pool_owner = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the threads behind: where the engine arrives, it starts its own."""
        return self.__dict__ | {"_pool": None}

    def _block(self, rows: Ints) -> NDArray[Any]:
        """Return these rows of X as contiguous float32 or float64, in place where they already are."""
        X = self.samples.X
        block = X[rows[0] : rows[-1] + 1] if self._contiguous else X[rows]
        return np.ascontiguousarray(block, dtype=self._block_dtype)

    def _score_block(self, X: NDArray[Any], W: Floats, Wt: Floats, b: Floats) -> Floats:
        if self._use_blas:
            scores: Floats = X @ W
            scores += b
            return scores
        scores = np.tile(b, (len(X), 1))
        _add_scores(X, Wt, scores)
        return scores

    def _back_block(self, X: NDArray[Any], A: Floats, Gt: Floats) -> None:
        if self._use_blas:
            Gt += A.T @ X
        else:
            _add_back(X, A, Gt)

    def _lane_blocks(self, lane: int) -> Iterator[Ints]:
        n_blocks = -(-len(self.rows) // self._n_block)
        first, last = lane * n_blocks // self._n_lanes, (lane + 1) * n_blocks // self._n_lanes
        for block in range(first, last):
            yield self.rows[block * self._n_block : (block + 1) * self._n_block]

    def _walk(self, lane_sums: Callable[[Iterator[Ints]], _Result]) -> list[_Result]:
        """Return the result of each lane, in the order of the lanes; one pass."""
        self.n_passes += 1

        def task(lane: int, stop: threading.Event) -> _Result:
            return lane_sums(_until(stop, self._lane_blocks(lane)))

        work = len(self.rows) * self._n_features * self.samples.n_classes
        return self._run([partial(task, lane) for lane in range(self._n_lanes)], work)

    def _run(self, tasks: list[Callable[[threading.Event], _Result]], work: int) -> list[_Result]:
        stop = threading.Event()
        with blas().limit(limits=1, user_api="blas"):
            if self.n_threads == 1 or len(tasks) == 1 or work < INLINE_WORK:
                return [task(stop) for task in tasks]
            if self._pool is None or self._pool_owner != os.getpid():  # a forked child has none of the threads
                self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="softmargin")
                self._pool_owner = os.getpid()
            futures = [self._pool.submit(task, stop) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:  # Ctrl-C too: no thread may go on walking over X
                stop.set()
                for future in futures:
                    future.cancel()
                raise

    def scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        """Return the scores of ``rows``."""
        self.n_passes += len(rows) / max(1, len(self.samples.y))
        Wt = np.ascontiguousarray(W.T)
        result = np.empty((len(rows), len(b)))

        def fill(start: int, stop: threading.Event) -> None:
            if stop.is_set():
                return
            part = slice(start, start + self._n_block)
            block = np.ascontiguousarray(self.samples.X[rows[part]], dtype=self._block_dtype)
            result[part] = self._score_block(block, W, Wt, b)

        self._run([partial(fill, start) for start in range(0, len(rows), self._n_block)], len(rows) * W.size)
        return result

    def value(self, loss: Loss, W: Floats, b: Floats, offsets: Floats | None = None) -> float:
        """Return the weighted mean loss."""
        gradient_rows = _compiled(_gradient_rows, loss)
        Wt = np.ascontiguousarray(W.T)

        def lane(blocks: Iterator[Ints]) -> list[float]:
            return [
                gradient_rows(loss, self._scored(self._block(rows), rows, W, Wt, b, offsets), *self._labels(rows))
                for rows in blocks
            ]

        return math.fsum(part for parts in self._walk(lane) for part in parts)

    def value_and_grad(
        self, loss: Loss, W: Floats, b: Floats, offsets: Floats | None = None
    ) -> tuple[float, Floats, Floats]:
        """Return the weighted mean loss and its gradient."""
        gradient_rows = _compiled(_gradient_rows, loss)
        Wt = np.ascontiguousarray(W.T)

        def lane(blocks: Iterator[Ints]) -> tuple[list[float], Floats, Floats]:
            parts, Gt, g = [], np.zeros_like(Wt), np.zeros(len(b))
            for rows in blocks:
                X = self._block(rows)
                S = self._scored(X, rows, W, Wt, b, offsets)
                parts.append(gradient_rows(loss, S, *self._labels(rows)))
                self._back_block(X, S, Gt)
                g += S.sum(axis=0)
            return parts, Gt, g

        lanes = self._walk(lane)
        value = math.fsum(part for parts, _, _ in lanes for part in parts)
        return value, np.ascontiguousarray(_sum([Gt for _, Gt, _ in lanes]).T), _sum([g for _, _, g in lanes])

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        hessian_rows = _compiled(_hessian_rows, loss)
        Wt, Vt = np.ascontiguousarray(W.T), np.ascontiguousarray(V.T)

        def lane(blocks: Iterator[Ints]) -> tuple[Floats, Floats]:
            Gt, g = np.zeros_like(Wt), np.zeros(len(b))
            for rows in blocks:
                X = self._block(rows)
                T = self._score_block(X, V, Vt, c)
                hessian_rows(loss, self._scored(X, rows, W, Wt, b, offsets), *self._labels(rows), T)
                self._back_block(X, T, Gt)
                g += T.sum(axis=0)
            return Gt, g

        lanes = self._walk(lane)
        return np.ascontiguousarray(_sum([Gt for Gt, _ in lanes]).T), _sum([g for _, g in lanes])

    def dual_sums(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        source: Loss,
        offsets: Floats | None = None,
        dual: NDArray[Any] | None = None,
    ) -> DualSums:
        """Return the value and the sums of the dual rows."""
        dual_rows = _compiled(_dual_rows, loss, source)
        Wt = np.ascontiguousarray(W.T)

        def lane(blocks: Iterator[Ints]) -> tuple[list[tuple[float, float, float]], Floats, Floats]:
            parts, Gt, M = [], np.zeros_like(Wt), np.zeros((len(b), len(b)))
            for rows in blocks:
                X = self._block(rows)
                y, weights = self._labels(rows)
                S = self._score_block(X, W, Wt, b)
                if dual is not None:
                    T = loss._feasible(dual[rows].astype(np.float64), y)
                else:
                    T = S.copy() if offsets is None else S + offsets[rows]
                parts.append(dual_rows(loss, source, S, T, dual is not None, y, weights, M))
                self._back_block(X, T, Gt)
            return parts, Gt, M

        lanes = self._walk(lane)
        sums = [math.fsum(column) for column in zip(*(part for parts, _, _ in lanes for part in parts), strict=True)]
        features = np.ascontiguousarray(_sum([Gt for _, Gt, _ in lanes]).T)
        return DualSums(*sums, features, _sum([M for _, _, M in lanes]))

    def moments(self) -> tuple[Floats, Floats]:
        """Return the weighted mean and variance of each feature."""

        def first(blocks: Iterator[Ints]) -> Floats:
            total = np.zeros(self._n_features)
            for rows in blocks:
                total += self.samples.weights[rows] @ self._block(rows).astype(np.float64)
            return total

        mean = _sum(self._walk(first))

        def second(blocks: Iterator[Ints]) -> Floats:
            total = np.zeros(self._n_features)
            for rows in blocks:
                total += self.samples.weights[rows] @ (self._block(rows) - mean) ** 2
            return total

        return mean, _sum(self._walk(second))

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""
        n_classes = self.samples.n_classes

        def lane(blocks: Iterator[Ints]) -> Floats:
            Gt = np.zeros((n_classes, self._n_features))
            for rows in blocks:
                y, weights = self._labels(rows)
                one_hot = np.zeros((len(rows), n_classes))
                one_hot[np.arange(len(rows)), y] = weights
                self._back_block(self._block(rows), one_hot, Gt)
            return Gt

        return np.ascontiguousarray(_sum(self._walk(lane)).T)

    def covariance(self, mean: Floats, scale: Floats, rows: Ints) -> Floats:
        """Return the weighted second moment of the preprocessed features over ``rows``.

        Threads share the work by panels of the result, so there is one (D, D) array whatever their number.
        """
        self.n_passes += len(rows) / len(self.rows)
        D = self._n_features
        weights = np.sqrt(self.samples.weights[rows] / self.samples.weights[rows].sum())
        total = np.zeros((D, D))
        panels = [slice(start, min(start + 512, D)) for start in range(0, D, 512)]

        for start in range(0, len(rows), 512):
            part = rows[start : start + 512]
            Z = (self.samples.X[part].astype(np.float64) - mean) * scale
            Z *= weights[start : start + 512, None]

            self._run([partial(_add_panel, total, Z, panel) for panel in panels], len(part) * D * D)
        lower = np.tril(total)
        return np.asarray(lower + np.tril(total, -1).T)

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        n_blocks = -(-len(self.rows) // self._n_block)
        terms = self._n_block + -(-n_blocks // self._n_lanes) + self._n_lanes
        return float(np.finfo(np.float64).eps * (terms + 8))

    def _scored(
        self, X: NDArray[Any], rows: Ints, W: Floats, Wt: Floats, b: Floats, offsets: Floats | None
    ) -> Floats:
        scores = self._score_block(X, W, Wt, b)
        if offsets is not None:
            scores += offsets[rows]
        return scores

    def _labels(self, rows: Ints) -> tuple[Ints, Floats]:
        return self.samples.y[rows], self.samples.weights[rows]


def _block_rows(n_features: int, itemsize: int, use_blas: bool) -> int:
    """Return how many rows a block has: a multiple of four, more of them where BLAS needs tall blocks."""
    rows = _BLOCK_BYTES // max(1, n_features * itemsize)
    return max(128, min(1024, rows * 4)) if use_blas else max(16, min(512, rows // 4 * 4))


def _add_panel(total: Floats, Z: Floats, panel: slice, stop: threading.Event) -> None:
    total[panel, : panel.stop] += Z[:, panel].T @ Z[:, : panel.stop]


def _sum(parts: list[Floats]) -> Floats:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _until(stop: threading.Event, blocks: Iterator[Ints]) -> Iterator[Ints]:
    for block in blocks:
        if stop.is_set():
            return
        yield block
