"""The squared form of the multiclass SVM loss (L2-SVM)."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.losses.base import (
    ANY_ORDER,
    SMALLEST,
    Balance,
    Floats,
    Ints,
    Loss,
    ascend_margins,
    check_delta,
    pairwise_shift,
    pairwise_slope,
    row_ascent,
    row_conjugate,
    row_function,
    row_gradient,
    row_hessian_product,
    row_hinges,
    row_squares,
    row_sum,
    row_violations,
    violations,
    with_target,
)

__all__ = ["SquaredHinge"]


class _Parameters(NamedTuple):
    delta: float


class SquaredHinge(Loss, _Parameters):
    """Squared multiclass SVM loss.

    ``L(s, y) = Σ_{j≠y} max(0, s_j - s_y + Δ)²``

    Parameters
    ----------
    delta : float, default 1.0
        The margin Δ, at least 1e-100. It need not be searched: the minimiser at (Δ, λ) is Δ times the one at
        (1, λ).

    Examples
    --------
    >>> import softmargin as sm
    >>> sm.SquaredHinge().values([[1.0, 0.5, -3.0]], [0])
    array([0.25])
    """

    __slots__ = ()
    name: ClassVar[str] = "squared_hinge"
    title: ClassVar[str] = "squared multiclass SVM (L2-SVM)"
    ascends: ClassVar[bool] = True

    def __new__(cls, delta: float = 1.0) -> SquaredHinge:
        return super().__new__(cls, check_delta(delta))

    def _values(self, scores: Floats, y: Ints) -> Floats:
        return (np.maximum(violations(scores, y, self.delta), 0.0) ** 2).sum(axis=1)

    def _gradient(self, scores: Floats, y: Ints) -> Floats:
        return with_target(2.0 * np.maximum(violations(scores, y, self.delta), 0.0), y)

    def _hessian_product(self, scores: Floats, y: Ints, directions: Floats) -> Floats:
        rows = np.arange(len(y))
        active = violations(scores, y, self.delta) > 0.0
        return with_target(np.where(active, 2.0 * (directions - directions[rows, y][:, None]), 0.0), y)

    def _bends(self, scores: Floats, y: Ints) -> tuple[NDArray[np.bool_], float]:
        return violations(scores, y, self.delta) > 0.0, 2.0

    def _conjugate(self, dual: Floats, y: Ints) -> Floats:
        rows = np.arange(len(y))
        squares = dual**2
        squares[rows, y] = 0.0
        return self.delta * dual[rows, y] + 0.25 * squares.sum(axis=1)

    def _feasible(self, dual: Floats, y: Ints) -> Floats:
        return with_target(np.maximum(dual, 0.0, out=dual), y)

    def _tilted(self, dual: Floats, y: Ints, shift: Floats) -> Floats:
        moved = dual + np.where(dual > 0.0, 2.0 * (shift - shift[y][:, None]), 0.0)
        return with_target(np.maximum(moved, 0.0), y)

    def _tilt_slope(self, dual: Floats, y: Ints, weights: Floats) -> Floats:
        return pairwise_slope(np.where(dual > 0.0, 2.0, 0.0), y, weights)

    def _first_mix(self, shares: Floats, cost: float) -> float:
        slope = self.delta * float(shares @ (1.0 - shares))
        curvature = 0.25 * float(shares @ ((shares**2).sum() - shares**2))
        return 0.5 * slope / max(cost + curvature, SMALLEST)

    def _first_penalty(self, n_classes: int) -> float:
        return 8.0

    def rise(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return by how much the mean loss may be larger than computed; parameters as in `Loss.rise`."""
        wrong = n_classes - 1  # (u + 2e)² = u² + 4eu + 4e² for each, and Cauchy and Schwarz
        return 4.0 * error * math.sqrt(wrong * value) + 4.0 * wrong * error * error

    def balance(self, class_sums: Floats, shares: Floats, conjugate: float) -> Balance:
        """Make dual rows feasible; multipliers have no upper bound here, so nothing is shrunk and all is exact."""
        shift = pairwise_shift(class_sums, shares)
        wrong = shift - np.diag(np.diag(shift))
        exact = conjugate + self.delta * float(shares @ np.diag(shift))
        exact += 0.5 * float((wrong * (class_sums + 0.5 * shares[:, None] * wrong)).sum())
        return Balance(1.0, shift, exact)


@row_function(row_gradient, SquaredHinge)
def _row_gradient(loss: SquaredHinge, s: Floats, y: int) -> float:
    number = s.dtype.type
    row_hinges(s, y, loss.delta)
    value = row_squares(s)
    for j in range(s.size):
        s[j] *= number(2)
    s[y] = -row_sum(s)
    return value


@row_function(row_hessian_product, SquaredHinge)
def _row_hessian_product(loss: SquaredHinge, s: Floats, y: int, t: Floats) -> None:
    target = s[y]
    along_target = t[y]
    total = 0.0
    for j in range(s.size):
        if j != y and s[j] - target + loss.delta > 0.0:
            t[j] = 2.0 * (t[j] - along_target)
            total += t[j]
        else:
            t[j] = 0.0
    t[y] = -total


@row_function(row_conjugate, SquaredHinge)
def _row_conjugate(loss: SquaredHinge, a: Floats, y: int) -> float:
    squares = 0.0
    for j in range(a.size):
        if j != y:
            squares += a[j] * a[j]
    return loss.delta * a[y] + 0.25 * squares


@row_function(row_ascent, SquaredHinge, fastmath=ANY_ORDER)
def _row_ascent(
    loss: SquaredHinge, s: Floats, a: Floats, y: int, q: float, change: Floats, work: Floats
) -> tuple[float, float]:
    row_violations(s, a, y, loss.delta)
    value = 0.0
    gap = 0.0
    for j in range(s.size):
        value += max(s[j], 0.0) ** 2
        gap += max(s[j], 0.0) ** 2 + a[j] * (0.25 * a[j] - s[j])
    ascend_margins(s, a, y, q, 0.5, math.inf, change)
    return value, gap
