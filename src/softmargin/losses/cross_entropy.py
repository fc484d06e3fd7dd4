"""Softmax cross-entropy, right to the last digits for any scores.

Three things go wrong in careless code and are dealt with here:

- ``exp(s_j - m)`` multiplies the absolute rounding error of the difference, so the difference is taken with
  its error term (Knuth's two-sum): ``exp(d + e) ≈ exp(d)·(1 + e)``.
- when the target has the largest score, the loss is ``log1p(Σ_{j≠y} e^{s_j - s_y})``: adding the 1 first
  would lose every digit of a small loss.
- the target's gradient is minus the sum of the others', never ``p_y - 1``.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload, register_jitable
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import xlog1py, xlogy

from softmargin.losses.base import (
    ANY_ORDER,
    Balance,
    Floats,
    Ints,
    Loss,
    check_scores,
    row_ascent,
    row_conjugate,
    row_function,
    row_gradient,
    row_hessian_product,
    row_max,
    row_sum,
    with_target,
)
from softmargin.validation import as_floats

__all__ = ["CrossEntropy", "softmax"]

_EXP_UNDERFLOW = -746.0
"""exp is 0 in float64 from here down; the error term of such a difference may be NaN and is not needed."""


_MAX_NEWTON_STEPS = 30
_NEWTON_TOLERANCE = 1e-6
"""Newton's method ends when the square of its step is this share of that of the first."""

_STIFF = 4.0
"""From this q on Newton's method starts close to the old probabilities, not at the softmax."""

_LONGEST_STEP = 4.0
"""Newton's step in the logarithm of a probability is cut at this."""


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
    ascends: ClassVar[bool] = True

    def _values(self, scores: Floats, y: Ints) -> Floats:
        rows = np.arange(len(y))
        top = scores.max(axis=1)
        weights = _exp_difference(scores, top[:, None])
        weights[rows, y] = 0.0
        others = weights.sum(axis=1)
        gap, error = _two_sum_difference(top, scores[rows, y])
        with np.errstate(divide="ignore", invalid="ignore"):
            behind = np.log(others + _exp_difference(scores[rows, y], top)) + error + gap
        behind[np.isinf(gap)] = np.inf
        return np.where(gap == 0.0, np.log1p(others), behind)

    def _gradient(self, scores: Floats, y: Ints) -> Floats:
        weights = _exp_difference(scores, scores.max(axis=1)[:, None])
        return with_target(weights / weights.sum(axis=1, keepdims=True), y)

    def _hessian_product(self, scores: Floats, y: Ints, directions: Floats) -> Floats:
        # With u_j = t_j - t_y the target's own u is 0, so no digit is lost when p_y is close to 1.
        rows = np.arange(len(y))
        wrong = self._gradient(scores, y)
        wrong[rows, y] = 0.0
        u = directions - directions[rows, y][:, None]
        return with_target(wrong * (u - (wrong * u).sum(axis=1, keepdims=True)), y)

    def _conjugate(self, dual: Floats, y: Ints) -> Floats:
        rows = np.arange(len(y))
        wrong = dual.copy()
        wrong[rows, y] = 0.0
        others = np.maximum(dual[rows, y], -1.0)
        return np.asarray(xlogy(wrong, wrong).sum(axis=1) + xlog1py(1.0 + others, others))

    def _feasible(self, dual: Floats, y: Ints) -> Floats:
        dual = with_target(np.maximum(dual, 0.0, out=dual), y)
        dual /= np.maximum(1.0, -dual[np.arange(len(y)), y])[:, None]
        return dual

    def _tilted(self, dual: Floats, y: Ints, shift: Floats) -> Floats:
        rows = np.arange(len(y))
        moved = dual.copy()
        moved[rows, y] += 1.0
        moved *= np.exp(shift - shift.max())
        return with_target(moved / moved.sum(axis=1, keepdims=True), y)

    def _tilt_slope(self, dual: Floats, y: Ints, weights: Floats) -> Floats:
        p = dual.copy()
        p[np.arange(len(y)), y] += 1.0
        cross = p.T @ (weights[:, None] * p)
        np.fill_diagonal(cross, 0.0)
        return np.diag(cross.sum(axis=0)) - cross  # no p (1 - p), which loses its digits near p = 1

    def _first_mix(self, shares: Floats, cost: float) -> float:
        others = float(-xlogy(shares, shares).sum() + (shares**2 * np.log(shares)).sum())

        def dual(log_theta: float) -> float:
            theta = math.exp(log_theta)
            own = 1.0 - theta * (1.0 - shares)
            mixed = theta * others - theta * log_theta * float(shares @ (1.0 - shares))
            return mixed - float(shares @ xlogy(own, own)) - cost * theta * theta

        return math.exp(minimize_scalar(lambda t: -dual(t), bounds=(-700.0, 0.0), method="bounded").x)

    def _first_bias(self, shares: Floats) -> Floats:
        return np.log(shares)

    def _first_penalty(self, n_classes: int) -> float:
        return 64.0 * n_classes

    def rise(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return by how much the mean loss may be larger than computed; parameters as in `Loss.rise`."""
        # |dL/ds| sums to 2 (1 - p_y), which is at most 2 and at most 2 L.
        return 2.0 * error * math.sqrt(min(1.0, value + 2.0 * error))

    def balance(self, class_sums: Floats, shares: Floats, conjugate: float) -> Balance:
        """Mix the dual rows with one that is the same for a whole class; L* is convex, so the bound holds."""
        imbalance = class_sums.sum(axis=0)
        mean_probabilities = imbalance + shares
        surplus = np.maximum(imbalance, 0.0)
        theta = float((surplus[surplus > 0.0] / mean_probabilities[surplus > 0.0]).max(initial=0.0))
        if theta == 0.0:
            return Balance(1.0, np.zeros_like(class_sums), conjugate)
        mixed = np.maximum(mean_probabilities - imbalance / theta, 0.0)
        shift = theta * (mixed - np.eye(len(shares)))
        entropy = float(xlogy(mixed, mixed).sum())
        return Balance(1.0 - theta, shift, (1.0 - theta) * conjugate + theta * entropy)


def softmax(scores: ArrayLike) -> Floats:
    """Return the probabilities e^{s_j} / Σ_k e^{s_k} of each row.

    Parameters
    ----------
    scores : array-like of shape (N, C)
        Scores; ``-inf`` is allowed and has probability 0.

    Returns
    -------
    ndarray of shape (N, C), float64

    Raises
    ------
    DataError
        If a score is no real number, NaN or ``+inf``, or a row holds nothing but ``-inf``.

    Examples
    --------
    >>> import softmargin as sm
    >>> sm.softmax([[1.0, -2.0, 0.0]]).round(2)
    array([[0.71, 0.04, 0.26]])
    """
    array = as_floats("scores", scores)
    array, _ = check_scores(array, np.zeros(len(array) if array.ndim else 0, dtype=np.int64))
    weights = _exp_difference(array, array.max(axis=1, initial=-np.inf)[:, None])
    return weights / weights.sum(axis=1, keepdims=True)


def _two_sum_difference(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return d = fl(a - b) and the error e with a - b = d + e exactly; e is 0 where d is infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        d = a - b
        part = d - a
        e = (a - (d - part)) - (b + part)
    return d, np.where(np.isfinite(e), e, 0.0)


def _exp_difference(a: Floats, b: Floats) -> Floats:
    """Return exp(a - b) to a few units in the last place, for a ≤ b."""
    d, e = _two_sum_difference(a, b)
    return np.asarray(np.exp(d) * (1.0 + e))


@register_jitable(fastmath={"contract"}, error_model="numpy", forceinline=True)
def _row_exp_difference(a: float, b: float) -> float:
    """Return exp(a - b) to about a unit in the last place, for a ≤ b, in a form that turns into vectors."""
    d = a - b
    part = d - a
    error = (a - (d - part)) - (b + part)
    tiny = d < _EXP_UNDERFLOW
    x = _EXP_UNDERFLOW if tiny else d
    # Adding this number rounds to a whole one, whose bits then stand at the end.
    rounded = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    whole = rounded - 6755399441055744.0
    r = (x - whole * 6.93147180369123816490e-01) - whole * 1.90821492927058770002e-10  # ln 2 in two parts
    p = 1.0 / 39916800.0 + r * (1.0 / 479001600.0 + r * (1.0 / 6227020800.0))
    p = 1.0 / 40320.0 + r * (1.0 / 362880.0 + r * (1.0 / 3628800.0 + r * p))
    p = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0 + r * p))
    p = 0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * p))
    power = rounded.view(np.int64) - 4843621399236968448
    half = power >> 1  # in two factors, the power of two may go below the normal numbers
    first = np.int64((half + 1023) << 52).view(np.float64)
    second = np.int64((power - half + 1023) << 52).view(np.float64)
    return (1.0 + (r + (r * r) * p)) * (1.0 + (0.0 if tiny else error)) * first * second


@register_jitable(fastmath={"contract"}, error_model="numpy", forceinline=True)
def _single_exp(x: Any) -> Any:
    """Return exp(x) of a float32 to about a unit in the last place, for x ≤ 0, but at least 1e-38."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x  # NaN stays NaN
    rounded = np.float32(x * np.float32(1.4426950408889634) + np.float32(12582912.0))
    whole = rounded - np.float32(12582912.0)
    r = (x - whole * np.float32(0.693359375)) + whole * np.float32(2.12194440e-4)  # ln 2 in two parts
    p = np.float32(1.0 / 120.0) + r * (np.float32(1.0 / 720.0) + r * np.float32(1.0 / 5040.0))
    p = np.float32(0.5) + r * (np.float32(1.0 / 6.0) + r * (np.float32(1.0 / 24.0) + r * p))
    power = np.int32((rounded.view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (np.float32(1.0) + (r + (r * r) * p)) * power


def _exp_differences(s: NDArray[Any], top: float) -> None:
    """Turn each entry into exp(entry - top), in its own precision. Compiled code only."""
    raise NotImplementedError


@overload(_exp_differences, jit_options={"error_model": "numpy", "forceinline": True})
def _choose_precision(s: Any, top: Any) -> Any:
    def double(s: Any, top: Any) -> None:
        for j in range(s.size):
            s[j] = _row_exp_difference(s[j], top)

    def single(s: Any, top: Any) -> None:
        for j in range(s.size):
            s[j] = _single_exp(s[j] - top)

    return single if s.dtype == types.float32 else double


def _divide(s: NDArray[Any], total: float) -> None:
    """Divide each entry by the total: in float32, where another rounding is nothing, by its inverse."""
    raise NotImplementedError


@overload(_divide, jit_options={"error_model": "numpy", "forceinline": True})
def _choose_division(s: Any, total: Any) -> Any:
    def double(s: Any, total: Any) -> None:
        for j in range(s.size):
            s[j] /= total

    def single(s: Any, total: Any) -> None:
        inverse = np.float32(1.0 / total)
        for j in range(s.size):
            s[j] *= inverse

    return single if s.dtype == types.float32 else double


@row_function(row_gradient, CrossEntropy)
def _row_gradient(loss: CrossEntropy, s: Floats, y: int) -> float:
    number = s.dtype.type
    target, top = np.float64(s[y]), np.float64(row_max(s))
    _exp_differences(s, number(top))
    own = np.float64(s[y])
    s[y] = number(0)
    others = row_sum(s)
    total = others + own
    _divide(s, total)
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


@row_function(row_conjugate, CrossEntropy)
def _row_conjugate(loss: CrossEntropy, a: Floats, y: int) -> float:
    total = 0.0
    for j in range(a.size):
        if j != y and a[j] > 0.0:
            total += a[j] * math.log(a[j])
        elif j == y and a[y] > -1.0:
            total += (1.0 + a[y]) * math.log1p(a[y])
    return total


@register_jitable(fastmath={"contract"}, error_model="numpy", forceinline=True)
def _quick_log(x: float) -> float:
    """Return log(x) to ten digits, for x ≥ 1e-300."""
    bits = np.float64(max(x, 1e-300)).view(np.int64)
    whole = (bits - 4604544271217802189) >> 52  # of the power of two that leaves a factor in √½ … √2
    m = np.int64(bits - (whole << 52)).view(np.float64)
    t = (m - 1.0) / (m + 1.0)
    w = t * t
    p = 1.0 / 7.0 + w * (1.0 / 9.0 + w * (1.0 / 11.0 + w * (1.0 / 13.0)))
    p = 1.0 + w * (1.0 / 3.0 + w * (1.0 / 5.0 + w * p))
    return whole * 0.6931471805599453 + 2.0 * t * p


@register_jitable(fastmath={"contract"}, error_model="numpy", forceinline=True)
def _quick_exp(x: float) -> float:
    """Return exp(x) to ten digits, for x ≤ 700: a polynomial that compilers turn into vectors."""
    x = max(x, -700.0)
    # Adding this number rounds to a whole one, whose bits then stand at the end.
    rounded = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    whole = rounded - 6755399441055744.0
    r = (x - whole * 0.693145751953125) - whole * 1.42860682030941723212e-6  # ln 2 in two parts
    p = 1.0 + r * (1.0 / 7.0 + r * (1.0 / 56.0 + r * (1.0 / 504.0)))
    p = 1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (p / 720.0)))))
    return (1.0 + r * p) * np.int64((rounded.view(np.int64) + 1023) << 52).view(np.float64)


@row_function(row_ascent, CrossEntropy, fastmath=ANY_ORDER)
def _row_ascent(
    loss: CrossEntropy, s: Floats, a: Floats, y: int, q: float, change: Floats, work: Floats
) -> tuple[float, float]:
    # The new probabilities p obey log p_j + q p_j = z_j - ν with z = s + q (a + e_y), for the ν that makes
    # them sum to one: Newton's method in log p, from between the old ones and the softmax of s. Should it not get
    # there, a short step towards the softmax, which always raises the dual, serves (by Pinsker's inequality).
    C = s.size
    z, p, log_p = s, change, work
    a[y] += 1.0
    top = s[0]
    for j in range(1, C):
        top = max(top, s[j])
    total = 0.0
    for j in range(C):
        p[j] = _quick_exp(s[j] - top)
        total += p[j]
    shift = top + math.log(total)
    value = max(shift - s[y], 0.0)
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
            log_p[j] = _quick_log(p[j])
    arrived = False
    for _ in range(_MAX_NEWTON_STEPS):
        above = 0.0
        below = 0.0
        total = 0.0
        for j in range(C):
            weight = p[j] / (1.0 + q * p[j])
            above += weight * (z[j] - q * p[j] - log_p[j])
            below += weight
            total += p[j]
        nu = (above + total - 1.0) / below
        moved = 0.0
        for j in range(C):
            log_p[j] += min((z[j] - q * p[j] - log_p[j] - nu) / (1.0 + q * p[j]), _LONGEST_STEP)
            new = _quick_exp(log_p[j])
            moved += (new - p[j]) ** 2
            p[j] = new
        if moved <= _NEWTON_TOLERANCE * distance * (1.0 if q < 1.0 else 1.0 / (q * q)):
            arrived = True
            break
    total = 0.0
    for j in range(C):
        if not arrived:
            p[j] = a[j] + (_quick_exp(z[j] - q * a[j]) - a[j]) / (1.0 + q)
        total += p[j]
    p[y] = a[y] = 0.0  # the target's entry is minus the sum of the others
    others = moved = 0.0
    for j in range(C):
        old = a[j]
        a[j] = p[j] / total
        change[j] = a[j] - old  # of what is stored, which may be float32
        moved += change[j]
        others += a[j]
    a[y], change[y] = -others, -moved
    return value, gap
