"""Small random problems that tell mistakes apart: N, D and C differ, and no score lies at a kink of a loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DELTAS", "REGS", "Problem", "overflowing", "problems"]

Array = npt.NDArray[Any]

REGS = (0.0, 0.3, 0.9)
"""Values of λ; that of 0 separates the data loss from the penalty."""

DELTAS = (1e-3, 1e4)
"""The least and largest Δ. Beyond them, rounding errors of values and differences look like mistakes."""

_SIZES = ((3, 5, 7), (3, 7, 5), (5, 3, 7), (5, 7, 3), (7, 3, 5), (7, 5, 3))
"""N, D and C in every order, so that a mix-up of two of them shows as a factor or as an index error."""

_FROM_KINK = 0.01
"""Least distance of a difference of scores from 0, Δ and −Δ, in units of Δ; far more than a difference's step."""


@dataclass(frozen=True)
class Problem:
    """Weights, samples and labels.

    Attributes
    ----------
    W : (D, C) float64 array
    X : (N, D) float64 array
    y : (N,) int64 array
    """

    W: Array
    X: Array
    y: Array

    @property
    def sizes(self) -> tuple[int, int, int]:
        """N, D and C."""
        return (*self.X.shape, self.W.shape[1])

    @property
    def scores(self) -> Array:
        """S = X W, (N, C)."""
        return self.X @ self.W

    def __str__(self) -> str:
        return "N={}, D={}, C={}".format(*self.sizes)


def problems(delta: float, n_classes: int | None = None) -> tuple[Problem, ...]:
    """Return one problem for each order of N, D and C, with violated and satisfied margins.

    With ``n_classes`` all of them have this number of classes.
    """
    return tuple(_problem((n, d, n_classes or c), delta) for n, d, c in _SIZES)


def _problem(sizes: tuple[int, int, int], delta: float) -> Problem:
    n, d, c = sizes
    rng = np.random.default_rng(sizes)
    while True:
        W, X = rng.normal(size=(d, c)) * delta, rng.normal(size=(n, d))
        y = rng.integers(c, size=n)
        y[:2] = 0, c - 1
        S = X @ W
        gaps = (S - S[np.arange(n), y][:, np.newaxis])[np.arange(c) != y[:, np.newaxis]]
        kinks = np.array([0.0, delta, -delta])
        violated = gaps > -delta
        if np.abs(gaps[:, np.newaxis] - kinks).min() > _FROM_KINK * delta and 0.2 < violated.mean() < 0.8:
            return Problem(W, X, y)


def overflowing(shifts: tuple[float, ...], n_classes: int) -> Problem:
    """Return a problem whose scores of row i are those of moderate weights plus ``shifts[i]``.

    The shift of a whole row changes no loss, but exp of a shifted score overflows or underflows.
    """
    rng = np.random.default_rng(0)
    W, X = rng.normal(size=(3, n_classes)), rng.normal(size=(len(shifts), 3))
    X[:, 0] = shifts
    W[0] = 1.0
    return Problem(W, X, np.arange(len(shifts)) % n_classes)


def with_weights(problem: Problem, W: Array) -> Problem:
    """Return the problem at other weights."""
    return replace(problem, W=W)
