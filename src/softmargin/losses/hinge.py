"""The multiclass SVM loss of Weston and Watkins (1999): the sum of the hinges over all rival classes."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from softmargin.losses.arrays import Array, row_sums
from softmargin.losses.base import Floats, check_delta
from softmargin.losses.margins import MarginLoss, ascend_margins, row_hinges, row_violations
from softmargin.losses.rows import ANY_ORDER, row_ascent, row_function, row_gradient, row_sum
from softmargin.losses.smoothed_hinge import SmoothedHinge
from softmargin.vectors import namespace

__all__ = ["Hinge"]


class _Parameters(NamedTuple):
    delta: float


class Hinge(MarginLoss, _Parameters):
    """Multiclass SVM loss.

    ``L(s, y) = Σ_{j≠y} max(0, s_j - s_y + Δ)``

    At a kink (a margin of exactly Δ) the subgradient is 0.

    Parameters
    ----------
    delta : float, default 1.0
        The margin Δ ≥ 1e-100 between the target and each rival class. It need not be tuned: the minimiser at
        (Δ, λ) is Δ times the minimiser at (1, Δλ).

    References
    ----------
    Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.

    Examples
    --------
    >>> import softmargin as sm
    >>> sm.Hinge(delta=10.0).values([[13.0, -7.0, 11.0]], [0])
    array([8.])
    """

    __slots__ = ()
    name: ClassVar[str] = "hinge"
    title: ClassVar[str] = "multiclass SVM (hinge)"
    smooth: ClassVar[bool] = False
    ascends: ClassVar[bool] = True
    _conjugate_curvature = 0.0

    def __new__(cls, delta: float = 1.0) -> Hinge:
        return super().__new__(cls, check_delta(delta))

    @property
    def reg_scale(self) -> float:
        """Δ: the minimiser at (Δ, λ) is Δ times the minimiser at (1, Δλ)."""
        return self.delta

    def smoothed(self, width: float) -> SmoothedHinge:
        """Return a smooth approximation that differs from this loss within ``width`` of the kinks."""
        return SmoothedHinge(self.delta, width)

    def balance_stiffness(self, n_classes: int) -> float:
        """Return Δ; parameters as in `Loss.balance_stiffness`."""
        return self.delta

    def _sums(self, u: Array) -> Array:
        return row_sums(u)

    def _slopes(self, u: Array) -> Array:
        return namespace(u).astype(u > 0.0, u.dtype)

    def _mobility(self, t: Array) -> Array:
        return t * (1.0 - t)  # only entries strictly between the bounds can change


@row_function(row_gradient, Hinge)
def _row_gradient(loss: Hinge, s: Floats, y: int) -> float:
    number = s.dtype.type
    row_hinges(s, y, loss.delta)
    value = row_sum(s)
    for j in range(s.size):
        s[j] = number(1) if s[j] > number(0) else number(0)
    s[y] = -row_sum(s)
    return value


@row_function(row_ascent, Hinge, fastmath=ANY_ORDER)
def _row_ascent(
    loss: Hinge, s: Floats, a: Floats, y: int, q: float, change: Floats, work: Floats
) -> tuple[float, float]:
    row_violations(s, a, y, loss.delta)
    value = 0.0
    gap = 0.0
    for j in range(s.size):
        value += max(s[j], 0.0)
        gap += max(s[j], 0.0) - a[j] * s[j]
    ascend_margins(s, a, y, q, 0.0, 1.0, change)
    return value, gap
