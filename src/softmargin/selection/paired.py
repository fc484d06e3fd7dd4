"""Whether one classifier is right more often than another on the same samples."""

from __future__ import annotations

from scipy.special import bdtr

__all__ = ["mcnemar"]


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided mid-p of McNemar's test, with the exact binomial distribution.

    Only the samples tell anything that one of the two has right and the other wrong. If neither is better, each of
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
