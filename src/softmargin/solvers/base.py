"""What a solver is: immutable settings, and a generator of states that one driver asks for the next.

A state holds all that a solver needs to go on. So a warm start and a checkpoint that is resumed are the same
thing: a state to start from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, TypeAlias

from softmargin.losses.base import Floats
from softmargin.objective import DualState, Problem, RowState
from softmargin.vectors import Vector

__all__ = ["Callback", "Fit", "Progress", "Saved", "Solver", "Start", "State", "Step", "Steps"]

_MOST_STEPS_KEPT = 200

Saved: TypeAlias = dict[str, Any]
"""NumPy arrays, and what JSON can hold, by name."""


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
        """Return the same fit with another bias b: the one that belongs to features that are not centred."""
        return replace(self, b=b)


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a solver stands.

    Attributes
    ----------
    P : array of shape (D + 1, C)
        The point: W, and b as its last row.
    reg : float
        The λ of the objective it belongs to.
    value : float or None
        F there; None where the solver does not know it.
    estimate : float
        What the solver expects the relative gap to be.
    ready : bool
        Whether a certificate is likely to prove enough, or the solver needs one to go on.
    source : Problem or DualState, optional
        What gives the dual rows of the certificate; by default the objective itself.
    keep_rows : bool
        Whether the solver wants these dual rows.
    resumable : bool
        Whether a checkpoint may be written here.
    warm : State, optional
        What a fit with another λ should start from instead of this.
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

    def at(self, P: Vector) -> State:
        """Return the state with another point."""
        return self if P is self.P else replace(self, P=P)

    def saved(self) -> Saved:
        """Return what `load` needs."""
        raise NotImplementedError

    @classmethod
    def load(cls, problem: Problem, P: Vector, saved: Saved) -> State:
        """Return the state that was saved, with arrays of the kind of P."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Start(State):
    """A point to start from, of which nothing is known."""

    resumable: bool = False


class Progress(NamedTuple):
    """What a certificate brought: the driver's answer to a state.

    Attributes
    ----------
    gap : float
        The relative gap proved so far.
    value : float
        The best value certified so far.
    rows : RowState or None
        The dual rows of this certificate, where the state wanted them.
    """

    gap: float
    value: float
    rows: RowState | None


Steps: TypeAlias = Generator[State, Progress | None, str]
"""States, one after the other; each is answered by what was proved there, if anything. Returns why it ended."""


class Solver(ABC):
    """One algorithm; its settings are the fields of a frozen dataclass."""

    max_passes: ClassVar[float] = 2000
    """Budget of readings of X where none is given."""

    @property
    def states(self) -> tuple[type[State], ...]:
        """The kinds of states that a checkpoint of it may hold; none if it keeps no checkpoint."""
        return ()

    @abstractmethod
    def steps(self, problem: Problem, start: State, tol: float) -> Steps:
        """Yield states, the first of them at the start, until nothing improves.

        A state of this solver for the same λ is gone on from, and yielded first; any other is only a point to
        start from, or what the solver can make of it.

        Parameters
        ----------
        problem : Problem
        start : State
        tol : float
            The relative gap to prove.
        """

    def start_from_dual(self, dual: DualState, estimate: float) -> State:
        """Return the state to go on from where dual ascent (``dual``) stands, at an ``estimate`` of the gap."""
        return Start(P=dual.P, reg=dual.reg)
