"""Ascent of the dual, block by block: the scores and the kernel of a block by BLAS, its rows one after the other.

With ``W = -Σ ω_i z_i a_iᵀ / (2λ)`` a change of one dual row moves the scores of the others through the products
of their features. For a block of rows these products are one small matrix, so the rows can be maximised in
turn without touching W; one product brings the block's changes into W. The work is that of a pass and of the
kernels; what a row does is the loss's business.

The unpenalised bias asks that the dual rows sum to zero. It is treated as the multiplier of that constraint in
an augmented Lagrangian: inside a sweep b moves as the weight of a constant feature would, and each sweep
starts from the b that the last one reached. See ``docs/mathematics.md``.

References
----------
Shalev-Shwartz and Zhang, "Stochastic dual coordinate ascent methods for regularized loss minimization", 2013.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import Engine
from softmargin.losses.base import Floats, Ints, Loss, row_ascent
from softmargin.threads import blas

__all__ = ["DualRows", "Sweep"]

_LONGEST_SLEEP = 8
"""A row that stays as it is through its visits is left alone for at most so many sweeps."""

_SMALLEST_CURVATURE = 1e-200
_MAX_NEWTON_STEPS = 4
_CHUNK = 4096
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
    visited : float
        Share of the rows that were visited.
    """

    value: float
    gap: float
    visited: float


def _ascend(
    loss: Loss,
    S: Floats,
    K: Floats,
    A: NDArray[Any],
    rows: Ints,
    y: Ints,
    weights: Floats,
    factor: float,
    changes: Floats,
    gaps: Floats,
) -> float:
    """Maximise the dual over each row of a block in turn; return the weighted sum of their losses before.

    ``changes`` become the changes of the rows times the factor and the weight, ``gaps`` their gaps before, and
    -1 for a row that had nothing to gain.
    """
    total = 0.0
    work = np.empty(S.shape[1])
    for i in range(S.shape[0]):
        s = S[i]
        for k in range(i):
            if gaps[k] >= 0.0:  # row k has moved
                for j in range(s.size):
                    s[j] -= K[i, k] * changes[k, j]
        q = max(factor * weights[i] * K[i, i], _SMALLEST_CURVATURE)
        value, gap = row_ascent(loss, s, A[rows[i]], y[i], q, changes[i], work)
        moved = False
        for j in range(s.size):
            changes[i, j] *= factor * weights[i]
            moved |= changes[i, j] != 0.0
        total += weights[i] * value
        gaps[i] = max(gap, 0.0) if moved else -1.0
    return total


_CACHED: Any = numba.njit(nogil=True, cache=True)(_ascend)
_FOREIGN: Any = numba.njit(nogil=True)(_ascend)


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
    constant : float
        Square of the constant feature whose weight is b; 0 if there is no bias.
    dtype : dtype
        float32 or float64: of the products and of the dual rows.
    """

    def __init__(
        self, engine: Engine, loss: Loss, reg: float, mean: Floats, scale: Floats, constant: float, dtype: Any
    ) -> None:
        self._engine = engine
        self._loss = loss
        self._factor = 0.5 / reg
        self._reg = reg
        self._mean, self._scale = mean, scale
        self._penalty = loss._first_penalty(engine.samples.n_classes) if constant else 0.0
        samples = engine.samples
        n_classes = samples.n_classes
        self.A: NDArray[Any] = np.zeros((len(samples.y), n_classes), dtype)
        self.W: Floats = np.zeros((samples.X.shape[1], n_classes))
        self.b: Floats = np.zeros(n_classes)
        self._sums: Floats = np.zeros(n_classes)
        self._asleep = np.zeros(len(samples.y), dtype=np.int8)
        self._slept = np.zeros(len(samples.y), dtype=np.int8)
        # The products among the rows of a block should cost no more than those with W.
        self._n_block = int(np.clip(2 * n_classes // 16 * 16, 16, 64))

    def state(self) -> dict[str, Any]:
        """Return copies of all that moves, for a checkpoint."""
        return {
            "A": self.A.copy(), "W": self.W.copy(), "b": self.b.copy(), "sums": self._sums.copy(),
            "asleep": self._asleep.copy(), "slept": self._slept.copy(), "penalty": self._penalty,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.A, self.W, self.b, self._sums = state["A"], state["W"], state["b"], state["sums"]
        self._asleep, self._slept, self._penalty = state["asleep"], state["slept"], state["penalty"]

    def to_double(self) -> None:
        """Go on in float64."""
        self.A = self.A.astype(np.float64)

    @property
    def single(self) -> bool:
        """Whether the products are made in float32."""
        return self.A.dtype == np.float32

    def sweep(self, rng: np.random.Generator) -> Sweep:
        """Visit the rows in random order, but for those that lately had nothing to gain.

        Parameters
        ----------
        rng : Generator
            Of the order.
        """
        rows = self._engine.rows
        self._asleep[rows] -= 1
        rows = rng.permutation(rows[self._asleep[rows] < 0])
        blocks = [np.sort(rows[start : start + self._n_block]) for start in range(0, len(rows), self._n_block)]
        share = len(rows) / len(self._engine.rows)
        self._engine.n_passes += share
        ours = type(self._loss).__module__.startswith("softmargin.")
        ascend = _CACHED if ours else _FOREIGN
        value = gap = 0.0
        with blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(1) as pool:
            ahead: Future[tuple[NDArray[Any], Floats]] | None = None
            for n, block in enumerate(blocks):
                Z, K = self._features(block) if ahead is None else ahead.result()
                if self._engine.n_threads > 1 and n + 1 < len(blocks):
                    ahead = pool.submit(self._features, blocks[n + 1])
                seen, behind = self._visit(ascend, block, Z, K)
                value, gap = value + seen, gap + behind
        imbalance = self._loss.unit * float(np.abs(self._sums).sum()) if self._penalty else 0.0
        if _COST_OF_IMBALANCE * imbalance > gap:
            self._penalty *= 2.0
        # The multiplier of "the dual rows sum to zero" moves on.
        self.b -= self._penalty * self._sums
        gap += _COST_ONCE_TILTED * imbalance
        return Sweep(value + self._reg * float((self.W * self.W).sum()), gap, share)

    def tilt(self) -> Floats:
        """Return the shift (C,) of the scores that brings the sum of the dual rows to zero, by Newton's method."""
        samples, rows = self._engine.samples, self._engine.rows
        n_classes = samples.n_classes
        shift = np.zeros(n_classes)
        if not self._penalty:
            return shift
        best, smallest, slope = shift, np.inf, None
        for _ in range(_MAX_NEWTON_STEPS):
            total, slopes = np.zeros(n_classes), np.zeros((n_classes, n_classes))
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                y, weights = samples.y[part], samples.weights[part]
                dual = self._loss._feasible(self.A[part].astype(np.float64), y)
                total += weights @ self._loss._tilted(dual, y, shift)
                if slope is None:
                    slopes += self._loss._tilt_slope(dual, y, weights)
            slope = slopes if slope is None else slope
            size = float(np.abs(total).sum())
            if not size < 0.5 * smallest:
                break
            best, smallest = shift, size
            # All scores shifted alike move nothing: the least squares leave that direction alone.
            shift = shift - np.linalg.lstsq(slope, total, rcond=1e-10)[0]
        return best

    def _features(self, block: Ints) -> tuple[NDArray[Any], Floats]:
        # A float X may lie so far from 0 that float32 would lose what the subtraction leaves.
        Z = self._engine.dense_rows(block)
        Z -= self._mean.astype(Z.dtype)
        Z *= self._scale.astype(Z.dtype)
        Z = Z.astype(self.A.dtype, copy=False)
        K = (Z @ Z.T).astype(np.float64)
        K += self._penalty / self._factor
        return Z, K

    def _visit(self, ascend: Any, block: Ints, Z: NDArray[Any], K: Floats) -> tuple[float, float]:
        S = (Z @ self.W.astype(Z.dtype)).astype(np.float64)
        S += self.b
        samples = self._engine.samples
        weights = samples.weights[block]
        changes, gaps = np.empty_like(S), np.empty(len(block))
        value = ascend(self._loss, S, K, self.A, block, samples.y[block], weights, self._factor, changes, gaps)
        self.W -= Z.T @ changes.astype(Z.dtype)
        moved = changes.sum(axis=0)
        self.b -= self._penalty / self._factor * moved
        self._sums += moved / self._factor
        idle = gaps < 0.0
        self._slept[block] = np.where(idle, np.minimum(2 * self._slept[block] + 1, _LONGEST_SLEEP), 0)
        self._asleep[block] = self._slept[block]
        return value, float(weights @ np.maximum(gaps, 0.0))
