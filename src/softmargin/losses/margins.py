"""The common base of the pairwise margin losses: everything that follows from the conjugate of one term.

The margin violation of a class j is u_j = s_j - s_y + Δ. A margin loss is ``L(s, y) = Σ_{j≠y} φ(u_j)`` with
``φ*(t) = (κ/2) t²`` on ``0 ≤ t ≤ cap``, so that ``L*(a) = Δ a_y + (κ/2) Σ_{j≠y} a_j²``.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from softmargin.losses.arrays import (
    Array,
    at_least,
    at_target,
    clipped,
    filled,
    row_sums,
    sums_by_class,
    target_set,
    with_target,
)
from softmargin.losses.base import Balance, Floats, Loss
from softmargin.losses.rows import ANY_ORDER, row_helper
from softmargin.vectors import is_finite, namespace

__all__ = [
    "MarginLoss", "ascend_margins", "margin_violations", "pairwise_jacobian", "pairwise_shift", "row_hinges",
    "row_margin_hessian", "row_violations",
]  # fmt: skip

_MAX_STEPS = 40
_STEP_TOLERANCE = 1e-6
"""Tolerance of Newton's method for the dual of one row, relative to the change of the target's entry."""

_SMALLEST = 1e-200
"""Lower bound on divisors."""

_FAR_BELOW = -1e300
"""The violation that is stored for the target, so that loops need not skip it."""


class MarginLoss(Loss):
    """Mixin of the pairwise margin losses."""

    __slots__ = ()
    delta: float
    separates: ClassVar[bool] = True
    _cap: ClassVar[float] = 1.0

    @property
    def _conjugate_curvature(self) -> float:
        """κ."""
        raise NotImplementedError

    def _mobility(self, t: Array) -> Array:
        """Return dt_j/du_j of dual entries 0 ≤ t_j ≤ cap, or a smooth substitute; at the target it is not used."""
        raise NotImplementedError

    def _sums(self, u: Array) -> Array:
        """Return Σ_j φ(u_j) of each row of hinges u ≥ 0, shape (N,); φ(0) is 0."""
        raise NotImplementedError

    def _slopes(self, u: Array) -> Array:
        """Return φ'(u_j) of hinges u ≥ 0, which is 0 at 0."""
        raise NotImplementedError

    def _values(self, scores: Array, y: Array) -> Array:
        return self._sums(hinges(scores, y, self.delta))

    def _gradient(self, scores: Array, y: Array) -> Array:
        return self._values_and_gradient(scores, y)[1]

    def _values_and_gradient(self, scores: Array, y: Array) -> tuple[Array, Array]:
        u = hinges(scores, y, self.delta)
        t = self._slopes(u)
        return self._sums(u), target_set(t, y, -row_sums(t))

    def _bounded(self, dual: Array) -> Array:
        return clipped(dual, 0.0, self._cap)

    def _hessian_product(self, scores: Array, y: Array, directions: Array) -> Array:
        pairs = self._active_pairs(scores, y)
        if pairs is None:
            return super()._hessian_product(scores, y, directions)
        relative = (directions - at_target(directions, y)) / self._conjugate_curvature
        return with_target(filled(relative, ~pairs[0], 0.0), y)

    def _active_pairs(self, scores: Array, y: Array) -> tuple[Array, float] | None:
        if not self.curves_in_pairs:
            return None
        u = margin_violations(scores, y, self.delta)
        active = u > 0.0
        if not math.isinf(self._cap):
            active &= u < self._cap * self._conjugate_curvature
        return active, 1.0 / self._conjugate_curvature

    def _conjugate(self, dual: Array, y: Array) -> Array:
        linear, kappa = self.delta * at_target(dual, y)[:, 0], self._conjugate_curvature
        if kappa == 0.0:
            return linear
        return linear + 0.5 * kappa * namespace(dual).sum(target_set(dual**2, y, 0.0), axis=1)

    def _feasible(self, dual: Array, y: Array) -> Array:
        return with_target(self._bounded(dual), y)

    def _rebalanced(self, dual: Array, y: Array, shift: Array) -> Array:
        moved = shift - namespace(dual).take(shift, y, axis=0)[:, None]
        moved *= self._mobility(dual)
        moved += dual
        return with_target(self._bounded(moved), y)

    def _balance_jacobian(self, dual: Array, y: Array, weights: Array) -> Array:
        return pairwise_jacobian(target_set(self._mobility(dual), y, 0.0), y, weights)

    def _stretch(self, scores: Array, y: Array) -> float:
        largest = float(namespace(scores).max(margin_violations(scores, y, self.delta)))
        return self.delta / (self.delta - largest) if largest < self.delta else math.inf

    def _first_mix(self, class_weights: Floats, cost: float) -> float:
        squares = class_weights**2
        slope = self.delta * float(class_weights @ (1.0 - class_weights))
        curvature = 0.5 * self._conjugate_curvature * float(class_weights @ (squares.sum() - squares))
        return min(0.5 * slope / max(cost + curvature, _SMALLEST), self._cap / float(class_weights.max()))

    def value_error_bound(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return a bound on the true minus the computed mean loss; the parameters are those of `Loss`."""
        return 2.0 * (n_classes - 1) * error  # near kinks all rivals may contribute, independent of the dual rows

    def balance(self, class_sums: Floats, class_weights: Floats, conjugate: float) -> Balance:
        """Return how to make dual rows feasible; the conjugate of the new rows is exact before they shrink."""
        shift = pairwise_shift(class_sums, class_weights)
        rivals = shift - np.diag(np.diag(shift))
        exact = conjugate + self.delta * float(class_weights @ np.diag(shift))
        moved = float((rivals * (class_sums + 0.5 * class_weights[:, None] * rivals)).sum())
        exact += self._conjugate_curvature * moved
        if math.isinf(self._cap):
            return Balance(1.0, shift, exact)
        shrink = 1.0 / (1.0 + max(shift.max(), 0.0))  # keeps every multiplier at most 1
        return Balance(shrink, shrink * shift, shrink * exact)  # L* is convex and 0 at 0


def margin_violations(scores: Array, y: Array, delta: float) -> Array:
    """Return s_j - s_y + Δ of each class, (N, C), and 0 for the target.

    They are infinite if s_y is not finite: if s_y is -inf, the loss is +inf; if s_y has overflowed, the loss is
    not a number.
    """
    xp, target = namespace(scores), at_target(scores, y)
    if is_finite(target):
        u = scores - target
        u += delta
    else:
        usable = xp.isfinite(target)
        u = filled(scores - filled(target, ~usable, 0.0) + delta, ~usable, math.inf)
    return target_set(u, y, 0.0)


def hinges(scores: Array, y: Array, delta: float) -> Array:
    """Return max(0, s_j - s_y + Δ) of each class, (N, C), and 0 for the target; see `margin_violations`."""
    return at_least(margin_violations(scores, y, delta), 0.0)


def pairwise_shift(class_sums: Floats, class_weights: Floats) -> Floats:
    """Return the rows Q (C, C) that cancel the imbalance r when ``Q[y]`` is added to each row of class y.

    ``Q[y, j] = r_y⁺ r_j⁻ / (π_y Σ r⁺)`` for j ≠ y is never negative, and ``Q[y, y] = -Σ_j Q[y, j]``. So the sign
    constraints of all pairwise margin losses still hold.
    """
    imbalance = class_sums.sum(axis=0)
    positive, negative = np.maximum(imbalance, 0.0), np.maximum(-imbalance, 0.0)
    total = positive.sum()
    if total == 0.0:
        return np.zeros_like(class_sums)
    # Σ r⁺ and Σ r⁻ are equal up to rounding; one sum for both sides cancels r without that error.
    shift = np.outer(positive / class_weights, negative / total)
    return np.asarray(with_target(shift, np.arange(len(shift))))


def pairwise_jacobian(mobility: Array, y: Array, weights: Array) -> Array:
    """Return Σ_i ω_i Σ_j m_ij (e_j - e_y)(e_j - e_y)ᵀ for non-negative m (N, C), 0 at the targets."""
    xp = namespace(mobility)
    classes = xp.arange(mobility.shape[1], dtype=y.dtype, device=device(mobility))
    weighted = weights[:, None] * mobility
    cross = sums_by_class(weighted, y)
    diagonal = xp.sum(weighted, axis=0) + xp.sum(cross, axis=1)
    return xp.where(classes[:, None] == classes, diagonal, xp.zeros_like(cross)) - cross - cross.T


@row_helper()
def row_hinges(s: NDArray[Any], y: int, delta: float) -> None:
    """Replace scores by max(0, s_j - s_y + Δ), in the precision of the row; the target's entry becomes 0.

    NaN propagates. If the target's score is not finite, its entry becomes NaN, so that the loss is NaN.
    """
    number = s.dtype.type
    target, shift, zero = s[y], number(delta), number(0)
    for j in range(s.size):
        violation = (s[j] - target) + shift
        s[j] = zero if violation < zero else violation
    s[y] = target - target


@row_helper()
def row_violations(s: Floats, a: Floats, y: int, delta: float) -> None:
    """Replace scores by margin violations; the target gets a very negative violation and the dual entry 0."""
    target = s[y]
    for j in range(s.size):
        s[j] = (s[j] - target) + delta
    s[y] = _FAR_BELOW
    a[y] = 0.0


@row_helper(ANY_ORDER)
def ascend_margins(u: Floats, a: Floats, y: int, q: float, curvature: float, cap: float, change: Floats) -> None:
    """Maximise the dual of a margin loss over one row ``a``, whose target entry is 0, in place.

    L* is ``-Σ_j Δ t_j + (curvature/2) t_j²`` on 0 ≤ t_j ≤ cap, and u are the `row_violations`. If the target's
    entry changes by -m, every other entry changes by ``clip((u_j - curvature·a_j - q·m) / (q + curvature))``. So m
    is the root of a decreasing, piecewise linear function. It is found by Newton's method with a bracket.
    """
    inverse = 1.0 / (q + curvature)
    m = low = high = 0.0
    for step in range(_MAX_STEPS):
        total = 0.0
        free = 0.0
        for j in range(u.size):
            old = a[j]
            wanted = old + (u[j] - curvature * old - q * m) * inverse
            new = min(max(wanted, 0.0), cap)
            total += new - old
            free += 1.0 if new == wanted else 0.0
        excess = total - m
        if abs(excess) <= _STEP_TOLERANCE * abs(total):
            break
        if step == 0:
            low, high = -2.0 * abs(excess), 2.0 * abs(excess)
        if excess > 0.0:
            low = m
        else:
            high = m
        m += excess / (1.0 + free * q * inverse)
        if not low < m < high:  # Newton's method may cycle; bisect
            m = 0.5 * (low + high)
    total = moved = 0.0
    for j in range(u.size):
        old = a[j]
        a[j] = min(max(old + (u[j] - curvature * old - q * m) * inverse, 0.0), cap)
        change[j] = a[j] - old  # of the stored value, which may be in float32
        moved += change[j]
        total += a[j]
    a[y], change[y] = -total, -moved


@row_helper()
def row_margin_hessian(s: Floats, y: int, t: Floats, delta: float, limit: float, curvature: float) -> None:
    """Replace a direction t by its Hessian product: φ''(u) is 1/κ for 0 < u < limit and 0 elsewhere."""
    target = s[y]
    along_target = t[y]
    total = 0.0
    for j in range(s.size):
        u = s[j] - target + delta
        if j != y and 0.0 < u < limit:
            t[j] = (t[j] - along_target) / curvature
            total += t[j]
        else:
            t[j] = 0.0
    t[y] = -total
