"""Solvers: they know nothing but the objective's methods."""

from __future__ import annotations

import warnings

from softmargin.errors import ConvergenceWarning, ParameterError
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.augmented_lagrangian import AugmentedLagrangian
from softmargin.solvers.base import Callback, Fit, Solver, Step, start
from softmargin.solvers.lbfgs import LBFGS
from softmargin.solvers.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "AugmentedLagrangian",
    "Callback",
    "Fit",
    "Solver",
    "Step",
    "default_solver",
    "minimize",
]


def default_solver(objective: Objective, tol: float = 1e-4, max_passes: float = 2000) -> Solver:
    """Return the solver for the loss of this objective."""
    smooth = LBFGS(tol, max_passes)
    return smooth if objective.loss.smooth else AugmentedLagrangian(smooth, tol, max_passes)


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
    ParameterError
        If ``reg`` is 0: the infimum need not be attained and nothing could be certified.
    """
    if objective.reg == 0.0:
        raise ParameterError(
            "reg is 0: on separable data there is no optimum, and without a penalty nothing can be certified; "
            "choose a small positive reg."
        )
    solver = default_solver(objective, tol, max_passes) if solver is None else solver
    W, b = start(objective, W0, b0)
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
