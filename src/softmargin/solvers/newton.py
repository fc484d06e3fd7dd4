"""Newton steps where the Hessian is cheap, a fallback's elsewhere: for the margin losses, smoothed or squared.

Once most samples are settled, a product with the Hessian costs only the rows of the active pairs, so that many
steps of conjugate gradients come at the price of one pass. Where too many pairs are active, the fallback goes on.

References
----------
Lin, Weng and Keerthi, "Trust region Newton method for large-scale logistic regression", 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from softmargin.errors import CapabilityError
from softmargin.objective import Capability, Point, Problem, Traits
from softmargin.solvers.base import Saved
from softmargin.solvers.descent import CovarianceModel, Descent, check_descent
from softmargin.vectors import Vector, inner, namespace

__all__ = ["TruncatedNewton"]


@dataclass(frozen=True)
class TruncatedNewton(Descent):
    """Newton's direction: exact where the Hessian is small, by preconditioned conjugate gradients on active pairs.

    Parameters
    ----------
    fallback : Descent
        Gives the directions while too many pairs are active.
    forcing : float
        Conjugate gradients end when the residual has come down to this share.
    max_products : int
        Or after so many products.
    """

    keeps_scores: ClassVar[bool] = True

    fallback: Descent = field(kw_only=True)
    forcing: float = 0.1
    max_products: int = 50

    def is_exact(self, traits: Traits) -> bool:
        """Return whether steps are solved with the whole Hessian or the Gram matrix."""
        return traits.shape.has_small_hessian or traits.shape.has_few_rows

    def direction(self, problem: Problem, saved: Saved | None = None) -> _Newton:
        """Return what is known of the Hessian at the start, or what was saved."""
        check_descent("fallback", self.fallback)
        if Capability.HESSIAN not in problem.traits.supports:
            raise CapabilityError("The engine does not support HESSIAN, needed for Newton steps; take LBFGS().")
        return _Newton(problem, self, saved)


class _Newton:
    def __init__(self, problem: Problem, settings: TruncatedNewton, saved: Saved | None) -> None:
        self._problem, self._settings = problem, settings
        self._fallback = settings.fallback.direction(problem, saved)
        self._model = CovarianceModel(problem)
        if saved is not None:
            self._model.restore(saved["newton model"])

    def at(self, point: Point) -> Vector:
        """Return minus the inverse Hessian times the gradient, approximately."""
        hessian = self._problem.hessian(point)
        if hessian is None:
            return self._fallback.at(point)
        floor = self._model.floor(point)
        step = hessian.solve(point.gradient, floor)
        if step is not None:
            return -step
        product = hessian.product()
        if product is None:
            return self._fallback.at(point)
        self._model.refresh(point, now=True)
        return self._conjugate_gradients(product, point.gradient, floor)

    def _conjugate_gradients(self, product: Callable[[Vector], Vector], gradient: Vector, floor: float) -> Vector:
        xp = namespace(gradient)
        d, r = xp.zeros_like(gradient), -gradient
        z = self._model.solve(r)
        p, rz = z, inner(r, z)
        enough = self._settings.forcing**2 * rz
        for _ in range(self._settings.max_products):
            Hp = product(p)
            Hp[-1, :] += floor * p[-1, :]
            curvature = inner(p, Hp)
            if not curvature > 0.0:
                break
            d += rz / curvature * p
            r -= rz / curvature * Hp
            z = self._model.solve(r)
            before, rz = rz, inner(r, z)
            if rz <= enough:
                break
            p = z + rz / before * p
        return d if bool(xp.any(d != 0.0)) else -self._model.solve(gradient)

    def update(self, before: Point, after: Point) -> None:
        """Let the fallback learn, too, for where it goes on."""
        self._fallback.update(before, after)

    def reset(self) -> bool:
        """Drop what the fallback learnt."""
        return self._fallback.reset()

    def saved(self) -> Saved:
        """Return what both have learnt, for a checkpoint."""
        return self._fallback.saved() | {"newton model": self._model.saved()}
