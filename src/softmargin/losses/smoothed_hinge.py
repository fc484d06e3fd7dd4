"""The hinge with its kinks rounded off: what the augmented Lagrangian of the hinge is made of."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.losses.base import (
    Balance,
    Floats,
    Ints,
    Loss,
    check_delta,
    check_positive,
    pairwise_shift,
    row_conjugate,
    row_function,
    row_gradient,
    row_hessian_product,
    violations,
    with_target,
)

__all__ = ["SmoothedHinge"]


class _Parameters(NamedTuple):
    delta: float
    width: float


class SmoothedHinge(Loss, _Parameters):
    """Multiclass SVM loss whose kinks are rounded over a width μ (Huber's function of each violation).

    ``L(s, y) = Σ_{j≠y} h(s_j - s_y + Δ)`` with ``h(u) = max_{0≤t≤1} t·u - (μ/2) t²``, that is 0 for u ≤ 0,
    ``u²/(2μ)`` up to u = μ and ``u - μ/2`` beyond.

    Parameters
    ----------
    delta : float, default 1.0
        The margin Δ > 0.
    width : float, default 1.0
        The width μ > 0 of the rounding, in units of the scores.
    """

    __slots__ = ()
    name: ClassVar[str] = "smoothed_hinge"
    title: ClassVar[str] = "smoothed multiclass SVM"

    def __new__(cls, delta: float = 1.0, width: float = 1.0) -> SmoothedHinge:
        return super().__new__(cls, check_delta(delta), check_positive("width", width))

    def _values(self, scores: Floats, y: Ints) -> Floats:
        u = np.maximum(violations(scores, y, self.delta), 0.0)
        t = np.minimum(u / self.width, 1.0)
        return np.where(t < 1.0, 0.5 * u * t, u - 0.5 * self.width).sum(axis=1)

    def _gradient(self, scores: Floats, y: Ints) -> Floats:
        return with_target(np.clip(violations(scores, y, self.delta) / self.width, 0.0, 1.0), y)

    def _hessian_product(self, scores: Floats, y: Ints, directions: Floats) -> Floats:
        rows = np.arange(len(y))
        u = violations(scores, y, self.delta)
        curved = (u > 0.0) & (u < self.width)
        return with_target(np.where(curved, (directions - directions[rows, y][:, None]) / self.width, 0.0), y)

    def _bends(self, scores: Floats, y: Ints) -> tuple[NDArray[np.bool_], float]:
        u = violations(scores, y, self.delta)
        return (u > 0.0) & (u < self.width), 1.0 / self.width

    def _conjugate(self, dual: Floats, y: Ints) -> Floats:
        rows = np.arange(len(y))
        squares = dual**2
        squares[rows, y] = 0.0
        return self.delta * dual[rows, y] + 0.5 * self.width * squares.sum(axis=1)

    def rise(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return by how much the mean loss may be larger than computed; parameters as in `Loss.rise`."""
        return 2.0 * (n_classes - 1) * error

    def balance(self, class_sums: Floats, shares: Floats, conjugate: float) -> Balance:
        """Make dual rows feasible; the conjugate of the new rows is exact before they are shrunk."""
        shift = pairwise_shift(class_sums, shares)
        wrong = shift - np.diag(np.diag(shift))
        exact = conjugate + self.delta * float(shares @ np.diag(shift))
        exact += self.width * float((wrong * (class_sums + 0.5 * shares[:, None] * wrong)).sum())
        shrink = 1.0 / (1.0 + max(shift.max(), 0.0))
        return Balance(shrink, shrink * shift, shrink * exact)  # L* is convex and 0 at 0


@row_function(row_gradient, SmoothedHinge)
def _row_gradient(loss: SmoothedHinge, s: Floats, y: int) -> float:
    target = s[y]
    value = target - target  # NaN, as no loss, where it is not finite
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
    target = s[y]
    along_target = t[y]
    total = 0.0
    for j in range(s.size):
        u = s[j] - target + loss.delta
        if j != y and 0.0 < u < loss.width:
            t[j] = (t[j] - along_target) / loss.width
            total += t[j]
        else:
            t[j] = 0.0
    t[y] = -total


@row_function(row_conjugate, SmoothedHinge)
def _row_conjugate(loss: SmoothedHinge, a: Floats, y: int) -> float:
    squares = 0.0
    for j in range(a.size):
        if j != y:
            squares += a[j] * a[j]
    return loss.delta * a[y] + 0.5 * loss.width * squares
