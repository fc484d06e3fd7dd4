"""The regularization path: certified fits for many λ, with warm starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from softmargin.arguments import brief, check_number
from softmargin.errors import ParameterError
from softmargin.objective import Objective
from softmargin.selection.fitter import PathFitter
from softmargin.selection.grid import check_regs, fixed_grid
from softmargin.solvers import Fit

__all__ = ["RegFit", "path"]


class RegFit(NamedTuple):
    """The fit for one λ of a path.

    Attributes
    ----------
    reg : float
        λ.
    fit : Fit
    """

    reg: float
    fit: Fit


def path(
    objective: Objective,
    regs: int | Sequence[float] = 25,
    tol: float = 1e-3,
    *,
    max_passes: float = 2000,
    callback: Callable[[RegFit], None] | None = None,
) -> list[RegFit]:
    """Compute a regularization path: certified fits for many λ, each a warm start for the next smaller one.

    Parameters
    ----------
    objective : Objective
        Its own ``reg`` is ignored.
    regs : int or sequence of float, default 25
        Values of λ, or their number. With a number, they are spaced evenly on a log scale. The first is one at
        which W is nearly zero. At the last the training loss is nearly zero or hardly decreases any more.
    tol : float, default 1e-3
        Tolerance on the relative duality gap of each fit.
    max_passes : float, default 2000
        Maximum number of passes over X per fit. No warning is given for a fit that does not converge; check its
        ``converged``.
    callback : callable, optional
        Called as ``callback(RegFit(reg, fit))`` after each fit.

    Returns
    -------
    list of RegFit
        Pairs ``(reg, fit)`` in descending order of λ.

    Raises
    ------
    ParameterError
        If an argument is invalid.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> objective = sm.Objective(sm.SquaredHinge(), digits.X, digits.y, reg=0.0)
    >>> found = sm.path(objective, [1.0, 0.1, 0.01])
    >>> [reg for reg, _ in found], all(fit.gap <= 1e-3 for _, fit in found)
    ([1.0, 0.1, 0.01], True)
    """
    if not isinstance(objective, Objective):
        raise ParameterError(f"objective must be a softmargin.Objective, got {brief(objective)}.")
    if not (callback is None or callable(callback)):
        raise ParameterError(f"callback must be callable, got {brief(callback)}.")
    tol, max_passes = check_number("tol", tol), check_number("max_passes", max_passes)
    grid = check_regs(regs)
    if isinstance(grid, int):
        grid = fixed_grid(objective, grid)
    fitter, found = PathFitter(objective), []
    for reg in grid:
        found.append(RegFit(reg, fitter.fit(reg, tol, max_passes)))
        if callback is not None:
            callback(found[-1])
    return found
