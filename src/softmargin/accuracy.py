"""How far an accuracy on a sample may be off by chance."""

from __future__ import annotations

import math

__all__ = ["standard_error"]


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
    n = float(n_samples)
    return math.sqrt(accuracy * (1.0 - accuracy) / n + 0.25 / (n * n)) / (1.0 + 1.0 / n)
