"""Descent with a line search, for smooth losses: what is known of the Hessian is a subclass's business."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from softmargin.errors import ParameterError
from softmargin.objective import Point, Problem, Traits
from softmargin.solvers.base import Saved, Solver, State, Steps
from softmargin.solvers.line_search import search
from softmargin.vectors import Vector, like, namespace, to_numpy

__all__ = ["CovarianceModel", "Descent", "DescentState", "Direction", "check_descent"]

_LEAST_CURVATURE = 1e-3
"""A step of the bias is at most a thousand units of the loss, however small the curvature seems to be."""

_NO_CURVATURE = 1e-12
"""A curvature below this, in units of the loss, is none: the penalty alone then shapes the step."""

_SINGLE = 1e-6
"""Relative gap down to which products in float32 are good enough for a step."""

_PROGRESS, _STEPS_WITHOUT = 0.7, 8
"""They no longer are when the gap has not come down by this factor in so many steps."""

_ROUNDING, _ROUNDING_SINGLE = 1e-12, 1e-7
"""Values of F that differ by less than this fraction are taken to be equal; the second with float32 products."""

_ROUNDING_OF_SCORES = 1e-15
"""So are values that differ by less than this many units of the loss: scores are rounded that much."""


class Direction(Protocol):
    """What a descent knows of the Hessian."""

    def at(self, point: Point) -> Vector:
        """Return a descent direction (D + 1, C)."""
        ...

    def update(self, before: Point, after: Point) -> None:
        """Take note of a step."""
        ...

    def reset(self) -> bool:
        """Drop what was learnt from steps; return whether there was anything."""
        ...

    def saved(self) -> Saved:
        """Return what was learnt, for a checkpoint."""
        ...


class Precision(NamedTuple):
    """Whether the products of a descent are made in float32: while it is far, and that brings the gap down."""

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
    """A point of a descent, and what is known of the Hessian there.

    Attributes
    ----------
    threshold : float
        A certificate is made when the estimate falls to this.
    precision : Precision
    memory : callable
        Returns what a `Direction` was saved as.
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
        """Return the state that was saved."""
        single, least, steps_since = saved["precision"]
        precision = Precision(bool(single), least, int(steps_since))
        memory = {name: like(P, v) if isinstance(v, np.ndarray) else v for name, v in saved.items()}
        return cls(
            P=memory["P"],
            reg=problem.reg,
            threshold=saved["threshold"],
            precision=precision,
            memory=lambda: memory,
        )


class Descent(Solver):
    """A descent with line search."""

    keeps_scores: ClassVar[bool] = False
    """Whether its points serve for Hessians."""

    @property
    def states(self) -> tuple[type[State], ...]:
        """The kind of states that it yields."""
        return (DescentState,)

    @abstractmethod
    def direction(self, problem: Problem, saved: Saved | None = None) -> Direction:
        """Return what is known of the Hessian at the start, or what was saved."""

    def is_exact(self, traits: Traits) -> bool:
        """Return whether steps are so exact that products in float32 would spoil them."""
        return False

    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield the points of a descent."""
        return self.descend(problem, start, tol)

    def descend(
        self, problem: Problem, start: State, tol: float, single: bool = True
    ) -> Generator[DescentState, Any, str]:
        """Yield the points of a descent; with ``single`` it starts with float32 products where they pay off."""
        problem.loss.check_smooth(f"{type(self).__name__}; take the augmented Lagrangian")

        precision = Precision(single and problem.traits.prefers_single and not self.is_exact(problem.traits))

        def evaluate(P: Vector) -> Point:
            return problem.evaluate(P, single=precision.single, keep_scores=self.keeps_scores)

        def precise(point: Point) -> Point:
            """Return the point, evaluated in float64 if float32 is no longer good enough."""
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
                P=point.P,
                reg=problem.reg,
                value=point.value,
                estimate=estimate,
                ready=ready,
                threshold=threshold,
                precision=precision,
                memory=direction.saved,
            )
            if ready:
                threshold = 0.5 * min(threshold, estimate)  # if this proof falls short, the next waits for half
            found = found_from(point)
            if found is None and precision.single:
                precision = precision._replace(single=False)
                point = evaluate(point.P)
                found = found_from(point)
            if found is None and direction.reset():  # what was learnt misleads
                found = found_from(point)
            if found is None:
                return "No step improves the value any more: rounding is in the way."
            direction.update(point, found)
            point = precise(found)


def estimated_gap(problem: Problem, point: Point) -> float:
    """Return the relative gap that a certificate would show: exact but for the balance of the bias."""
    xp, dW, db = namespace(point.P), point.gradient[:-1, :], point.gradient[-1, :]
    gap = float(xp.sum(xp.square(dW))) / (4.0 * problem.reg)
    imbalance = problem.loss.score_scale * float(xp.sum(xp.abs(db)))
    return (gap + imbalance) / point.value if point.value > 0.0 else 0.0


class CovarianceModel:
    """The Hessian as the feature covariance sees it: ``c Σ + 2λ I`` for W and ``c`` for b.

    c is the mean output curvature of the loss, measured again at points 1, 2, 4, 8, …
    """

    def __init__(self, problem: Problem) -> None:
        self._metric, self._score_scale = problem.metric(), problem.loss.score_scale
        self._curvature, self._n_seen, self._next = 1.0, 0, 1

    def refresh(self, point: Point, now: bool = False) -> None:
        """See the next point; on some, or if asked, measure the curvature of the loss there."""
        self._n_seen += 1
        if now or self._n_seen == self._next:
            self._next = 2 * self._n_seen
            self._curvature = max(self._metric.mean_curvature(point.P), self.floor(point))

    def floor(self, point: Point) -> float:
        """Return the least curvature to assume: where the loss is all but linear, the bias must not go too far."""
        xp = namespace(point.P)
        steepest = float(xp.max(xp.abs(point.gradient[-1, :])))
        return max(_LEAST_CURVATURE * steepest, _NO_CURVATURE) / self._score_scale

    def solve(self, G: Vector) -> Vector:
        """Return the inverse of the model times G (D + 1, C)."""
        return self._metric.solve(self._curvature, G)

    def saved(self) -> list[float]:
        """Return what was measured, for a checkpoint."""
        return [self._curvature, self._n_seen, self._next]

    def restore(self, saved: list[float]) -> None:
        """Go on from a checkpoint."""
        self._curvature, self._n_seen, self._next = saved[0], int(saved[1]), int(saved[2])


def check_descent(name: str, solver: object) -> None:
    """Raise a `ParameterError` if a setting of another solver is not a descent."""
    if not isinstance(solver, Descent):
        raise ParameterError(f"{name} must be a smooth solver such as LBFGS(), but it is {solver!r}.")
