"""Continuation in λ: a large λ first, where dual ascent is fast, then smaller ones down to that of the objective.

Where the classes are almost separable, the optimum of a margin loss changes slowly with λ: W tends to a limit, and
the dual rows to a multiple of λ. So the active pairs of one λ are nearly those of the next, and a few Newton steps
suffice. From far away they would not, because most of their active pairs would not be those of the optimum.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from softmargin.objective import DualState, Problem, relative_gap
from softmargin.solvers.base import Progress, Solver, Start, State, Steps
from softmargin.vectors import namespace

__all__ = ["Continuation"]

_RATIO = 10.0
"""Ratio of consecutive λ."""

_ROUGH = 0.03
"""Relative gap at which the next λ follows."""

_GOOD = 0.99
"""Relative gap up to which dual ascent at the last λ is a better start than a larger λ."""


@dataclass(frozen=True)
class Continuation(Solver):
    """One solver for a large λ, and another for smaller ones, each started at the result of the last.

    Only the fit of the last λ, that of the objective, is saved in checkpoints.

    Parameters
    ----------
    first : Solver
        Solver for the first λ.
    then : Solver
        Solver for all others. If the loss has kinks, it is used for the last λ alone.
    stiffness : float
        The `Traits.dual_stiffness` of the first λ; in units of Δ for the hinge.
    """

    first: Solver
    then: Solver
    stiffness: float = 1.0

    @property
    def states(self) -> tuple[type[State], ...]:
        """The states of the second solver."""
        return self.then.states

    def start_from_dual(self, dual: DualState, estimate: float) -> State:
        """Return the multipliers for the second solver if it uses them and the ``estimate`` is good, else zero."""
        state = self.then.start_from_dual(dual, estimate)
        keeps = estimate <= _GOOD and isinstance(state, self.then.states)
        return state if keeps else Start(P=0.0 * dual.P, reg=dual.reg)

    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield the points of all λ; a start that is not zero takes the place of the first."""
        state, reg = start, start.reg
        if not bool(namespace(start.P).any(start.P != 0.0)):
            reg = problem.reg * problem.traits.dual_stiffness / (self.stiffness * problem.loss.reg_scale)
            state = yield from _rough(self.first, problem, reg, start, tol)
        while problem.loss.smooth and reg > _RATIO * problem.reg:
            reg /= _RATIO
            state = yield from _rough(self.then, problem, reg, state, tol)
        return (yield from self.then.steps(problem, state, tol))


def _rough(solver: Solver, problem: Problem, reg: float, start: State, tol: float) -> Generator[State, Any, State]:
    """Yield the points of a rough fit with another λ; return the last."""
    stage, rough = problem.with_reg(reg), max(_ROUGH, tol)
    steps, answer, lower_bound, value = solver.steps(stage, start, rough), None, 0.0, np.inf
    while True:
        try:
            state = steps.send(answer)
        except StopIteration:
            return start
        answer, start = None, Start(P=state.P, reg=reg)
        yield Start(P=state.P, reg=problem.reg)
        if state.ready and state.source is None and state.estimate <= rough:  # without a pass for a certificate
            return start
        if state.ready:
            certificate, rows, rounding = stage.prove(state.P, state.source, state.keep_rows)
            lower_bound, value = max(lower_bound, certificate.lower_bound), min(value, certificate.value_upper)
            answer = Progress(relative_gap(value, lower_bound), value, rows, rounding / value)
            if answer.gap <= rough:
                return start
