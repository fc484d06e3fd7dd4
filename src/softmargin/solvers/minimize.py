"""Minimise an objective to a certified relative gap."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from softmargin.arguments import as_floats, brief, check_number
from softmargin.errors import ConvergenceWarning, DataError, ParameterError, warn
from softmargin.losses.base import Floats
from softmargin.objective import Objective, PenalizedLoss
from softmargin.solvers.base import Callback, Fit, Solver, Start, State
from softmargin.solvers.checkpoint import Checkpoint
from softmargin.solvers.choose import choose_solver
from softmargin.solvers.run import Run
from softmargin.threads import one_blas_thread
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
    """Minimise an objective to a certified relative gap.

    Parameters
    ----------
    objective : Objective
        Its ``reg`` must be positive.
    W0, b0 : ndarray of shape (D, C) and (C,), optional
        Starting point; zero by default.
    tol : float, default 1e-4
        Tolerance of the relative duality gap (F - lower bound) / F.
    callback : callable, optional
        Called with each `Step`; a true return value stops the fit at the best point so far.
    max_passes : float, optional
        Maximum number of passes over X: 2000 by default, and unlimited for `SGD`. It is checked between steps, so
        the last step and the last certificate may exceed it.
    solver : Solver, optional
        By default chosen for the loss and the data.
    checkpoint : path-like, optional
        File in which to save the state of the fit. If it exists, the fit resumes from it and ignores ``W0`` and
        ``b0``. Unless it reaches ``max_passes``, the result has the same bits as without the interruption. ``tol``
        must be the same; ``max_passes`` may be larger. The file is removed when the fit has converged.
    checkpoint_seconds : float, default 60
        Minimum time in seconds between two writes of the checkpoint. A resumed fit repeats what came after the
        last.

    Returns
    -------
    Fit
        The point, in the coordinates of the objective, with its certificate. After Ctrl-C it is the best point so
        far with its true gap, and ``interrupted`` is true.

    Warns
    -----
    ConvergenceWarning
        If the gap is larger than ``tol``. The message states the gap and the reason.

    Raises
    ------
    DataError
        If ``W0`` or ``b0`` have the wrong shape or are not finite.
    ParameterError
        If ``reg`` is 0, since there may be no optimum and no gap can be certified, or if another argument is
        invalid.
    CapabilityError
        If the solver does not support the loss or the engine.
    """
    if not isinstance(objective, Objective):
        raise ParameterError(f"objective must be a softmargin.Objective, got {brief(objective)}.")
    fit, _ = solve(objective, (W0, b0), tol, max_passes, callback, solver, checkpoint, checkpoint_seconds)
    if not fit.converged:
        limit = np.format_float_scientific(fit.tol, precision=3, trim="-", exp_digits=1)
        text = f"Did not converge: relative duality gap {fit.gap:.2g} > tol={limit}. {fit.status}"
        warn(text, ConvergenceWarning)
    return fit


def solve(
    objective: Objective,
    start: tuple[Floats | None, Floats | None] | State | None = None,
    tol: float = 1e-4,
    max_passes: float | None = None,
    callback: Callback | None = None,
    solver: Solver | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
) -> tuple[Fit, State]:
    """Do the same as `minimize` without its warning, and also return the last state.

    Parameters
    ----------
    objective : Objective
    start : State or tuple of ndarray, optional
        W0 and b0, or the last state of a fit of the same objective with another λ.
    tol, max_passes, callback, solver, checkpoint, checkpoint_seconds
        As in `minimize`.
    """
    columns, W, b = (
        objective.columns,
        *_checked_start(objective, *(start if isinstance(start, tuple) else (None, None))),
    )
    objective = objective.compact
    if objective.reg == 0.0:
        raise ParameterError(
            "reg must be positive, got 0: without a penalty, separable data have no optimum "
            "and no gap can be certified."
        )
    if callback is not None:
        if not callable(callback):
            raise ParameterError(f"callback must be a callable that takes a Step, got {brief(callback)}.")
        callback = np.errstate(**np.geterr())(callback)  # the caller's settings, for its own arithmetic
    if solver is not None and not isinstance(solver, Solver):
        raise ParameterError(f"solver must be a solver instance such as softmargin.SGD(), got {brief(solver)}.")
    tol, seconds = check_number("tol", tol), check_number("checkpoint_seconds", checkpoint_seconds)
    if not (0.0 < tol < 1.0):
        raise ParameterError(f"tol must be a number > 0 and < 1, got {brief(tol)}.")
    if not seconds >= 0.0:
        raise ParameterError(f"checkpoint_seconds must be a number ≥ 0, got {brief(checkpoint_seconds)}.")
    interrupted, kept = False, None

    def prepared() -> tuple[PenalizedLoss, Vector, Solver, float]:
        problem, shift = objective.problem()
        return problem, shift, choose_solver(problem) if solver is None else solver, problem.n_passes

    # Overflow makes the value or the bound infinite, which the gap shows.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"), one_blas_thread():
        try:
            problem, shift, solver, passes_before = prepared()
            problem.prepare_certificates()  # here, so that a resumed fit does not count it again
            if checkpoint is not None:
                if not solver.states:
                    raise ParameterError(f"{type(solver).__name__} does not support checkpoints; omit checkpoint.")
                kept = Checkpoint(checkpoint, f"{problem.fingerprint()} {tol} {solver!r}", seconds)
        except KeyboardInterrupt:  # no point yet: the start will be the best so far
            interrupted = True
            problem, shift, solver, passes_before = prepared()
        budget = check_number("max_passes", solver.max_passes if max_passes is None else max_passes)
        if not budget >= 1:
            raise ParameterError(f"max_passes must be a number ≥ 1, got {budget:g}.")
        if not isinstance(start, State):
            start = Start(P=problem.vector(W, b + to_numpy(shift) @ W), reg=objective.reg)
        run = Run(problem, start, tol, budget, callback, kept, interrupted, passes_before)
        fit, state = run.minimize(solver)
        return replace(fit, W=columns.spread(fit.W), b=fit.b - to_numpy(shift) @ fit.W), state


def _checked_start(objective: Objective, W0: Floats | None, b0: Floats | None) -> tuple[Floats, Floats]:
    """Return the starting point, zero by default, without empty columns, or raise a `DataError`."""
    D, C, found = objective.n_features, objective.n_classes, []
    for name, given, shape in (("W0", W0, (D, C)), ("b0", b0, (C,))):
        array = np.zeros(shape) if given is None else as_floats(name, given)
        if array.shape != shape:
            raise DataError(f"{name} must have shape {shape}, got {array.shape}.")
        if given is not None and not np.isfinite(array).all():
            raise DataError(f"{name} must contain only finite numbers.")
        found.append(array)
    W, b = objective.columns.take(found[0]), found[1]
    if not objective.fit_intercept and b.any():
        raise DataError("b0 must be zero because the objective has fit_intercept=False.")
    return W, b
