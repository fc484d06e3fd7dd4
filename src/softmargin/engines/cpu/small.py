"""The engine for small dense X: the NumPy forms, and a single compiled loop for dual ascent.

Compiling the loops of the other engines takes longer than all fits of a search on small data. Dual ascent visits
the rows one by one, which NumPy cannot do. Since X and W stay in cache, its loop needs neither Gram matrices nor
tiles, and compiles quickly.
"""

from __future__ import annotations

import numba
import numpy as np

from softmargin.affine import Affine
from softmargin.engines.base import Capability, DualState
from softmargin.engines.cpu.dual import DualRows
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
        self._scratch = np.empty((4, len(self.b)))

    def _ascend(self, rows: Ints) -> None:
        samples = self._engine.samples
        visit_rows(
            *self._code, self._Z, self._squares, self._Wt, self.b, self._sums, self.A, rows, samples.y,
            samples.weights, self._factor, self._penalty / self._factor, self._scratch, self._values, self._gaps,
        )  # fmt: skip


@numba.njit(nogil=True, cache=True, fastmath=set(ANY_ORDER), error_model="numpy")
def visit_rows(
    code: int, numbers: Floats, Z: Floats, squares: Floats, Wt: Floats, b: Floats, sums: Floats, A: Floats,
    rows: Ints, y: Ints, weights: Floats, factor: float, pull: float, scratch: Floats, values: Floats,
    gaps: Floats,
) -> None:  # fmt: skip
    """Maximise the dual over ``rows``, one by one, in order.

    ``squares`` are those of the lengths of the rows of Z (N, D), and ``pull`` is that of the constant feature.
    ``values`` and ``gaps`` (N,) get the weighted losses and gaps of the rows before their visit. ``scratch`` is
    (4, C).
    """
    s, change, work, gap = scratch[0], scratch[1], scratch[2], scratch[3]
    for k in range(rows.size):
        i = rows[k]
        for j in range(b.size):
            total = 0.0
            for d in range(Z.shape[1]):
                total += Z[i, d] * Wt[j, d]
            s[j] = total + b[j]
        q = max(factor * weights[i] * (squares[i] + pull), SMALLEST_CURVATURE)
        value = call_code(code, (numbers, s, A[i], b.size, y[i], q, change, work, gap))
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
