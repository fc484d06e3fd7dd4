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
from softmargin.errors import CapabilityError
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Recorder, Solver

__all__ = ["DualAscent"]

_SINGLE = 1e-8
"""Relative gap below which products in float32 are not good enough."""

_SWEEPS_TO_JUDGE = 4
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
        What goes on from there when more than ``patience`` sweeps seem to be left.
    patience : float
        Sweeps.
    seed : int
        Of the order of the samples.
    """

    tol: float = 1e-4
    max_passes: float = 2000
    finisher: Solver | None = None
    patience: float = 300.0
    seed: int = 0

    def solve(self, objective: Objective, P: Floats, record: Recorder) -> str:
        """Ascend from zero: dual rows that belong to P are not known, so P serves only as a first answer."""
        if not objective.loss.ascends:
            raise CapabilityError(f"{objective.loss!r} has no row function for dual ascent.")
        if record.past(_STAGE) and self.finisher is not None:
            return self.finisher.solve(objective, P, record)
        record.at(P[:-1], P[-1])
        rows = objective.dual_rows(np.float32)
        rng = np.random.default_rng(self.seed)
        threshold, n_sweeps = record.tol, 0
        estimates: deque[float] = deque(maxlen=_SWEEPS_TO_JUDGE + 1)
        state = record.resumed(_STAGE)
        if state is not None:
            rows.restore(state)
            rng.bit_generator.state = state["rng"]
            threshold = state["threshold"]
            estimates.extend(state["estimates"])
            n_sweeps = state["sweeps"]
            record.restore(state)
        while True:
            now: State = {"rng": rng.bit_generator.state, "threshold": threshold, "sweeps": n_sweeps}
            record.offer(_STAGE, now | {"estimates": list(estimates)}, rows.state)
            sweep = rows.sweep(rng)
            estimate = sweep.gap / sweep.value if sweep.value > 0.0 else 0.0
            record.at(rows.W, rows.b, rows)
            n_sweeps += 1
            # A sweep does not tell F; asking after 1, 2, 4, 8, … of them costs little.
            if estimate <= threshold or n_sweeps & (n_sweeps - 1) == 0:
                threshold = min(threshold, 0.5 * estimate)
                estimate = min(estimate, record.certify(rows.W, rows.b, rows))
            record.step(record.value, estimate)
            ended = record.why_end()
            if ended is not None:
                return ended
            if rows.single and estimate < _SINGLE:
                rows.to_double()
            estimates.append(estimate)
            if self.finisher is not None and len(estimates) > _SWEEPS_TO_JUDGE and estimate > record.tol:
                rate = (estimates[-1] / estimates[0]) ** (1.0 / _SWEEPS_TO_JUDGE)
                left = np.log(record.tol / estimates[-1]) / np.log(rate) if rate < 1.0 else np.inf
                if left > self.patience:
                    return self.finisher.take_over(objective, rows, record, estimates[-1])
