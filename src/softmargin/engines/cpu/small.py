"""The engine for small dense X: the NumPy forms, and a single compiled loop for dual ascent.

Compiling the loops of the other engines takes longer than all fits of a search on small data. Dual ascent visits
the rows one by one, which NumPy cannot do. Since X and W stay in cache, its loop needs neither Gram matrices nor
tiles, and compiles quickly.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.base import Capability, DualState
from softmargin.engines.cpu.dual import FAIR_SHARE, LONGEST_WAIT, DualRows
from softmargin.engines.cpu.dual_kernel import SMALLEST_CURVATURE
from softmargin.engines.cpu.native import call_code
from softmargin.engines.cpu.row_code import ascent_code
from softmargin.engines.reference import ReferenceEngine
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.losses.rows import ANY_ORDER
from softmargin.samples import Samples
from softmargin.threads import Workers, default_threads

__all__ = ["SmallEngine"]


class SmallEngine(ReferenceEngine):
    """Plain NumPy on a float64 copy of the samples, with dual ascent.

    Parameters
    ----------
    samples : Samples
    threads : int or Workers, optional
        The threads to use; by default one per usable core.
    classes : ndarray of shape (C,), optional
        As in `InMemoryEngine`.
    """

    def __init__(
        self, samples: Samples, threads: int | Workers | None = None, classes: Ints | None = None
    ) -> None:
        workers = threads if isinstance(threads, Workers) else Workers(threads or default_threads())
        super().__init__(samples, workers, classes)
        self.supports |= {Capability.DUAL_ASCENT}
        self._mapped: tuple[Affine | None, Floats, Floats] = None, np.zeros((0, 0)), np.zeros(0)

    def dual_state(self, loss: Loss, reg: float, affine: Affine, penalty: float, single: bool) -> DualState:
        """Return dual rows for dual ascent, always in float64."""
        return _SmallDualRows(self, loss, reg, affine, penalty)

    def mapped(self, affine: Affine) -> tuple[Floats, Floats]:
        """Return the mapped features (N, D) of all samples and their squared lengths (N,), kept for other fits."""
        found = self._mapped
        if found[0] is not affine:
            Z = self.mapped_rows(np.arange(len(self.samples.y)), affine)
            self._mapped = found = affine, Z, np.square(Z).sum(axis=1)
        return found[1:]


class _SmallDualRows(DualRows):
    """Dual rows with a float64 copy of the mapped features of all samples."""

    def __init__(self, engine: SmallEngine, loss: Loss, reg: float, affine: Affine, penalty: float) -> None:
        super().__init__(engine, loss, reg, affine, penalty, np.float64)
        self._Z, self._squares = engine.mapped(affine)
        self._code = ascent_code(loss, self.A.dtype)
        self._scratch, self._longest = np.empty((4, len(self.b))), LONGEST_WAIT

    def _pass(self, rng: np.random.Generator) -> tuple[float, float, float]:
        samples, rows = self._engine.samples, self._engine.rows
        n_visits, value, gap, largest = visit_rows(
            *self._code, self._Z, self._squares, self._Wt, self.b, self._sums, self.A, rows,
            int(rng.integers(1 << 62)), self._waits, self._due, self._longest, samples.y, samples.weights,
            self._factor, self._penalty, self._scratch, self._values, self._gaps,
        )  # fmt: skip
        self._count(n_visits)
        return value, gap, largest

    def _wait(self, fair: float, longest: int) -> None:
        self._longest = longest  # applied by the next pass

    def save(self) -> dict[str, Any]:
        """Return a copy of everything that sweeps change, for a checkpoint."""
        return super().save() | {"longest": self._longest}

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore what `save` returned."""
        super().restore(saved)
        self._longest = saved["longest"]


@numba.njit(nogil=True, cache=True, fastmath=set(ANY_ORDER), error_model="numpy")
def visit_rows(
    code: int, numbers: Floats, Z: Floats, squares: Floats, Wt: Floats, b: Floats, sums: Floats, A: Floats,
    rows: Ints, seed: int, waits: NDArray[np.float32], due: NDArray[np.float32], longest: int, y: Ints,
    weights: Floats, factor: float, penalty: float, scratch: Floats, values: Floats, gaps: Floats,
) -> tuple[int, float, float, float]:  # fmt: skip
    """Maximise the dual over the ``rows`` that are due, one by one, in an order that depends on the ``seed``.

    ``squares`` are those of the lengths of the rows of Z (N, D). ``values`` and ``gaps`` (N,) get the weighted
    losses and gaps of the rows before their visit, and ``waits`` and ``due`` (n) are those of the rows.
    ``scratch`` is (4, C). Sweeps over few rows are repeated, as long as these are together less than half of them.

    Return the number of visits, the sums of ``values`` and ``gaps``, and the largest loss.
    """
    s, change, work, gap = scratch[0], scratch[1], scratch[2], scratch[3]
    order, pull = np.empty(rows.size, np.int64), penalty / factor
    n_visits, state, largest, value_sum, gap_sum = 0, np.uint64(seed), 0.0, 0.0, 0.0
    for _ in range(LONGEST_WAIT):  # not more, where scores overflow
        if n_visits > 0:
            for j in range(b.size):
                b[j] -= penalty * sums[j]
        n_due = 0
        for place in range(rows.size):
            due[place] -= np.float32(1.0)
            if due[place] < 1.0:
                order[n_due] = rows[place]
                n_due += 1
        n_visits += n_due
        for k in range(n_due, 0, -1):  # visits one of the first k rows, and puts another in its place
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            other = np.int64(state >> np.uint64(33)) % k
            i = order[other]
            order[other] = order[k - 1]
            for j in range(b.size):
                total = 0.0
                for d in range(Z.shape[1]):
                    total += Z[i, d] * Wt[j, d]
                s[j] = total + b[j]
            q = max(factor * weights[i] * (squares[i] + pull), SMALLEST_CURVATURE)
            value = call_code(code, (numbers, s, A[i], b.size, y[i], q, change, work, gap))
            largest = max(largest, value)
            values[i] = weights[i] * value
            gaps[i] = 0.0
            for j in range(b.size):
                if change[j] != 0.0:
                    gaps[i] = weights[i] * max(gap[0], 0.0)
                    sums[j] += weights[i] * change[j]
                    step = factor * weights[i] * change[j]
                    b[j] -= pull * step
                    for d in range(Z.shape[1]):
                        Wt[j, d] -= step * Z[i, d]
        value_sum = gap_sum = 0.0
        for i in rows:
            value_sum += values[i]
            gap_sum += gaps[i]
        for place in range(rows.size):
            if due[place] < 1.0:
                ratio = math.sqrt(FAIR_SHARE * gap_sum / rows.size / max(gaps[rows[place]], 1e-300))
                waits[place] = min(max(waits[place] * min(ratio, 2.0), 1.0), longest)
                due[place] += waits[place]
        if 2 * n_visits >= rows.size:
            break
    return n_visits, value_sum, gap_sum, largest
