"""The softmax of scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from softmargin.arguments import as_floats
from softmargin.losses.arrays import Array, row_maxima, row_sums
from softmargin.losses.base import Floats, check_scores
from softmargin.losses.rounding import exp_difference

__all__ = ["softmax", "softmax_rows"]


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
        If a score is not a real number, is NaN or is ``+inf``, or if a row contains only ``-inf``.

    Examples
    --------
    >>> import softmargin as sm
    >>> sm.softmax([[1.0, -2.0, 0.0]]).round(2)
    array([[0.71, 0.04, 0.26]])
    """
    array = as_floats("scores", scores)
    array, _ = check_scores(array, np.zeros(len(array) if array.ndim else 0, dtype=np.int64))
    return np.asarray(softmax_rows(array))


def softmax_rows(scores: Array) -> Array:
    """Return the softmax of each row of an array (N, C) of any library that follows the array API standard."""
    p = exp_difference(scores, row_maxima(scores)[:, None])
    p /= row_sums(p)[:, None]
    return p
