"""Dual ascent in blocks: products for the scores and the Gram matrix of a block, then a step for each of its rows.

With ``W = -Σ ω_i z_i a_iᵀ / (2λ)``, a change of one dual row changes the scores of the others through the products
of their features. For a block of rows, these products are a small Gram matrix. So the dual can be maximised over
one row after the other without reading W, and one product adds the changes of the block to W. A sweep costs about
as much as a pass plus the Gram matrices. The loss implements the step of a single row.

With an unpenalised bias, the dual rows must sum to zero. The bias is the multiplier of that constraint in an
augmented Lagrangian. During a sweep, b is the multiplier minus the gradient of the penalty, and is updated like
the weight of a constant feature. Its final value is the next multiplier, and the b of the rows. See
``docs/mathematics.md``.

References
----------
Shalev-Shwartz and Zhang, "Stochastic dual coordinate ascent methods for regularized loss minimization", 2013.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.base import DualState, GivenRows, Sweep
from softmargin.engines.cpu.dual_kernel import (
    SMALLEST_CURVATURE,
    TILE_BYTES,
    TILE_ROWS,
    Scratch,
    multiply_within,
    visit,
)
from softmargin.engines.cpu.partitions import panels
from softmargin.engines.cpu.products import gradient_product, score_product
from softmargin.engines.cpu.row_code import ascent_code
from softmargin.engines.in_memory import InMemoryEngine
from softmargin.engines.rows import ArrayRows, sum_in_order
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.threads import INLINE_WORK, one_blas_thread

__all__ = ["FAIR_SHARE", "LONGEST_WAIT", "DualRows"]

LONGEST_WAIT, _LONGEST_WAIT_STRETCHED = 16, 3
FAIR_SHARE = 0.3
"""A row is skipped, for up to this number of sweeps, until its gain is about this fraction of the mean gain. The
second applies while a multiple of W and b with all losses zero is better: its factor depends on the worst row."""

_BETWEEN_MEASURES = 0.05
"""Fraction of the visits so far after which the multiple with all losses zero is measured again."""

_HOPELESS = 4.0
"""It is not measured again after its relative gap was this many times that of W and b."""

_PREPARED_SIZE = 1 << 18
"""Approximate number of entries of X that one thread prepares while another performs the ascent."""

_MOST_ROWS, _MOST_ROWS_BLAS = 36, 60
"""Maximum number of rows of a block: a multiple of the tile height, and larger for BLAS."""

_MAX_NEWTON_STEPS = 4
_NEGLIGIBLE = 1e-3
_SINGULAR = 1e-12
_CHUNK = 2048
_COST_OF_IMBALANCE = 0.3
_COST_ONCE_BALANCED = 0.05
"""Estimated loss of the lower bound per unit of the absolute sum of the dual rows, in units of scores: for the
rows as they are, and after rebalancing."""


class _Stretched(NamedTuple):
    """F and the duality gap at the multiple of W and b with all losses zero, after this number of visits."""

    visits: int
    value: float = np.inf
    gap: float = np.inf


class DualRows:
    """The dual rows of all samples with the corresponding W and b.

    Memory beyond X: one number of type ``dtype`` per sample and class, and 24 bytes per sample.

    Parameters
    ----------
    engine : InMemoryEngine
    loss : Loss
        A loss with ``ascends = True``.
    reg : float
        λ > 0.
    affine : Affine
        The map of the features.
    penalty : float
        The initial penalty on the sum of the dual rows, in units of scores; 0 without a bias.
    dtype : dtype
        float32 or float64: the type of the products and of the dual rows.
    """

    _order: ClassVar[Literal["C", "F"]] = "C"
    """The memory layout of the weights (C, D)."""

    def __init__(
        self, engine: InMemoryEngine, loss: Loss, reg: float, affine: Affine, penalty: float, dtype: Any
    ) -> None:
        self._engine = engine
        self._loss = loss
        self._factor = 0.5 / reg
        self.reg = reg
        self._affine = affine
        self._penalty = penalty
        samples = engine.samples
        n_classes = samples.n_classes
        self.A: NDArray[Any] = np.zeros((len(samples.y), n_classes), dtype)
        self._Wt: NDArray[Any] = np.zeros((n_classes, samples.X.shape[1]), dtype, self._order)
        self.b: Floats = np.zeros(n_classes)
        self._sums: Floats = np.zeros(n_classes)
        self._visits = 0
        self._waits = np.ones(len(engine.rows), dtype=np.float32)
        self._due = np.ones(len(engine.rows), dtype=np.float32)
        self._measured = _Stretched(0)
        self._values, self._gaps = np.zeros(len(samples.y)), np.zeros(len(samples.y))
        # The Gram matrix of a block should cost no more than its products with W.
        most = _MOST_ROWS if self._Wt.nbytes <= TILE_BYTES else _MOST_ROWS_BLAS
        self._n_block = int(np.clip(2 * n_classes // TILE_ROWS * TILE_ROWS, TILE_ROWS, most))

    @property
    def P(self) -> Floats:
        """The W and b of the rows as a new array (D + 1, C)."""
        P = np.empty((self._Wt.shape[1] + 1, len(self.b)))
        P[:-1], P[-1] = self._Wt.T, self.b
        return P

    @property
    def rows(self) -> ArrayRows:
        """The dual rows, as a view."""
        return ArrayRows(self.A)

    def _start(self, A: NDArray[Any], W: Floats, b: Floats, sums: Floats) -> None:
        self.A, self.b, self._sums = A.astype(self.A.dtype, copy=False), b.copy(), sums
        self._Wt = np.array(W.T, self.A.dtype, order=self._order)

    def start_from_classes(self, rows: Floats, W: Floats, b: Floats) -> None:
        """Start with the same row for all samples of a class, (C, C), with its W and b; the rows sum to zero."""
        samples = self._engine.samples
        A = rows.astype(self.A.dtype)[samples.y]
        A[samples.weights == 0.0] = 0.0
        self._start(A, W, b, np.zeros(len(b)))

    def start_from_point(self, W: Floats, b: Floats) -> None:
        """Start with dL/ds at a point; two passes."""
        engine, folded = self._engine, self._affine.fold(W, b)
        scores = engine.scores(*folded, np.arange(len(self.A)))
        A = self._loss._gradient(scores, engine.samples.y).astype(self.A.dtype)
        # W and the sum must correspond to the rows as they are stored, which may be in float32.
        sums = engine.dual_sums(self._loss, *folded, GivenRows(ArrayRows(A), np.zeros(len(b))))
        imbalance = sums.classes.sum(axis=0)
        G = self._affine.unfold_gradient(sums.features, imbalance)
        self._start(A, -G / (2.0 * self.reg), b, imbalance)

    def start_from(self, before: DualState, factor: float) -> None:
        """Start with the rows of another λ times a factor, and the corresponding W, b and sums."""
        assert isinstance(before, DualRows)
        W = before.P[:-1] * (factor * before.reg / self.reg)
        self._start(before.A * before.A.dtype.type(factor), W, before.b, before._sums * factor)

    def save(self) -> dict[str, Any]:
        """Return a copy of everything that sweeps change, for a checkpoint."""
        return {
            "A": self.A.copy(), "Wt": self._Wt.copy(), "b": self.b.copy(), "sums": self._sums.copy(),
            "waits": self._waits.copy(), "due": self._due.copy(), "values": self._values.copy(),
            "gaps": self._gaps.copy(), "penalty": self._penalty, "visits": self._visits,
            "measured": list(self._measured),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore what `save` returned."""
        self.A, self.b, self._sums = saved["A"], saved["b"], saved["sums"]
        self._Wt = np.asarray(saved["Wt"], order=self._order)
        self._waits, self._due, self._values, self._gaps = (saved[k] for k in ("waits", "due", "values", "gaps"))
        self._penalty, self._visits = saved["penalty"], saved["visits"]
        self._measured = _Stretched(*saved["measured"])

    def to_double(self) -> None:
        """Continue in float64."""
        self.A, self._Wt = self.A.astype(np.float64, copy=False), self._Wt.astype(np.float64, copy=False)

    @property
    def n_passes(self) -> float:
        """Mean number of visits per row so far."""
        return self._visits / max(1, len(self._engine.rows))

    def sweep(self, rng: np.random.Generator) -> Sweep:
        """Visit the rows once in random order; rows with little to gain are visited in some sweeps only."""
        self.b -= self._penalty * self._sums
        loss, gap, largest = self._pass(rng)
        plain_gap = gap
        imbalance = self._loss.score_scale * float(np.abs(self._sums).sum()) if self._penalty else 0.0
        penalty = self.reg * float(np.einsum("ij,ij->", self._Wt, self._Wt, dtype=np.float64))
        value = loss + penalty
        stretched = self._measure(largest, value, gap, penalty)
        if stretched:
            value, gap = self._measured.value, self._measured.gap
        mean = plain_gap / len(self._engine.rows)
        self._wait(FAIR_SHARE * mean, _LONGEST_WAIT_STRETCHED if stretched else LONGEST_WAIT)
        if _COST_OF_IMBALANCE * imbalance > gap:
            self._penalty *= 2.0
        return Sweep(value, gap + _COST_ONCE_BALANCED * imbalance, plain_gap, stretched)

    def _measure(self, largest: float, value: float, gap: float, penalty: float) -> bool:
        """Return whether the multiple of W and b with all losses zero has a smaller relative gap than these.

        It is measured now and then. It exists only if the ``largest`` loss of the rows just visited is small.
        """
        loss, before = self._loss, self._measured
        n_rows, since = len(self._engine.rows), self._visits - before.visits
        hopeless = _HOPELESS * gap * before.value < before.gap * value < np.inf
        if loss.separates and not hopeless and since >= max(2 * n_rows, _BETWEEN_MEASURES * self._visits):
            possible = largest < float(loss._values(np.zeros((1, 2)), np.zeros(1, np.int64))[0])
            self._measured = self._stretched(penalty) if possible else _Stretched(self._visits)
        return self._measured.gap * value < gap * self._measured.value < np.inf

    def _stretched(self, penalty: float) -> _Stretched:
        """Measure the multiple of W and b with all losses zero; half a pass."""
        samples, rows, conjugate = self._engine.samples, self._engine.rows, 0.0
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            dual = self._loss._conjugate(self.A[part].astype(np.float64), samples.y[part])
            conjugate += float(samples.weights[part] @ dual)
        value = self._stretch(self.P) ** 2 * penalty
        return _Stretched(self._visits, value, value + conjugate + penalty)

    def _stretch(self, P: Floats) -> float:
        """Return the factor with which all losses are zero, or infinity; half a pass."""
        engine = self._engine
        parts = engine._score_parts(*self._affine.fold(P[:-1], P[-1]), engine.rows)
        return max(self._loss._stretch(scores, engine.samples.y[engine.rows[part]]) for part, scores in parts)

    def stretched_P(self) -> Floats:
        """Return the multiple of the W and b of the rows with all losses zero, if there is one; half a pass."""
        P = self.P
        factor = self._stretch(P)
        return P if np.isinf(factor) else factor * P

    def _pass(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """Visit the rows that are due.

        Return the sums over all rows of loss and gap at their last visit, and the largest loss of those visited.
        """
        samples, all_rows = self._engine.samples, self._engine.rows
        self._due -= 1.0
        rows = all_rows[rng.permutation(np.flatnonzero(self._due < 1.0))]
        self._count(len(rows))
        self._ascend(rows)
        largest = float((self._values[rows] / samples.weights[rows]).max(initial=0.0))
        return float(self._values[all_rows].sum()), float(self._gaps[all_rows].sum()), largest

    def _count(self, n_visits: int) -> None:
        self._engine.count(n_visits)
        self._visits += n_visits

    def _wait(self, fair: float, longest: int) -> None:
        """Decide when to visit the rows again that were just visited, given a fair gap."""
        # The gain of a skipped row grows with the square of the time; the waits make all gains about equal.
        places = np.flatnonzero(self._due < 1.0)
        ratios = np.sqrt(fair / np.maximum(self._gaps[self._engine.rows[places]], 1e-300))
        waits = np.minimum(np.maximum(self._waits[places] * np.minimum(ratios, 2.0), 1.0), longest)
        self._waits[places] = waits
        self._due[places] += waits.astype(np.float32)

    def _ascend(self, rows: Ints) -> None:
        """Maximise the dual over the rows in this order; W, b, the sums, values and gaps follow."""
        size = self._n_block * max(1, _PREPARED_SIZE // (self._n_block * self._Wt.shape[1]))
        workers = self._engine.workers
        concurrent = workers.helps and size * self._n_block * self._Wt.shape[1] >= INLINE_WORK
        chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
        with one_blas_thread():
            prefetched: Future[tuple[Ints, NDArray[Any], NDArray[Any]]] | None = None
            for n, chunk in enumerate(chunks):
                prepared = self._features(chunk) if prefetched is None else prefetched.result()
                if concurrent and n + 1 < len(chunks):
                    prefetched = workers.submit(self._features, chunks[n + 1])
                self._visit(*prepared)

    def balancing_shift(self) -> Floats:
        """Return the shift (C,) of all scores for which the rebalanced rows sum to zero, by Newton's method."""
        shift = np.zeros_like(self.b)
        if not self._penalty:
            return shift
        rows = self._engine.rows
        parts = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        work = len(rows) * len(shift) * (len(shift) + 8)
        negligible = _NEGLIGIBLE * float(self._gaps[rows].sum()) / self._loss.score_scale
        best, smallest, jacobian = shift, np.inf, None
        with one_blas_thread():
            for _ in range(_MAX_NEWTON_STEPS):
                tasks = [partial(self._rebalanced_sums, part, shift, jacobian is None) for part in parts]
                found = self._engine.workers.run(tasks, work)
                total = sum_in_order([sums for sums, _ in found])
                size = float(np.abs(total).sum())
                if not size < 0.5 * smallest:
                    break
                best, smallest = shift, size
                if size <= negligible:
                    break
                if jacobian is None:
                    jacobian = sum_in_order([jacobians for _, jacobians in found])
                    # Singular: equal shifts have no effect, and neither have classes with all rows at bounds.
                    least = max(_SINGULAR * float(np.trace(jacobian)), SMALLEST_CURVATURE)
                    jacobian[np.diag_indices_from(jacobian)] += least
                shift = shift - np.linalg.solve(jacobian, total)
        return best

    def _rebalanced_sums(
        self, part: Ints, shift: Floats, with_jacobian: bool, stop: threading.Event
    ) -> tuple[Floats, Floats]:
        """Return the sum (C,) of some rebalanced rows and, if requested, its derivative (C, C) at shift 0."""
        y, weights = self._engine.samples.y[part], self._engine.samples.weights[part]
        dual = self._loss._feasible(self.A[part].astype(np.float64, order="F"), y)
        jacobian = self._loss._balance_jacobian(dual, y, weights) if with_jacobian else np.zeros(0)
        return weights @ self._loss._rebalanced(dual, y, shift), jacobian

    def _features(self, rows: Ints) -> tuple[Ints, NDArray[Any], NDArray[Any]]:
        """Return the rows (sorted within each block), their features and the Gram matrix of each block."""
        size, last = self._n_block, len(self.A) - 1
        blocks = np.full((-(-len(rows) // size), size), last + 1)  # pads the last block
        blocks.ravel()[: len(rows)] = rows
        blocks.sort(axis=1)
        filled = np.minimum(blocks.ravel(), last)
        Z = self._engine.mapped_rows(filled, self._affine, self.A.dtype)
        products = np.zeros((len(blocks), size, size), Z.dtype)
        multiply_within(score_product(Z.dtype, Z.dtype).address, Z, products)
        return filled[: len(rows)], Z, products

    def _visit(self, rows: Ints, Z: NDArray[Any], products: NDArray[Any]) -> None:
        samples = self._engine.samples
        values, gaps = np.empty(len(rows)), np.empty(len(rows))
        number, size = self.A.dtype, self._n_block
        code, numbers = ascent_code(self._loss, number)
        y, weights, pull = samples.y[rows], samples.weights[rows], self._penalty / self._factor
        scratch = Scratch.empty(size, len(self.b), number)
        tiled = self._Wt.nbytes <= TILE_BYTES
        codes = (
            (score_product(number, number).address, gradient_product(number, number).address) if tiled else (0, 0)
        )
        for blocks in [slice(0, len(products))] if tiled else panels(len(products), len(products)):
            part = slice(blocks.start * size, min(blocks.stop * size, len(rows)))
            X = Z[part]
            if not tiled:
                np.matmul(X, self._Wt.T, out=scratch.scores[: len(X)])
            by_product = visit(
                (code, *codes), numbers, X, products[blocks], self._Wt, self.b, self._sums, self.A, rows[part],
                y[part], weights[part], self._factor, pull, scratch, values[part], gaps[part],
            )  # fmt: skip
            if by_product and not tiled:
                self._Wt += scratch.steps[: len(X)].T @ X
        self._values[rows], self._gaps[rows] = values, gaps
