"""What every solver is: an immutable record of settings with one method, from an objective to a `Fit`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.checkpoint import Checkpoint, State
from softmargin.engines import DualRows
from softmargin.errors import DataError, ParameterError
from softmargin.losses.base import Floats
from softmargin.objective import Certificate, Objective, relative_gap
from softmargin.threads import one_blas_thread
from softmargin.validation import check_number

__all__ = [
    "Callback", "Curvature", "FirstGuess", "Fit", "Point", "Recorder", "SmoothSolver", "Solver", "Step",
    "check_settings", "check_smooth_solver", "start",
]  # fmt: skip


_SUFFICIENT_DECREASE = 1e-4
_CURVATURE_CONDITION = 0.9
_MAX_TRIALS = 40
_MOST_STEPS_KEPT = 200
_FAR_APART = 8.0
_LEAST_CURVATURE = 1e-3
"""A step of the bias is at most a thousand units of the loss, whatever the curvature seems to be."""

_NO_CURVATURE = 1e-12
"""Less than this, in units of the loss, is none: the penalty alone then shapes the step."""

_BEST = ("best W", "best b", "best value", "best above")
_FIRST_BOUND = 64
"""Steps after which a fit is first asked for a bound that nobody needs yet but who watches it.

Not passes: how many were counted depends on what was there before the fit.
"""

_SINGLE = 1e-6
"""Relative gap down to which products in float32 are good enough for a step."""

_PROGRESS, _STEPS_WITHOUT = 0.7, 8
"""They no longer are when the gap has not come down by this factor in so many steps."""

_MOSTLY_ROUNDING = 0.1
"""A fit ends when the gap but for the rounding of F is less than this share of that rounding."""

_ROUNDING = 1e-12
"""Values of F that differ by less than this fraction are taken to be equal."""

_ROUNDING_SINGLE = 1e-7
"""Or by less than this, where products are made in float32."""

_ROUNDING_OF_SCORES = 1e-15
"""So are values that differ by less than this many units of the loss: scores are rounded that much."""


class Step(NamedTuple):
    """One line of a fit's history.

    Attributes
    ----------
    n_passes : float
        Readings of X so far, those for the preconditioner and the certificate included.
    seconds : float
        Wall time so far.
    value : float
        F at this point or, where the solver does not know that, at the best point certified so far: infinite
        before the first.
    lower_bound : float
        The best bound on min F proved so far; 0 before the first.
    estimate : float
        What the solver expects the relative gap to be; not a proof.
    """

    n_passes: float
    seconds: float
    value: float
    lower_bound: float
    estimate: float


Callback: TypeAlias = Callable[[Step], bool | None]
"""Sees every step of a fit; a true return value stops it at the best point so far."""


@dataclass(frozen=True)
class Fit:
    """The result of a solver, with its proof.

    Attributes
    ----------
    W : ndarray of shape (D, C)
    b : ndarray of shape (C,)
    value : float
        F(W, b).
    lower_bound : float
        Proved: F is nowhere smaller.
    gap : float
        (value - lower_bound) / value, where value is raised by what rounding may have taken from it.
    tol : float
        The gap that was asked for.
    n_passes : int
        Readings of X, preconditioner and certificates included.
    seconds : float
        Wall time.
    history : tuple of Step
    status : str
        What happened, in words.
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    W: Floats = field(repr=False)
    b: Floats = field(repr=False)
    value: float
    lower_bound: float
    gap: float
    tol: float
    n_passes: int
    seconds: float
    history: tuple[Step, ...] = field(repr=False)
    status: str
    interrupted: bool = False

    @property
    def converged(self) -> bool:
        """Whether the proved gap is at most ``tol``."""
        return self.gap <= self.tol

    def record(self) -> dict[str, list[float]]:
        """Return the history, thinned to a few hundred steps, as a list for each field of `Step`."""
        every = max(1, len(self.history) // _MOST_STEPS_KEPT)
        kept = self.history[:-1][::every] + self.history[-1:]
        return {name: [float(getattr(step, name)) for step in kept] for name in Step._fields}

    def with_bias(self, b: Floats) -> Fit:
        """Return the same fit with another bias: the one that belongs to features that are not centred.

        Parameters
        ----------
        b : ndarray of shape (C,)
        """
        return replace(self, b=b)


class Solver(ABC):
    """One algorithm; its settings are the fields of a frozen dataclass.

    Attributes
    ----------
    tol : float
        Relative duality gap to prove.
    max_passes : float
        Budget of readings of X.
    """

    keeps_checkpoints: ClassVar[bool] = True
    """Whether `solve` offers its state to the recorder and goes on from one."""

    tol: float
    max_passes: float

    def minimize(
        self,
        objective: Objective,
        W0: Floats,
        b0: Floats,
        callback: Callback | None = None,
        checkpoint: Checkpoint | None = None,
        interrupted: bool = False,
    ) -> Fit:
        """Minimise from (W0, b0) until the gap is proved, the budget is used up or nothing improves.

        An interrupt (Ctrl-C) ends it as a callback would: with the best point so far and its true gap. A second
        one, while that gap is computed, is raised.

        Parameters
        ----------
        objective : Objective
        W0 : ndarray of shape (D, C)
        b0 : ndarray of shape (C,)
            Where to start.
        callback : callable, optional
            Called with each `Step`; a true return value stops.
        checkpoint : Checkpoint, optional
            Where to keep the state, and to go on from.
        interrupted : bool
            Whether an interrupt has come already: then the start is the best point so far.
        """
        tol, max_passes = check_settings(self.tol, self.max_passes)
        record = Recorder(objective, tol, max_passes, callback)
        record.checkpoint, record.interrupted = checkpoint, interrupted
        record.at(W0, b0)
        status = ""
        # One thread of BLAS: bits that depend on nothing, and no threads that spin beside the engine's.
        with one_blas_thread():
            try:
                if not interrupted:
                    objective.prepare_certificates()
                    status = self.solve(objective, np.vstack([W0, b0]), record)
                record.settle()
            except KeyboardInterrupt:
                if record.interrupted:
                    raise
                record.interrupted = True
                record.settle()
        try:
            if record.proved and checkpoint is not None:
                checkpoint.remove()
            return record.finish("Interrupted." if record.interrupted else status)
        except KeyboardInterrupt:
            if record.interrupted:
                raise
            record.interrupted = True
            return record.finish("Interrupted.")

    @abstractmethod
    def solve(self, objective: Objective, P: Floats, record: Recorder) -> str:
        """Minimise, telling the recorder of every step; return why it ended.

        Parameters
        ----------
        objective : Objective
        P : ndarray of shape (D + 1, C)
            Where to start: W, and b as its last row.
        record : Recorder
        """

    def take_over(self, objective: Objective, rows: DualRows, record: Recorder, gap: float) -> str:
        """Minimise from where a dual ascent stands; return why it ended.

        Parameters
        ----------
        objective : Objective
        rows : DualRows
        record : Recorder
        gap : float
            About their relative gap.
        """
        return self.solve(objective, np.vstack([rows.W, rows.b]), record)


class Recorder:
    """Counts passes and seconds of one fit, keeps its history and its best certificate."""

    def __init__(self, objective: Objective, tol: float, max_passes: float, callback: Callback | None) -> None:
        self._objective = objective
        self.tol = tol
        self.max_passes = max_passes
        self.checkpoint: Checkpoint | None = None
        self._callback = callback
        self._latest: tuple[Floats, Floats, Objective | DualRows | None] | None = None
        self._next_bound = _FIRST_BOUND
        self._started = time.perf_counter()
        self._passes_before = objective.n_passes
        self._history: list[Step] = []
        self._best: tuple[Floats, Floats, float, float] | None = None
        self.lower_bound = 0.0
        self.stopped = False
        self.interrupted = False
        self._finished = False

    @property
    def n_passes(self) -> float:
        """Readings of X since the fit began."""
        # Rounded, so that what was read before the fit leaves no trace in the last digits.
        return round(self._objective.n_passes - self._passes_before, 9)

    @property
    def proved(self) -> bool:
        """Whether the gap that was asked for is proved."""
        return self.gap <= self.tol

    def why_end(self) -> str | None:
        """Return why the fit must end here, in words, or None."""
        if self.proved:
            return "The requested gap is proved."
        if self.stopped:
            return "Stopped by the callback."
        if self._best is not None:
            _, _, value, above = self._best
            if relative_gap(value, self.lower_bound) < _MOSTLY_ROUNDING * relative_gap(above, value):
                return (
                    f"No smaller gap can be proved in float64: the rounding of F alone may be {above - value:.1g}."
                )
        if self.n_passes >= self.max_passes:
            return (
                f"The budget of {self.max_passes:g} passes is used up (a step once begun is finished): allow more."
            )
        return None

    def offer(self, stage: str, state: State, more: Callable[[], State] = dict) -> None:
        """Let the checkpoint, if there is one, keep the state of the solver named ``stage``, and more of it."""
        if self.checkpoint is not None:
            self.checkpoint.offer(lambda: state | more() | self._state() | {"stage": stage})

    def resumed(self, stage: str) -> State | None:
        """Return the state that the checkpoint holds, if it is of this solver."""
        state = None if self.checkpoint is None else self.checkpoint.state
        return state if state is not None and state["stage"] == stage else None

    def past(self, stage: str) -> bool:
        """Return whether the checkpoint holds the state of a solver that follows this one."""
        state = None if self.checkpoint is None else self.checkpoint.state
        return state is not None and state["stage"] != stage

    def _state(self) -> State:
        best = {} if self._best is None else dict(zip(_BEST, self._best, strict=True))
        return best | {
            "passes": self.n_passes,
            "seconds": time.perf_counter() - self._started,
            "history": self._history,
            "bound": self.lower_bound,
            "next bound": self._next_bound,
        }

    def restore(self, state: State) -> None:
        """Go on counting where the checkpoint stood; for a solver to call when it has restored itself."""
        self._passes_before = self._objective.n_passes - state["passes"]
        self._started = time.perf_counter() - state["seconds"]
        self._history = [Step(*step) for step in state["history"]]
        self.lower_bound, self._next_bound = state["bound"], state["next bound"]
        self._best = (*(state[name] for name in _BEST),) if _BEST[0] in state else None
        assert self.checkpoint is not None
        self.checkpoint.state = None

    def at(self, W: Floats, b: Floats, dual: Objective | DualRows | None = None) -> None:
        """Note the point that an interrupted fit should return; nobody may write into these arrays."""
        self._latest = W, b, dual

    def settle(self) -> None:
        """Make a certificate for the point noted last, unless what was asked for is proved."""
        if not self.proved and self._latest is not None:
            self.certify(*self._latest)

    def bound_is_due(self) -> bool:
        """Return whether the fit has doubled in length since it was last asked for a bound."""
        if len(self._history) < self._next_bound:
            return False
        self._next_bound = 2 * len(self._history)
        return True

    def step(self, value: float, estimate: float) -> None:
        """Note where the fit stands; afterwards `stopped` says whether the callback wants it to end."""
        step = Step(self.n_passes, time.perf_counter() - self._started, value, self.lower_bound, estimate)
        self._history.append(step)
        if self._callback is None:
            return
        answer = self._callback(step)
        try:
            self.stopped |= bool(answer)
        except ValueError:
            raise ParameterError(
                f"callback must return True to stop, and False or None to go on, but it returned {answer!r}."
            ) from None

    def certify(
        self,
        W: Floats,
        b: Floats,
        dual: Objective | DualRows | None = None,
        keep: NDArray[Any] | None = None,
    ) -> float:
        """Make a certificate, keep what is best of it, and return the relative gap proved so far."""
        certificate: Certificate = self._objective.certificate(W, b, dual, keep)
        self.lower_bound = max(self.lower_bound, certificate.lower_bound)
        if self._best is None or not self._best[2] <= certificate.value:
            self._best = W.copy(), b.copy(), certificate.value, certificate.above
        return self.gap

    @property
    def value(self) -> float:
        """The best value certified so far."""
        return np.inf if self._best is None else self._best[2]

    @property
    def gap(self) -> float:
        """The relative gap between the best value and the best bound, infinite before the first certificate."""
        if self._best is None:
            return np.inf
        return relative_gap(self._best[3], self.lower_bound)

    def finish(self, status: str) -> Fit:
        """Return the result; a certificate must have been made."""
        assert self._best is not None, "a solver must certify its point before it returns"
        W, b, value, _ = self._best
        if not self._finished:
            self._finished = True
            self.step(value, self.gap)
        last = self._history[-1]
        return Fit(
            W, b, value, self.lower_bound, self.gap, self.tol, int(np.ceil(last.n_passes)), last.seconds,
            tuple(self._history), status, self.interrupted,
        )  # fmt: skip


def check_settings(tol: float, max_passes: float) -> tuple[float, float]:
    """Return the tolerance and the budget as floats, or raise a `ParameterError` if they make no sense."""
    tol, max_passes = check_number("tol", tol), check_number("max_passes", max_passes)
    if not (0.0 < tol < 1.0):
        raise ParameterError(f"tol is a relative gap and must lie between 0 and 1, but it is {tol!r}.")
    if not max_passes >= 1:
        raise ParameterError(f"max_passes must be at least 1, but it is {max_passes!r}.")
    return tol, max_passes


def start(objective: Objective, W0: Floats | None, b0: Floats | None) -> tuple[Floats, Floats]:
    """Return copies of the starting point, or zeros."""
    W = np.zeros((objective.n_features, objective.n_classes)) if W0 is None else np.array(W0, dtype=np.float64)
    b = np.zeros(objective.n_classes) if b0 is None else np.array(b0, dtype=np.float64)
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise DataError("W0 and b0 must be finite to start from.")
    if not objective.fit_intercept and b.any():
        raise DataError("b0 must be zero, since this objective has no intercept.")
    return W, b


class Point(NamedTuple):
    """A point with what was computed there in one pass.

    Attributes
    ----------
    P : ndarray of shape (D + 1, C)
        W, and b as its last row.
    value : float
        F.
    gradient : ndarray of shape (D + 1, C)
        Of F, in the same order.
    """

    P: Floats
    value: float
    gradient: Floats


def evaluate(objective: Objective, P: Floats, single: bool = False) -> Point:
    value, dW, db = objective.value_and_grad(P[:-1], P[-1], single)
    return Point(P, value, np.vstack([dW, db]))


def estimated_gap(objective: Objective, point: Point) -> float:
    """Return the relative gap that a certificate would show: exact but for the balance of the bias."""
    gap = float((point.gradient[:-1] ** 2).sum()) / (4.0 * objective.reg)
    imbalance = objective.loss.unit * float(np.abs(point.gradient[-1]).sum())
    return (gap + imbalance) / point.value if point.value > 0.0 else 0.0


def search(objective: Objective, point: Point, direction: Floats, single: bool = False) -> Point | None:
    """Return a point along the direction that meets the Wolfe conditions, or None.

    F is convex, so its slope along the direction only rises: the zero of the slope is bracketed and closed
    in upon by the secant, which needs no differences of F.
    """
    slope = float(np.vdot(direction, point.gradient))
    if not slope < 0.0:
        return None
    rounding = _ROUNDING_SINGLE if single else _ROUNDING
    allowed = point.value + rounding * abs(point.value) + _ROUNDING_OF_SCORES * objective.loss.unit
    low, low_slope, high, high_slope = 0.0, slope, np.inf, np.inf
    t, width = 1.0, np.inf
    for _ in range(_MAX_TRIALS):
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far is taken back below
            trial = evaluate(objective, point.P + t * direction, single)
        trial_slope = float(np.vdot(direction, trial.gradient))
        if np.isfinite(trial.value) and np.isfinite(trial_slope):
            low_enough = trial.value <= min(allowed, point.value + _SUFFICIENT_DECREASE * t * slope)
            low_enough |= trial.value <= allowed and trial_slope <= -(1.0 - 2.0 * _SUFFICIENT_DECREASE) * slope
            if low_enough and trial_slope >= _CURVATURE_CONDITION * slope:
                return trial
        else:
            trial_slope = np.inf
        if trial_slope < 0.0:
            low, low_slope = t, trial_slope
        else:
            high, high_slope = t, trial_slope
        if high == np.inf:
            t *= 4.0
        elif high - low > 0.5 * width or not np.isfinite(high_slope):
            # The secant crept from one side: halve instead, the exponent where the ends are of different size.
            t = float(np.sqrt(low * high)) if high > _FAR_APART * low > 0.0 else 0.5 * (low + high)
            width = high - low
        else:
            t, width = low - low_slope * (high - low) / (high_slope - low_slope), high - low
    return None


class Curvature(Protocol):
    """What a smooth solver knows of the Hessian while it descends."""

    def direction(self, point: Point) -> Floats:
        """Return a descent direction (D + 1, C)."""
        ...

    def learn(self, before: Point, after: Point) -> None:
        """Take note of a step."""
        ...

    def forget(self) -> bool:
        """Drop what was learnt; return whether there was anything."""
        ...

    def state(self) -> State:
        """Return what was learnt, for a checkpoint."""
        ...

    def restore(self, state: State) -> None:
        """Go on from a checkpoint."""
        ...


class FirstGuess:
    """The Hessian as the feature covariance sees it: ``c Σ + 2λ I`` for W and ``c`` for b.

    c is the mean output curvature of the loss, refreshed at points 1, 2, 4, 8, …
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._preconditioner = objective.preconditioner()
        self._curvature = 1.0
        self._seen, self._refresh = 0, 1

    def look(self, point: Point, anew: bool = False) -> None:
        """See the next point; on some, or if asked, measure the curvature of the loss there."""
        self._seen += 1
        if anew or self._seen == self._refresh:
            self._refresh = 2 * self._seen
            measured = self._objective.curvature(point.P[:-1], point.P[-1])
            self._curvature = max(measured, self.floor(point))

    def floor(self, point: Point) -> float:
        """Return the least curvature to assume: where the loss is all but linear, the bias must not go too far."""
        steepest = float(np.abs(point.gradient[-1]).max())
        return max(_LEAST_CURVATURE * steepest, _NO_CURVATURE) / self._objective.loss.unit

    def state(self) -> State:
        """Return what was learnt, for a checkpoint."""
        return {"guess": [self._curvature, self._seen, self._refresh]}

    def restore(self, state: State) -> None:
        """Go on from a checkpoint."""
        self._curvature, self._seen, self._refresh = state["guess"]

    def solve(self, G: Floats) -> Floats:
        """Return the inverse of the guess times G (D + 1, C)."""
        c = self._curvature
        return np.vstack([self._preconditioner.solve(c, self._objective.reg, G[:-1]), G[-1:] / c])


class Precision:
    """Whether the products of a descent are made in float32: while it is far, and that brings the gap down."""

    def __init__(self, single: bool) -> None:
        self.single = single
        self._least, self._steps_since = np.inf, 0

    def serves(self, estimate: float) -> bool:
        """See the next estimate of the gap; return whether float32 is still good enough."""
        self._steps_since += 1
        if estimate < _PROGRESS * self._least:
            self._least, self._steps_since = estimate, 0
        self.single = estimate >= _SINGLE and self._steps_since < _STEPS_WITHOUT
        return self.single

    def state(self) -> list[float]:
        """Return all of it, for a checkpoint."""
        return [self.single, self._least, self._steps_since]

    def restore(self, state: list[float]) -> None:
        """Go on from a checkpoint."""
        self.single, self._least, self._steps_since = bool(state[0]), state[1], int(state[2])


@dataclass(frozen=True)
class SmoothSolver(Solver):
    """A descent with line search; what it knows of the Hessian is a subclass's business."""

    tol: float = 1e-4
    max_passes: float = 2000

    @abstractmethod
    def curvature(self, objective: Objective) -> Curvature:
        """Return what is known of the Hessian at the start."""

    def prepared(self, objective: Objective) -> Objective:
        """Return the objective as the descent wants it."""
        return objective

    def solve(self, objective: Objective, P: Floats, record: Recorder) -> str:
        """Minimise from P until the gap is proved, the budget is used up or nothing improves."""
        stage = type(self).__name__
        state = record.resumed(stage)
        threshold = record.tol if state is None else state["threshold"]

        def save(point: Point, precision: Precision, known: Curvature) -> None:
            now: State = {"P": point.P, "precision": precision.state(), "threshold": threshold}
            record.offer(stage, now, known.state)

        def proved(point: Point, estimate: float) -> bool:
            nonlocal threshold
            W, b = point.P[:-1], point.P[-1]
            record.at(W, b)
            record.step(point.value, estimate)
            if estimate <= threshold:
                threshold = 0.5 * min(threshold, estimate)  # if this proof falls short, the next waits for half
                record.certify(W, b)
            elif record.bound_is_due():
                record.certify(W, b)
            return record.proved

        _, status = self.descend(objective, P, record, proved, save=save, state=state)
        return status

    def descend(
        self,
        objective: Objective,
        P: Floats,
        record: Recorder,
        done: Callable[[Point, float], bool],
        single: bool = True,
        save: Callable[[Point, Precision, Curvature], None] | None = None,
        state: State | None = None,
    ) -> tuple[Floats, str]:
        """Minimise from P (D + 1, C) until ``done(point, estimate)``; return the point and why it ended.

        With ``single`` it starts with products in float32, and goes over to float64 when that no longer serves.
        ``save`` sees each iteration before it is done; ``state`` is what a checkpoint held.
        """
        objective.loss.check_smooth(f"{type(self).__name__}; take the augmented Lagrangian")
        objective = self.prepared(objective)
        precision = Precision(single and objective.is_large)
        known = self.curvature(objective)
        if state is not None:
            P = state["P"]
            precision.restore(state["precision"])
            known.restore(state)

        def precise(point: Point) -> Point:
            """Return the point, evaluated in float64 if float32 no longer serves."""
            if not precision.single or precision.serves(estimated_gap(objective, point)):
                return point
            return evaluate(objective, point.P)

        point = evaluate(objective, P, precision.single)
        if state is None:
            point = precise(point)
        else:
            record.restore(state)
        while True:
            estimate = estimated_gap(objective, point)
            if save is not None:
                save(point, precision, known)
            ended = "Done." if done(point, estimate) else None
            ended = record.why_end() or ended
            if ended is not None:
                return point.P, ended
            direction = known.direction(point)
            found = search(objective, point, direction, precision.single)
            if found is None and precision.single:
                precision.single = False
                point = evaluate(objective, point.P)
                found = search(objective, point, known.direction(point))
            if found is None and known.forget():  # what was learnt misleads
                found = search(objective, point, known.direction(point))
            if found is None:
                return point.P, "No step improves the value any more: rounding is in the way."
            known.learn(point, found)
            point = precise(found)


def check_smooth_solver(name: str, solver: object) -> None:
    """Raise a `ParameterError` if a setting of another solver is no smooth solver."""
    if not isinstance(solver, SmoothSolver):
        raise ParameterError(f"{name} must be a smooth solver such as LBFGS(), but it is {solver!r}.")
