"""Truncated Newton where few rows curve, L-BFGS elsewhere: for the margin losses, smoothed or squared.

Once most samples are settled, a product with the Hessian costs only the rows that are not, so that many steps of
conjugate gradients come at the price of one pass. Where too many rows curve for that, L-BFGS goes on.

References
----------
Lin, Weng and Keerthi, "Trust region Newton method for large-scale logistic regression", 2008.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from softmargin.checkpoint import State
from softmargin.engines import Product
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers.base import Curvature, FirstGuess, Point, SmoothSolver, check_smooth_solver

__all__ = ["TruncatedNewton"]


@dataclass(frozen=True)
class TruncatedNewton(SmoothSolver):
    """Newton's direction by preconditioned conjugate gradients on the rows that curve.

    Parameters
    ----------
    tol, max_passes : float
        As in `Solver`.
    otherwise : SmoothSolver
        Gives the directions while too many rows curve.
    forcing : float
        Conjugate gradients end when the residual has come down to this share.
    max_products : int
        Or after so many products.
    """

    otherwise: SmoothSolver = field(kw_only=True)
    forcing: float = 0.1
    max_products: int = 50

    def curvature(self, objective: Objective) -> Curvature:
        """Return what is known of the Hessian at the start."""
        check_smooth_solver("otherwise", self.otherwise)
        return _Newton(objective, self)

    def prepared(self, objective: Objective) -> Objective:
        """Return the objective, set to keep the scores of each point."""
        return objective.keeping_scores()


class _Newton:
    def __init__(self, objective: Objective, settings: TruncatedNewton) -> None:
        self._objective = objective
        self._settings = settings
        self._otherwise = settings.otherwise.curvature(objective)
        self._guess = FirstGuess(objective)

    def direction(self, point: Point) -> Floats:
        """Return about minus the inverse Hessian times the gradient."""
        whole = self._objective.whole_hessian()
        if whole is not None:
            return self._solve(whole, point)
        try:
            step = self._objective.newton_step(point.gradient, self._guess.floor(point))
        except LinAlgError:  # rounding has eaten the smallest curvature
            step = None
        if step is not None:
            return -step
        hessian = self._objective.local_hessian()
        if hessian is None:
            return self._otherwise.direction(point)
        self._guess.look(point, anew=True)
        return self._conjugate_gradients(hessian, point.gradient, self._guess.floor(point))

    def _solve(self, hessian: Floats, point: Point) -> Floats:
        n_classes = point.P.shape[1]
        bias = np.arange(len(hessian) - n_classes, len(hessian))
        hessian[bias, bias] += self._guess.floor(point)
        try:
            factor = cho_factor(hessian, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:  # rounding has eaten the smallest curvature
            return self._otherwise.direction(point)
        return np.asarray(-cho_solve(factor, point.gradient.ravel(), check_finite=False)).reshape(point.P.shape)

    def _conjugate_gradients(self, hessian: Product, gradient: Floats, floor: float) -> Floats:
        d, r = np.zeros_like(gradient), -gradient
        z = self._guess.solve(r)
        p, rz = z, float(np.vdot(r, z))
        enough = self._settings.forcing**2 * rz
        for _ in range(self._settings.max_products):
            Hp = np.vstack(hessian(p[:-1], p[-1]))
            Hp[-1] += floor * p[-1]
            curvature = float(np.vdot(p, Hp))
            if not curvature > 0.0:
                break
            d += rz / curvature * p
            r -= rz / curvature * Hp
            z = self._guess.solve(r)
            before, rz = rz, float(np.vdot(r, z))
            if rz <= enough:
                break
            p = z + rz / before * p
        return d if d.any() else -self._guess.solve(gradient)

    def learn(self, before: Point, after: Point) -> None:
        """Let L-BFGS learn too, for where it goes on."""
        self._otherwise.learn(before, after)

    def state(self) -> State:
        """Return what both have learnt, for a checkpoint."""
        return self._otherwise.state() | {"newton guess": self._guess.state()["guess"]}

    def restore(self, state: State) -> None:
        """Go on from a checkpoint."""
        self._otherwise.restore(state)
        self._guess.restore({"guess": state["newton guess"]})

    def forget(self) -> bool:
        """Drop what L-BFGS learnt."""
        return self._otherwise.forget()
