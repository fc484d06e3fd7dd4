"""Descent with a line search, for smooth losses; subclasses give the direction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from softmargin.arguments import brief
from softmargin.errors import CapabilityError, ParameterError
from softmargin.objective import Point, Problem, Traits
from softmargin.solvers.base import Saved, Solver, State, Steps
from softmargin.solvers.line_search import search
from softmargin.vectors import Vector, like, namespace, to_numpy

__all__ = ["CovarianceModel", "Descent", "DescentState", "Direction", "check_descent"]

_LEAST_CURVATURE = 1e-3
"""Limits a step of the bias to a thousand units of the loss, even where the measured curvature is smaller."""

_NO_CURVATURE = 1e-12
"""Minimum of the curvature, in units of the loss; below it the penalty alone determines the step."""

_SINGLE = 1e-6
"""Relative gap down to which float32 products are accurate enough for a step."""

_PROGRESS, _STEPS_WITHOUT = 0.7, 8
"""They are no longer used if the gap does not decrease by this factor within this number of steps."""

_ROUNDING, _ROUNDING_SINGLE = 1e-12, 1e-7
"""Values of F whose relative difference is smaller count as equal; the second with float32 products."""

_ROUNDING_OF_SCORES = 1e-15
"""So do values that differ by less than this, in units of the loss: the rounding error of the scores."""


class Direction(Protocol):
    """The direction of a descent, and the model of the Hessian behind it."""

    def at(self, point: Point) -> Vector:
        """Return a descent direction (D + 1, C)."""

    def update(self, before: Point, after: Point) -> None:
        """Update the model of the Hessian after a step."""

    def reset(self) -> bool:
        """Discard the information from earlier steps; return whether there was any."""

    def saved(self) -> Saved:
        """Return the information from earlier steps, for a checkpoint."""


class Precision(NamedTuple):
    """Whether a descent uses float32 products: while the gap is large and still decreases."""

    single: bool
    least: float = np.inf
    steps_since: int = 0

    def after(self, estimate: float) -> Precision:
        """Return the precision for the next step, given an estimate of the gap."""
        least, steps_since = self.least, self.steps_since + 1
        if estimate < _PROGRESS * least:
            least, steps_since = estimate, 0
        return Precision(estimate >= _SINGLE and steps_since < _STEPS_WITHOUT, least, steps_since)


@dataclass(frozen=True, kw_only=True)
class DescentState(State):
    """A point of a descent, with the state of its direction.

    Attributes
    ----------
    threshold : float
        A certificate is computed when the estimated gap is at most this.
    precision : Precision
    memory : callable
        Returns the result of `Direction.saved`.
    """

    threshold: float
    precision: Precision
    memory: Callable[[], Saved]

    def saved(self) -> Saved:
        """Return what `load` needs."""
        return self.memory() | {
            "P": to_numpy(self.P), "threshold": self.threshold, "precision": list(self.precision),
        }  # fmt: skip

    @classmethod
    def load(cls, problem: Problem, P: Vector, saved: Saved) -> DescentState:
        """Return a saved state."""
        memory = {name: like(P, v) if isinstance(v, np.ndarray) else v for name, v in saved.items()}
        return cls(
            P=memory["P"], reg=problem.reg, threshold=saved["threshold"], precision=Precision(*saved["precision"]),
            memory=lambda: memory,
        )  # fmt: skip


class Descent(Solver):
    """A descent with line search, for smooth losses."""

    states = (DescentState,)
    keeps_scores: ClassVar[bool] = False
    """Whether points keep their scores, for Hessians."""

    @abstractmethod
    def direction(self, problem: Problem, saved: Saved | None = None) -> Direction:
        """Return the direction at the start, or the saved one."""

    def is_exact(self, traits: Traits) -> bool:
        """Return whether steps are too accurate for float32 products."""
        return False

    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield the points of a descent."""
        return self.descend(problem, start, tol)

    def descend(
        self, problem: Problem, start: State, tol: float, single: bool = True
    ) -> Generator[DescentState, Any, str]:
        """Yield the points of a descent; with ``single`` it starts with float32 products where they are faster."""
        if not problem.loss.smooth:
            raise CapabilityError(
                f"{type(self).__name__} requires a smooth loss, got {problem.loss!r}; use AugmentedLagrangian."
            )
        precision = Precision(single and problem.traits.prefers_single and not self.is_exact(problem.traits))

        def evaluate(P: Vector) -> Point:
            return problem.evaluate(P, single=precision.single, keep_scores=self.keeps_scores)

        def precise(point: Point) -> Point:
            """Return the point, evaluated in float64 if float32 is no longer accurate enough."""
            nonlocal precision
            if precision.single:
                precision = precision.after(estimated_gap(problem, point))
                point = point if precision.single else evaluate(point.P)
            return point

        def found_from(point: Point) -> Point | None:
            fraction = _ROUNDING_SINGLE if precision.single else _ROUNDING
            rounding = fraction * abs(point.value) + _ROUNDING_OF_SCORES * problem.loss.score_scale
            return search(evaluate, point, direction.at(point), rounding)

        if isinstance(start, DescentState) and start.reg == problem.reg:
            precision, threshold = start.precision, start.threshold
            direction = self.direction(problem, start.memory())
            point = evaluate(start.P)
        else:
            threshold = tol
            direction = self.direction(problem)
            point = precise(evaluate(start.P))
        while True:
            estimate = estimated_gap(problem, point)
            ready = estimate <= threshold
            yield DescentState(
                P=point.P, reg=problem.reg, value=point.value, estimate=estimate, ready=ready, threshold=threshold,
                precision=precision, memory=direction.saved,
            )  # fmt: skip
            if ready:  # if this certificate does not suffice, the next waits for half the gap
                threshold = 0.5 * min(threshold, estimate)
            found = found_from(point)
            if found is None and precision.single:
                precision = precision._replace(single=False)
                point = evaluate(point.P)
                found = found_from(point)
            if found is None and direction.reset():  # earlier steps may mislead
                found = found_from(point)
            if found is None:
                return "Line search failed: no decrease is possible at working precision."
            direction.update(point, found)
            point = precise(found)


def estimated_gap(problem: Problem, point: Point) -> float:
    """Return the relative gap that a certificate would show: exact except for the balance of the bias."""
    xp, dW, db = namespace(point.P), point.gradient[:-1, :], point.gradient[-1, :]
    gap = float(xp.sum(xp.square(dW))) / (4.0 * problem.reg)
    imbalance = problem.loss.score_scale * float(xp.sum(xp.abs(db)))
    return (gap + imbalance) / point.value if point.value > 0.0 else 0.0


class CovarianceModel:
    """An approximate Hessian from the feature covariance Σ: ``c Σ + 2λ I`` for W and ``c`` for b.

    c is the mean curvature of the loss in the scores, measured again at points 1, 2, 4, 8, …
    """

    def __init__(self, problem: Problem, saved: Sequence[Any] | None = None) -> None:
        self._metric, self._score_scale = problem.metric(), problem.loss.score_scale
        state: Sequence[Any] = (1.0, 0, 1) if saved is None else saved
        self._curvature, self._n_seen, self._next = state

    def refresh(self, point: Point, now: bool = False) -> None:
        """Count a point; measure the curvature of the loss there if it is due, or ``now``."""
        self._n_seen += 1
        if now or self._n_seen == self._next:
            self._next = 2 * self._n_seen
            self._curvature = max(self._metric.mean_curvature(point.P), self.floor(point))

    def floor(self, point: Point) -> float:
        """Return the minimum curvature: it limits the step of the bias where the loss is almost linear."""
        xp = namespace(point.P)
        steepest = float(xp.max(xp.abs(point.gradient[-1, :])))
        return max(_LEAST_CURVATURE * steepest, _NO_CURVATURE) / self._score_scale

    def solve(self, G: Vector) -> Vector:
        """Return the inverse of the model times G (D + 1, C)."""
        return self._metric.solve(self._curvature, G)

    def saved(self) -> list[Any]:
        """Return the state of the model, for a checkpoint."""
        return [self._curvature, self._n_seen, self._next]


def check_descent(name: str, solver: object) -> None:
    """Raise a `ParameterError` if ``solver``, the setting ``name`` of another solver, is not a descent."""
    if not isinstance(solver, Descent):
        raise ParameterError(f"{name} must be a smooth solver such as LBFGS(), got {brief(solver)}.")
