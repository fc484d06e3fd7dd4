"""Minimise an objective to a proved relative gap."""

from __future__ import annotations

import os

import numpy as np

from softmargin.arguments import as_floats, check_number
from softmargin.errors import ConvergenceWarning, DataError, ParameterError, warn
from softmargin.losses.base import Floats
from softmargin.objective import Objective, PenalizedLoss
from softmargin.solvers.base import Callback, Fit, Solver, Start, State
from softmargin.solvers.checkpoint import Checkpoint
from softmargin.solvers.choose import choose_solver
from softmargin.solvers.run import run
from softmargin.vectors import Vector, to_numpy

__all__ = ["minimize", "solve"]


def minimize(
    objective: Objective,
    W0: Floats | None = None,
    b0: Floats | None = None,
    tol: float = 1e-4,
    callback: Callback | None = None,
    *,
    max_passes: float | None = None,
    solver: Solver | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
) -> Fit:
    """Minimise an objective to a proved relative gap.

    Parameters
    ----------
    objective : Objective
        Its ``reg`` must be positive.
    W0, b0 : ndarray of shape (D, C) and (C,), optional
        Where to start; by default at zero.
    tol : float, default 1e-4
        Relative duality gap (F - lower bound) / F to reach and prove.
    callback : callable, optional
        Called with each `Step`; a true return value stops the fit at the best point so far.
    max_passes : float, optional
        Budget of readings of X; by default 2000, without limit for `SGD`. It is looked at between steps, and
        the last certificate comes on top.
    solver : Solver, optional
        By default the one that fits the loss and the data.
    checkpoint : path-like, optional
        A file to keep the state of the fit in. If it is there already, the fit goes on from it (whatever ``W0``
        is) and, unless its budget ends it, with the same bits as if it had never been stopped. ``tol`` must be
        the same, ``max_passes`` may be raised. It is removed when the gap is proved.
    checkpoint_seconds : float, default 60
        Least time between two writes of it; what was done since the last one is done again.

    Returns
    -------
    Fit
        The point, in the coordinates of the objective, with its certificate. After Ctrl-C it is the best point
        so far with its true gap, and ``interrupted`` is true.

    Warns
    -----
    ConvergenceWarning
        If the gap was not reached; the message states the one that was.

    Raises
    ------
    DataError
        If ``W0`` or ``b0`` have another shape or are not finite.
    ParameterError
        If ``reg`` is 0: the infimum need not be attained and nothing could be certified. Or if another
        argument makes no sense.
    """
    if not isinstance(objective, Objective):
        raise ParameterError(f"objective must be a softmargin.Objective, but it is {objective!r}.")
    start = _start(objective, W0, b0)
    fit, _ = solve(
        objective, start, tol, max_passes, callback, solver=solver, checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip
    if not fit.converged:
        warn(
            f"The fit stopped at a relative gap of {fit.gap:.2g} instead of {fit.tol:g}. {fit.status}",
            ConvergenceWarning,
        )
    return fit


def solve(
    objective: Objective,
    start: tuple[Floats, Floats] | State | None = None,
    tol: float = 1e-4,
    max_passes: float | None = None,
    callback: Callback | None = None,
    *,
    solver: Solver | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
) -> tuple[Fit, State]:
    """Do what `minimize` does, without its warning, and return the last state, too.

    Parameters
    ----------
    objective : Objective
    start : State or tuple of ndarray, optional
        The state that a fit of the same objective with another λ has ended in; or W0 and b0.
    tol, max_passes, callback, solver, checkpoint, checkpoint_seconds
        As in `minimize`.
    """
    if objective.reg == 0.0:
        raise ParameterError(
            "reg is 0: on separable data there is no optimum, and without a penalty nothing can be certified; "
            "choose a small positive reg."
        )
    if callback is not None:
        if not callable(callback):
            raise ParameterError(f"callback must be a function that takes a Step, but it is {callback!r}.")
        callback = np.errstate(**np.geterr())(callback)  # for overflow in its own arithmetic
    if solver is not None and not isinstance(solver, Solver):
        raise ParameterError(f"solver must be a solver such as softmargin.SGD(), but it is {solver!r}.")
    tol, seconds = check_number("tol", tol), check_number("checkpoint_seconds", checkpoint_seconds)
    if not (0.0 < tol < 1.0):
        raise ParameterError(f"tol is a relative gap and must lie between 0 and 1, but it is {tol!r}.")
    if not seconds >= 0.0:
        raise ParameterError(f"checkpoint_seconds must be 0 or more, but it is {checkpoint_seconds!r}.")
    interrupted, kept = False, None

    def prepared() -> tuple[PenalizedLoss, Vector, Solver]:
        problem, shift = objective.problem()
        return problem, shift, choose_solver(problem) if solver is None else solver

    # Overflow makes the value or the bound infinite, and the gap shows it.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            problem, shift, solver = prepared()
            passes_before = problem.n_passes
            problem.prepare_certificates()  # here, so that a resumed fit does not count it again
            if checkpoint is not None:
                if not solver.states:
                    raise ParameterError(f"{type(solver).__name__} keeps no checkpoint: leave it out.")
                kept = Checkpoint(checkpoint, f"{problem.fingerprint()} {tol} {solver!r}", seconds)
        except KeyboardInterrupt:  # no point yet: the start will be the best so far
            interrupted = True
            problem, shift, solver = prepared()
            passes_before = problem.n_passes
        budget = check_number("max_passes", solver.max_passes if max_passes is None else max_passes)
        if not budget >= 1:
            raise ParameterError(f"max_passes must be at least 1, but it is {budget!r}.")
        if not isinstance(start, State):
            zeros = np.zeros((objective.n_features, objective.n_classes)), np.zeros(objective.n_classes)
            W, b = start or zeros
            start = Start(P=problem.vector(W, b + to_numpy(shift) @ W), reg=objective.reg)
        fit, state = run(problem, solver, start, tol, budget, callback, kept, interrupted, passes_before)
        return fit.with_bias(fit.b - to_numpy(shift) @ fit.W), state


def _start(objective: Objective, W0: Floats | None, b0: Floats | None) -> tuple[Floats, Floats]:
    """Return the starting point, by default zeros, or raise a `DataError`."""
    shapes = {"W0": (objective.n_features, objective.n_classes), "b0": (objective.n_classes,)}
    found = []
    for given, (name, shape) in zip((W0, b0), shapes.items(), strict=True):
        array = np.zeros(shape) if given is None else as_floats(name, given)
        if array.shape != shape:
            raise DataError(f"{name} must have shape {shape}, but its shape is {array.shape}.")
        found.append(array)
    W, b = found
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise DataError("W0 and b0 must be finite to start from.")
    if not objective.fit_intercept and b.any():
        raise DataError("b0 must be zero, since this objective has no intercept.")
    return W, b
