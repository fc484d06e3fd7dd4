"""The multiclass SVM loss of Weston and Watkins (1999): the sum of the hinges over all wrong classes."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np

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
    row_hinges,
    row_sum,
    row_violations,
    violations,
    with_target,
)

__all__ = ["Hinge"]


class _Parameters(NamedTuple):
    delta: float


class Hinge(Loss, _Parameters):
    """Multiclass SVM loss.

    ``L(s, y) = Σ_{j≠y} max(0, s_j - s_y + Δ)``

    At a kink (a margin of exactly Δ) the subgradient is 0.

    Parameters
    ----------
    delta : float, default 1.0
        The margin Δ, at least 1e-100, that the true class must keep. It need not be searched: the minimiser at
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

    def __new__(cls, delta: float = 1.0) -> Hinge:
        return super().__new__(cls, check_delta(delta))

    def _values(self, scores: Floats, y: Ints) -> Floats:
        return np.maximum(violations(scores, y, self.delta), 0.0).sum(axis=1)

    def _gradient(self, scores: Floats, y: Ints) -> Floats:
        return with_target((violations(scores, y, self.delta) > 0.0).astype(np.float64), y)

    def _conjugate(self, dual: Floats, y: Ints) -> Floats:
        return self.delta * dual[np.arange(len(y)), y]

    def _feasible(self, dual: Floats, y: Ints) -> Floats:
        return with_target(np.clip(dual, 0.0, 1.0, out=dual), y)

    def _tilted(self, dual: Floats, y: Ints, shift: Floats) -> Floats:
        wrong = np.clip(dual, 0.0, 1.0)  # only what lies strictly between the bounds may move
        moved = wrong + wrong * (1.0 - wrong) * (shift - shift[y][:, None])
        return with_target(np.clip(moved, 0.0, 1.0), y)

    def _tilt_slope(self, dual: Floats, y: Ints, weights: Floats) -> Floats:
        wrong = np.clip(dual, 0.0, 1.0)
        return pairwise_slope(wrong * (1.0 - wrong), y, weights)

    def _first_mix(self, shares: Floats, cost: float) -> float:
        slope = self.delta * float(shares @ (1.0 - shares))
        return min(0.5 * slope / max(cost, SMALLEST), 1.0 / float(shares.max()))

    def _first_penalty(self, n_classes: int) -> float:
        return 8.0 * self.delta

    def rise(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return by how much the mean loss may be larger than computed; parameters as in `Loss.rise`."""
        return 2.0 * (n_classes - 1) * error  # near a kink all may count, whatever the dual rows are

    def balance(self, class_sums: Floats, shares: Floats, conjugate: float) -> Balance:
        """Make dual rows feasible; L* is linear here, so the new conjugate is exact."""
        shift = pairwise_shift(class_sums, shares)
        shrink = 1.0 / (1.0 + max(shift.max(), 0.0))  # keeps every multiplier at most 1
        return Balance(shrink, shrink * shift, shrink * (conjugate + self.delta * float(shares @ np.diag(shift))))


@row_function(row_gradient, Hinge)
def _row_gradient(loss: Hinge, s: Floats, y: int) -> float:
    number = s.dtype.type
    row_hinges(s, y, loss.delta)
    value = row_sum(s)
    for j in range(s.size):
        s[j] = number(1) if s[j] > number(0) else number(0)
    s[y] = -row_sum(s)
    return value


@row_function(row_conjugate, Hinge)
def _row_conjugate(loss: Hinge, a: Floats, y: int) -> float:
    return loss.delta * a[y]


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
