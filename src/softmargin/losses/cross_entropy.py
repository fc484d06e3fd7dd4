"""Softmax cross-entropy, accurate to a few units in the last place for any scores.

Three formulas need care to not lose accuracy:

- ``exp(s_j - m)`` amplifies the rounding error of the difference, see `softmargin.losses.rounding`.
- The sum leaves out the largest score, m: the loss is ``log1p(Σ e^{s_j - m}) + m - s_y``. With ``log(1 + …)``, a
  small loss would lose all its digits.
- The target's gradient is minus the sum of the others, not ``p_y - 1``.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
from array_api_compat import device

from softmargin.losses.arrays import (
    Array,
    at_least,
    at_target,
    filled,
    number,
    row_maxima,
    row_sums,
    target_set,
    with_target,
)
from softmargin.losses.base import Balance, Floats, Loss
from softmargin.losses.probabilities import softmax_rows
from softmargin.losses.rounding import (
    difference_and_error,
    exp_of_sum,
    quick_exp,
    quick_log,
    row_divide,
    row_exp_differences,
    two_sum_difference,
    x_log_x,
    x_log_x_beside_one,
)
from softmargin.losses.rows import (
    ANY_ORDER,
    row_ascent,
    row_function,
    row_gradient,
    row_hessian_product,
    row_max,
    row_sum,
)
from softmargin.vectors import is_finite, namespace

__all__ = ["CrossEntropy"]

_MAX_NEWTON_STEPS = 30
_NEWTON_TOLERANCE = 1e-6
"""Tolerance of Newton's method: the squared step, relative to the squared distance at the start."""

_STIFF = 4.0
"""From this q on, Newton's method starts near the old probabilities instead of at the softmax."""

_LONGEST_STEP = 4.0
"""Maximum of Newton's step in the logarithm of a probability."""

_MOST_STEPS, _PRECISE, _LARGEST_COST = 1000, 1e-9, 1e300
"""Of Newton's method for the first mixture, which takes about log(cost) steps."""


class _Parameters(NamedTuple):
    pass


class CrossEntropy(Loss, _Parameters):
    """Softmax cross-entropy, in nats.

    ``L(s, y) = log Σ_j e^{s_j} - s_y``

    Examples
    --------
    >>> import softmargin as sm
    >>> sm.CrossEntropy().values([[10.0, -100.0, -100.0]], [0])
    array([3.37782376e-48])
    """

    __slots__ = ()
    name: ClassVar[str] = "cross_entropy"
    title: ClassVar[str] = "softmax cross-entropy"
    probabilistic: ClassVar[bool] = True
    ascends: ClassVar[bool] = True

    def balance_stiffness(self, n_classes: int) -> float:
        """Return 8 C; parameters as in `Loss.balance_stiffness`."""
        return 8.0 * n_classes

    def _values(self, scores: Array, y: Array) -> Array:
        return self._values_and_gradient(scores, y)[0]

    def _gradient(self, scores: Array, y: Array) -> Array:
        return with_target(softmax_rows(scores), y)

    @np.errstate(over="ignore", invalid="ignore")
    def _values_and_gradient(self, scores: Array, y: Array) -> tuple[Array, Array]:
        # e^{s_j - s_y} only overflows if the loss is large. A score that is not finite makes its row NaN.
        target = at_target(scores, y)
        p = target_set(exp_of_sum(*difference_and_error(scores, target)), y, (target - target)[:, 0])
        others = row_sums(p)
        if not is_finite(others):
            return self._values_and_gradient_from_top(scores, y)
        total = 1.0 + others
        p /= total[:, None]
        return namespace(others).log1p(others), target_set(p, y, -(others / total))

    def _values_and_gradient_from_top(self, scores: Array, y: Array) -> tuple[Array, Array]:
        """Return both for any scores, relative to the largest score of each row."""
        xp = namespace(scores)
        d, e = two_sum_difference(scores, row_maxima(scores)[:, None])
        behind, error = at_target(d, y), at_target(e, y)
        p = exp_of_sum(d, e)
        own = at_target(p, y)
        p = target_set(p, y, 0.0)
        others = row_sums(p)[:, None]
        # The sum without the largest score, which is the target's if and only if own = 1.
        values = xp.log1p(others + (own - 1.0)) - error - behind
        if not is_finite(values):
            values = filled(values, xp.isinf(behind), math.inf)
        total = others + own
        p /= total
        return values[:, 0], target_set(p, y, -(others / total)[:, 0])

    def _hessian_product(self, scores: Array, y: Array, directions: Array) -> Array:
        # With u_j = t_j - t_y the target's u is 0, so the result is accurate for p_y close to 1.
        rivals = target_set(softmax_rows(scores), y, 0.0)
        u = directions - at_target(directions, y)
        mean = namespace(scores).sum(rivals * u, axis=1, keepdims=True)
        return with_target(rivals * (u - mean), y)

    def _conjugate(self, dual: Array, y: Array) -> Array:
        xp = namespace(dual)
        rivals = target_set(xp.asarray(dual, copy=True), y, 0.0)
        own = x_log_x_beside_one(at_least(at_target(dual, y)[:, 0], -1.0))
        return xp.sum(x_log_x(rivals), axis=1) + own

    def _feasible(self, dual: Array, y: Array) -> Array:
        rows = with_target(at_least(dual, 0.0), y)
        rows /= at_least(-at_target(rows, y), 1.0)
        return rows

    def _rebalanced(self, dual: Array, y: Array, shift: Array) -> Array:
        xp, moved = namespace(dual), _probabilities(dual, y)
        moved *= xp.exp(shift - xp.max(shift))
        moved /= xp.sum(moved, axis=1, keepdims=True)
        return with_target(moved, y)

    def _balance_jacobian(self, dual: Array, y: Array, weights: Array) -> Array:
        xp, p = namespace(dual), _probabilities(dual, y)
        own = xp.eye(p.shape[1], dtype=xp.bool, device=device(p))
        cross = filled(p.T @ (weights[:, None] * p), own, 0.0)
        # No p (1 - p), which loses its digits near p = 1.
        return xp.where(own, xp.sum(cross, axis=0), number(0.0, cross)) - cross

    def _first_mix(self, class_weights: Floats, cost: float) -> float:
        rest, cost = 1.0 - class_weights, min(cost, _LARGEST_COST)
        spread = float(class_weights @ rest)
        others = -float((class_weights * rest) @ np.log(class_weights))
        # The dual of the mixture is θ·others - θ·log(θ)·spread - Σ π own·log(own) - cost·θ², own = 1 - θ·rest.
        # Its derivative in θ is concave and decreasing in t = log(θ): Newton's method descends from 0 to the root.
        t = 0.0
        for _ in range(_MOST_STEPS):
            theta = math.exp(t)
            own = 1.0 - theta * rest
            slope = others - t * spread + float((class_weights * rest) @ np.log(own)) - 2.0 * cost * theta
            curvature = spread + theta * (float((class_weights * rest) @ (rest / own)) + 2.0 * cost)
            t += min(slope / curvature, 0.0)
            if slope > -_PRECISE * curvature:
                break
        return math.exp(t)

    def _first_bias(self, class_weights: Floats) -> Floats:
        return np.log(class_weights)

    def value_error_bound(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return a bound on the true minus the computed mean loss; the parameters are those of `Loss`."""
        # |dL/ds| sums to 2 (1 - p_y), which is at most 2 and at most 2 L.
        return 2.0 * error * math.sqrt(min(1.0, value + 2.0 * error))

    def balance(self, class_sums: Floats, class_weights: Floats, conjugate: float) -> Balance:
        """Mix the dual rows with rows that are equal within each class; the bound holds since L* is convex."""
        imbalance = class_sums.sum(axis=0)
        mean_probabilities = imbalance + class_weights
        surplus = np.maximum(imbalance, 0.0)
        theta = float((surplus[surplus > 0.0] / mean_probabilities[surplus > 0.0]).max(initial=0.0))
        if theta == 0.0:
            return Balance(1.0, np.zeros_like(class_sums), conjugate)
        mixed = np.maximum(mean_probabilities - imbalance / theta, 0.0)
        shift = theta * (mixed - np.eye(len(class_weights)))
        entropy = float(x_log_x(mixed).sum())
        return Balance(1.0 - theta, shift, (1.0 - theta) * conjugate + theta * entropy)


def _probabilities(dual: Array, y: Array) -> Array:
    """Return the probabilities p of dual rows p - e_y."""
    return target_set(namespace(dual).asarray(dual, copy=True), y, at_target(dual, y)[:, 0] + 1.0)


@row_function(row_gradient, CrossEntropy)
def _row_gradient(loss: CrossEntropy, s: Floats, y: int) -> float:
    number = s.dtype.type
    target, top = np.float64(s[y]), np.float64(row_max(s))
    row_exp_differences(s, number(top))
    own = np.float64(s[y])
    s[y] = number(0)
    others = row_sum(s)
    total = others + own
    row_divide(s, total)
    s[y] = -others / total
    gap = top - target
    if gap == 0.0:
        return math.log1p(others)
    if gap == math.inf:
        return math.inf
    part = gap - top
    return math.log(total) + ((top - (gap - part)) - (target + part)) + gap


@row_function(row_hessian_product, CrossEntropy)
def _row_hessian_product(loss: CrossEntropy, s: Floats, y: int, t: Floats) -> None:
    row_gradient(loss, s, y)
    along_target = t[y]
    mean = 0.0
    for j in range(s.size):
        if j != y:
            mean += s[j] * (t[j] - along_target)
    total = 0.0
    for j in range(s.size):
        if j != y:
            t[j] = s[j] * (t[j] - along_target - mean)
            total += t[j]
    t[y] = -total


@row_function(row_ascent, CrossEntropy, fastmath=ANY_ORDER)
def _row_ascent(
    loss: CrossEntropy, s: Floats, a: Floats, y: int, q: float, change: Floats, work: Floats
) -> tuple[float, float]:
    # The new probabilities p satisfy log p_j + q p_j = z_j - ν with z = s + q (a + e_y), and ν such that they sum
    # to one. Newton's method in log p starts between the old probabilities and the softmax of s. If it does not
    # converge, take a short step towards the softmax, which always increases the dual (by Pinsker's inequality).
    C = s.size
    z, p, log_p = s, change, work
    a[y] += 1.0
    top = s[0]
    for j in range(1, C):
        top = s[j] if s[j] > top else top
    total = 0.0
    for j in range(C):
        p[j] = quick_exp(s[j] - top)
        total += p[j]
    shift = top + math.log(total)
    value = shift - s[y] if shift > s[y] else 0.0
    gap = 0.0
    distance = 0.0
    for j in range(C):
        p[j] /= total
        log_p[j] = s[j] - shift
        z[j] = log_p[j] + q * a[j]
        square = (p[j] - a[j]) ** 2
        gap += square / (p[j] + a[j])  # close to the Kullback-Leibler divergence
        distance += square
    if q > _STIFF:
        for j in range(C):
            p[j] = max(a[j], 0.0) + (p[j] - a[j]) / (1.0 + q)
            log_p[j] = quick_log(p[j])
    converged = False
    for _ in range(_MAX_NEWTON_STEPS):
        numerator = 0.0
        denominator = 0.0
        total = 0.0
        for j in range(C):
            weight = p[j] / (1.0 + q * p[j])
            numerator += weight * (z[j] - q * p[j] - log_p[j])
            denominator += weight
            total += p[j]
        nu = (numerator + total - 1.0) / denominator
        moved = 0.0
        for j in range(C):
            log_p[j] += min((z[j] - q * p[j] - log_p[j] - nu) / (1.0 + q * p[j]), _LONGEST_STEP)
            new = quick_exp(log_p[j])
            moved += (new - p[j]) ** 2
            p[j] = new
        if moved <= _NEWTON_TOLERANCE * distance * (1.0 if q < 1.0 else 1.0 / (q * q)):
            converged = True
            break
    total = 0.0
    for j in range(C):
        if not converged:
            p[j] = a[j] + (quick_exp(z[j] - q * a[j]) - a[j]) / (1.0 + q)
        total += p[j]
    p[y] = a[y] = 0.0  # the target's entry is minus the sum of the others
    others = moved = 0.0
    for j in range(C):
        old = a[j]
        a[j] = p[j] / total
        change[j] = a[j] - old  # of the stored value, which may be in float32
        moved += change[j]
        others += a[j]
    a[y], change[y] = -others, -moved
    return value, gap
