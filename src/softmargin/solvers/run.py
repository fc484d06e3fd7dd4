"""The driver: it asks a solver for states, and owns budget, certificates, history, checkpoints and Ctrl-C."""

from __future__ import annotations

import time

import numpy as np

from softmargin.errors import ParameterError
from softmargin.objective import Problem, relative_gap
from softmargin.solvers.base import Callback, Fit, Progress, Saved, Solver, State, Step
from softmargin.solvers.checkpoint import Checkpoint
from softmargin.threads import one_blas_thread
from softmargin.vectors import Vector, like, to_numpy

__all__ = ["run"]

_FIRST_BOUND = 64
"""Steps after which a fit is first asked for a bound that only a callback needs.

Not passes: how many were counted depends on what was computed before the fit.
"""

_MOSTLY_ROUNDING = 0.1
"""A fit ends when the gap but for the rounding of F is less than this share of that rounding."""


def run(
    problem: Problem,
    solver: Solver,
    start: State,
    tol: float,
    max_passes: float,
    callback: Callback | None = None,
    checkpoint: Checkpoint | None = None,
    interrupted: bool = False,
    passes_before: float | None = None,
) -> tuple[Fit, State]:
    """Minimise until the gap is proved, the budget is used up or nothing improves.

    An interrupt (Ctrl-C) ends it as a callback would: with the best point so far and its true gap. A second
    one, while that gap is computed, is raised.

    Parameters
    ----------
    problem : Problem
    solver : Solver
    start : State
    tol : float
        The relative gap to prove.
    max_passes : float
        Budget of readings of X.
    callback : callable, optional
        Called with each `Step`; a true return value stops.
    checkpoint : Checkpoint, optional
        Where to keep the state, and to go on from.
    interrupted : bool
        Whether an interrupt has come already: then the start is the best point so far.
    passes_before : float, optional
        Readings of X that are not of this fit; by default all there were.

    Returns
    -------
    Fit
    State
        The last one, with the best point: what a fit with another λ may start from.
    """
    run = _Run(problem, start, tol, max_passes, callback, checkpoint)
    run.interrupted = interrupted
    run.passes_before = problem.n_passes if passes_before is None else passes_before
    # One thread of BLAS: bits that depend on nothing, and no threads that spin beside the engine's.
    with one_blas_thread():
        try:
            if not interrupted:
                run.drive(solver)
            run.settle()
        except KeyboardInterrupt:
            if run.interrupted:
                raise
            run.interrupted = True
            run.settle()
    try:
        if run.proved and checkpoint is not None:
            checkpoint.remove()
        return run.finish()
    except KeyboardInterrupt:
        if run.interrupted:
            raise
        run.interrupted = True
        return run.finish()


class _Run:
    """Counts passes and seconds of one fit, keeps its history and its best certificate."""

    def __init__(
        self,
        problem: Problem,
        start: State,
        tol: float,
        max_passes: float,
        callback: Callback | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._problem, self._state, self._tol, self._max_passes = problem, start, tol, max_passes
        self._callback, self._checkpoint = callback, checkpoint
        self._started, self.passes_before = time.perf_counter(), 0.0
        self._history: list[Step] = []
        self._next_bound = _FIRST_BOUND
        self._best: tuple[Vector, float, float] | None = None  # the point, its value, and that rounded up
        self._proved_state: State | None = None
        self._lower_bound = 0.0
        self._status = ""
        self._stopped = self._finished = self.interrupted = False

    def drive(self, solver: Solver) -> None:
        """Ask the solver for states until something ends the fit."""
        saved = None if self._checkpoint is None else self._checkpoint.state
        if saved is not None:
            kinds = {kind.__name__: kind for kind in solver.states}
            self._state = kinds[saved["state"]].load(self._problem, self._state.P, saved)
            self._restore(saved)
        steps, answer = solver.steps(self._problem, self._state, self._tol), None
        while True:
            try:
                state = steps.send(answer)
            except StopIteration as stop:
                self._status = stop.value
                return
            if saved is not None:  # the passes that brought the solver back here are not counted twice
                self.passes_before = self._problem.n_passes - saved["passes"]
                saved = None
            self._state = state
            if self._checkpoint is not None and state.resumable:
                self._checkpoint.offer(lambda state=state: state.saved() | self._saved(state))  # type: ignore[misc]
            answer = self._prove(state) if state.ready or self._bound_is_due() else None
            value = self._best_value if state.value is None else state.value
            self._step(value, state.estimate if answer is None else answer.gap)
            ended = self._stop_reason()
            if ended is not None:
                self._status = ended
                return

    @property
    def proved(self) -> bool:
        """Whether the gap that was asked for is proved."""
        return self._gap <= self._tol

    def settle(self) -> None:
        """Make a certificate for the last state, unless there is one or what was asked for is proved."""
        if not self.proved and self._proved_state is not self._state:
            self._prove(self._state)

    def finish(self) -> tuple[Fit, State]:
        """Return the result and the last state, at the best point."""
        assert self._best is not None
        P, value, _ = self._best
        if not self._finished:
            self._finished = True
            self._step(value, self._gap)
        last, point = self._history[-1], to_numpy(P)
        status = "Interrupted." if self.interrupted else self._status
        fit = Fit(
            point[:-1].copy(), point[-1].copy(), value, self._lower_bound, self._gap, self._tol,
            int(np.ceil(last.n_passes)), last.seconds, tuple(self._history), status, self.interrupted,
        )  # fmt: skip
        return fit, self._state.at(P)

    @property
    def _n_passes(self) -> float:
        # Rounded, so that what was read before the fit leaves no trace in the last digits.
        return round(self._problem.n_passes - self.passes_before, 9)

    @property
    def _best_value(self) -> float:
        return np.inf if self._best is None else self._best[1]

    @property
    def _gap(self) -> float:
        """The relative gap between the best value and the best bound, infinite before the first certificate."""
        return np.inf if self._best is None else relative_gap(self._best[2], self._lower_bound)

    def _stop_reason(self) -> str | None:
        """Return why the fit must end here, in words, or None."""
        if self.proved:
            return "The requested gap is proved."
        if self._stopped:
            return "Stopped by the callback."
        if self._best is not None:
            _, value, value_upper = self._best
            if relative_gap(value, self._lower_bound) < _MOSTLY_ROUNDING * relative_gap(value_upper, value):
                error = value_upper - value
                return f"The gap is at the rounding level of F in float64 (error up to {error:.1g})."
        if self._n_passes >= self._max_passes:
            budget = f"The budget of {self._max_passes:g} passes is used up"
            return f"{budget} (a step once begun is finished): allow more."
        return None

    def _bound_is_due(self) -> bool:
        """Return whether the fit has doubled in length since it was last asked for a bound."""
        if len(self._history) < self._next_bound:
            return False
        self._next_bound = 2 * len(self._history)
        return True

    def _prove(self, state: State) -> Progress:
        """Make a certificate at a state and keep what is best of it."""
        certificate, rows = self._problem.prove(state.P, state.source, state.keep_rows)
        if self._best is None or not self._best[1] <= certificate.value:
            self._best = state.P, certificate.value, certificate.value_upper
        self._lower_bound = max(self._lower_bound, certificate.lower_bound)
        self._proved_state = state  # last: an interrupt before it has this point proved again
        return Progress(self._gap, self._best_value, rows)

    def _step(self, value: float, estimate: float) -> None:
        step = Step(self._n_passes, time.perf_counter() - self._started, value, self._lower_bound, estimate)
        self._history.append(step)
        if self._callback is None:
            return
        answer = self._callback(step)
        try:
            self._stopped |= bool(answer)
        except ValueError:
            raise ParameterError(
                f"callback must return True to stop, and False or None to go on, but it returned {answer!r}."
            ) from None

    def _saved(self, state: State) -> Saved:
        best: Saved = {}
        if self._best is not None:
            best = {
                "best P": to_numpy(self._best[0]),
                "best value": self._best[1],
                "best value_upper": self._best[2],
            }
        return best | {
            "state": type(state).__name__,
            "passes": self._n_passes,
            "seconds": time.perf_counter() - self._started,
            "history": self._history,
            "bound": self._lower_bound,
            "next bound": self._next_bound,
        }

    def _restore(self, saved: Saved) -> None:
        """Go on from what the checkpoint had proved."""
        self._started = time.perf_counter() - saved["seconds"]
        self._history = [Step(*step) for step in saved["history"]]
        self._lower_bound, self._next_bound = saved["bound"], saved["next bound"]
        if "best P" in saved:
            self._best = like(self._state.P, saved["best P"]), saved["best value"], saved["best value_upper"]
