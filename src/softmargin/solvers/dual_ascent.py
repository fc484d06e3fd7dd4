"""Block dual coordinate ascent: the fastest start, and the fastest solver where samples are almost uncorrelated.

A sweep maximises the dual over one row after the other, so that each sample benefits at once from the updates of
those before it. Long or strongly correlated features at a small λ make it slow. Each sweep estimates the distance
to the optimum. If that predicts too many more sweeps, the fallback continues.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from softmargin.arguments import brief, check_count
from softmargin.errors import CapabilityError, ParameterError
from softmargin.objective import DualState, Problem
from softmargin.solvers.base import Progress, Saved, Solver, Start, State, Steps
from softmargin.vectors import Vector, namespace

__all__ = ["DualAscent"]

_PENALTY = 8.0
"""Initial penalty on the sum of the dual rows, in units of the change of scores that moves a row."""

_CONSTANT_FEATURE = 0.01
"""Minimum square of the constant feature whose weight is the bias, relative to the squared length of a sample."""

_SINGLE = 1e-8
"""Relative gap below which float32 products are not accurate enough."""

_ROUNDING = 4.0 * float(np.finfo(np.float32).eps)
"""The same as an absolute gap, in units of the loss, for losses with kinks: rounded scores matter more there."""

_AGAIN, _EARLIEST = 1.25, 4.0
"""After a certificate that did not suffice, the next follows when the number of passes has grown by this factor.
The first waits for this number of passes, because the sum of the dual rows is far from zero at first."""

_PASSES_TO_JUDGE = 8.0
_BEST_RATE = 0.1


class _Ascent(NamedTuple):
    """What sweeps and certificates have shown so far.

    Attributes
    ----------
    left : float
        Estimate of the remaining relative gap.
    seen : float
        Relative gap that the last sweep measured.
    value, gap : float
        F and the absolute gap that it measured, at the point of the dual rows rather than at a multiple.
    stretched : bool
        Whether `left` and `seen` are those of a multiple.
    optimism : float
        Ratio of the last certified gap to `left`, at least 1.
    tried : float
        Number of passes when that certificate was computed.
    estimates : sequence of (float, float)
        Passes and estimated gaps in the second half of the fit.
    """

    left: float = math.inf
    seen: float = math.inf
    value: float = 1.0
    gap: float = math.inf
    stretched: bool = False
    optimism: float = 1.0
    tried: float = 0.0
    estimates: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class DualAscentState(State):
    """Dual rows after a sweep, and the random generator for the order of the next."""

    dual: DualState
    rng: np.random.Generator
    ascent: _Ascent

    def saved(self) -> Saved:
        """Return what `load` needs."""
        return self.dual.save() | {"rng": self.rng.bit_generator.state, "ascent": list(self.ascent)}

    @classmethod
    def load(cls, problem: Problem, P: Vector, saved: Saved) -> DualAscentState:
        """Return a saved state."""
        dual, rng = _class_rows(problem), np.random.default_rng()
        dual.restore(saved)
        rng.bit_generator.state = saved["rng"]
        return cls(P=dual.P, reg=problem.reg, dual=dual, rng=rng, ascent=_Ascent(*saved["ascent"]))


@dataclass(frozen=True)
class DualAscent(Solver):
    """Block dual coordinate ascent, then a fallback if progress is slow.

    Memory beyond X: one number per sample and class for the dual rows (float32 until the last digits).

    Parameters
    ----------
    fallback : Solver, optional
        Continues when more than ``patience`` passes seem to remain.
    patience : float
        Number of passes.
    seed : int
        Seed of the order of the samples.
    """

    fallback: Solver | None = None
    patience: float = 1000.0
    seed: int = 0

    @property
    def states(self) -> tuple[type[State], ...]:
        """Its own class of states, and those of the fallback."""
        return (DualAscentState, *(self.fallback.states if isinstance(self.fallback, Solver) else ()))

    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield a state after each sweep, then the states of the fallback."""
        if not problem.loss.ascends:
            raise CapabilityError(f"DualAscent requires a loss with a row function for it, got {problem.loss!r}.")
        check_count("seed", self.seed, 0)
        if not (self.fallback is None or isinstance(self.fallback, Solver)):
            raise ParameterError(f"fallback must be a solver such as LBFGS(), got {brief(self.fallback)}.")
        if self.fallback is not None and start.reg == problem.reg and isinstance(start, self.fallback.states):
            return (yield from self.fallback.steps(problem, start, tol))
        ascent: _Ascent | None
        if isinstance(start, DualAscentState) and start.reg == problem.reg:
            dual, rng, ascent = start.dual, start.rng, start.ascent
        else:
            dual = yield from _first_rows(problem, start)
            rng = np.random.default_rng(self.seed)
            ascent = _swept(dual, rng, _Ascent())
        floor = _ROUNDING * problem.loss.score_scale
        while ascent is not None:
            left, optimism = ascent.left, ascent.optimism
            again = left <= tol and dual.n_passes >= max(_AGAIN * ascent.tried, _EARLIEST)
            ready = again or optimism * left <= tol
            state = DualAscentState(
                P=dual.stretched_P() if ready and ascent.stretched else dual.P, reg=problem.reg,
                estimate=optimism * left, ready=ready, source=dual, dual=dual, rng=rng, ascent=ascent,
            )  # fmt: skip
            answer = yield state
            if answer is not None and ready:
                optimism = max(1.0, answer.gap / left) if left > 0.0 else 1.0
                ascent = ascent._replace(optimism=optimism, tried=dual.n_passes)
            estimate = optimism * left
            if estimate < _SINGLE or (not problem.loss.smooth and ascent.gap < floor):
                dual.to_double()
            least = min([left, *(before for _, before in ascent.estimates)])
            estimates = [*ascent.estimates, (dual.n_passes, least)]
            while len(estimates) > 1 and estimates[1][0] <= 0.5 * dual.n_passes:
                del estimates[0]  # progress is judged by the second half
            if self.fallback is not None and self._is_slow(estimates, tol / optimism):
                plain = ascent.gap / ascent.value if ascent.value > 0.0 else 0.0
                rest = self.fallback.start_from_dual(dual, max(estimate, plain))
                after = self.fallback.steps(problem, rest, tol)
                return (yield from _with_warm_start(after, state))
            ascent = _swept(dual, rng, ascent._replace(estimates=tuple(estimates)))
        return "Scores overflowed; scale the features."

    def _is_slow(self, estimates: list[tuple[float, float]], tol: float) -> bool:
        """Return whether more than ``patience`` passes seem to remain."""
        (first, before), (last, estimate) = estimates[0], estimates[-1]
        if last - first < _PASSES_TO_JUDGE or estimate <= tol:
            return False
        digits = math.log(before / estimate)
        return digits <= 0.0 or math.log(estimate / tol) / digits * (last - first) > self.patience


def _first_rows(problem: Problem, start: State) -> Generator[State, Progress | None, DualState]:
    """Return the first dual rows: from those of another λ, or from a point.

    The point is certified first: it may be good enough, and for a loss with kinks it does not give the dual rows.
    """
    before = start.warm or start
    if isinstance(before, DualAscentState) and problem.reg <= before.reg:
        dual = _class_rows(problem)
        dual.start_from(before.dual, _path_factor(before, problem.reg))
        return dual
    known = bool(namespace(start.P).any(start.P != 0.0))
    if known:
        yield Start(P=start.P, reg=problem.reg, ready=True)
    dual = _class_rows(problem)
    if known and problem.loss.smooth:
        dual.start_from_point(start.P[:-1, :], start.P[-1, :])
    return dual


def _path_factor(before: DualAscentState, reg: float) -> float:
    """Return the factor for which the dual rows of a fit give the largest lower bound at a smaller λ.

    It is that of the hinge: c times the rows with bound D at λ' give c·(D + B) − c²·B·λ'/λ at λ, with B = λ'‖W‖².
    Where no loss is left, this is λ/λ', and W stays as it is. The other losses gain from the same factor.
    """
    W, bound = before.dual.P[:-1, :], before.ascent.value - before.ascent.gap
    penalty = before.reg * float(namespace(W).sum(W * W))
    return min(1.0, reg / before.reg * 0.5 * (1.0 + bound / penalty)) if penalty > 0.0 else 1.0


def _class_rows(problem: Problem) -> DualState:
    penalty = _PENALTY * problem.loss.balance_stiffness(problem.traits.shape.n_classes)
    return problem.dual_state(penalty, _CONSTANT_FEATURE)


def _swept(dual: DualState, rng: np.random.Generator, ascent: _Ascent) -> _Ascent | None:
    """Return the estimates after another sweep; None if scores overflowed."""
    sweep, before = dual.sweep(rng), ascent.seen
    if not np.isfinite(sweep.value + sweep.gap):
        return None
    left = seen = sweep.gap / sweep.value if sweep.value > 0.0 else 0.0
    if not sweep.stretched and before > 0.0:
        # Rows are measured before their update: the remaining gap is smaller, by about the ratio of two sweeps.
        # The largest violation, which decides on a multiple of the point, varies too much for that.
        left *= min(max(seen / before, _BEST_RATE), 1.0)
    value = sweep.value - sweep.gap + sweep.plain_gap
    return ascent._replace(left=left, seen=seen, value=value, gap=sweep.plain_gap, stretched=sweep.stretched)


def _with_warm_start(steps: Steps, warm: State) -> Steps:
    """Yield the states of the fallback, with the last dual rows as the start of a fit with another λ."""
    answer = None
    while True:
        try:
            state = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = yield replace(state, warm=warm)
