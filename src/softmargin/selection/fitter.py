"""Consecutive fits on the same objective, each a warm start for the next."""

from __future__ import annotations

from softmargin.objective import Objective
from softmargin.solvers import Callback, Fit, State, solve
from softmargin.solvers.base import Start
from softmargin.solvers.descent import DescentState

__all__ = ["PathFitter"]


class PathFitter:
    """Minimises an objective for one λ after the other, preferably in descending order.

    Parameters
    ----------
    objective : Objective
        Its own λ is ignored.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._state: State | None = None

    def restart(self) -> None:
        """Start the next fit from zero."""
        self._state = None

    def fit(self, reg: float, tol: float, max_passes: float, callback: Callback | None = None) -> Fit:
        """Return the fit for this λ, with a relative gap of at most ``tol`` unless ``max_passes`` is reached.

        A fit that did not converge does not warn here; see its ``converged``.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C interrupted the ``callback`` or the fit.
        """
        fit, self._state = solve(self.objective.replace(reg=reg), self._state, tol, max_passes, callback)
        if fit.interrupted:
            raise KeyboardInterrupt
        if isinstance(self._state, DescentState):  # its memory is for this λ, and larger than the point
            self._state = Start(P=self._state.P, reg=reg, warm=self._state.warm)
        return fit
