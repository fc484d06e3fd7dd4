"""The driver: it iterates over the states of a solver and owns budget, certificates, checkpoints and Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from softmargin.arguments import brief
from softmargin.errors import ParameterError
from softmargin.objective import Problem, relative_gap
from softmargin.solvers.base import Callback, Fit, Progress, Saved, Solver, State, Step
from softmargin.solvers.checkpoint import Checkpoint
from softmargin.solvers.signals import DelayedSignals
from softmargin.threads import one_blas_thread
from softmargin.vectors import Vector, is_finite, like, to_numpy

__all__ = ["Run"]

_FIRST_BOUND = 64
"""Number of steps after which a certificate is first computed only to inform the callback.

Steps, not passes: the number of passes depends on what was computed before the fit.
"""

_MOSTLY_ROUNDING = 0.1
"""A fit ends when the gap without the allowance for rounding errors is less than this share of that allowance."""

_NEAR_ROUNDING, _STEPS_TO_FALL, _FALL = 10.0, 64, 0.9
"""It also ends when the gap is at most this multiple of the allowance and no longer falls. It must fall by the
factor `_FALL` within this number of steps, or within as many as it took to reach it."""

_BETWEEN = 8
"""Minimum number of steps between two certificates that only show whether this is so."""

_MAX_IDLE_STEPS = 1000
"""A fit ends after this many steps in a row without a pass, which the budget of passes would never end."""


@dataclass
class Run:
    """One fit: its passes, seconds and history, and the best certificate so far.

    Parameters
    ----------
    problem : Problem
    state : State
        Where to start.
    tol : float
        Relative gap to certify.
    max_passes : float
        Maximum number of passes over X.
    callback : callable, optional
        Called with each `Step`; a true return value stops the fit.
    checkpoint : Checkpoint, optional
        Where to save the state, and to resume from.
    interrupted : bool
        Whether an interrupt has already come: then the start is the best point so far.
    passes_before : float
        Passes over X that do not belong to this fit.
    """

    problem: Problem
    state: State
    tol: float
    max_passes: float
    callback: Callback | None
    checkpoint: Checkpoint | None
    interrupted: bool
    passes_before: float
    _started: float = field(default_factory=time.perf_counter)
    _history: list[Step] = field(default_factory=list)
    _next_bound: int = _FIRST_BOUND
    _best: tuple[Vector, float, float] | None = None
    """The best point, its value, and an upper bound on its exact value."""
    _certified: State | None = None
    _lower_bound: float = 0.0
    _lowered: float = 0.0
    """How far that bound was lowered to allow for rounding errors."""
    _fell: tuple[int, float] = (0, np.inf)
    """Number of steps when the gap last fell by the factor `_FALL`, and the gap then."""
    _last_bound: int = 0
    """Number of steps when the last certificate was computed."""
    _status: str = ""
    _stopped: bool = False
    _finished: bool = False

    def minimize(self, solver: Solver) -> tuple[Fit, State]:
        """Return the fit, and the last state at the best point, from which a fit with another λ may start.

        An interrupt (Ctrl-C) ends the fit as a callback would: with the best point so far and its true gap. A
        second interrupt, while that gap is computed, is raised.
        """
        try:
            # One BLAS thread: results do not depend on their number, and no threads compete with the engine's.
            with one_blas_thread():
                if not self.interrupted and self.checkpoint is None:
                    self._drive(solver, DelayedSignals())
                elif not self.interrupted:
                    with DelayedSignals() as signals:
                        self._drive(solver, signals)
                self._certify_last()
            if not self._stopped:
                self._status = self._rounding_reason() or self._status
            if self._converged and self.checkpoint is not None:
                self.checkpoint.remove()
            return self._finish()
        except KeyboardInterrupt:
            if self.interrupted:
                raise
            self.interrupted = True
        return self.minimize(solver)

    def _drive(self, solver: Solver, signals: DelayedSignals) -> None:
        """Iterate over the solver's states until one of them ends the fit.

        With a checkpoint, a signal is handled after a step, when the last state that can be saved is written.
        """
        latest: Callable[[], Saved] | None = None
        saved = None if self.checkpoint is None else self.checkpoint.state
        if saved is not None:
            kinds = {kind.__name__: kind for kind in solver.states}
            self.state = kinds[saved["state"]].load(self.problem, self.state.P, saved)
            self._restore(saved)
        steps, answer = solver.steps(self.problem, self.state, self.tol), None
        while not self._status:
            try:
                state = steps.send(answer)
            except StopIteration as stop:
                self._status = stop.value or "The solver ended."
                return
            if self._history and not is_finite(state.P):  # a solver may still recover from its start
                self._status = "The solver diverged: W or b is not finite; use smaller steps."
                return
            if saved is not None:  # the passes that restored the solver are not counted twice
                self.passes_before, saved = self.problem.n_passes - saved["passes"], None
            self.state = state
            if self.checkpoint is not None and state.resumable:
                latest = self._saving()
                signals.armed = True
                self.checkpoint.offer(latest)
            if signals.waiting and self.checkpoint is not None and latest is not None:
                self.checkpoint.write(latest())
                signals.deliver()
            answer = self._certify(state) if state.ready or self._bound_is_due(state.estimate) else None
            value = self._best_value if state.value is None else state.value
            self._record(value, state.estimate if answer is None else answer.gap)
            self._status = self._stop_reason()

    def _certify_last(self) -> None:
        """Compute a certificate for the last state, unless it has one or the fit has converged."""
        if not self._converged and self._certified is not self.state:
            self._certify(self.state)

    def _finish(self) -> tuple[Fit, State]:
        assert self._best is not None
        P, value, _ = self._best
        if not self._finished:
            self._finished = True
            self._record(value, self._gap)
        last, point = self._history[-1], to_numpy(P)
        status = "Interrupted." if self.interrupted else self._status
        fit = Fit(
            point[:-1].copy(), point[-1].copy(), value, self._lower_bound, self._gap, self.tol,
            int(np.ceil(last.n_passes)), last.seconds, tuple(self._history), status, self.interrupted,
        )  # fmt: skip
        return fit, replace(self.state, P=P)

    @property
    def _n_passes(self) -> float:
        # Rounded, so that what was read before the fit does not change the last digits.
        return round(self.problem.n_passes - self.passes_before, 9)

    @property
    def _best_value(self) -> float:
        return np.inf if self._best is None else self._best[1]

    @property
    def _gap(self) -> float:
        """The relative gap between the best value and the best bound, infinite before the first certificate."""
        return np.inf if self._best is None else relative_gap(self._best[2], self._lower_bound)

    @property
    def _converged(self) -> bool:
        return self._gap <= self.tol

    def _stop_reason(self) -> str:
        """Return why the fit must end here, as a sentence; empty if it may continue."""
        if self._converged:
            return "Converged."
        if self._stopped:
            return "Stopped by the callback."
        if rounded := self._rounding_reason():
            return rounded
        if self._n_passes >= self.max_passes:
            reached = f"Reached max_passes={self.max_passes:g}; increase max_passes."
            return f"{reached} {self.problem.limitation}".rstrip()
        steps, idle = self._history, _MAX_IDLE_STEPS
        if len(steps) > idle and steps[-1 - idle].n_passes == steps[-1].n_passes:
            return f"The solver made {idle:,} steps without a pass over X."
        return ""

    def _rounding_reason(self) -> str:
        """Return a sentence if the gap hardly exceeds the allowance for rounding errors, and that exceeds ``tol``.

        Near the optimum the allowance is constant: then no further pass can reach the tolerance.
        """
        if self._best is None or self._converged:
            return ""
        computed, allowance, tol = self._parts()
        share = 1.0 if self._status else _MOSTLY_ROUNDING  # of a fit that has ended, to state the cause
        mostly = computed <= share * allowance and allowance >= tol
        if not mostly and not (self._is_stuck() and self._last_bound >= len(self._history) - 1):
            return ""
        return f"The gap is at the rounding level of F in float64; use tol ≥ {1.1 * self._gap:.2g}."

    def _parts(self) -> tuple[float, float, float]:
        """Return the gap without its allowance for rounding errors, that allowance, and the tolerance, times F."""
        assert self._best is not None
        _, value, value_upper = self._best
        allowance = value_upper - value + self._lowered
        return value_upper - self._lower_bound - allowance, allowance, self.tol * value_upper

    def _is_stuck(self) -> bool:
        """Return whether the gap is near the allowance for rounding errors, and should have fallen since."""
        n_steps, (fell, _) = len(self._history), self._fell
        if self._best is None or n_steps < max(fell + _STEPS_TO_FALL, 2 * fell):
            return False
        computed, allowance, tol = self._parts()
        return max(computed, tol) <= _NEAR_ROUNDING * allowance

    def _bound_is_due(self, estimate: float) -> bool:
        """Return whether to compute a certificate that the solver did not ask for.

        It is due when the number of steps has doubled, and where rounding errors may leave nothing to gain.
        """
        n_steps = len(self._history)
        if n_steps >= self._next_bound:
            self._next_bound *= 2
            return True
        if self._best is None or n_steps < self._last_bound + _BETWEEN:
            return False
        _, allowance, tol = self._parts()
        at_rounding = tol <= allowance and estimate * self._best_value <= _MOSTLY_ROUNDING * allowance
        return at_rounding or self._is_stuck()

    def _certify(self, state: State) -> Progress:
        """Compute a certificate for a state, and keep its point or its bound where it is better."""
        certificate, rows, rounding = self.problem.prove(state.P, state.source, state.keep_rows)
        if self._best is None or not self._best[2] <= certificate.value_upper:
            self._best = state.P, certificate.value, certificate.value_upper
        if certificate.lower_bound > self._lower_bound:
            self._lower_bound, self._lowered = certificate.lower_bound, rounding
        self._last_bound = len(self._history)
        if self._gap < _FALL * self._fell[1]:
            self._fell = self._last_bound, self._gap
        self._certified = state  # last: an interrupt before it repeats the certificate of this point
        return Progress(self._gap, self._best_value, rows, self._parts()[1] / self._best_value)

    def _record(self, value: float, estimate: float) -> None:
        """Add a step to the history and call the callback."""
        step = Step(self._n_passes, time.perf_counter() - self._started, value, self._lower_bound, estimate)
        self._history.append(step)
        answer = None if self.callback is None else self.callback(step)
        try:
            self._stopped |= bool(answer)
        except ValueError:
            raise ParameterError(
                f"callback must return True to stop, or False or None to continue, got {brief(answer)}."
            ) from None

    def _saving(self) -> Callable[[], Saved]:
        """Return a function that returns what a checkpoint holds of this moment; nothing is copied before."""
        state, best, n_steps = self.state, self._best, len(self._history)
        entries = {
            "state": type(state).__name__, "passes": self._n_passes,
            "seconds": time.perf_counter() - self._started, "bound": self._lower_bound,
            "lowered": self._lowered, "next bound": self._next_bound, "fell": self._fell,
            "last bound": self._last_bound,
        }  # fmt: skip

        def saved() -> Saved:
            found = state.saved() | entries | {"history": self._history[:n_steps]}
            if best is not None:
                P, *values = best
                found |= {"best P": to_numpy(P), "best values": values}
            return found

        return saved

    def _restore(self, saved: Saved) -> None:
        self._started = time.perf_counter() - saved["seconds"]
        self._history = [Step(*step) for step in saved["history"]]
        self._lower_bound, self._lowered, self._next_bound = saved["bound"], saved["lowered"], saved["next bound"]
        self._fell, self._last_bound = tuple(saved["fell"]), saved["last bound"]
        if "best P" in saved:
            self._best = like(self.state.P, saved["best P"]), *saved["best values"]
