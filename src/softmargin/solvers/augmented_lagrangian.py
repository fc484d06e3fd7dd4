"""An augmented Lagrangian method for the exact hinge, with a descent as its inner solver.

The hinge is ``max(0, u) = max_{0≤t≤1} t·u``. Subtracting (μ/2)(t - t⁰)² from t·u makes it smooth. Up to a
constant, the result is the smoothed hinge of width μ at scores with the offset μ·t⁰. Minimise that, set t⁰ ← t,
repeat: a proximal method in the dual, which converges to the exact hinge for any fixed μ. The multipliers t are
also the dual point of the certificate. See ``docs/mathematics.md``.

At a small λ, the first rounds use no multipliers, and a decreasing width. Smoothed by μ, the hinge is the squared
hinge with λ multiplied by 2μ, except for violations above μ. So a few Newton steps per round suffice.

References
----------
Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm in convex
programming", 1976.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from softmargin.errors import CapabilityError
from softmargin.objective import DualState, Problem, RowState
from softmargin.solvers.base import Progress, Saved, Solver, Start, State, Steps
from softmargin.solvers.descent import Descent, check_descent
from softmargin.vectors import Vector, like, to_numpy

__all__ = ["AugmentedLagrangian"]

_INNER_SHARE = 0.2
"""The inner problem is solved to this fraction of the remaining gap."""

_LEAST_SHARE = 1e-3
"""The fraction is halved down to this while the gap does not decrease."""

_NARROWER = 0.3
"""The width shrinks by this factor after a round that did not reduce the gap by the factor `_ENOUGH`."""

_ENOUGH = 0.3
_WIDEST = 2.0
"""In units of Δ. At zero scores every margin violation is Δ, the middle of this width, where the loss curves."""

_NARROWEST = 0.03
_NARROWEST_EASY, _FEW_STEPS = 1e-5, 6
"""A round of this few steps may be followed by a narrower one, which moves the multipliers further."""

_LEAST_WIDTH = 0.02
_SMOOTH_SHARE = 0.3
"""Where `Traits.is_stiff`, the first rounds use no multipliers. Their first width is half the stiffness. They end
below this width or at a gap below `_ENOUGH`, and are solved to this relative gap."""

_FACTORS = (0.01, 0.1, 0.3)
_FEWEST, _FEW, _FAR = 2, 4, 0.9
"""The width is multiplied by one of these factors: by the first after a round of at most `_FEWEST` points, if the
gap is at least `_FAR`, by the second after at most `_FEW`, and else by the last."""

_RELAXATION = 1.3

_SINGLE = 1e-6
"""Relative gap down to which a round starts with float32 products."""


class _Round(NamedTuple):
    """The start of a round.

    Attributes
    ----------
    multipliers : RowState
    width : float
        Width of the smoothing, in units of Δ.
    gap : float
        Relative gap certified so far.
    share : float
        The inner problem is solved to this fraction of the gap.
    value : float or None
        The best value so far, if known.
    rounding : float
        Part of the gap that allows for rounding errors.
    """

    multipliers: RowState
    width: float
    gap: float = 1.0
    share: float = _INNER_SHARE
    value: float | None = None
    rounding: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AugmentedLagrangianState(State):
    """A point of a round, and the start of the round, where a checkpoint may be written."""

    round: _Round

    def saved(self) -> Saved:
        """Return what `load` needs."""
        multipliers, *numbers = self.round
        return {"P": to_numpy(self.P), "multipliers": multipliers.save(), "round": numbers}

    @classmethod
    def load(cls, problem: Problem, P: Vector, saved: Saved) -> AugmentedLagrangianState:
        """Return a saved state."""
        started = _Round(problem.rows_from(saved["multipliers"]), *saved["round"])
        return cls(P=like(P, saved["P"]), reg=problem.reg, round=started)


@dataclass(frozen=True)
class AugmentedLagrangian(Solver):
    """Rounds of a smoothed hinge with multipliers, each minimised by a descent.

    Memory beyond X: three float32 numbers per sample and class, for the multipliers before and after a round and
    for the offsets.

    Parameters
    ----------
    inner : Descent
        Solver for the smooth problem of a round.
    """

    states = (AugmentedLagrangianState,)
    inner: Descent

    def start_from_dual(self, dual: DualState, estimate: float) -> State:
        """Return the state whose first multipliers are the dual rows."""
        width = max(min(_WIDEST, estimate**0.5), _NARROWEST)
        started = _Round(dual.rows.non_negative(), width, estimate)
        return AugmentedLagrangianState(P=dual.P, reg=dual.reg, round=started)

    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield the points of all rounds."""
        if problem.loss.smoothed(1.0) is None:
            raise CapabilityError(
                f"AugmentedLagrangian requires a loss that can be smoothed, such as Hinge, got {problem.loss!r}."
            )
        check_descent("inner", self.inner)
        P, delta = start.P, problem.loss.score_scale
        stiff = problem.traits.is_stiff(delta)
        if isinstance(start, AugmentedLagrangianState):
            ratio = problem.reg / start.reg
            multipliers, width, gap, share, value, rounding = start.round
            if ratio != 1.0:  # the dual rows scale with λ
                multipliers, width, gap, value = multipliers.scaled(ratio), width / ratio, 1.0, None
        else:
            widest = max(_WIDEST, 0.5 * problem.traits.dual_stiffness / delta) if stiff else _WIDEST
            multipliers, width, gap, share, value, rounding = _Round(problem.rows_from(None), widest)
        if value is None:
            value = problem.evaluate(P).value
        while True:
            smoothed = problem.smoothed(width * delta, multipliers)
            target = max(share * gap, 0.3 * max(tol, rounding)) * value
            started = _Round(multipliers, width, gap, share, value, rounding)
            state = AugmentedLagrangianState(
                P=P, reg=problem.reg, value=value, estimate=gap, source=smoothed, round=started
            )
            answer, n_steps = None, 0
            smooths = stiff and gap > _ENOUGH and width > _LEAST_WIDTH
            for point in self.inner.descend(smoothed, Start(P=P, reg=problem.reg), tol, gap > _SINGLE):
                n_steps, P = n_steps + 1, point.P
                assert point.value is not None
                allowed = min(target, _SMOOTH_SHARE * point.value) if smooths else target
                done = point.estimate * point.value <= allowed
                answer = yield replace(state, P=P, ready=done, keep_rows=done, resumable=n_steps == 1)
                if done:
                    break
            else:
                answer = yield replace(state, P=P, ready=True, keep_rows=True, resumable=False)
            assert isinstance(answer, Progress)
            assert answer.rows is not None
            before, gap, value, rounding = gap, answer.gap, answer.value, answer.rounding
            if smooths and gap > _ENOUGH:
                fastest = 0 if n_steps <= _FEWEST and gap >= _FAR else 1
                width *= _FACTORS[fastest if n_steps <= _FEW else 2]
                continue
            # Over-relaxation: beyond the new multipliers, the method takes fewer rounds.
            multipliers = multipliers.moved(answer.rows, _RELAXATION, 0.0, 1.0)
            if gap > _ENOUGH * before:
                narrowest = _NARROWEST_EASY if n_steps <= _FEW_STEPS else _NARROWEST
                width = max(_NARROWER * width, min(narrowest, width))
                share = max(0.5 * share, _LEAST_SHARE)
