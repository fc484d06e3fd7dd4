"""The squared multiclass SVM loss (L2-SVM)."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

from softmargin.losses.arrays import Array, row_sums
from softmargin.losses.base import Floats, check_delta
from softmargin.losses.margins import (
    MarginLoss,
    ascend_margins,
    row_hinges,
    row_margin_hessian,
    row_violations,
)
from softmargin.losses.rows import (
    ANY_ORDER,
    row_ascent,
    row_function,
    row_gradient,
    row_hessian_product,
    row_squares,
    row_sum,
)
from softmargin.vectors import namespace

__all__ = ["SquaredHinge"]


class _Parameters(NamedTuple):
    delta: float


class SquaredHinge(MarginLoss, _Parameters):
    """Squared multiclass SVM loss.

    ``L(s, y) = Σ_{j≠y} max(0, s_j - s_y + Δ)²``

    Parameters
    ----------
    delta : float, default 1.0
        The margin Δ ≥ 1e-100. It need not be tuned: the minimiser at (Δ, λ) is Δ times the minimiser at (1, λ).

    Examples
    --------
    >>> import softmargin as sm
    >>> sm.SquaredHinge().values([[1.0, 0.5, -3.0]], [0])
    array([0.25])
    """

    __slots__ = ()
    name: ClassVar[str] = "squared_hinge"
    title: ClassVar[str] = "squared multiclass SVM (L2-SVM)"
    curves_in_pairs: ClassVar[bool] = True
    ascends: ClassVar[bool] = True
    _conjugate_curvature = 0.5
    _cap: ClassVar[float] = math.inf

    def __new__(cls, delta: float = 1.0) -> SquaredHinge:
        return super().__new__(cls, check_delta(delta))

    def balance_stiffness(self, n_classes: int) -> float:
        """Return 1; parameters as in `Loss.balance_stiffness`."""
        return 1.0

    def _sums(self, u: Array) -> Array:
        return row_sums(u**2)

    def _slopes(self, u: Array) -> Array:
        return 2.0 * u

    def _mobility(self, t: Array) -> Array:
        return 2.0 * namespace(t).astype(t > 0.0, t.dtype)

    def value_error_bound(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return a bound on the true minus the computed mean loss; the parameters are those of `Loss`."""
        n_rivals = n_classes - 1  # (u + 2e)² = u² + 4eu + 4e² for each rival, and Cauchy–Schwarz
        return 4.0 * error * math.sqrt(n_rivals * value) + 4.0 * n_rivals * error * error


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
    row_margin_hessian(s, y, t, loss.delta, math.inf, 0.5)


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
