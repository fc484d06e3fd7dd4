"""What the engines for X in main memory share: a block of rows is scored, and its dual rows are multiplied back.

One block of rows is scored, its scores are turned into dual rows by the compiled row functions of the
loss, and these are multiplied back while the block is still in cache: X is read once per pass and the
(N, C) score matrix never exists. How a block is stored, scored and multiplied back is the engine's own.
"""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.base import Capability, DualState, DualSums, RowState
from softmargin.engines.cpu.dual import DualRows
from softmargin.engines.cpu.partitions import CHUNK_PARTS, PartitionedEngine, panels
from softmargin.engines.cpu.row_code import Kernel, gradient_rows
from softmargin.engines.cpu.tiles import accumulate_gradient, add_scores
from softmargin.engines.hessians import PairProduct, Pairs
from softmargin.engines.preconditioners import panel_product
from softmargin.engines.rows import array_of, sum_in_order
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.losses.rows import row_conjugate, row_gradient, row_hessian_product

__all__ = ["BlockEngine"]

_DUAL_BYTES = 1 << 28
"""Dual rows may always take this many bytes, and so may a dense copy of sparse X."""

_TILE_BYTES = 1 << 20
"""Up to this size of G the compiled tiles multiply it with a panel of the preconditioner, beyond it BLAS."""

_PAIR_PARTS, _PAIR_PART = 8, 1 << 20
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


class BlockEngine(PartitionedEngine):
    """All sums of the protocol, block by block; parameters as in `PartitionedEngine`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.has_single:
            self.supports |= {Capability.SINGLE}
        if self._dual_rows_fit():
            self.supports |= {Capability.DUAL_ASCENT}

    @abstractmethod
    def _pair_rows(self, rows: Ints) -> Any:
        """Return some rows of X, or X and their numbers, in the form that `_add_pairs` takes."""

    @abstractmethod
    def _add_pairs(
        self,
        X: Any,
        rival: Ints,
        target: Ints,
        factors: Floats,
        Vt: NDArray[Any],
        c: Floats,
        Gt: Floats,
        g: Floats,
    ) -> None:
        """Add z x to G_j and z to g_j, take them off G_y and g_y, for z = factor · (x·(V_j - V_y) + c_j - c_y)."""

    def _add_classes(self, X: Any, y: Ints, weights: Floats, Gt: Floats) -> None:
        """Add each row times its weight to the part of Gt of its class."""
        one_hot = np.zeros((len(y), self.samples.n_classes))
        one_hot[np.arange(len(y)), y] = weights
        self._back_block(X, one_hot, Gt)

    def _scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        Wt = self._laid_out(W)
        result = np.empty((len(rows), len(b)))

        def fill(start: int, stop: threading.Event) -> None:
            if stop.is_set():
                return
            part = slice(start, start + n_rows)
            self._score_block(self._gathered(rows[part]), Wt, b, result[part])

        n_rows = self._n_chunk(False) // CHUNK_PARTS or self._n_block
        work = len(rows) * self._row_size * len(b)
        self.workers.run([partial(fill, start) for start in range(0, len(rows), n_rows)], work)
        return result

    def value(self, loss: Loss, W: Floats, b: Floats) -> float:
        """Return the weighted mean loss."""
        compiled = _GRADIENT_ROWS.of(loss)
        Wt = self._laid_out(W)

        def step(X: Any, rows: Ints, S: Floats) -> float:
            self._score(X, rows, Wt, b, None, S)
            return float(compiled(loss, S, *self._labels(rows)))

        return math.fsum(self._sums(step, single=False, back=False).parts)

    def _evaluate(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        offsets: Floats | None,
        kept: NDArray[Any] | None,
        single: bool,
    ) -> tuple[float, Floats, Floats]:
        compiled = _GRADIENT_ROWS.of(loss)
        single = single and self.has_single
        Wt = self._laid_out(W, single)

        def step(X: Any, rows: Ints, S: Floats) -> float:
            self._score(X, rows, Wt, b, offsets, S)
            if kept is not None:
                kept[rows] = S
            return float(compiled(loss, S, *self._labels(rows)))

        sums = self._sums(step, single)
        return math.fsum(sums.parts), sums.features, sums.rows

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: RowState | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        hessian_rows = _hessian_rows.of(loss)
        Wt, Vt = self._laid_out(W), self._laid_out(V)

        def step(X: Any, rows: Ints, T: Floats) -> None:
            S = np.empty_like(T)
            self._score(X, rows, Wt, b, array_of(offsets), S)
            self._score_block(X, Vt, c, T)
            hessian_rows(loss, S, *self._labels(rows), T)

        sums = self._sums(step, single=False)
        return sums.features, sums.rows

    def _pair_product(self, pairs: Pairs) -> PairProduct:
        rows, rival, target, factors = pairs
        self.count(len(rows))
        n_parts = int(np.clip(len(rows) * self._row_size // _PAIR_PART, 1, _PAIR_PARTS))
        parts = panels(len(rows), n_parts)
        copies = [(self._pair_rows(rows[part]), rival[part], target[part], factors[part]) for part in parts]

        def part_sums(part: tuple[Any, Ints, Ints, Floats], Vt: Any, c: Floats, stop: threading.Event) -> Any:
            Gt, g = np.zeros_like(Vt, dtype=np.float64), np.zeros(len(c))
            self._add_pairs(*part, Vt, c, Gt, g)
            return Gt, g

        def product(V: Floats, c: Floats) -> tuple[Floats, Floats]:
            self.count(len(rows))
            # As the kernel takes it, which may be another way than `_laid_out` for BLAS.
            Vt = np.asarray(V.T, np.float32 if self.has_single else np.float64, self._order)
            tasks = [partial(part_sums, part, Vt, c) for part in copies]
            found = self.workers.run(tasks, 2 * len(rows) * self._row_size)
            G = np.ascontiguousarray(sum_in_order([Gt for Gt, _ in found]).T)
            return G, sum_in_order([g for _, g in found])

        return product

    def _dual_sums(
        self,
        loss: Loss,
        W: Floats,
        b: Floats,
        source: Loss,
        offsets: Floats | None,
        given: tuple[NDArray[Any], Floats] | None,
        kept: NDArray[Any] | None,
    ) -> DualSums:
        dual_rows = _dual_rows.of(loss, source)
        Wt = self._laid_out(W)

        def step(X: Any, rows: Ints, T: Floats) -> Any:
            y, weights = self._labels(rows)
            S = np.empty_like(T)
            self._score_block(X, Wt, b, S)
            if given is not None:
                T[:] = loss._rebalanced(loss._feasible(given[0][rows].astype(np.float64), y), y, given[1])
            elif offsets is not None:
                np.add(S, offsets[rows], out=T)
            else:
                T[:] = S
            part = dual_rows(loss, source, S, T, given is not None, y, weights)
            if kept is not None:
                kept[rows] = T / weights[:, None]
            return part

        sums = self._sums(step, single=False, by_class=True)
        value, conjugate, square = (math.fsum(column) for column in zip(*sums.parts, strict=True))
        return DualSums(value, conjugate, square, sums.features, sums.rows)

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""
        n_classes = self.samples.n_classes

        def partition(blocks: Iterator[Ints]) -> Floats:
            Gt = np.zeros((n_classes, self._n_features), order=self._order)
            for rows in blocks:
                self._add_classes(self._block(rows, self.has_single), *self._labels(rows), Gt)
            return Gt

        return np.ascontiguousarray(
            sum_in_order(self._run_partitions(partition, self._n_partitions(n_classes * self._n_features))).T
        )

    def covariance(self, affine: Affine, rows: Ints, single: bool) -> Floats:
        """Return the lower triangle of the weighted second moment of the mapped features over ``rows``.

        Products may be made in float32; they are added up in float64.
        Threads share the work by panels of the result, so there is one (D, D) array whatever their number.
        """
        self.count(len(rows))
        D = self._n_features
        weights = np.sqrt(self.samples.weights[rows] / self.samples.weights[rows].sum())
        total = np.zeros((D, D))
        columns = [slice(start, min(start + 512, D)) for start in range(0, D, 512)]

        for start in range(0, len(rows), 512):
            part = rows[start : start + 512]
            Z = self.mapped_rows(part, affine, np.float32 if single and self.has_single else np.float64)
            Z *= weights[start : start + 512, None].astype(Z.dtype)

            self.workers.run([partial(_add_panel, total, Z, panel) for panel in columns], len(part) * D * D)
        return total

    def dual_state(self, loss: Loss, reg: float, affine: Affine, penalty: float, single: bool) -> DualState:
        """Return dual rows for dual ascent."""
        return DualRows(self, loss, reg, affine, penalty, np.float32 if single else np.float64)

    def _dual_rows_fit(self) -> bool:
        """Whether dual rows take no more memory than X or 256 MB, and X may be read in dense blocks of rows.

        It may where it is dense, or small enough: the zeros of a sparse X would fill up to 256 MB of float32.
        """
        X, shape = self.samples.X, self.shape
        dense = isinstance(X, np.ndarray)
        if not dense and 4 * shape.n_samples * shape.n_features > _DUAL_BYTES:
            return False
        return 4 * shape.n_samples * shape.n_classes <= max(X.nbytes if dense else 0, _DUAL_BYTES)

    @staticmethod
    def panel_product(panel: NDArray[np.float32], Gt: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(panelᵀ panel G)ᵀ``, with tiles where G stays in cache."""
        if Gt.nbytes > _TILE_BYTES:
            return panel_product(panel, Gt)
        S, part = np.zeros((len(panel), len(Gt)), np.float32), np.zeros(Gt.shape, np.float32)
        add_scores(panel, Gt, S, 0)
        accumulate_gradient(panel, S, part, 0)
        return part

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        D, C = self._n_features, self.samples.n_classes
        n_blocks, n_partitions = -(-len(self.rows) // self._n_block), self._n_partitions((D + C) * C)
        terms = (
            len(self.rows)
            if self._n_chunk(False) > 0
            else self._n_block * -(-n_blocks // n_partitions) + n_partitions
        )
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
