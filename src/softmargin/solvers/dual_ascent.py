"""Dual coordinate ascent in blocks: the quickest start, and where samples lie well apart the quickest finish.

Every sweep maximises the dual over the rows one after the other, so that each sample profits at once from what
was learnt from those before it. What slows it down is long or strongly correlated features at a small λ. A sweep
tells how far it was from the optimum; where that predicts too many more sweeps, a finisher takes over.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from softmargin.arguments import check_count
from softmargin.errors import CapabilityError, ParameterError
from softmargin.objective import DualState, Problem
from softmargin.solvers.base import Progress, Saved, Solver, Start, State, Steps
from softmargin.vectors import Vector, namespace

__all__ = ["DualAscent"]

_PENALTY = 8.0
"""What a sum of the dual rows costs at first, in units of how far scores must move to move a row."""

_CONSTANT_FEATURE = 0.01
"""Least square of the constant feature whose weight is the bias, as a share of that of a sample."""

_SINGLE = 1e-8
"""Relative gap below which products in float32 are not good enough."""

_ROUNDING = 4.0 * float(np.finfo(np.float32).eps)
"""Nor below this gap in units of the loss where rounded scores move the loss in first order: at kinks."""

_AGAIN, _EARLIEST = 1.25, 4.0
"""A proof that fell short says little once so many times the passes are done, and not only the first few: the sum
of the dual rows is far from zero at first, which is soon mended."""

_PASSES_TO_JUDGE = 8.0
_BEST_RATE = 0.1

_PATH_POWER = 0.6
"""From one λ to the next the dual rows move about as this power of λ, which leaves the rest of the way to W."""


class _Ascent(NamedTuple):
    """What sweeps and proofs have shown.

    Attributes
    ----------
    left : float
        Relative gap that seems to be left.
    seen : float
        Relative gap that the last sweep saw.
    gap : float
        The same, absolute.
    optimism : float
        By how much the last proof fell short of `left`, as a factor.
    tried : float
        Passes when it was made.
    estimates : tuple of (float, float)
        Passes and estimated gaps of the later half of the fit.
    """

    left: float = math.inf
    seen: float = math.inf
    gap: float = math.inf
    optimism: float = 1.0
    tried: float = 0.0
    estimates: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class DualAscentState(State):
    """Dual rows after a sweep, and the generator of the order of the next."""

    dual: DualState
    rng: np.random.Generator
    ascent: _Ascent

    def saved(self) -> Saved:
        """Return what `load` needs."""
        return self.dual.save() | {"rng": self.rng.bit_generator.state, "ascent": list(self.ascent)}

    @classmethod
    def load(cls, problem: Problem, P: Vector, saved: Saved) -> DualAscentState:
        """Return the state that was saved."""
        dual = _class_rows(problem)
        dual.restore(saved)
        rng = np.random.default_rng()
        rng.bit_generator.state = saved["rng"]
        ascent = _Ascent(*saved["ascent"])
        ascent = ascent._replace(estimates=tuple((passes, estimate) for passes, estimate in ascent.estimates))
        return cls(P=dual.P, reg=problem.reg, dual=dual, rng=rng, ascent=ascent)


@dataclass(frozen=True)
class DualAscent(Solver):
    """Block dual ascent, then a finisher if there is one and progress is slow.

    Kept beyond X: the dual rows, a number for each sample and class (float32 until the last digits).

    Parameters
    ----------
    finisher : Solver, optional
        What goes on from there when more than ``patience`` passes seem to be left.
    patience : float
        Passes.
    seed : int
        Of the order of the samples.
    """

    finisher: Solver | None = None
    patience: float = 1000.0
    seed: int = 0

    @property
    def states(self) -> tuple[type[State], ...]:
        """Its own kind of states, and those of the finisher."""
        return (DualAscentState, *(self.finisher.states if isinstance(self.finisher, Solver) else ()))

    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield states after each sweep, and those of the finisher."""
        if not problem.loss.ascends:
            raise CapabilityError(f"{problem.loss!r} has no row function for dual ascent.")
        check_count("seed", self.seed, 0)
        if not (self.finisher is None or isinstance(self.finisher, Solver)):
            raise ParameterError(f"finisher must be a solver such as LBFGS(), but it is {self.finisher!r}.")
        if self.finisher is not None and start.reg == problem.reg and isinstance(start, self.finisher.states):
            return (yield from self.finisher.steps(problem, start, tol))
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
            state = DualAscentState(
                P=dual.P, reg=problem.reg, estimate=optimism * left, ready=optimism * left <= tol or again,
                source=dual, dual=dual, rng=rng, ascent=ascent,
            )  # fmt: skip
            answer = yield state
            if answer is not None:
                optimism = max(1.0, answer.gap / left) if left > 0.0 else 1.0
                ascent = ascent._replace(optimism=optimism, tried=dual.n_passes)
            estimate = optimism * left
            if estimate < _SINGLE or (not problem.loss.smooth and ascent.gap < floor):
                dual.to_double()
            estimates = [*ascent.estimates, (dual.n_passes, estimate)]
            while len(estimates) > 1 and estimates[1][0] <= 0.5 * dual.n_passes:
                del estimates[0]  # progress is judged by the later half
            if self.finisher is not None and self._is_slow(estimates, tol):
                after = self.finisher.steps(problem, self.finisher.start_from_dual(dual, estimate), tol)
                return (yield from _tagged(after, state))
            ascent = _swept(dual, rng, ascent._replace(estimates=tuple(estimates)))
        return "The scores left the range of numbers."

    def _is_slow(self, estimates: list[tuple[float, float]], tol: float) -> bool:
        """Return whether more than ``patience`` passes seem to be left."""
        (first, before), (last, estimate) = estimates[0], estimates[-1]
        if last - first < _PASSES_TO_JUDGE or estimate <= tol:
            return False
        digits = math.log(before / estimate)
        return digits <= 0.0 or math.log(estimate / tol) / digits * (last - first) > self.patience


def _first_rows(problem: Problem, start: State) -> Generator[State, Progress | None, DualState]:
    """Return the dual rows to begin with: those of another λ or of a point, where one is known.

    The rows of a loss with kinks at a point are not known; there the point itself is tried first.
    """
    before = start.warm or start
    if isinstance(before, DualAscentState) and problem.reg <= before.reg:
        dual = _class_rows(problem)
        dual.start_from(before.dual, (problem.reg / before.reg) ** _PATH_POWER)
        return dual
    known = bool(namespace(start.P).any(start.P != 0.0))
    if known:
        yield Start(P=start.P, reg=problem.reg, ready=True)
    dual = _class_rows(problem)
    if known and problem.loss.smooth:
        dual.start_from_point(start.P[:-1, :], start.P[-1, :])
    return dual


def _class_rows(problem: Problem) -> DualState:
    penalty = _PENALTY * problem.loss.balance_stiffness(problem.traits.shape.n_classes)
    return problem.dual_state(penalty, _CONSTANT_FEATURE)


def _swept(dual: DualState, rng: np.random.Generator, ascent: _Ascent) -> _Ascent | None:
    """Return what is known after another sweep; None if scores overflowed."""
    sweep = dual.sweep(rng)
    if not np.isfinite(sweep.value + sweep.gap):
        return None
    seen, before = sweep.gap / sweep.value if sweep.value > 0.0 else 0.0, ascent.seen
    # Rows were seen before they moved: what is left now is less by about as much as the last sweep gained.
    left = seen * min(max(seen / before, _BEST_RATE), 1.0) if before > 0.0 else seen
    return ascent._replace(left=left, seen=seen, gap=sweep.gap)


def _tagged(steps: Steps, warm: State) -> Steps:
    """Yield the states of a finisher; a fit with another λ should start from the dual rows before it."""
    answer = None
    while True:
        try:
            state = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = yield replace(state, warm=warm)
