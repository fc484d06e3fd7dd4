"""Accurate differences, exponentials and logarithms, for arrays and for row functions.

In ``exp(a - b)``, the absolute rounding error of the difference becomes a relative error. So the difference is
computed together with its error (Knuth's two-sum): ``exp(d + e) ≈ exp(d)·(1 + e)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softmargin.losses.arrays import Array, filled
from softmargin.losses.rows import CONTRACTED, by_precision, row_helper
from softmargin.vectors import is_finite, namespace

__all__ = [
    "difference_and_error", "exp_difference", "exp_of_sum", "quick_exp", "quick_log", "row_divide",
    "row_exp_differences", "two_sum_difference", "x_log_x", "x_log_x_beside_one",
]  # fmt: skip

_EXP_UNDERFLOW = -746.0
"""exp underflows to 0 in float64 below this; the error of such a difference may be NaN and is ignored."""


@np.errstate(invalid="ignore", over="ignore")
def two_sum_difference(a: Array, b: Array) -> tuple[Array, Array]:
    """Return d = fl(a - b) and the error e with a - b = d + e exactly; e is 0 where d is infinite."""
    d, e = difference_and_error(a, b)
    return d, e if is_finite(e) else filled(e, ~namespace(e).isfinite(e), 0.0)


def difference_and_error(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the same, but e is NaN where d is not finite."""
    d = a - b
    part = d - a
    return d, (a - (d - part)) - (b + part)


def exp_difference(a: Array, b: Array) -> Array:
    """Return exp(a - b) for a ≤ b, with an error of a few units in the last place."""
    return exp_of_sum(*two_sum_difference(a, b))


def exp_of_sum(d: Array, e: Array) -> Array:
    """Return exp(d + e) for a rounding error e of d."""
    return (1.0 + e) * namespace(d).exp(d)


def x_log_x(x: Array) -> Array:
    """Return x·log x, which is 0 at 0."""
    zero = x == 0.0
    return filled(x * namespace(x).log(filled(x, zero, 1.0)), zero, 0.0)


def x_log_x_beside_one(x: Array) -> Array:
    """Return (1 + x) log(1 + x), which is 0 at -1, accurate for small x."""
    zero = x == -1.0
    return filled((1.0 + x) * namespace(x).log1p(filled(x, zero, 0.0)), zero, 0.0)


@row_helper(CONTRACTED)
def _double_exp_difference(a: float, b: float) -> float:
    """Return exp(a - b) for a ≤ b, with an error of about one unit in the last place; it can be vectorised."""
    d = a - b
    part = d - a
    error = (a - (d - part)) - (b + part)
    tiny = d < _EXP_UNDERFLOW
    x = _EXP_UNDERFLOW if tiny else d
    # Adding this number rounds to an integer, which the lowest bits then hold.
    rounded = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    whole = rounded - 6755399441055744.0
    r = (x - whole * 6.93147180369123816490e-01) - whole * 1.90821492927058770002e-10  # ln 2 in two parts
    p = 1.0 / 39916800.0 + r * (1.0 / 479001600.0 + r * (1.0 / 6227020800.0))
    p = 1.0 / 40320.0 + r * (1.0 / 362880.0 + r * (1.0 / 3628800.0 + r * p))
    p = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0 + r * p))
    p = 0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * p))
    power = rounded.view(np.int64) - 4843621399236968448
    half = power >> 1  # as two factors, the power of two may be subnormal
    first = np.int64((half + 1023) << 52).view(np.float64)
    second = np.int64((power - half + 1023) << 52).view(np.float64)
    return (1.0 + (r + (r * r) * p)) * (1.0 + (0.0 if tiny else error)) * first * second


@row_helper(CONTRACTED)
def _single_exp(x: Any) -> Any:
    """Return exp(x) of a float32 x ≤ 0 with an error of about one unit in the last place, but at least 1e-38."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x  # NaN stays NaN
    rounded = np.float32(x * np.float32(1.4426950408889634) + np.float32(12582912.0))
    whole = rounded - np.float32(12582912.0)
    r = (x - whole * np.float32(0.693359375)) + whole * np.float32(2.12194440e-4)  # ln 2 in two parts
    p = np.float32(1.0 / 120.0) + r * (np.float32(1.0 / 720.0) + r * np.float32(1.0 / 5040.0))
    p = np.float32(0.5) + r * (np.float32(1.0 / 6.0) + r * (np.float32(1.0 / 24.0) + r * p))
    power = np.int32((rounded.view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (np.float32(1.0) + (r + (r * r) * p)) * power


def _double_exp_differences(s: Any, top: Any) -> None:
    for j in range(s.size):
        s[j] = _double_exp_difference(s[j], top)


def _single_exp_differences(s: Any, top: Any) -> None:
    for j in range(s.size):
        s[j] = _single_exp(s[j] - top)


row_exp_differences = by_precision(_single_exp_differences, _double_exp_differences)
"""Replace each entry of a row by exp(entry - top), in the precision of the row."""


def _double_divide(s: Any, total: Any) -> None:
    for j in range(s.size):
        s[j] /= total


def _single_divide(s: Any, total: Any) -> None:
    inverse = np.float32(1.0 / total)
    for j in range(s.size):
        s[j] *= inverse


row_divide = by_precision(_single_divide, _double_divide)
"""Divide each entry of a row by the total; in float32, multiply by its inverse, which adds one rounding."""


@row_helper(CONTRACTED)
def quick_log(x: float) -> float:
    """Return log(x) for x ≥ 1e-300, to ten digits."""
    bits = np.float64(max(x, 1e-300)).view(np.int64)
    whole = (bits - 4604544271217802189) >> 52  # the exponent that leaves a factor between √½ and √2
    m = np.int64(bits - (whole << 52)).view(np.float64)
    t = (m - 1.0) / (m + 1.0)
    w = t * t
    p = 1.0 / 7.0 + w * (1.0 / 9.0 + w * (1.0 / 11.0 + w * (1.0 / 13.0)))
    p = 1.0 + w * (1.0 / 3.0 + w * (1.0 / 5.0 + w * p))
    return whole * 0.6931471805599453 + 2.0 * t * p


@row_helper(CONTRACTED)
def quick_exp(x: float) -> float:
    """Return exp(x) for x ≤ 700, to ten digits, by a polynomial that compilers vectorise."""
    x = max(x, -700.0)
    # Adding this number rounds to an integer, which the lowest bits then hold.
    rounded = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    whole = rounded - 6755399441055744.0
    r = (x - whole * 0.693145751953125) - whole * 1.42860682030941723212e-6  # ln 2 in two parts
    p = 1.0 + r * (1.0 / 7.0 + r * (1.0 / 56.0 + r * (1.0 / 504.0)))
    p = 1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (p / 720.0)))))
    return (1.0 + r * p) * np.int64((rounded.view(np.int64) + 1023) << 52).view(np.float64)
