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

import numpy as np

from softmargin.errors import CapabilityError
from softmargin.losses import Hinge, SmoothedHinge
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Callback, Fit, Recorder, SmoothSolver, check_settings

__all__ = ["AugmentedLagrangian"]

_INNER_SHARE = 0.2
"""The inner problem is solved to this share of the gap that is left."""

_LEAST_SHARE = 1e-3
"""It is halved down to this while the gap does not come down."""

_NARROWER = 0.3
"""The width shrinks by this factor when a round has not brought the gap down by `_ENOUGH`."""

_ENOUGH = 0.3
_NARROWEST = 0.01


@dataclass(frozen=True)
class AugmentedLagrangian:
    """Rounds of a smoothed hinge with multipliers, each minimised by a smooth solver.

    Kept beyond X: the multipliers, one float64 for each sample and class.

    Parameters
    ----------
    inner : SmoothSolver
        The smooth solver.
    tol : float
        Relative duality gap to prove.
    max_passes : float
        Budget of readings of X, over all rounds.
    """

    inner: SmoothSolver
    tol: float = 1e-4
    max_passes: float = 2000

    def minimize(self, objective: Objective, W0: Floats, b0: Floats, callback: Callback | None = None) -> Fit:
        """Minimise from (W0, b0) until the gap is proved or the budget is used up."""
        check_settings(self.tol, self.max_passes)
        if not isinstance(objective.loss, Hinge):
            raise CapabilityError(f"The augmented Lagrangian is for Hinge, not for {objective.loss!r}.")
        record = Recorder(objective, self.tol, callback)
        delta = objective.loss.delta
        # At zero scores every violation is Δ: in the middle of the first width, where there is curvature.
        width, multipliers = 2.0 * delta, np.zeros((objective.n_samples, objective.n_classes))
        P, status = np.vstack([W0, b0]), ""
        gap, share, value = 1.0, _INNER_SHARE, objective.value(W0, b0)
        while True:
            smoothed = objective.replace(loss=SmoothedHinge(delta, width), offsets=width * multipliers)
            target = max(share * gap, 0.3 * self.tol) * value

            def near(P: Floats, value: float, estimate: float, target: float = target) -> bool:
                return estimate * value <= target

            P, status = self.inner.descend(smoothed, P, record, near)
            before, gap = gap, record.certify(P[:-1], P[-1], dual=smoothed)
            value = record.value
            if gap <= self.tol:
                return record.finish("The requested gap is proved.")
            if record.stopped:
                return record.finish(status)
            if record.n_passes >= self.max_passes:
                return record.finish(f"The budget of {self.max_passes:g} passes is used up: raise max_passes.")
            multipliers = np.maximum(smoothed.multipliers(P[:-1], P[-1]), 0.0)  # the target's entry is negative
            if gap > _ENOUGH * before:
                width = max(_NARROWER * width, _NARROWEST * delta)
                share = max(0.5 * share, _LEAST_SHARE)
