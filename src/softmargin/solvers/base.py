"""The protocol of a solver: immutable settings, and a generator of states that one driver iterates over.

A state holds all that a solver needs to continue. So a warm start and a checkpoint that is resumed are the same
thing: a state to start from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

from softmargin.losses.base import Floats
from softmargin.notebook import table
from softmargin.objective import DualState, Problem, RowState
from softmargin.vectors import Vector

__all__ = ["Callback", "Fit", "Progress", "Saved", "Solver", "Start", "State", "Step", "Steps"]

_MAX_RECORDED_STEPS = 200

Saved: TypeAlias = dict[str, Any]
"""NumPy arrays and JSON values, by name."""


class Step(NamedTuple):
    """One entry of the history of a fit.

    Attributes
    ----------
    n_passes : float
        Passes over X so far, including those for the preconditioner and the certificates.
    seconds : float
        Wall time so far.
    value : float
        F at this point. Where the solver does not know it: F at the best point certified so far, infinite before
        the first certificate.
    lower_bound : float
        Best certified lower bound on min F so far; 0 before the first certificate.
    estimate : float
        The relative gap that the solver expects. It is not certified.
    """

    n_passes: float
    seconds: float
    value: float
    lower_bound: float
    estimate: float


Callback: TypeAlias = Callable[[Step], bool | None]
"""Receives each step of a fit; a true return value stops the fit at the best point so far."""


@dataclass(frozen=True)
class Fit:
    """The result of a fit, with its certificate.

    Attributes
    ----------
    W : ndarray of shape (D, C)
    b : ndarray of shape (C,)
    value : float
        F(W, b).
    lower_bound : float
        Certified lower bound on the minimum of F.
    gap : float
        Relative duality gap (value - lower_bound) / value, with an upper bound on the rounding error of value
        added to value.
    tol : float
        Tolerance of the gap.
    n_passes : int
        Passes over X, including those for the preconditioner and the certificates.
    seconds : float
        Wall time.
    history : tuple of Step
    status : str
        Why the fit ended, as a sentence.
    interrupted : bool
        Whether Ctrl-C ended the fit.
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
        """Whether the certified gap is at most ``tol``."""
        return self.gap <= self.tol

    def _repr_html_(self) -> str:
        """Return the certificate and the work as a table for notebooks."""
        state = "converged" if self.converged else "did not converge"
        rows = [
            ("weights", f"{self.W.shape[0]:,} features, {self.W.shape[1]:,} classes"),
            ("objective", f"{self.value:.8g}"),
            ("lower bound", f"{self.lower_bound:.8g} (certified)"),
            ("gap", f"{self.gap:.1e} ({state}, tolerance {self.tol:g})"),
            ("passes", f"{self.n_passes:,} ({self.seconds:.1f} s)"),
            ("status", self.status),
        ]
        return table("Fit", rows)

    def record(self) -> dict[str, list[float]]:
        """Return the history, thinned to a few hundred steps, as one list per field of `Step`."""
        every = max(1, len(self.history) // _MAX_RECORDED_STEPS)
        kept = self.history[:-1][::every] + self.history[-1:]
        return {name: [float(getattr(step, name)) for step in kept] for name in Step._fields}


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of a solver between two steps.

    Attributes
    ----------
    P : array of shape (D + 1, C)
        The point: W, and b as its last row.
    reg : float
        λ of the objective that the state belongs to.
    value : float or None
        F at P; None if the solver does not know it.
    estimate : float
        The relative gap that the solver expects.
    ready : bool
        Whether to compute a certificate: it is likely to meet the tolerance, or the solver needs its result.
    source : Problem or DualState, optional
        Source of the dual rows of the certificate; by default the objective itself.
    keep_rows : bool
        Whether the solver needs these dual rows.
    resumable : bool
        Whether this state may be saved in a checkpoint.
    warm : State, optional
        The state from which a fit with another λ should start instead of this one.
    """

    P: Vector
    reg: float
    value: float | None = None
    estimate: float = float("inf")
    ready: bool = False
    source: Problem | DualState | None = None
    keep_rows: bool = False
    resumable: bool = True
    warm: State | None = None

    def saved(self) -> Saved:
        """Return what `load` needs."""
        raise NotImplementedError

    @classmethod
    def load(cls, problem: Problem, P: Vector, saved: Saved) -> State:
        """Return a saved state, with arrays of the same kind as P."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Start(State):
    """A starting point, with no other information."""

    resumable: bool = False


class Progress(NamedTuple):
    """The result of a certificate: what the driver sends back for a state.

    Attributes
    ----------
    gap : float
        Best certified relative gap so far.
    value : float
        Best certified value so far.
    rows : RowState or None
        Dual rows of this certificate, if the state requested them.
    rounding : float
        The part of the gap that allows for rounding errors: no gap much below it can be certified.
    """

    gap: float
    value: float
    rows: RowState | None
    rounding: float = 0.0


Steps: TypeAlias = Generator[State, Progress | None, str]
"""Yields states, is sent the result of each certificate (or None), and returns why it ended."""


class Solver(ABC):
    """An algorithm; its settings are the fields of a frozen dataclass."""

    max_passes: ClassVar[float] = 2000
    """Default for the maximum number of passes over X."""

    @property
    def states(self) -> tuple[type[State], ...]:
        """The classes of states that a checkpoint may hold; empty if checkpoints are not supported."""
        return ()

    @abstractmethod
    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield states, the first of them at the start, until there is no further improvement.

        If ``start`` is a state of this solver for the same λ, it is yielded first and continued from. Any other
        state only gives a starting point, or what else the solver can derive from it.

        Parameters
        ----------
        problem : Problem
        start : State
        tol : float
            Relative gap to certify.
        """

    def start_from_dual(self, dual: DualState, estimate: float) -> State:
        """Return the state to continue from after dual ascent (``dual``), given an ``estimate`` of the gap."""
        return Start(P=dual.P, reg=dual.reg)
