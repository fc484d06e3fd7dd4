"""Truncated Newton steps where the Hessian is cheap, and steps of a fallback elsewhere; for smooth losses.

Once most pairs are inactive, a Hessian product reads only the rows of active pairs. Many steps of conjugate
gradients then cost as much as one pass. While too many pairs are active, the fallback gives the direction.

References
----------
Lin, Weng and Keerthi, "Trust region Newton method for large-scale logistic regression", 2008.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from softmargin.errors import CapabilityError
from softmargin.objective import Capability, Point, Problem, Traits
from softmargin.solvers.base import Saved
from softmargin.solvers.descent import CovarianceModel, Descent, check_descent
from softmargin.vectors import Vector, inner, namespace

__all__ = ["TruncatedNewton"]

_LEAST_FORCING, _FORCING, _MAX_PRODUCTS = 1e-5, 0.03, 300
"""With a preconditioner of class blocks. Violations of active pairs shrink like λ, and so must the residual."""

_STIFF = 1.0
"""Up to this `Traits.dual_stiffness`, float32 products are accurate enough for a step."""

_LEAST_SHARE = 1e-3
"""Limits the curvature that is added for b, as a fraction of λ."""


@dataclass(frozen=True)
class TruncatedNewton(Descent):
    """Newton steps: exact where the Hessian is small, else by preconditioned conjugate gradients on active pairs.

    Parameters
    ----------
    fallback : Descent
        Gives the direction while too many pairs are active.
    forcing : float
        Conjugate gradients end when the residual is below this fraction of the first.
    max_products : int
        Maximum number of Hessian products per step.
    """

    keeps_scores: ClassVar[bool] = True

    fallback: Descent = field(kw_only=True)
    forcing: float = 0.1
    max_products: int = 50

    def is_exact(self, traits: Traits) -> bool:
        """Return whether steps use the full Hessian or the Gram matrix, or λ is small."""
        return traits.shape.has_small_hessian or traits.shape.has_few_rows or traits.dual_stiffness > _STIFF

    def direction(self, problem: Problem, saved: Saved | None = None) -> _Newton:
        """Return the direction at the start, or the saved one."""
        check_descent("fallback", self.fallback)
        if Capability.HESSIAN not in problem.traits.supports:
            raise CapabilityError("TruncatedNewton requires an engine with Hessians; use LBFGS() instead.")
        return _Newton(problem, self, saved)


class _Newton:
    def __init__(self, problem: Problem, settings: TruncatedNewton, saved: Saved | None) -> None:
        self._problem, self._settings = problem, settings
        self._fallback = settings.fallback.direction(problem, saved)
        self._model = CovarianceModel(problem, None if saved is None else saved["newton model"])

    def at(self, point: Point) -> Vector:
        """Return minus the inverse Hessian times the gradient, approximately."""
        hessian = self._problem.hessian(point)
        if hessian is None:
            return self._fallback.at(point)
        floor = self._model.floor(point)
        if self._problem.loss.curves_in_pairs:  # b must not be damped more than W, whose curvature may be 2λ
            floor = min(floor, _LEAST_SHARE * self._problem.reg)
        step = hessian.solve(point.gradient, floor)
        if step is not None:
            return -step
        inverse, settings = hessian.blocks(floor), self._settings
        product = hessian.product(single=inverse is None)
        if product is None:
            return self._fallback.at(point)
        forcing = max(min(_FORCING, 1.0 / self._problem.traits.dual_stiffness), _LEAST_FORCING)
        limits = _Limits(forcing, forcing, _MAX_PRODUCTS)
        if inverse is None:
            self._model.refresh(point, now=True)
            inverse, limits = self._model.solve, _Limits(settings.forcing, math.inf, settings.max_products)
        return _conjugate_gradients(product, inverse, point.gradient, floor, limits)

    def update(self, before: Point, after: Point) -> None:
        """Update the fallback, too, for the steps that it takes."""
        self._fallback.update(before, after)

    def reset(self) -> bool:
        """Reset the fallback."""
        return self._fallback.reset()

    def saved(self) -> Saved:
        """Return the state of the fallback and of the model, for a checkpoint."""
        return self._fallback.saved() | {"newton model": self._model.saved()}


class _Limits(NamedTuple):
    """When conjugate gradients end.

    Attributes
    ----------
    forcing : float
        Fraction of the first residual, in the norm of the preconditioner.
    plain : float
        The same in the Euclidean norm, which bounds the duality gap.
    products : int
        Maximum number of products.
    """

    forcing: float
    plain: float
    products: int


def _conjugate_gradients(
    product: Callable[[Vector], Vector], inverse: Callable[[Vector], Vector], gradient: Vector, floor: float,
    limits: _Limits,
) -> Vector:  # fmt: skip
    """Return minus the approximate inverse Hessian times the gradient."""
    xp = namespace(gradient)
    d, r = xp.zeros_like(gradient), -gradient
    z = inverse(r)
    p, rz = z, inner(r, z)
    enough, enough_plain = limits.forcing**2 * rz, limits.plain**2 * inner(r, r)
    for _ in range(limits.products):
        Hp = product(p)
        Hp[-1, :] += floor * p[-1, :]
        curvature = inner(p, Hp)
        if not curvature > 0.0:
            break
        d += rz / curvature * p
        r -= rz / curvature * Hp
        z = inverse(r)
        before, rz = rz, inner(r, z)
        if rz <= enough and inner(r, r) <= enough_plain:
            break
        p = z + rz / before * p
    return d if bool(xp.any(d != 0.0)) else -inverse(gradient)
