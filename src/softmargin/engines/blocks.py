"""What the engines for X in main memory share: blocks of rows that stay in cache, over several threads.

One block of rows is scored, its scores are turned into dual rows by the compiled row functions of the
loss, and these are multiplied back while the block is still in cache: X is read once per pass and the
(N, C) score matrix never exists. How a block is stored, scored and multiplied back is the engine's own.

The rows are cut into *lanes*, whose number depends on the shape of the problem alone. A lane adds up its
blocks in order, the lanes are added up in order, and threads only take turns at the lanes: the same bits
come out for any number of threads.

Where W is large a sum for each lane would cost more than the rows do. There the threads work together
on one *chunk* of rows after the other: they share its rows until these are dual rows, and then the columns of the
one sum that the chunk is multiplied back into.
"""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import DualSums, Engine, Kernel, Product, Samples, sum_in_order
from softmargin.losses.base import Floats, Ints, Loss, row_conjugate, row_gradient, row_hessian_product
from softmargin.losses.compiled import gradient_rows
from softmargin.threads import Workers, one_blas_thread, usable_cores
from softmargin.validation import check_count

__all__ = ["BlockEngine"]

_Result = TypeVar("_Result")

_LANE_BYTES = 1 << 25
"""All partial gradients together should not exceed this."""

_LANE_ROWS = 1024
"""A lane should have at least so many rows."""

_CHUNK_PARTS = 4
"""Parts that the rows of a chunk are cut into for the threads: tall ones, for BLAS lays W out anew for each."""

_NARROW, _PANEL, _MOST_PANELS = 768, 512, 8
"""Features or classes, whichever are more, that one task multiplies back: wide ones for the same reason, and four
at least where there are that many."""

_SUMMED = 1 << 17
"""How many dual variables a task adds up by class: one more thread that wakes would take longer."""

_PAIR_LANES, _PAIR_LANE = 8, 1 << 20
"""Most parts that pairs are cut into, and how much work makes another one worth while."""


_GRADIENT_ROWS = Kernel(gradient_rows)


@Kernel
def _hessian_rows(loss: Loss, S: Floats, y: Ints, weights: Floats, T: Floats) -> None:
    """Turn score directions T into weighted Hessian products in place; S is scratch afterwards."""
    for i in range(S.shape[0]):
        row_hessian_product(loss, S[i], y[i], T[i])
        for j in range(S.shape[1]):
            T[i, j] *= weights[i]


@Kernel
def _dual_rows(
    loss: Loss, source: Loss, S: Floats, T: Floats, given: bool, y: Ints, weights: Floats
) -> tuple[float, float, float]:
    """Turn T into weighted dual rows in place; return the sums of L, L* and squares.

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
        for j in range(T.shape[1]):
            square += weights[i] * T[i, j] * T[i, j]
            T[i, j] *= weights[i]
    return value, conjugate, square


@numba.njit(nogil=True, cache=True)
def _add_by_class(A: Floats, y: Ints, sums: Floats, first: int, last: int) -> None:
    """Add each row of A to the row of ``sums`` of its class, in the columns from first to last."""
    for i in range(A.shape[0]):
        row, total = A[i, first:last], sums[y[i], first:last]
        for j in range(total.size):
            total[j] += row[j]


@numba.njit(nogil=True, cache=True)
def _add_up(A: Floats, sums: Floats, first: int, last: int) -> None:
    """Add each row of A to ``sums``, in the columns from first to last."""
    total = sums[first:last]
    for i in range(A.shape[0]):
        row = A[i, first:last]
        for j in range(total.size):
            total[j] += row[j]


_Turn: TypeAlias = Callable[[Any, Ints, Any], Any]
"""What makes of a block of X and the numbers of its rows a part of the result, and fills in the dual rows."""


class _Sums(NamedTuple):
    """What a walk adds up: the parts in order, ``Σ x aᵀ`` (D, C), and Σ a (C,) or, by class, (C, C)."""

    parts: list[Any]
    features: Floats
    rows: Floats


class BlockEngine(Engine):
    """Blocks of rows in cache, over threads, with a fixed order of summation.

    Parameters
    ----------
    samples : Samples
    n_threads : int, optional
        Number of threads; by default one for each core this process may use.
    n_block : int
        Rows of a block.
    row_size : int
        Numbers that a row takes to read and to multiply: D where all are stored.
    n_single : int, optional
        Rows of a block where the products are made in float32; by default ``n_block``.
    """

    _order: ClassVar[Literal["C", "F"]] = "C"
    """The layout of the (C, D) arrays that the products read and fill."""

    def __init__(
        self, samples: Samples, n_threads: int | None, n_block: int, row_size: int, n_single: int | None = None
    ) -> None:
        super().__init__(samples)
        self.workers = Workers(usable_cores() if n_threads is None else check_count("n_threads", n_threads))
        self._n_features = samples.X.shape[1]
        self._n_block = n_block
        self._n_single = n_single or n_block
        self._row_size = row_size

    def _n_lanes(self, size: int, least: int = 4, n_rows: int = _LANE_ROWS) -> int:
        """Return the number of lanes, each of which adds up this many numbers over at least so many rows.

        There are at least so many lanes for which there are blocks and memory: the more, the smaller the bound on
        the rounding errors of a sum.
        """
        n_blocks = -(-len(self.rows) // self._n_block)
        affordable = max(4 if 8 * size <= _LANE_BYTES else 1, min(32, _LANE_BYTES // (8 * size)))
        # Clearing and adding up the sums of a lane costs about as much as bringing a few dozen rows into them.
        worthwhile = max(least, len(self.rows) * self._row_size // (n_rows * self._n_features))
        return max(1, min(n_blocks, affordable, worthwhile))

    @abstractmethod
    def _block(self, rows: Ints, single: bool = False) -> Any:
        """Return these rows of X, ascending, in the form that the products take."""

    @abstractmethod
    def _gathered(self, rows: Ints) -> Any:
        """Return any rows of X in the form that the products take."""

    @abstractmethod
    def _pair_rows(self, rows: Ints) -> Any:
        """Return a copy of any rows of X in the form that `_add_pairs` takes."""

    @abstractmethod
    def _add_pairs(
        self, X: Any, wrong: Ints, right: Ints, factors: Floats, Vt: NDArray[Any], c: Floats, Gt: Floats, g: Floats
    ) -> None:
        """Add z x to G_j and z to g_j, take them off G_y and g_y, for z = factor · (x·(V_j - V_y) + c_j - c_y)."""

    @abstractmethod
    def _score_block(self, X: Any, Wt: NDArray[Any], b: Floats, S: NDArray[Any]) -> None:
        """Write ``X @ W + b`` for a block into S; Wt is W.T as `_laid_out` returns it."""

    @abstractmethod
    def _back_block(self, X: Any, A: Floats, Gt: Floats) -> None:
        """Add ``A.T @ X`` to Gt, in the layout of this engine, for a block."""

    def _add_classes(self, X: Any, y: Ints, weights: Floats, Gt: Floats) -> None:
        """Add each row times its weight to the part of Gt of its class."""
        one_hot = np.zeros((len(y), self.samples.n_classes))
        one_hot[np.arange(len(y)), y] = weights
        self._back_block(X, one_hot, Gt)

    def _n_chunk(self, single: bool) -> int:
        """Return how many rows the threads work on together, or 0 where each has lanes of its own."""
        return 0

    def _in_place(self, single: bool) -> bool:
        """Whether `_block` returns a view of X."""
        raise NotImplementedError

    def _back_panel(self, X: Any, A: NDArray[Any], G: Floats) -> None:
        """Add ``X.T @ A`` to G, for some of the features or of the classes."""
        raise NotImplementedError

    def _laid_out(self, W: Floats, single: bool = False) -> NDArray[Any]:
        """Return W.T as the scores are made with it."""
        return np.asarray(W.T, dtype=np.float32 if single else np.float64, order=self._order)

    def _lane_blocks(self, lane: int, n_lanes: int, n_rows: int) -> Iterator[Ints]:
        n_blocks = -(-len(self.rows) // self._n_block)
        first, last = (n * n_blocks // n_lanes * self._n_block for n in (lane, lane + 1))
        last = min(last, len(self.rows))
        for start in range(first, last, n_rows):
            yield self.rows[start : min(start + n_rows, last)]

    def _walk(
        self, lane_sums: Callable[[Iterator[Ints]], _Result], n_lanes: int, n_rows: int | None = None
    ) -> list[_Result]:
        """Return the result of each lane, in the order of the lanes; one pass.

        The blocks of a lane have ``n_rows``, by default those of this engine.
        """
        self.count(len(self.rows))

        def task(lane: int, stop: threading.Event) -> _Result:
            return lane_sums(_until(stop, self._lane_blocks(lane, n_lanes, n_rows or self._n_block)))

        work = len(self.rows) * self._row_size * self.samples.n_classes
        return self.workers.run([partial(task, lane) for lane in range(n_lanes)], work)

    def _sums(self, turn: _Turn, single: bool, by_class: bool = False, back: bool = True) -> _Sums:
        """Return what the turns of all blocks add up to, without ``back`` only their parts; one pass."""
        D, C = self._n_features, self.samples.n_classes
        if self._n_chunk(single) > 0:
            with one_blas_thread():
                return self._chunked_sums(turn, single, by_class, back)

        n_rows = self._n_single if single else self._n_block

        def lane(blocks: Iterator[Ints]) -> _Sums:
            parts: list[Any] = []
            Gt = np.zeros((C, D), order=self._order) if back else np.zeros((0, 0))
            g = np.zeros((C, C) if by_class else C)
            scratch: Any = np.empty((min(n_rows, len(self.rows)), C), np.float32 if single else np.float64)
            for rows in blocks:
                X, A = self._block(rows, single), scratch[: len(rows)]
                parts.append(turn(X, rows, A))
                if not back:
                    continue
                self._back_block(X, A, Gt)
                if by_class:
                    _add_by_class(A, self.samples.y[rows], g, 0, C)
                else:
                    _add_up(A, g, 0, C)
            return _Sums(parts, Gt, g)

        size = (D + C if by_class else D) * C if back else C
        lanes = self._walk(lane, self._n_lanes(size), n_rows)
        parts = [part for sums in lanes for part in sums.parts]
        G = np.ascontiguousarray(sum_in_order([sums.features for sums in lanes]).T)
        return _Sums(parts, G, sum_in_order([sums.rows for sums in lanes]))

    def _chunked_sums(self, turn: _Turn, single: bool, by_class: bool, back: bool) -> _Sums:
        """Do what `_sums` says, the threads together on one chunk after the other.

        While some still multiply one chunk back, others score the next.
        """
        self.count(len(self.rows))
        D, C, n_chunk = self._n_features, self.samples.n_classes, self._n_chunk(single)
        G, g = np.zeros((D, C) if back else 0), np.zeros((C, C) if by_class else C)
        shape = (min(n_chunk, len(self.rows)), C)
        buffers: list[Any] = [np.empty(shape, np.float32 if single else np.float64) for _ in range(2)]

        def rows_of(X: Any, rows: Ints, A: Any, place: slice, stop: threading.Event) -> Any:
            part = self._block(rows[place], single)
            if X is not None:
                X[place] = part
            return turn(part, rows[place], A[place])

        def features_of(X: Any, A: Any, panel: slice, stop: threading.Event) -> None:
            self._back_panel(X[:, panel], A, G[panel])

        def columns_of(X: Any, A: Any, panel: slice, stop: threading.Event) -> None:
            self._back_panel(X, A[:, panel], G[:, panel])

        def classes_of(A: Any, y: Ints, panel: slice, stop: threading.Event) -> None:
            if by_class:
                _add_by_class(A, y, g, panel.start, panel.stop)
            else:
                _add_up(A, g, panel.start, panel.stop)

        parts: list[Any] = []
        tasks: list[Callable[[threading.Event], Any]] = []
        for start in range(0, len(self.rows), n_chunk):
            rows = self.rows[start : start + n_chunk]
            y, A = self.samples.y[rows], buffers[0][: len(rows)]
            copy = None if self._in_place(single) else np.empty((len(rows), D), A.dtype)
            X = self._block(rows, single) if copy is None else copy
            n_before = len(tasks)
            tasks += [partial(rows_of, copy, rows, A, place) for place in _panels(len(rows), _CHUNK_PARTS)]
            parts += self.workers.run(tasks, len(rows) * D * C)[n_before:]
            tasks = []
            if back:
                back_of, size = (columns_of, C) if C > 2 * D else (features_of, D)
                n_parts = 2 if size < _NARROW else int(np.clip(size // _PANEL, 4, _MOST_PANELS))
                tasks += [partial(back_of, X, A, panel) for panel in _panels(size, n_parts)]
                n_parts = int(np.clip(A.size // _SUMMED, 1, 8))
                tasks += [partial(classes_of, A, y, panel) for panel in _panels(C, n_parts)]
            buffers.reverse()
        self.workers.run(tasks, n_chunk * D * C)
        return _Sums(parts, G, g)

    def scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        """Return the scores of ``rows``."""
        self.count(len(rows))
        Wt = self._laid_out(W)
        result = np.empty((len(rows), len(b)))

        def fill(start: int, stop: threading.Event) -> None:
            if stop.is_set():
                return
            part = slice(start, start + n_rows)
            self._score_block(self._gathered(rows[part]), Wt, b, result[part])

        n_rows = self._n_chunk(False) // _CHUNK_PARTS or self._n_block
        work = len(rows) * self._row_size * len(b)
        self.workers.run([partial(fill, start) for start in range(0, len(rows), n_rows)], work)
        return result

    def value(self, loss: Loss, W: Floats, b: Floats, offsets: Floats | None = None) -> float:
        """Return the weighted mean loss."""
        compiled = _GRADIENT_ROWS.of(loss)
        Wt = self._laid_out(W)

        def turn(X: Any, rows: Ints, S: Floats) -> float:
            self._score(X, rows, Wt, b, offsets, S)
            return float(compiled(loss, S, *self._labels(rows)))

        return math.fsum(self._sums(turn, single=False, back=False).parts)

    def value_and_grad(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        offsets: Floats | None = None,
        keep: NDArray[Any] | None = None,
        single: bool = False,
    ) -> tuple[float, Floats, Floats]:
        """Return the weighted mean loss and its gradient."""
        compiled = _GRADIENT_ROWS.of(loss)
        single = single and self.has_single
        Wt = self._laid_out(W, single)

        def turn(X: Any, rows: Ints, S: Floats) -> float:
            self._score(X, rows, Wt, b, offsets, S)
            if keep is not None:
                keep[rows] = S
            return float(compiled(loss, S, *self._labels(rows)))

        sums = self._sums(turn, single)
        return math.fsum(sums.parts), sums.features, sums.rows

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        hessian_rows = _hessian_rows.of(loss)
        Wt, Vt = self._laid_out(W), self._laid_out(V)

        def turn(X: Any, rows: Ints, T: Floats) -> None:
            S = np.empty_like(T)
            self._score(X, rows, Wt, b, offsets, S)
            self._score_block(X, Vt, c, T)
            hessian_rows(loss, S, *self._labels(rows), T)

        sums = self._sums(turn, single=False)
        return sums.features, sums.rows

    def pair_products(self, rows: Ints, wrong: Ints, right: Ints, factors: Floats) -> Product:
        """Return the product with a sum over pairs."""
        self.count(len(rows))
        n_lanes = int(np.clip(len(rows) * self._row_size // _PAIR_LANE, 1, _PAIR_LANES))
        parts = _panels(len(rows), n_lanes)
        lanes = [(self._pair_rows(rows[part]), wrong[part], right[part], factors[part]) for part in parts]

        def lane_sums(lane: tuple[Any, Ints, Ints, Floats], Vt: Any, c: Floats, stop: threading.Event) -> Any:
            Gt, g = np.zeros_like(Vt, dtype=np.float64), np.zeros(len(c))
            self._add_pairs(*lane, Vt, c, Gt, g)
            return Gt, g

        def product(V: Floats, c: Floats) -> tuple[Floats, Floats]:
            self.count(len(rows))
            # As the kernel takes it, which may be another way than `_laid_out` for BLAS.
            Vt = np.asarray(V.T, np.float32 if self.has_single else np.float64, self._order)
            tasks = [partial(lane_sums, lane, Vt, c) for lane in lanes]
            found = self.workers.run(tasks, 2 * len(rows) * self._row_size)
            G = np.ascontiguousarray(sum_in_order([Gt for Gt, _ in found]).T)
            return G, sum_in_order([g for _, g in found])

        return product

    def dual_sums(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        source: Loss,
        offsets: Floats | None = None,
        dual: tuple[NDArray[Any], Floats] | None = None,
        keep: NDArray[Any] | None = None,
    ) -> DualSums:
        """Return the value and the sums of the dual rows."""
        dual_rows = _dual_rows.of(loss, source)
        Wt = self._laid_out(W)

        def turn(X: Any, rows: Ints, T: Floats) -> Any:
            y, weights = self._labels(rows)
            S = np.empty_like(T)
            self._score_block(X, Wt, b, S)
            if dual is not None:
                T[:] = loss._tilted(loss._feasible(dual[0][rows].astype(np.float64), y), y, dual[1])
            elif offsets is not None:
                np.add(S, offsets[rows], out=T)
            else:
                T[:] = S
            part = dual_rows(loss, source, S, T, dual is not None, y, weights)
            if keep is not None:
                keep[rows] = T / weights[:, None]
            return part

        sums = self._sums(turn, single=False, by_class=True)
        value, conjugate, square = (math.fsum(column) for column in zip(*sums.parts, strict=True))
        return DualSums(value, conjugate, square, sums.features, sums.rows)

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""
        n_classes = self.samples.n_classes

        def lane(blocks: Iterator[Ints]) -> Floats:
            Gt = np.zeros((n_classes, self._n_features), order=self._order)
            for rows in blocks:
                self._add_classes(self._block(rows, self.has_single), *self._labels(rows), Gt)
            return Gt

        return np.ascontiguousarray(sum_in_order(self._walk(lane, self._n_lanes(n_classes * self._n_features))).T)

    def covariance(self, mean: Floats, scale: Floats, rows: Ints, single: bool = False) -> Floats:
        """Return the lower triangle of the weighted second moment of the preprocessed features over ``rows``.

        Products may be made in float32; they are added up in float64.
        Threads share the work by panels of the result, so there is one (D, D) array whatever their number.
        """
        self.count(len(rows))
        D = self._n_features
        weights = np.sqrt(self.samples.weights[rows] / self.samples.weights[rows].sum())
        total = np.zeros((D, D))
        panels = [slice(start, min(start + 512, D)) for start in range(0, D, 512)]

        for start in range(0, len(rows), 512):
            part = rows[start : start + 512]
            Z = self.preprocessed_rows(part, mean, scale, np.float32 if single and self.has_single else np.float64)
            Z *= weights[start : start + 512, None].astype(Z.dtype)

            self.workers.run([partial(_add_panel, total, Z, panel) for panel in panels], len(part) * D * D)
        return total

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        D, C = self._n_features, self.samples.n_classes
        n_blocks, n_lanes = -(-len(self.rows) // self._n_block), self._n_lanes((D + C) * C)
        terms = len(self.rows) if self._n_chunk(False) > 0 else self._n_block * -(-n_blocks // n_lanes) + n_lanes
        return float(np.finfo(np.float64).eps * (terms + 8))

    def _score(
        self, X: Any, rows: Ints, Wt: NDArray[Any], b: Floats, offsets: Floats | None, S: NDArray[Any]
    ) -> None:
        self._score_block(X, Wt, b, S)
        if offsets is not None:
            S += offsets[rows].astype(S.dtype, copy=False)

    def _labels(self, rows: Ints) -> tuple[Ints, Floats]:
        return self.samples.y[rows], self.samples.weights[rows]


def _add_panel(total: Floats, Z: Floats, panel: slice, stop: threading.Event) -> None:
    total[panel, : panel.stop] += Z[:, panel].T @ Z[:, : panel.stop]


def _until(stop: threading.Event, blocks: Iterator[Ints]) -> Iterator[Ints]:
    for block in blocks:
        if stop.is_set():
            return
        yield block


def _panels(n: int, n_parts: int) -> list[slice]:
    """Return slices that cut a range into so many parts of about the same size."""
    return [slice(*part) for part in pairwise(np.unique(np.arange(n_parts + 1) * n // n_parts).tolist())]
