"""Solvers: they know nothing but the objective's methods."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

import numpy as np

from softmargin.checkpoint import Checkpoint
from softmargin.errors import ConvergenceWarning, DataError, ParameterError, warn
from softmargin.losses import SquaredHinge
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.augmented_lagrangian import AugmentedLagrangian
from softmargin.solvers.base import Callback, Fit, Solver, Step, start
from softmargin.solvers.dual_ascent import DualAscent
from softmargin.solvers.lbfgs import LBFGS
from softmargin.solvers.newton import TruncatedNewton
from softmargin.solvers.sgd import SGD
from softmargin.validation import as_floats, check_number

__all__ = [
    "LBFGS",
    "SGD",
    "AugmentedLagrangian",
    "Callback",
    "DualAscent",
    "Fit",
    "Solver",
    "Step",
    "TruncatedNewton",
    "default_solver",
    "minimize",
]


_TOL = 1e-4

_FEW_CLASSES = 32
"""Up to this many classes a sweep of dual ascent costs several passes: the products among the rows outweigh those
with W."""

_STIFFEST, _STIFFEST_KINKED = 1.0, 0.5
"""How far the scores of a sample may follow its own dual row, on average, before dual ascent is not even tried
where sweeps cost that much; for smooth losses and others."""

_PATIENCE, _LITTLE_PATIENCE = 1000.0, 30.0
"""How many passes of dual ascent may be left before another solver takes over: less where that one is quick."""

_TINY_HESSIAN = 100
"""Up to this many weights, Newton's method with the whole Hessian costs a smooth loss little more than passes."""


def default_solver(objective: Objective, tol: float = 1e-4, max_passes: float = 2000) -> Solver:
    """Return the solver for this objective.

    Dual ascent comes first, unless there are few weights, or few classes and a sample's dual row moves its own
    scores far (long features, a small λ) and there are more samples than features; it hands over where that is
    quicker. L-BFGS serves the smooth losses, with Newton steps for the squared hinge and where the whole Hessian
    is a small matrix, and the augmented Lagrangian over these the hinge.

    Parameters
    ----------
    objective : Objective
    tol, max_passes : float
        As in `minimize`.
    """
    loss = objective.loss
    primal: Solver = LBFGS(tol, max_passes)
    if isinstance(loss, SquaredHinge) or (loss.smooth and objective.has_small_hessian):
        primal = TruncatedNewton(tol, max_passes, otherwise=LBFGS())
    elif not loss.smooth:
        primal = AugmentedLagrangian(TruncatedNewton(otherwise=LBFGS()), tol, max_passes)
    small, few = objective.has_small_hessian, objective.n_classes <= _FEW_CLASSES
    tiny = loss.smooth and small and objective.n_features * objective.n_classes <= _TINY_HESSIAN
    if tiny or not loss.ascends or not objective.dual_rows_fit():
        return primal
    stiffest = _STIFFEST if loss.smooth else _STIFFEST_KINKED * loss.unit
    if few and not small and not objective.has_few_rows and objective.dual_stiffness > stiffest:
        return primal
    return DualAscent(tol, max_passes, primal, _LITTLE_PATIENCE if few or small else _PATIENCE)


def minimize(
    objective: Objective,
    W0: Floats | None = None,
    b0: Floats | None = None,
    tol: float = _TOL,
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
        Relative duality gap (F - lower bound) / F to reach and prove. A given solver keeps its own where this is
        left at its default.
    callback : callable, optional
        Called with each `Step`; a true return value stops the fit at the best point so far.
    max_passes : float, optional
        Budget of readings of X; by default 2000, or that of the solver. It is looked at between steps, and
        the last certificate comes on top.
    solver : Solver, optional
        By default the one that `default_solver` chooses.
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
    objective.check_certifiable()
    if objective.reg == 0.0:
        raise ParameterError(
            "reg is 0: on separable data there is no optimum, and without a penalty nothing can be certified; "
            "choose a small positive reg."
        )
    interrupted = False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            walked, shift = _centred(objective)
        except KeyboardInterrupt:  # no point yet: the start will be the best so far
            interrupted = True
            walked, shift = _centred(objective)
        if solver is None:
            solver = default_solver(objective)
    if isinstance(solver, type) or not callable(getattr(solver, "minimize", None)):
        raise ParameterError(f"solver must be a solver such as softmargin.SGD(), but it is {solver!r}.")
    given = {} if isinstance(tol, float) and tol == _TOL else {"tol": tol}
    given |= {} if max_passes is None else {"max_passes": max_passes}
    solver = _with_settings(solver, given)
    if callback is not None:
        if not callable(callback):
            raise ParameterError(f"callback must be a function that takes a Step, but it is {callback!r}.")
        callback = np.errstate(**np.geterr())(callback)  # its arithmetic is not ours to keep quiet about
    W0 = _check_start("W0", W0, (objective.n_features, objective.n_classes))
    b0 = _check_start("b0", b0, (objective.n_classes,))
    W, b = start(objective, W0, b0)
    # Numbers that leave the range make the value or the bound infinite, and the gap says so.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        kept = None
        if checkpoint is not None:
            if not getattr(solver, "keeps_checkpoints", False):
                raise ParameterError(f"{type(solver).__name__} keeps no checkpoint: leave it out.")
            problem = f"{walked.fingerprint()} {_without_budget(solver)!r}"
            seconds = check_number("checkpoint_seconds", checkpoint_seconds)
            if not seconds >= 0.0:
                raise ParameterError(f"checkpoint_seconds must be 0 or more, but it is {checkpoint_seconds!r}.")
            kept = Checkpoint(checkpoint, problem, seconds)
        more: dict[str, Any] = {} if kept is None else {"checkpoint": kept}
        more |= {"interrupted": True} if interrupted else {}
        fit = solver.minimize(walked, W, b + shift @ W, callback, **more)
        fit = fit.with_bias(fit.b - shift @ fit.W)
    if not fit.converged:
        warn(
            f"The fit stopped at a relative gap of {fit.gap:.2g} instead of {fit.tol:g}. {fit.status}",
            ConvergenceWarning,
        )
    return fit


def _centred(objective: Objective) -> tuple[Objective, Floats]:
    """Return the objective in centred features, which free the bias from the weights, and the shift."""
    objective.moments  # noqa: B018 (what else is asked about the features follows from these)
    if objective.fit_intercept:
        return objective.centred()
    return objective, np.zeros(objective.n_features)


def _with_settings(solver: Solver, given: dict[str, float]) -> Solver:
    """Return the solver with those of its settings that are given, or raise a `ParameterError`."""
    for name, value in given.items():
        try:
            solver = replace(solver, **{name: check_number(name, value)})  # type: ignore[type-var]
        except TypeError:
            raise ParameterError(f"{type(solver).__name__} has no setting {name}: leave it out.") from None
    for name in ("tol", "max_passes"):
        check_number(name, getattr(solver, name, 1.0))
    return solver


def _without_budget(solver: Solver) -> str:
    """Return the settings of a solver but for its budget, which may be raised to go on."""
    return re.sub(r"max_passes=[^,)]*", "", repr(solver))


def _check_start(name: str, point: Floats | None, shape: tuple[int, ...]) -> Floats | None:
    if point is None:
        return None
    array = as_floats(name, point)
    if array.shape != shape:
        raise DataError(f"{name} must have shape {shape}, but its shape is {array.shape}.")
    return array
