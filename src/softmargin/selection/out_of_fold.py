"""Out-of-fold scores: each sample is judged by the fit of the fold that held it out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from softmargin.losses import softmax
from softmargin.losses.base import Floats, Ints

__all__ = ["OutOfFold", "collect"]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Scores of the samples, in the order in which they were given, at the selected loss and λ.

    The fits are those of the search, with its tolerance ``path_tol``. A sample that several folds hold out has the
    scores of the first of them.

    Attributes
    ----------
    scores : ndarray of shape (N, C)
        -inf for a class without training samples in the fold. NaN for a sample that no fold holds out.
    fold : ndarray of shape (N,), int64
        Number of the fold; -1 for a sample that no fold holds out.
    temperature : float or None
        1 for cross-entropy. For a hinge loss the temperature that was fitted to these scores, all together; None
        if there was no calibration.
    """

    scores: Floats
    fold: Ints
    temperature: float | None

    @property
    def probabilities(self) -> Floats | None:
        """The softmax of scores / temperature, (N, C), with NaN as in ``scores``; None without a temperature."""
        if self.temperature is None:
            return None
        found = np.full_like(self.scores, np.nan)
        held = self.fold >= 0
        found[held] = softmax(self.scores[held] / self.temperature)
        return found


def collect(
    parts: Iterable[tuple[Ints, Ints, Floats]],
    places: Ints,
    n_rows: int,
    n_classes: int,
    temperature: float | None,
) -> OutOfFold:
    """Return the scores of the given samples.

    Parameters
    ----------
    parts : iterable of (rows, classes, scores)
        Per fold: the held-out rows, unique; the C' class numbers that its training part has; scores (n, C').
    places : ndarray of shape (N,)
        The row of each given sample; -1 if its weight is 0.
    n_rows, n_classes : int
    temperature : float or None
    """
    found, folds = np.full((n_rows, n_classes), np.nan), np.full(n_rows, -1)
    for number, (rows, classes, scores) in enumerate(parts):
        new = folds[rows] < 0
        found[np.ix_(rows[new], np.arange(n_classes))] = -np.inf
        found[np.ix_(rows[new], classes)] = scores[new]
        folds[rows[new]] = number
    given = places >= 0
    return OutOfFold(
        np.where(given[:, None], found[places], np.nan), np.where(given, folds[places], -1), temperature
    )
