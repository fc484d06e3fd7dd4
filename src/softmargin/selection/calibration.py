"""Calibration of probabilities: its error, and a temperature for losses that define no probabilities.

References
----------
Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017. Platt, "Probabilistic outputs
for support vector machines", 1999, for targets that keep the temperature of separable samples positive.
"""

from __future__ import annotations

import numpy as np

from softmargin.losses import CrossEntropy, Loss, softmax
from softmargin.losses.base import Floats, Ints
from softmargin.metrics import N_BINS, calibration_error
from softmargin.selection.records import Calibration
from softmargin.statistics import root

__all__ = ["calibrate", "fit_temperature"]

_MOST_NUMBERS = 1 << 24
"""Number of scores that a temperature is fitted to at most: more do not change a single number noticeably."""

_WIDEST = 12.0
"""The temperature is searched within this many powers of e around the size of the scores."""


def fit_temperature(scores: Floats, y: Ints, weights: Floats, n_different: int) -> float:
    """Return the T for which softmax(scores / T) has the smallest log loss.

    One more sample, spread evenly over all classes, keeps T above 0 if every sample is classified correctly.

    Parameters
    ----------
    scores : ndarray of shape (N, C)
    y : ndarray of shape (N,)
        Class numbers.
    weights : ndarray of shape (N,)
    n_different : int
        Number of different samples, so that copies have the same effect as weights.
    """
    centred = scores - scores.mean(axis=1, keepdims=True)
    size = float(np.sqrt(np.average((centred**2).mean(axis=1), weights=weights)))
    if size == 0.0:
        return 1.0
    spread = 1.0 / (n_different + 1.0)
    target = centred[np.arange(len(y)), y] * (1.0 - spread)  # the mean over all classes is 0

    def slope(log_inverse: float) -> float:
        """Return the derivative of the log loss with respect to 1 / T; it increases with 1 / T."""
        P = softmax(np.exp(log_inverse) / size * centred)
        return float(weights @ ((P * centred).sum(axis=1) - target))

    if slope(-_WIDEST) * slope(_WIDEST) >= 0.0:
        return size * float(np.exp(_WIDEST if slope(0.0) > 0.0 else -_WIDEST))
    return size / float(np.exp(root(slope, -_WIDEST, _WIDEST)))


def calibrate(
    loss: Loss, scores: Floats, y: Ints, weights: Floats, n_different: int, n_samples: int
) -> Calibration:
    """Return the calibration of a loss on held-out samples, with a fitted temperature for a hinge loss.

    Parameters
    ----------
    loss : Loss
    scores : ndarray of shape (N, C)
        Scores of held-out samples.
    y : ndarray of shape (N,)
        Class numbers.
    weights : ndarray of shape (N,)
    n_different : int
        As in `fit_temperature`.
    n_samples : int
        Number of samples that these rows represent.
    """
    step = max(1, -(-scores.size // _MOST_NUMBERS))
    temperature = 1.0
    if not loss.probabilistic:
        temperature = fit_temperature(scores[::step], y[::step], weights[::step], n_different)
    scaled = scores / temperature
    return Calibration(
        method="softmax" if loss.probabilistic else "temperature",
        temperature=temperature,
        error=calibration_error(softmax(scaled), y, weights),
        log_loss=float(np.average(CrossEntropy().values(scaled, y), weights=weights)),
        n_bins=N_BINS,
        n_samples=n_samples,
    )
