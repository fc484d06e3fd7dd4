"""What the engines for X in main memory share: blocks of rows that stay in cache, over several threads.

One block of rows is scored, its scores are turned into dual rows by the compiled row functions of the
loss, and these are multiplied back while the block is still in cache: X is read once per pass and the
(N, C) score matrix never exists. How a block is stored, scored and multiplied back is the engine's own.

The rows are cut into *lanes*, whose number depends on the shape of the problem alone. A lane adds up its
blocks in order, the lanes are added up in order, and threads only take turns at the lanes: the same bits
come out for any number of threads.
"""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import DualSums, Engine, Kernel, Product, Samples, sum_in_order
from softmargin.losses.base import Floats, Ints, Loss, row_conjugate, row_gradient, row_hessian_product
from softmargin.threads import Workers, usable_cores
from softmargin.validation import check_count

__all__ = ["BlockEngine"]

_Result = TypeVar("_Result")

_LANE_BYTES = 1 << 25
"""All partial gradients together should not exceed this."""

_PAIR_LANES, _PAIR_LANE = 8, 1 << 20
"""Most parts that pairs are cut into, and how much work makes another one worth while."""


@Kernel
def _gradient_rows(loss: Loss, S: Floats, y: Ints, weights: Floats) -> float:
    """Turn scores into weighted dual rows in place; return the weighted sum of the losses."""
    total = 0.0
    for i in range(S.shape[0]):
        total += weights[i] * row_gradient(loss, S[i], y[i])
        for j in range(S.shape[1]):
            S[i, j] *= weights[i]
    return total


@Kernel
def _hessian_rows(loss: Loss, S: Floats, y: Ints, weights: Floats, T: Floats) -> None:
    """Turn score directions T into weighted Hessian products in place; S is scratch afterwards."""
    for i in range(S.shape[0]):
        row_hessian_product(loss, S[i], y[i], T[i])
        for j in range(S.shape[1]):
            T[i, j] *= weights[i]


@Kernel
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
        n_blocks = -(-len(self.rows) // n_block)
        affordable = _LANE_BYTES // (8 * self._n_features * samples.n_classes)
        # Clearing and adding up the partial gradients should take little of the time that X takes to read.
        worthwhile = len(self.rows) * row_size // (4 * self._n_features)
        self._n_lanes = max(1, min(n_blocks, worthwhile, max(4, min(32, affordable))))

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
    def _score_block(self, X: Any, W: Floats, Wt: Floats, b: Floats) -> Floats:
        """Return ``X @ W + b`` for a block; Wt is W.T in the layout of this engine."""

    @abstractmethod
    def _back_block(self, X: Any, A: Floats, Gt: Floats, single: bool = False) -> None:
        """Add ``A.T @ X`` to Gt, in the layout of this engine, for a block."""

    def _add_classes(self, X: Any, y: Ints, weights: Floats, Gt: Floats) -> None:
        """Add each row times its weight to the part of Gt of its class."""
        one_hot = np.zeros((len(y), self.samples.n_classes))
        one_hot[np.arange(len(y)), y] = weights
        self._back_block(X, one_hot, Gt)

    def _laid_out(self, W: Floats, single: bool = False) -> NDArray[Any]:
        return np.asarray(W.T, dtype=np.float32 if single else np.float64, order=self._order)

    def _lane_blocks(self, lane: int, single: bool = False) -> Iterator[Ints]:
        n_blocks = -(-len(self.rows) // self._n_block)
        first, last = (n * n_blocks // self._n_lanes * self._n_block for n in (lane, lane + 1))
        last = min(last, len(self.rows))
        size = self._n_single if single else self._n_block
        for start in range(first, last, size):
            yield self.rows[start : min(start + size, last)]

    def _walk(self, lane_sums: Callable[[Iterator[Ints]], _Result], single: bool = False) -> list[_Result]:
        """Return the result of each lane, in the order of the lanes; one pass."""
        self.count(len(self.rows))

        def task(lane: int, stop: threading.Event) -> _Result:
            return lane_sums(_until(stop, self._lane_blocks(lane, single)))

        work = len(self.rows) * self._row_size * self.samples.n_classes
        return self.workers.run([partial(task, lane) for lane in range(self._n_lanes)], work)

    def scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        """Return the scores of ``rows``."""
        self.count(len(rows))
        Wt = self._laid_out(W)
        result = np.empty((len(rows), len(b)))

        def fill(start: int, stop: threading.Event) -> None:
            if stop.is_set():
                return
            part = slice(start, start + self._n_block)
            result[part] = self._score_block(self._gathered(rows[part]), W, Wt, b)

        work = len(rows) * self._row_size * len(b)
        self.workers.run([partial(fill, start) for start in range(0, len(rows), self._n_block)], work)
        return result

    def value(self, loss: Loss, W: Floats, b: Floats, offsets: Floats | None = None) -> float:
        """Return the weighted mean loss."""
        gradient_rows = _gradient_rows.of(loss)
        Wt = self._laid_out(W)

        def lane(blocks: Iterator[Ints]) -> list[float]:
            return [
                gradient_rows(loss, self._scored(self._block(rows), rows, W, Wt, b, offsets), *self._labels(rows))
                for rows in blocks
            ]

        return math.fsum(part for parts in self._walk(lane) for part in parts)

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
        gradient_rows = _gradient_rows.of(loss)
        single = single and self.has_single
        Wt = self._laid_out(W, single)

        def lane(blocks: Iterator[Ints]) -> tuple[list[float], Floats, Floats]:
            parts, Gt, g = [], np.zeros_like(Wt, dtype=np.float64), np.zeros(len(b))
            for rows in blocks:
                X = self._block(rows, single)
                S = self._scored(X, rows, W, Wt, b, offsets)
                if keep is not None:
                    keep[rows] = S
                parts.append(gradient_rows(loss, S, *self._labels(rows)))
                self._back_block(X, S, Gt, single)
                g += S.sum(axis=0)
            return parts, Gt, g

        lanes = self._walk(lane, single)
        value = math.fsum(part for parts, _, _ in lanes for part in parts)
        return (
            value,
            np.ascontiguousarray(sum_in_order([Gt for _, Gt, _ in lanes]).T),
            sum_in_order([g for _, _, g in lanes]),
        )

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        hessian_rows = _hessian_rows.of(loss)
        Wt, Vt = self._laid_out(W), self._laid_out(V)

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
        return np.ascontiguousarray(sum_in_order([Gt for Gt, _ in lanes]).T), sum_in_order([g for _, g in lanes])

    def pair_products(self, rows: Ints, wrong: Ints, right: Ints, factors: Floats) -> Product:
        """Return the product with a sum over pairs."""
        self.count(len(rows))
        n_lanes = int(np.clip(len(rows) * self._row_size // _PAIR_LANE, 1, _PAIR_LANES))
        borders = np.arange(n_lanes + 1) * len(rows) // n_lanes
        parts = [slice(*part) for part in pairwise(borders)]
        lanes = [(self._pair_rows(rows[part]), wrong[part], right[part], factors[part]) for part in parts]

        def lane_sums(lane: tuple[Any, Ints, Ints, Floats], Vt: Any, c: Floats, stop: threading.Event) -> Any:
            Gt, g = np.zeros_like(Vt, dtype=np.float64), np.zeros(len(c))
            self._add_pairs(*lane, Vt, c, Gt, g)
            return Gt, g

        def product(V: Floats, c: Floats) -> tuple[Floats, Floats]:
            self.count(len(rows))
            Vt = self._laid_out(V, self.has_single)
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

        def lane(blocks: Iterator[Ints]) -> tuple[list[tuple[float, float, float]], Floats, Floats]:
            parts, Gt, M = [], np.zeros_like(Wt), np.zeros((len(b), len(b)))
            for rows in blocks:
                X = self._block(rows)
                y, weights = self._labels(rows)
                S = self._score_block(X, W, Wt, b)
                if dual is not None:
                    T = loss._tilted(loss._feasible(dual[0][rows].astype(np.float64), y), y, dual[1])
                else:
                    T = S.copy() if offsets is None else S + offsets[rows]
                parts.append(dual_rows(loss, source, S, T, dual is not None, y, weights, M))
                if keep is not None:
                    keep[rows] = T / weights[:, None]
                self._back_block(X, T, Gt)
            return parts, Gt, M

        lanes = self._walk(lane)
        columns = zip(*(part for parts, _, _ in lanes for part in parts), strict=True)
        value, conjugate, square = (math.fsum(column) for column in columns)
        features = np.ascontiguousarray(sum_in_order([Gt for _, Gt, _ in lanes]).T)
        return DualSums(value, conjugate, square, features, sum_in_order([M for _, _, M in lanes]))

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""
        n_classes = self.samples.n_classes

        def lane(blocks: Iterator[Ints]) -> Floats:
            Gt = np.zeros((n_classes, self._n_features), order=self._order)
            for rows in blocks:
                self._add_classes(self._block(rows, self.has_single), *self._labels(rows), Gt)
            return Gt

        return np.ascontiguousarray(sum_in_order(self._walk(lane)).T)

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
        n_blocks = -(-len(self.rows) // self._n_block)
        terms = self._n_block * -(-n_blocks // self._n_lanes) + self._n_lanes
        return float(np.finfo(np.float64).eps * (terms + 8))

    def _scored(self, X: Any, rows: Ints, W: Floats, Wt: Floats, b: Floats, offsets: Floats | None) -> Floats:
        scores = self._score_block(X, W, Wt, b)
        if offsets is not None:
            scores += offsets[rows]
        return scores

    def _labels(self, rows: Ints) -> tuple[Ints, Floats]:
        return self.samples.y[rows], self.samples.weights[rows]


def _add_panel(total: Floats, Z: Floats, panel: slice, stop: threading.Event) -> None:
    total[panel, : panel.stop] += Z[:, panel].T @ Z[:, : panel.stop]


def _until(stop: threading.Event, blocks: Iterator[Ints]) -> Iterator[Ints]:
    for block in blocks:
        if stop.is_set():
            return
        yield block
