"""Uncertainty of an accuracy, and the comparison of two classifiers on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Z_95", "mcnemar", "proportion_interval", "root", "standard_error", "wilson_interval"]

Z_95 = 1.959963984540054
"""Half-width of a 95 % confidence interval, in standard errors."""

_NEGLIGIBLE = 1e-18


def standard_error(accuracy: float, n_samples: int) -> float:
    """Return the standard error of an accuracy: half the width of Wilson's score interval at z = 1.

    The usual estimate sqrt(a (1 - a) / n) is 0 if all or none of the predictions are correct, however few samples
    there are. For other accuracies and many samples the two agree.

    Parameters
    ----------
    accuracy : float
        Fraction of correct predictions.
    n_samples : int
        Number of samples.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    return _half_width(accuracy, float(n_samples), 1.0)


def wilson_interval(n_right: int, n_samples: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval, a confidence interval for a proportion.

    Parameters
    ----------
    n_right : int
        Number of correct predictions.
    n_samples : int
        Number of samples, at least 1.
    z : float
        Half-width in standard errors; the default gives a 95 % confidence interval.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    return proportion_interval(n_right / n_samples, float(n_samples), z)


def proportion_interval(proportion: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval for a proportion of an effective number of samples.

    Parameters
    ----------
    proportion : float
        From 0 to 1.
    n : float
        Effective number of samples, above 0; it need not be an integer.
    z : float
        As in `wilson_interval`.
    """
    centre = (proportion + 0.5 * z * z / n) / (1.0 + z * z / n)
    half = _half_width(proportion, n, z)
    # If none or all are correct, one end is exactly 0 or 1 despite rounding errors.
    return max(0.0, min(centre - half, proportion)), min(1.0, max(centre + half, proportion))


def _half_width(accuracy: float, n: float, z: float) -> float:
    return z * math.sqrt(accuracy * (1.0 - accuracy) / n + 0.25 * z * z / (n * n)) / (1.0 + z * z / n)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided mid-p value of McNemar's test, from the exact binomial distribution.

    The test uses only the samples that exactly one of two classifiers predicts correctly. Under the null
    hypothesis, either classifier is the correct one with probability ½.

    Parameters
    ----------
    only_first, only_second : int
        Number of samples that only the first, or only the second classifier predicts correctly.

    References
    ----------
    Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are
    better than exact conditional", 2013.
    """
    n, least = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    # Mid-p: twice the tail P(≤ least), less half of its last probability, from which the others follow.
    last = math.exp(math.lgamma(n + 1) - math.lgamma(least + 1) - math.lgamma(n - least + 1) - n * math.log(2.0))
    term = tail = last
    for k in range(least, 0, -1):
        term *= k / (n - k + 1)
        tail += term
        if term <= _NEGLIGIBLE * tail:
            break
    return min(1.0, 2.0 * tail - last)


def root(function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-12) -> float:
    """Return a root of a continuous function between two points where it has different signs.

    References
    ----------
    Ridders, "A new algorithm for computing a single root of a real continuous function", 1979.
    """
    at_low, at_high, before = function(low), function(high), math.inf
    for point, value in ((low, at_low), (high, at_high)):
        if value == 0.0:
            return point
    while True:
        middle = 0.5 * (low + high)
        at_middle = function(middle)
        ratio = at_middle / at_low
        found = middle + (middle - low) * ratio / math.sqrt(ratio * ratio - at_high / at_low)
        at_found = function(found)
        if at_found == 0.0 or abs(found - before) <= tolerance * max(1.0, abs(found)):
            return found
        before = found
        for point, value in ((middle, at_middle), (found, at_found)):
            if not low < point < high:
                continue
            if (value < 0.0) == (at_low < 0.0):
                low, at_low = point, value
            else:
                high, at_high = point, value
        if not low < 0.5 * (low + high) < high:
            return found
