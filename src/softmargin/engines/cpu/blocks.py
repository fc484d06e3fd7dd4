"""The common base of the CPU engines: sums over blocks of rows that stay in cache.

For each block of rows, the scores are computed, turned into dual rows by the compiled row functions of the loss,
and multiplied with the features again while the block is still in cache. So X is read once per pass, and the
(N, C) score matrix never exists. Subclasses implement how a block is stored and multiplied.
"""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.base import Capability, DualSource, DualState, DualSums, GivenRows, Gradients, RowState
from softmargin.engines.cpu.dual import DualRows
from softmargin.engines.cpu.partitions import CHUNK_PARTS, BlockSums, PartitionedEngine, panels
from softmargin.engines.cpu.products import accumulate_gradient, add_scores
from softmargin.engines.cpu.row_code import Kernel, row_gradients
from softmargin.engines.hessians import PairProduct, Pairs
from softmargin.engines.in_memory import DOUBLE_FEATURES
from softmargin.engines.preconditioners import panel_product
from softmargin.engines.rows import OptionalRows, array_of, sum_in_order
from softmargin.engines.triangular import PANEL
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.losses.rows import row_hessian_product

__all__ = ["BlockEngine"]

_DUAL_BYTES = 1 << 28
"""Size in bytes that the dual rows may always have."""

_TILE_BYTES = 1 << 20
"""Up to this size of G in bytes, compiled tiles multiply it with a panel of the preconditioner, otherwise BLAS."""

_PAIR_PARTS, _PAIR_PART = 8, 1 << 20
"""Maximum number of parts that pairs are divided into, and the multiplications that justify another part."""


@Kernel
def _hessian_rows(loss: Loss, S: Floats, y: Ints, weights: Floats, T: Floats) -> None:
    """Replace the score directions T by weighted Hessian products; S is overwritten."""
    for i in range(S.shape[0]):
        row_hessian_product(loss, S[i], y[i], T[i])
        for j in range(S.shape[1]):
            T[i, j] *= weights[i]


class BlockEngine(PartitionedEngine):
    """Computes all sums of the protocol block by block; the parameters are those of `PartitionedEngine`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.has_single:
            self.supports |= {Capability.SINGLE}
        if self._dual_rows_fit():
            self.supports |= {Capability.DUAL_ASCENT}

    def _pair_rows(self, rows: Ints, single: bool) -> Any:
        """Return some rows of X, or X and the numbers of the rows, in the form that `_add_pairs` reads."""
        return self._gather(rows)

    @abstractmethod
    def _add_pairs(
        self, X: Any, rival: Ints, target: Ints, factors: Floats, Vt: Any, c: Floats, Gt: Floats, g: Floats
    ) -> None:
        """Add z x to G_j and -z x to G_y, z to g_j and -z to g_y: z = factor · (x·(V_j - V_y) + c_j - c_y)."""

    def _add_classes(self, X: Any, y: Ints, weights: Floats, Gt: Floats) -> None:
        """Add each row times its weight to the row of Gt of its class."""
        one_hot = np.zeros((len(y), self.samples.n_classes))
        one_hot[np.arange(len(y)), y] = weights
        self._back_block(X, one_hot, Gt)

    def _scores(self, W: Floats, b: Floats, rows: Ints) -> Floats:
        Wt = self._transposed(W)
        result = np.empty((len(rows), len(b)))

        def fill(start: int, stop: threading.Event) -> None:
            if stop.is_set():
                return
            part = slice(start, start + n_rows)
            self._score_block(self._gather(rows[part]), Wt, b, result[part])

        n_rows = self._n_chunk(False) // CHUNK_PARTS or self._n_block
        work = len(rows) * self._row_size * len(b)
        self.workers.run([partial(fill, start) for start in range(0, len(rows), n_rows)], work)
        return result

    def value(self, loss: Loss, W: Floats, b: Floats) -> float:
        """Return the weighted mean loss."""
        return math.fsum(self._loss_sums(loss, W, b, None, None, False, gradient=False).parts)

    def _evaluate(
        self, loss: Loss, W: Floats, b: Floats, offsets: OptionalRows, scores_out: OptionalRows, single: bool
    ) -> tuple[float, Floats, Floats]:
        sums = self._loss_sums(loss, W, b, offsets, scores_out, single and self.has_single)
        return math.fsum(sums.parts), sums.features, sums.rows

    def _loss_sums(
        self, loss: Loss, W: Floats, b: Floats, offsets: OptionalRows, scores_out: OptionalRows, single: bool,
        gradient: bool = True,
    ) -> BlockSums:  # fmt: skip
        row_values = row_gradients(loss, np.float32 if single else np.float64)
        Wt = self._transposed(W, single)

        def step(X: Any, rows: Ints, S: Floats) -> float:
            self._score(X, rows, Wt, b, offsets, S)
            if scores_out is not None:
                scores_out[rows] = S
            return row_values(S, *self._labels(rows))

        return self._sums(step, single, gradient=gradient)

    def hessian_product(
        self, loss: Loss, W: Floats, b: Floats, V: Floats, c: Floats, offsets: RowState | None = None
    ) -> tuple[Floats, Floats]:
        """Return the product of the Hessian with the direction (V, c)."""
        hessian_rows = _hessian_rows.of(loss)
        Wt, Vt = self._transposed(W), self._transposed(V)

        def step(X: Any, rows: Ints, T: Floats) -> None:
            S = np.empty_like(T)
            self._score(X, rows, Wt, b, array_of(offsets), S)
            self._score_block(X, Vt, c, T)
            hessian_rows(loss, S, *self._labels(rows), T)

        sums = self._sums(step, single=False)
        return sums.features, sums.rows

    def _pair_product(self, pairs: Pairs, single: bool = True) -> PairProduct:
        rows, rival, target, factors = pairs
        single = single and self.has_single
        self.count_in_one_class(len(rows))
        n_parts = int(np.clip(len(rows) * self._row_size // _PAIR_PART, 1, _PAIR_PARTS))
        parts = panels(len(rows), n_parts)
        copies = [
            (self._pair_rows(rows[part], single), rival[part], target[part], factors[part]) for part in parts
        ]

        def part_sums(part: tuple[Any, Ints, Ints, Floats], Vt: Any, c: Floats, stop: threading.Event) -> Any:
            Gt, g = np.zeros_like(Vt, dtype=np.float64), np.zeros(len(c))
            self._add_pairs(*part, Vt, c, Gt, g)
            return Gt, g

        def product(V: Floats, c: Floats) -> tuple[Floats, Floats]:
            self.count_in_one_class(len(rows))
            # In the layout that the kernel reads; `_transposed` may return that of BLAS.
            Vt = np.asarray(V.T, np.float32 if single else np.float64, self._order)
            tasks = [partial(part_sums, part, Vt, c) for part in copies]
            found = self.workers.run(tasks, 2 * len(rows) * self._row_size)
            G = np.ascontiguousarray(sum_in_order([Gt for Gt, _ in found]).T)
            return G, sum_in_order([g for _, g in found])

        return product

    def dual_sums(self, loss: Loss, W: Floats, b: Floats, source: DualSource) -> DualSums:
        """Return the value and the sums over the dual rows."""
        source_loss = loss if isinstance(source, GivenRows) else source.loss
        values, gradients = (row_gradients(of, np.float64) for of in (loss, source_loss))
        kept = self._zero_rows() if isinstance(source, Gradients) and source.keep else None
        Wt = self._transposed(W)

        def step(X: Any, rows: Ints, T: Floats) -> Any:
            y, weights = self._labels(rows)
            S = np.empty_like(T)
            self._score_block(X, Wt, b, S)
            if isinstance(source, GivenRows):
                dual = loss._feasible(array_of(source.rows)[rows].astype(np.float64), y)
                T[:] = loss._rebalanced(dual, y, source.shift)
            else:
                T[:] = S if source.offsets is None else S + array_of(source.offsets)[rows]
                gradients(T, y, np.ones(len(y)))
            if kept is not None:
                kept.array[rows] = T
            conjugate = float(weights @ loss._conjugate(T, y))
            square = float(weights @ np.square(T).sum(axis=1))
            T *= weights[:, None]
            return values(S, y, weights), conjugate, square

        sums = self._sums(step, single=False, by_class=True)
        value, conjugate, square = (math.fsum(column) for column in zip(*sums.parts, strict=True))
        return DualSums(value, conjugate, square, sums.features, sums.rows, kept)

    def class_features(self) -> Floats:
        """Return the weighted sum of the features of each class."""

        def add(rows: Ints, Gt: Floats) -> None:
            self._add_classes(self._block(rows, self.has_single), *self._labels(rows), Gt)

        return np.ascontiguousarray(self._summed(add, (self.samples.n_classes, self._n_features)).T)

    def covariance(self, affine: Affine, rows: Ints, single: bool) -> list[Floats]:
        """Return the weighted second moment of the mapped features over ``rows``, as `row_panels`.

        With ``single``, products may be computed in float32; a large result is float32, too. Each thread computes
        some panels of the result, so there is one for any number of threads.
        """
        D, large = self._n_features, single and self._n_features > DOUBLE_FEATURES
        ends = [min(start + PANEL, D) for start in range(0, D, PANEL)]
        dtype = np.float32 if large else np.float64
        total = [np.zeros((end - k * PANEL, end), dtype) for k, end in enumerate(ends)]
        number = np.float32 if large or (single and self.has_single) else np.float64
        for Z in self.weighted_blocks(rows, affine, number):
            self.workers.run([partial(_add_products, panel, Z) for panel in total], Z.size * D)
        return total

    def dual_state(self, loss: Loss, reg: float, affine: Affine, penalty: float, single: bool) -> DualState:
        """Return dual rows for dual ascent."""
        return DualRows(self, loss, reg, affine, penalty, np.float32 if single else np.float64)

    def _dual_rows_fit(self) -> bool:
        """Whether the dual rows need no more memory than X or 256 MB."""
        X, shape = self.samples.X, self.shape
        size = X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes
        return 4 * shape.n_samples * shape.n_classes <= max(size, _DUAL_BYTES)

    @staticmethod
    def panel_product(panel: NDArray[np.float32], Gt: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``(panelᵀ panel G)ᵀ``, with compiled tiles if G stays in cache."""
        if Gt.nbytes > _TILE_BYTES:
            return panel_product(panel, Gt)
        S, part = np.zeros((len(panel), len(Gt)), np.float32), np.zeros(Gt.shape, np.float32)
        add_scores(panel, Gt, S)
        accumulate_gradient(panel, S, part)
        return part

    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""
        D, C = self._n_features, self.samples.n_classes
        n_blocks, n_partitions = -(-len(self.rows) // self._n_block), self._n_partitions((D + C) * C)
        terms = self._n_block * -(-n_blocks // n_partitions) + n_partitions
        if self._n_chunk(False) > 0:
            terms = len(self.rows)
        return float(np.finfo(np.float64).eps * (terms + 8))

    def _score(
        self, X: Any, rows: Ints, Wt: NDArray[Any], b: Floats, offsets: OptionalRows, S: NDArray[Any]
    ) -> None:
        self._score_block(X, Wt, b, S)
        if offsets is not None:
            S += offsets[rows].astype(S.dtype, copy=False)

    def _labels(self, rows: Ints) -> tuple[Ints, Floats]:
        return self.samples.y[rows], self.samples.weights[rows]


def _add_products(panel: Floats, Z: Floats, stop: threading.Event) -> None:
    n_rows, end = panel.shape
    panel += Z[:, end - n_rows : end].T @ Z[:, :end]
