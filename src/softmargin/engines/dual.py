"""Ascent of the dual, block by block: the scores and the kernel of a block by BLAS, its rows one after the other.

With ``W = -Σ ω_i z_i a_iᵀ / (2λ)`` a change of one dual row moves the scores of the others through the products
of their features. For a block of rows these products are one small matrix, so the rows can be maximised in
turn without touching W; one product brings the block's changes into W. The work is that of a pass and of the
kernels; what a row does is the loss's business.

The unpenalised bias asks that the dual rows sum to zero. It is treated as the multiplier of that constraint in
an augmented Lagrangian: inside a sweep b is the multiplier less the penalty's pull, and moves as the weight of a
constant feature would; where it ends is the next multiplier, and the b of the rows. See ``docs/mathematics.md``.

References
----------
Shalev-Shwartz and Zhang, "Stochastic dual coordinate ascent methods for regularized loss minimization", 2013.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from softmargin.engines.base import Engine, sum_in_order
from softmargin.losses.base import ANY_ORDER, Floats, Ints, Loss
from softmargin.losses.compiled import ascent_code
from softmargin.registers import call_code
from softmargin.threads import INLINE_WORK, one_blas_thread
from softmargin.tiles import add_back, add_scores

__all__ = ["DualRows", "Sweep"]

_LONGEST_WAIT = 16
_FAIR_SHARE = 0.3
"""A row is left alone until it has to gain about this share of the mean, but for at most so many sweeps."""

_TILE_BYTES = 1 << 20
"""Up to this size of W the compiled tiles multiply, which take short blocks better than BLAS does."""

_STRETCH_SIZE = 1 << 18
"""About so many numbers of X are prepared by one thread while another ascends."""

_FEW = 8
"""A row is gone through by a list of its changed entries where they are fewer than the classes over this."""

_COST_OF_ENTRY = 4
"""What a changed entry brought into W by itself takes, where 1 is its share of a whole product."""

_TILE_ROWS = 12
_MOST_ROWS, _MOST_ROWS_BLAS = 36, 60
"""Rows of a block: whole tiles, and more of them where BLAS needs tall blocks."""

_SMALLEST_CURVATURE = 1e-200
_MAX_NEWTON_STEPS = 4
_NEGLIGIBLE = 1e-3
_SINGULAR = 1e-12
_CHUNK = 2048
_COST_OF_IMBALANCE = 0.3
_COST_ONCE_TILTED = 0.05
"""What dual rows that sum to one, in size, cost a bound, in units of the scores: as they are and after a tilt."""


class Sweep(NamedTuple):
    """What one sweep over the dual rows saw.

    Attributes
    ----------
    value : float
        About F: each row's loss was seen when its turn came.
    gap : float
        About F minus the dual, of the rows that were visited.
    """

    value: float
    gap: float


@numba.njit(nogil=True, cache=True)
def _visit(
    code: int,
    numbers: Floats,
    Z: NDArray[Any],
    products: NDArray[Any],
    Wt: NDArray[Any],
    b: Floats,
    sums: Floats,
    A: NDArray[Any],
    rows: Ints,
    y: Ints,
    weights: Floats,
    factor: float,
    pull: float,
    values: Floats,
    gaps: Floats,
) -> None:
    """Maximise the dual over some blocks of rows in turn.

    ``products`` (blocks, rows, rows) are those of the features within each block, ``pull`` is the square of the
    constant feature. ``values`` and ``gaps`` become the weighted losses and gaps of the rows as they were found.
    """
    n_block, n_classes = products.shape[1], Wt.shape[0]
    scores = np.empty((n_block, n_classes), Z.dtype)
    changes = np.empty((n_block, n_classes))
    s, change, scratch, gap = np.empty(n_classes), np.empty(n_classes), np.empty(n_classes), np.empty(1)
    # A margin loss changes few entries of a row: these rows are gone through by a list of the entries.
    few = max(2, n_classes // _FEW)
    entries, n_entries = np.empty((n_block, few), np.int64), np.empty(n_block, np.int64)
    full, listed = np.empty(n_block, np.int64), np.empty(n_block, np.int64)
    for block in range(products.shape[0]):
        first = block * n_block
        n = min(n_block, len(rows) - first)
        part, K = Z[first : first + n], products[block]
        if Wt.nbytes <= _TILE_BYTES:
            scores[:] = Z.dtype.type(0)
            add_scores(part, Wt, scores, 0)
        else:
            np.dot(part, Wt.T, scores[:n])
        n_full = n_listed = 0
        for i in range(n):
            for j in range(n_classes):
                s[j] = b[j] + scores[i, j]
            _take_off(s, K[i], pull, changes, full[:n_full])
            for k in listed[:n_listed]:
                product = K[i, k] + pull
                for j in entries[k, : n_entries[k]]:
                    s[j] -= product * changes[k, j]
            row = first + i
            weight = weights[row]
            q = max(factor * weight * (K[i, i] + pull), _SMALLEST_CURVATURE)
            value = call_code(code, (numbers, s, A[rows[row]], n_classes, y[row], q, change, scratch, gap))
            values[row], gaps[row] = weight * value, 0.0
            found = 0
            for j in range(n_classes):
                changes[i, j] = factor * weight * change[j]
                found += 1 if change[j] != 0.0 else 0
            n_entries[i] = found
            if found == 0:
                continue
            gaps[row] = weight * max(gap[0], 0.0)
            if found > few:
                full[n_full] = i
                n_full += 1
            else:
                _list_entries(change, entries[i])
                listed[n_listed] = i
                n_listed += 1
        _bring_in(part, changes[:n], n_entries[:n], full[:n_full], listed[:n_listed], entries, Wt)
        for k in full[:n_full]:
            for j in range(n_classes):
                b[j] -= pull * changes[k, j]
                sums[j] += changes[k, j] / factor
        for k in listed[:n_listed]:
            for j in entries[k, : n_entries[k]]:
                b[j] -= pull * changes[k, j]
                sums[j] += changes[k, j] / factor


@register_jitable(fastmath=ANY_ORDER, forceinline=True)
def _take_off(s: Floats, k: NDArray[Any], pull: float, changes: Floats, movers: Ints) -> None:
    """Take off the scores what the rows before have changed, four of them at a time."""
    n = 0
    while n + 4 <= movers.size:
        i0, i1, i2, i3 = movers[n], movers[n + 1], movers[n + 2], movers[n + 3]
        k0, k1, k2, k3 = k[i0] + pull, k[i1] + pull, k[i2] + pull, k[i3] + pull
        c0, c1, c2, c3 = changes[i0], changes[i1], changes[i2], changes[i3]
        for j in range(s.size):
            s[j] -= (k0 * c0[j] + k1 * c1[j]) + (k2 * c2[j] + k3 * c3[j])
        n += 4
    while n < movers.size:
        c, k0 = changes[movers[n]], k[movers[n]] + pull
        for j in range(s.size):
            s[j] -= k0 * c[j]
        n += 1


@register_jitable(forceinline=True)
def _list_entries(change: Floats, entries: Ints) -> None:
    n = 0
    for j in range(change.size):
        if change[j] != 0.0:
            entries[n] = j
            n += 1


@register_jitable(forceinline=True)
def _bring_in(
    X: NDArray[Any],
    changes: Floats,
    n_entries: Ints,
    full: Ints,
    listed: Ints,
    entries: Ints,
    Wt: NDArray[Any],
) -> None:
    """Wt -= changes.T @ X: the whole product, or where most entries are zero the others one by one."""
    if _COST_OF_ENTRY * n_entries.sum() > changes.size:
        steps = np.empty(changes.shape, X.dtype)
        for i in range(len(X)):
            for j in range(len(Wt)):
                steps[i, j] = -changes[i, j]
        if Wt.nbytes <= _TILE_BYTES:
            add_back(X, steps, Wt, 0)
        else:
            Wt += np.dot(steps.T, X)
        return
    for i in full:
        for j in range(len(Wt)):
            if changes[i, j] != 0.0:
                _add_row(Wt[j], X[i], X.dtype.type(-changes[i, j]))
    for i in listed:
        for j in entries[i, : n_entries[i]]:
            _add_row(Wt[j], X[i], X.dtype.type(-changes[i, j]))


@register_jitable(forceinline=True)
def _add_row(w: NDArray[Any], x: NDArray[Any], factor: Any) -> None:
    for d in range(x.size):
        w[d] += factor * x[d]


@numba.njit(nogil=True, cache=True)
def _multiply_within(Z: NDArray[Any], products: NDArray[Any]) -> None:
    """Add the products of each row with those before it in its block to ``products`` (blocks, rows, rows)."""
    size = products.shape[1]
    for block in range(len(products)):
        part = Z[block * size : (block + 1) * size]
        for i in range(0, size, _TILE_ROWS):
            j = i + _TILE_ROWS
            add_scores(part[i:j], part[:j], products[block, i:j, :j], 0)


class DualRows:
    """Dual rows of all samples and the W and b that belong to them.

    Kept beyond X: one number of type ``dtype`` for each sample and class, and a byte a sample.

    Parameters
    ----------
    engine : Engine
    loss : Loss
        One whose ``ascends`` is true.
    reg : float
        λ > 0.
    mean, scale : ndarray of shape (D,)
        The features are ``z = (x - mean) * scale``.
    penalty : float
        In units of scores, what a sum of the dual rows costs at first, which a free bias wants to be zero; 0 if
        there is no bias.
    dtype : dtype
        float32 or float64: of the products and of the dual rows.
    """

    def __init__(
        self, engine: Engine, loss: Loss, reg: float, mean: Floats, scale: Floats, penalty: float, dtype: Any
    ) -> None:
        self._engine = engine
        self._loss = loss
        self._factor = 0.5 / reg
        self.reg = reg
        self._mean, self._scale = mean, scale
        self._penalty = penalty
        samples = engine.samples
        n_classes = samples.n_classes
        self.A: NDArray[Any] = np.zeros((len(samples.y), n_classes), dtype)
        self._Wt: NDArray[Any] = np.zeros((n_classes, samples.X.shape[1]), dtype)
        self.b: Floats = np.zeros(n_classes)
        self._sums: Floats = np.zeros(n_classes)
        self._visits = 0
        self._waits = np.ones(len(samples.y), dtype=np.float32)
        self._due = np.ones(len(samples.y), dtype=np.float32)
        self._values, self._gaps = np.zeros(len(samples.y)), np.zeros(len(samples.y))
        # The products among the rows of a block should cost no more than those with W.
        most = _MOST_ROWS if self._Wt.nbytes <= _TILE_BYTES else _MOST_ROWS_BLAS
        self._n_block = int(np.clip(2 * n_classes // _TILE_ROWS * _TILE_ROWS, _TILE_ROWS, most))

    @property
    def W(self) -> Floats:
        """W that belongs to the rows, (D, C); a copy."""
        return np.ascontiguousarray(self._Wt.T, dtype=np.float64)

    def begin(self, A: NDArray[Any], W: Floats, b: Floats, sums: Floats) -> None:
        """Take these dual rows, and the W and sums (C,) that belong to them, for the first sweep."""
        self.A, self.b, self._sums = A.astype(self.A.dtype, copy=False), b.copy(), sums
        self._Wt = np.ascontiguousarray(W.T, dtype=self.A.dtype)

    def follow(self, before: DualRows, shrink: float) -> None:
        """Begin with the rows of another λ times ``shrink``, and the W, b and sums that belong to these."""
        W = before.W * (shrink * before.reg / self.reg)
        self.begin(before.A * before.A.dtype.type(shrink), W, before.b, before._sums * shrink)

    def state(self) -> dict[str, Any]:
        """Return copies of all that moves, for a checkpoint."""
        return {
            "A": self.A.copy(), "Wt": self._Wt.copy(), "b": self.b.copy(), "sums": self._sums.copy(),
            "waits": self._waits.copy(), "due": self._due.copy(), "values": self._values.copy(),
            "gaps": self._gaps.copy(), "penalty": self._penalty, "visits": self._visits,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.A, self._Wt, self.b, self._sums = state["A"], state["Wt"], state["b"], state["sums"]
        self._waits, self._due, self._values, self._gaps = (state[k] for k in ("waits", "due", "values", "gaps"))
        self._penalty, self._visits = state["penalty"], state["visits"]

    def to_double(self) -> None:
        """Go on in float64."""
        self.A, self._Wt = self.A.astype(np.float64, copy=False), self._Wt.astype(np.float64, copy=False)

    @property
    def n_passes(self) -> float:
        """How often each row was visited so far, in the mean."""
        return self._visits / max(1, len(self._engine.rows))

    def sweep(self, rng: np.random.Generator) -> Sweep:
        """Visit the rows in random order, those with little to gain in some sweeps only.

        Parameters
        ----------
        rng : Generator
            Of the order.
        """
        rows = self._engine.rows
        self._due[rows] -= 1.0
        rows = rng.permutation(rows[self._due[rows] < 1.0])
        self._engine.count(len(rows))
        self._visits += len(rows)
        size = self._n_block * max(1, _STRETCH_SIZE // (self._n_block * self._Wt.shape[1]))
        workers = self._engine.workers
        together = workers.n_threads > 1 and size * self._n_block * self._Wt.shape[1] >= INLINE_WORK
        stretches = [rows[start : start + size] for start in range(0, len(rows), size)]
        self.b -= self._penalty * self._sums
        with one_blas_thread():
            ahead: Future[tuple[Ints, NDArray[Any], NDArray[Any]]] | None = None
            for n, stretch in enumerate(stretches):
                read = self._features(stretch) if ahead is None else ahead.result()
                if together and n + 1 < len(stretches):
                    ahead = workers.submit(self._features, stretches[n + 1])
                self._visit(*read)
        everyone = self._engine.rows
        value, gap = float(self._values[everyone].sum()), float(self._gaps[everyone].sum())
        # What a row left alone has to gain grows with the square of the time: all should gain about as much.
        fair = np.sqrt(_FAIR_SHARE * gap / len(everyone) / np.maximum(self._gaps[rows], 1e-300))
        self._waits[rows] = np.clip(self._waits[rows] * np.minimum(fair, 2.0), 1.0, _LONGEST_WAIT)
        self._due[rows] += self._waits[rows]
        imbalance = self._loss.unit * float(np.abs(self._sums).sum()) if self._penalty else 0.0
        if _COST_OF_IMBALANCE * imbalance > gap:
            self._penalty *= 2.0
        gap += _COST_ONCE_TILTED * imbalance
        return Sweep(value + self.reg * float(np.square(self._Wt, dtype=np.float64).sum()), gap)

    def tilt(self) -> Floats:
        """Return the shift (C,) of the scores that brings the sum of the dual rows to zero, by Newton's method."""
        shift = np.zeros_like(self.b)
        if not self._penalty:
            return shift
        rows = self._engine.rows
        parts = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        work = len(rows) * len(shift) * (len(shift) + 8)
        enough = _NEGLIGIBLE * float(self._gaps[rows].sum()) / self._loss.unit
        best, smallest, factor = shift, np.inf, None
        with one_blas_thread():
            for _ in range(_MAX_NEWTON_STEPS):
                found = self._engine.workers.run(
                    [partial(self._tilted_sums, part, shift, factor is None) for part in parts], work
                )
                total = sum_in_order([sums for sums, _ in found])
                size = float(np.abs(total).sum())
                if not size < 0.5 * smallest:
                    break
                best, smallest = shift, size
                if size <= enough:
                    break
                if factor is None:
                    slope = sum_in_order([slopes for _, slopes in found])
                    # All scores shifted alike move nothing, nor do classes whose rows lie at their bounds.
                    least = max(_SINGULAR * float(np.trace(slope)), _SMALLEST_CURVATURE)
                    slope[np.diag_indices_from(slope)] += least
                    factor = cho_factor(slope, check_finite=False)
                shift = shift - cho_solve(factor, total, check_finite=False)
        return best

    def _tilted_sums(
        self, part: Ints, shift: Floats, with_slope: bool, stop: threading.Event
    ) -> tuple[Floats, Floats]:
        """Return the sum (C,) of some tilted rows and, if asked for, its derivative (C, C) at no shift."""
        y, weights = self._engine.samples.y[part], self._engine.samples.weights[part]
        dual = self._loss._feasible(self.A[part].astype(np.float64), y)
        slope = self._loss._tilt_slope(dual, y, weights) if with_slope else np.zeros(0)
        return weights @ self._loss._tilted(dual, y, shift), slope

    def _features(self, rows: Ints) -> tuple[Ints, NDArray[Any], NDArray[Any]]:
        """Return rows in blocks, each in ascending order, their features and the products within each block."""
        size, last = self._n_block, len(self._waits) - 1
        blocks = np.full(
            (-(-len(rows) // size), size), last + 1
        )  # the end of the last block, which nobody looks at
        blocks.ravel()[: len(rows)] = rows
        blocks.sort(axis=1)
        filled = np.minimum(blocks.ravel(), last)
        Z = self._engine.preprocessed_rows(filled, self._mean, self._scale, self.A.dtype)
        products = np.zeros((len(blocks), size, size), Z.dtype)
        _multiply_within(Z, products)
        return filled[: len(rows)], Z, products

    def _visit(self, rows: Ints, Z: NDArray[Any], products: NDArray[Any]) -> None:
        samples = self._engine.samples
        values, gaps = np.empty(len(rows)), np.empty(len(rows))
        code = ascent_code(self._loss, self.A.dtype)
        _visit(
            *code, Z, products, self._Wt, self.b, self._sums, self.A, rows, samples.y[rows],
            samples.weights[rows], self._factor, self._penalty / self._factor, values, gaps,
        )  # fmt: skip
        self._values[rows], self._gaps[rows] = values, gaps
