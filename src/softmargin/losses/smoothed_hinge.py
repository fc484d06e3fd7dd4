"""The hinge with smoothed kinks, which the augmented Lagrangian for the hinge uses."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from softmargin.losses.arrays import Array, at_most, row_sums
from softmargin.losses.base import Floats, Loss, check_delta, check_positive
from softmargin.losses.margins import MarginLoss, row_margin_hessian
from softmargin.losses.rows import row_function, row_gradient, row_hessian_product
from softmargin.vectors import namespace

__all__ = ["SmoothedHinge"]


class _Parameters(NamedTuple):
    delta: float
    width: float


class SmoothedHinge(MarginLoss, _Parameters):
    """Multiclass SVM loss, smoothed over a width μ (Huber's function of each violation).

    ``L(s, y) = Σ_{j≠y} h(s_j - s_y + Δ)`` with ``h(u) = max_{0≤t≤1} t·u - (μ/2) t²``: 0 for u ≤ 0, ``u²/(2μ)`` for
    0 ≤ u ≤ μ, and ``u - μ/2`` for u ≥ μ.

    Parameters
    ----------
    delta : float, default 1.0
        The margin Δ > 0.
    width : float, default 1.0
        The width μ > 0 of the smoothing, in units of the scores.
    """

    __slots__ = ()
    name: ClassVar[str] = "smoothed_hinge"
    title: ClassVar[str] = "smoothed multiclass SVM"
    curves_in_pairs: ClassVar[bool] = True

    def __new__(cls, delta: float = 1.0, width: float = 1.0) -> SmoothedHinge:
        return super().__new__(cls, check_delta(delta), check_positive("width", width))

    def is_dual_feasible_for(self, other: Loss) -> bool:
        """Return whether the gradients are dual feasible for ``other``, which may be a hinge."""
        return self == other or isinstance(other.smoothed(self.width), SmoothedHinge)

    def _sums(self, u: Array) -> Array:
        t = self._slopes(u)
        return row_sums(namespace(u).where(t < 1.0, 0.5 * u * t, u - 0.5 * self.width))

    def _slopes(self, u: Array) -> Array:
        return at_most(u / self.width, 1.0)

    @property
    def _conjugate_curvature(self) -> float:
        return self.width


@row_function(row_gradient, SmoothedHinge)
def _row_gradient(loss: SmoothedHinge, s: Floats, y: int) -> float:
    target = s[y]
    value = target - target  # NaN if it is not finite, as then is the loss
    total = 0.0
    for j in range(s.size):
        u = s[j] - target + loss.delta
        if j == y or u <= 0.0:
            s[j] = 0.0
        elif u < loss.width:
            s[j] = u / loss.width
            value += 0.5 * u * s[j]
            total += s[j]
        else:
            s[j] = 1.0
            value += u - 0.5 * loss.width
            total += 1.0
    s[y] = -total
    return value


@row_function(row_hessian_product, SmoothedHinge)
def _row_hessian_product(loss: SmoothedHinge, s: Floats, y: int, t: Floats) -> None:
    row_margin_hessian(s, y, t, loss.delta, loss.width, loss.width)
