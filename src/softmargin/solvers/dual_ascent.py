"""Dual coordinate ascent in blocks: the quickest start, and where samples lie well apart the quickest finish.

Every sweep maximises the dual over the rows one after the other, so that each sample profits at once from what
the ones before it taught. What slows it down is long or strongly correlated features at a small λ. A sweep tells
how far it was from the optimum; where that predicts too many more sweeps, a finisher takes over from the point
reached.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from softmargin.checkpoint import State
from softmargin.engines import DualRows
from softmargin.errors import CapabilityError, ParameterError
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Recorder, Solver
from softmargin.validation import check_count

__all__ = ["DualAscent"]

_SINGLE = 1e-8
"""Relative gap below which products in float32 are not good enough."""

_ROUNDING = 4.0 * float(np.finfo(np.float32).eps)
"""Nor below this gap in units of the loss where rounded scores move the loss in first order: at kinks."""

_AGAIN, _EARLIEST = 1.25, 4.0
"""A proof that fell short says little once so many times the passes are done, and not only the first few: the sum
of the dual rows is far from zero at first, which is soon mended."""

_PASSES_TO_JUDGE = 8.0
_BEST_RATE = 0.1
_STAGE = "DualAscent"


@dataclass(frozen=True)
class DualAscent(Solver):
    """Block dual ascent, then a finisher if there is one and progress is slow.

    Kept beyond X: the dual rows, a number for each sample and class (float32 until the last digits).

    Parameters
    ----------
    tol, max_passes : float
        As in `Solver`.
    finisher : Solver, optional
        What goes on from there when more than ``patience`` passes seem to be left.
    patience : float
        Passes.
    seed : int
        Of the order of the samples.
    """

    tol: float = 1e-4
    max_passes: float = 2000
    finisher: Solver | None = None
    patience: float = 1000.0
    seed: int = 0

    def first_rows(self, objective: Objective, known: tuple[Floats, Floats] | None) -> DualRows:
        """Return the dual rows to begin with: those of a point, if one is known."""
        return objective.dual_rows(np.float32, known)

    def solve(self, objective: Objective, P: Floats, record: Recorder) -> str:
        """Ascend from the dual rows that belong to P; those of a loss with kinks are not known and start at 0."""
        if not objective.loss.ascends:
            raise CapabilityError(f"{objective.loss!r} has no row function for dual ascent.")
        check_count("seed", self.seed, 0)
        if not (self.finisher is None or isinstance(self.finisher, Solver)):
            raise ParameterError(f"finisher must be a solver such as LBFGS(), but it is {self.finisher!r}.")
        if record.past(_STAGE) and self.finisher is not None:
            return self.finisher.solve(objective, P, record)
        record.at(P[:-1], P[-1])
        known = None
        if P.any():
            record.certify(P[:-1], P[-1])
            if record.proved:
                return "The requested gap is proved."
            known = (P[:-1], P[-1]) if objective.loss.smooth else None
        rows = self.first_rows(objective, known)
        rng = np.random.default_rng(self.seed)
        optimism, tried, before, floor = 1.0, 0.0, np.inf, _ROUNDING * objective.loss.unit
        estimates: deque[tuple[float, float]] = deque()
        state = record.resumed(_STAGE)
        if state is not None:
            rows.restore(state)
            rng.bit_generator.state = state["rng"]
            optimism, tried, before = state["optimism"], state["tried"], state["before"]
            estimates.extend((passes, estimate) for passes, estimate in state["estimates"])
            record.restore(state)
        while True:
            now: State = {"rng": rng.bit_generator.state, "optimism": optimism, "tried": tried, "before": before}
            record.offer(_STAGE, now | {"estimates": list(estimates)}, rows.state)
            sweep = rows.sweep(rng)
            if not np.isfinite(sweep.value + sweep.gap):
                return "The scores left the range of numbers."
            seen = sweep.gap / sweep.value if sweep.value > 0.0 else 0.0
            record.at(rows.W, rows.b, rows)
            # Rows were seen before they moved: what is left now is less by about as much as the last sweep gained.
            left = seen * min(max(seen / before, _BEST_RATE), 1.0) if before > 0.0 else seen
            before = seen
            again = left <= record.tol and rows.n_passes >= max(_AGAIN * tried, _EARLIEST)
            if optimism * left <= record.tol or again or record.bound_is_due():
                proved = record.certify(rows.W, rows.b, rows)
                optimism, tried = max(1.0, proved / left) if left > 0.0 else 1.0, rows.n_passes
            estimate = optimism * left
            record.step(record.value, estimate)
            ended = record.why_end()
            if ended is not None:
                return ended
            if estimate < _SINGLE or (not objective.loss.smooth and sweep.gap < floor):
                rows.to_double()
            estimates.append((rows.n_passes, estimate))
            while len(estimates) > 1 and estimates[1][0] <= 0.5 * rows.n_passes:
                estimates.popleft()  # progress is judged by the later half
            spent = rows.n_passes - estimates[0][0]
            if self.finisher is not None and spent >= _PASSES_TO_JUDGE and estimate > record.tol:
                digits = np.log(estimates[0][1] / estimate)
                left = np.log(estimate / record.tol) / digits * spent if digits > 0.0 else np.inf
                if left > self.patience:
                    return self.finisher.take_over(objective, rows, record, estimate)
