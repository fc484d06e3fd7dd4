"""Uncertainty of an accuracy, and the comparison of two classifiers on the same samples."""

from __future__ import annotations

import math

from scipy.special import bdtr

__all__ = ["mcnemar", "standard_error", "wilson_interval"]


def standard_error(accuracy: float, n_samples: int) -> float:
    """Return half the width of Wilson's score interval for one standard error.

    The textbook's sqrt(a (1 - a) / n) is 0 if all or none of the samples are right, however few they are. For
    all accuracies between and many samples the two agree.

    Parameters
    ----------
    accuracy : float
        Share of the samples that are right.
    n_samples : int
        How many samples there are.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    return _half_width(accuracy, float(n_samples), 1.0)


def wilson_interval(n_right: int, n_samples: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the ends of Wilson's score interval: shares that the observed one does not contradict.

    Parameters
    ----------
    n_right : int
        How many samples are right.
    n_samples : int
        Of how many, at least 1.
    z : float
        Half-width in standard errors; by default that of 95 %.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    n, accuracy = float(n_samples), n_right / n_samples
    centre = (accuracy + 0.5 * z * z / n) / (1.0 + z * z / n)
    half = _half_width(accuracy, n, z)
    # Where none or all are right an end is 0 or 1, which rounding must not miss.
    return max(0.0, min(centre - half, accuracy)), min(1.0, max(centre + half, accuracy))


def _half_width(accuracy: float, n: float, z: float) -> float:
    return z * math.sqrt(accuracy * (1.0 - accuracy) / n + 0.25 * z * z / (n * n)) / (1.0 + z * z / n)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided mid-p of McNemar's test, with the exact binomial distribution.

    Only the samples count that one of two classifiers has right and the other wrong. If neither is better, each of
    them falls to either side with probability ½.

    Parameters
    ----------
    only_first, only_second : int
        How many samples only the first has right, and only the second.

    References
    ----------
    Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are
    better than exact conditional", 2013.
    """
    n, least = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    # Twice the tail less half of its last probability: P(≤ least) + P(≤ least - 1).
    below = float(bdtr(least - 1, n, 0.5)) if least > 0 else 0.0
    return min(1.0, float(bdtr(least, n, 0.5)) + below)
