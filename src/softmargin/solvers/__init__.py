"""Solvers: they know nothing but the objective's methods."""

from __future__ import annotations

import warnings

import numpy as np

from softmargin.errors import ConvergenceWarning, DataError, ParameterError
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


_STIFFEST = 64.0
"""How far the scores of a sample may follow its own dual row before dual ascent is not even tried."""


def default_solver(objective: Objective, tol: float = 1e-4, max_passes: float = 2000) -> Solver:
    """Return the solver for this objective: dual ascent where it is quick, and what finishes it."""
    smooth = LBFGS(tol, max_passes)
    finisher = smooth if objective.loss.smooth else AugmentedLagrangian(tol, max_passes, inner=smooth)
    if objective.loss.ascends and objective.dual_stiffness <= _STIFFEST:
        return DualAscent(tol, max_passes, finisher)
    return finisher


def minimize(
    objective: Objective,
    W0: Floats | None = None,
    b0: Floats | None = None,
    tol: float = 1e-4,
    callback: Callback | None = None,
    *,
    max_passes: float = 2000,
    solver: Solver | None = None,
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
    max_passes : float, default 2000
        Budget of readings of X.
    solver : Solver, optional
        By default L-BFGS for smooth losses and the augmented Lagrangian over it for the hinge. A given solver
        brings its own ``tol`` and ``max_passes``.

    Returns
    -------
    Fit
        The point, in the coordinates of the objective, with its certificate.

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
    if objective.reg == 0.0:
        raise ParameterError(
            "reg is 0: on separable data there is no optimum, and without a penalty nothing can be certified; "
            "choose a small positive reg."
        )
    solver = default_solver(objective, tol, max_passes) if solver is None else solver
    if isinstance(solver, type) or not callable(getattr(solver, "minimize", None)):
        raise ParameterError(f"solver must be a solver such as softmargin.SGD(), but it is {solver!r}.")
    for setting in ("tol", "max_passes"):
        check_number(setting, getattr(solver, setting, 1.0))
    if callback is not None:
        if not callable(callback):
            raise ParameterError(f"callback must be a function that takes a Step, but it is {callback!r}.")
        callback = np.errstate(**np.geterr())(callback)  # its arithmetic is not ours to keep quiet about
    W0 = _check_start("W0", W0, (objective.n_features, objective.n_classes))
    b0 = _check_start("b0", b0, (objective.n_classes,))
    W, b = start(objective, W0, b0)
    # Numbers that leave the range make the value or the bound infinite, and the gap says so.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if objective.fit_intercept:
            # Centred features do not change the optimum, and free the bias from the weights.
            centred, shift = objective.centred()
            fit = solver.minimize(centred, W, b + shift @ W, callback)
            fit = fit.with_bias(fit.b - shift @ fit.W)
        else:
            fit = solver.minimize(objective, W, b, callback)
    if not fit.converged:
        warnings.warn(
            f"The fit stopped at a relative gap of {fit.gap:.2g} instead of {fit.tol:g}. {fit.status}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return fit


def _check_start(name: str, point: Floats | None, shape: tuple[int, ...]) -> Floats | None:
    if point is None:
        return None
    array = as_floats(name, point)
    if array.shape != shape:
        raise DataError(f"{name} must have shape {shape}, but its shape is {array.shape}.")
    return array
