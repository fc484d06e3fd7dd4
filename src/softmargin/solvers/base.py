"""What every solver is: an immutable record of settings with one method, from an objective to a `Fit`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from softmargin.errors import ParameterError
from softmargin.losses.base import Floats
from softmargin.objective import Certificate, Objective

__all__ = ["Callback", "Descent", "Fit", "Recorder", "Solver", "Step", "check_settings", "start"]


class Step(NamedTuple):
    """One line of a fit's history.

    Attributes
    ----------
    n_passes : float
        Readings of X so far, those for the preconditioner and the certificate included.
    seconds : float
        Wall time so far.
    value : float
        F at this point.
    lower_bound : float
        The best bound on min F known so far: proved if a certificate was made, else 0.
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
        (value - lower_bound) / value.
    tol : float
        The gap that was asked for.
    n_passes : int
        Readings of X, preconditioner and certificates included.
    seconds : float
        Wall time.
    history : tuple of Step
    status : str
        What happened, in words.
    """

    W: Floats
    b: Floats
    value: float
    lower_bound: float
    gap: float
    tol: float
    n_passes: int
    seconds: float
    history: tuple[Step, ...] = field(repr=False)
    status: str

    @property
    def converged(self) -> bool:
        """Whether the proved gap is at most ``tol``."""
        return self.gap <= self.tol

    def with_bias(self, b: Floats) -> Fit:
        """Return the same fit with another bias: the one that belongs to features that are not centred."""
        return replace(self, b=b)


class Solver(Protocol):
    """One algorithm; its settings are the fields of a frozen dataclass."""

    def minimize(
        self, objective: Objective, W0: Floats, b0: Floats, callback: Callback | None = None
    ) -> Fit:
        """Minimise from (W0, b0)."""
        ...


class Descent(Protocol):
    """A solver that another one can drive: it minimises a smooth objective until it is told to stop."""

    def descend(
        self,
        objective: Objective,
        P: Floats,
        record: Recorder,
        done: Callable[[Floats, float, float], bool],
    ) -> tuple[Floats, str]:
        """Minimise from P (D + 1, C) until ``done(P, value, estimate)``; return the point and why it ended."""
        ...


class Recorder:
    """Counts passes and seconds of one fit, keeps its history and its best certificate."""

    def __init__(self, objective: Objective, tol: float, callback: Callback | None) -> None:
        self._objective = objective
        self._tol = tol
        self._callback = callback
        self._started = time.perf_counter()
        self._passes_before = objective.n_passes
        self._history: list[Step] = []
        self._best: tuple[Floats, Floats, float] | None = None
        self.lower_bound = 0.0
        self.stopped = False

    @property
    def n_passes(self) -> float:
        """Readings of X since the fit began."""
        return self._objective.n_passes - self._passes_before

    def step(self, value: float, estimate: float) -> None:
        """Note where the fit stands; afterwards `stopped` says whether the callback wants it to end."""
        step = Step(self.n_passes, time.perf_counter() - self._started, value, self.lower_bound, estimate)
        self._history.append(step)
        if self._callback is not None and self._callback(step):
            self.stopped = True

    def certify(self, W: Floats, b: Floats, dual: Objective | None = None) -> float:
        """Make a certificate, keep what is best of it, and return the relative gap proved so far."""
        certificate: Certificate = self._objective.certificate(W, b, dual)
        self.lower_bound = max(self.lower_bound, certificate.lower_bound)
        if self._best is None or certificate.value < self._best[2]:
            self._best = W.copy(), b.copy(), certificate.value
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
        value = self._best[2]
        return max(value - self.lower_bound, 0.0) / value if value > 0.0 else 0.0

    def finish(self, status: str) -> Fit:
        """Return the result; a certificate must have been made."""
        assert self._best is not None, "a solver must certify its point before it returns"
        W, b, value = self._best
        self.step(value, self.gap)
        last = self._history[-1]
        return Fit(
            W, b, value, self.lower_bound, self.gap, self._tol, int(np.ceil(last.n_passes)), last.seconds,
            tuple(self._history), status,
        )  # fmt: skip


def check_settings(tol: float, max_passes: float) -> None:
    """Raise a `ParameterError` if the tolerance or the budget makes no sense."""
    if not (0.0 < tol < 1.0):
        raise ParameterError(f"tol is a relative gap and must lie between 0 and 1, but it is {tol!r}.")
    if not max_passes >= 1:
        raise ParameterError(f"max_passes must be at least 1, but it is {max_passes!r}.")


def start(objective: Objective, W0: Floats | None, b0: Floats | None) -> tuple[Floats, Floats]:
    """Return copies of the starting point, or zeros."""
    W = np.zeros((objective.n_features, objective.n_classes)) if W0 is None else np.array(W0, dtype=np.float64)
    b = np.zeros(objective.n_classes) if b0 is None else np.array(b0, dtype=np.float64)
    return W, b
