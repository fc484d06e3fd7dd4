"""The exact hinge by an augmented Lagrangian over a smooth solver.

The hinge is ``max(0, u) = max_{0≤t≤1} t·u``. Subtracting (μ/2)(t - t⁰)² from it makes it smooth; that is
the smoothed hinge of width μ at scores with the offset μ·t⁰ (but for a constant). Minimise that, take
t⁰ ← t, repeat: a proximal method in the dual, which converges to the exact hinge for any fixed μ. The
multipliers t are also the dual point of the certificate. See ``docs/mathematics.md``.

References
----------
Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm in convex
programming", 1976.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.checkpoint import State
from softmargin.engines import DualRows
from softmargin.errors import CapabilityError
from softmargin.losses import Hinge, SmoothedHinge
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Point, Recorder, SmoothSolver, Solver, check_smooth_solver

__all__ = ["AugmentedLagrangian"]

_INNER_SHARE = 0.2
"""The inner problem is solved to this share of the gap that is left."""

_LEAST_SHARE = 1e-3
"""It is halved down to this while the gap does not come down."""

_NARROWER = 0.3
"""The width shrinks by this factor when a round has not brought the gap down by `_ENOUGH`."""

_ENOUGH = 0.3
_NARROWEST = 0.03
_NARROWEST_EASY = 1e-5
_FEW_STEPS = 6

_RELAXATION = 1.3

_STAGE = "AugmentedLagrangian"

_SINGLE = 1e-6
"""Relative gap down to which a round starts with products in float32."""


@dataclass(frozen=True)
class AugmentedLagrangian(Solver):
    """Rounds of a smoothed hinge with multipliers, each minimised by a smooth solver.

    Kept beyond X: the multipliers before and after a round and the offsets, each one float32 for each sample and
    class.

    Parameters
    ----------
    inner : SmoothSolver
        The smooth solver.
    tol, max_passes : float
        As in `Solver`; the budget is for all rounds together.
    """

    inner: SmoothSolver
    tol: float = 1e-4
    max_passes: float = 2000

    def solve(self, objective: Objective, P: Floats, record: Recorder) -> str:
        """Minimise from P until the gap is proved or the budget is used up."""
        return self._rounds(objective, P, record, None, 1.0)

    def take_over(self, objective: Objective, rows: DualRows, record: Recorder, gap: float) -> str:
        """Minimise from where dual rows stand: they are the first multipliers."""
        return self._rounds(
            objective, np.vstack([rows.W, rows.b]), record, np.maximum(rows.A, 0.0, dtype=np.float32), gap
        )

    def _rounds(
        self, objective: Objective, P: Floats, record: Recorder, multipliers: NDArray[Any] | None, gap: float
    ) -> str:
        """Minimise from P and, if given, multipliers (N, C) whose relative gap is about ``gap``."""
        if not isinstance(objective.loss, Hinge):
            raise CapabilityError(f"The augmented Lagrangian is for Hinge, not for {objective.loss!r}.")
        check_smooth_solver("inner", self.inner)
        delta = objective.loss.delta
        if multipliers is None:
            # At zero scores every violation is Δ: in the middle of the first width, where there is curvature.
            width, multipliers = 2.0 * delta, np.zeros((objective.n_samples, objective.n_classes), np.float32)
        else:
            width = max(min(2.0, gap**0.5), _NARROWEST) * delta
        share, value = _INNER_SHARE, objective.value(P[:-1], P[-1])
        state = record.resumed(_STAGE)
        if state is not None:
            P, multipliers = state["P"], state["multipliers"]
            width, gap, share, value = state["round"]
            record.restore(state)
        while True:
            now: State = {"P": P, "multipliers": multipliers, "round": [width, gap, share, value]}
            record.offer(_STAGE, now)
            smoothed = objective.replace(loss=SmoothedHinge(delta, width), offsets=width * multipliers)
            target = max(share * gap, 0.3 * record.tol) * value

            n_steps = [0]

            def near(
                point: Point,
                estimate: float,
                smoothed: Objective = smoothed,
                target: float = target,
                seen: tuple[float, float] = (value, gap),
                n_steps: list[int] = n_steps,
            ) -> bool:
                n_steps[0] += 1
                record.at(point.P[:-1], point.P[-1], smoothed)
                record.step(*seen)
                return estimate * point.value <= target

            P, _ = self.inner.descend(smoothed, P, record, near, single=gap > _SINGLE)
            found = np.zeros_like(multipliers)
            before, gap = gap, record.certify(P[:-1], P[-1], smoothed, found)
            value = record.value
            ended = record.why_end()
            if ended is not None:
                return ended
            # Past the new multipliers: over-relaxed, the method of multipliers takes fewer rounds.
            multipliers = np.clip(multipliers + _RELAXATION * (found - multipliers), 0.0, 1.0)
            if gap > _ENOUGH * before:
                # Where a round ends in a few steps a narrower one is no harder, and takes the multipliers further.
                narrowest = _NARROWEST_EASY if n_steps[0] <= _FEW_STEPS else _NARROWEST
                width = max(_NARROWER * width, min(narrowest * delta, width))
                share = max(0.5 * share, _LEAST_SHARE)
