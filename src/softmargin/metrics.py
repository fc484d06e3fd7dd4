"""Metrics of a classifier, each with what its interval is computed from, in plain NumPy.

Class numbers are 0 … C-1. A label that the model does not know has a number ≥ C: in metrics of predictions it is a
class that is never predicted, and metrics of probabilities are for samples without such labels.

A metric is returned with its influence values. The influence of a sample is the derivative of the metric with
respect to the weight of the sample, times N. The standard error is then sqrt(Σ influence²) / N (the infinitesimal
jackknife), for means as for quotients and ranks. Nothing is drawn at random.

References
----------
Efron, "Nonparametric estimates of standard error: the jackknife, the bootstrap and other methods", 1981.
DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
characteristic curves", 1988, for the influence values of AUROC.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import Floats, Ints
from softmargin.statistics import Z_95, proportion_interval

__all__ = [
    "N_BINS", "Measured", "balanced_accuracy", "brier_score", "calibration_distances", "calibration_error",
    "confidence_bins", "confusion_matrix", "expected_calibration_error", "macro_f1", "mean_of",
    "one_vs_rest_auroc", "top_k_hits",
]  # fmt: skip

N_BINS = 15
"""Number of bins of the calibration error."""


class Measured(NamedTuple):
    """A metric of N samples.

    Attributes
    ----------
    value : float
    influence : ndarray of shape (N,)
        Influence of each sample; the mean is 0.
    n_perfect : float
        Number of samples of a simple proportion that would be as certain at the values 0 and 1, where all
        influences are 0.
    """

    value: float
    influence: Floats
    n_perfect: float

    @property
    def standard_error(self) -> float:
        """sqrt(Σ influence²) / N."""
        return math.sqrt(float(self.influence @ self.influence)) / len(self.influence)

    def proportion_interval(self) -> tuple[float, float]:
        """Return a 95 % interval of a metric from 0 to 1: Wilson's, for the effective number of samples.

        With n independent samples, a proportion p has the variance p (1 - p) / n. The n that gives the variance
        of this metric takes the place of the number of samples, as in surveys.

        References
        ----------
        Franco, Little, Louis and Slud, "Comparative study of confidence intervals for proportions in complex
        sample surveys", 2019.
        """
        variance, spread = self.standard_error**2, self.value * (1.0 - self.value)
        n = spread / variance if variance > 0.0 and spread > 0.0 else self.n_perfect
        return proportion_interval(self.value, n)

    def normal_interval(self) -> tuple[float, float] | None:
        """Return value ± 1.96 standard errors, not below 0; None for a single sample."""
        n = len(self.influence)
        if n < 2:
            return None
        half = Z_95 * self.standard_error * math.sqrt(n / (n - 1))
        return max(0.0, self.value - half), self.value + half


def mean_of(values: Floats) -> Measured:
    """Return the mean of ``values`` (N,) over the samples."""
    value = float(values.mean())
    return Measured(value, values - value, float(len(values)))


# -- predictions ---------------------------------------------------------------------------------------------


def confusion_matrix(y: Ints, predicted: Ints, n_labels: int) -> Ints:
    """Return the number of samples of each true class (row) and predicted class (column).

    Parameters
    ----------
    y, predicted : ndarray of shape (N,)
        Class numbers below ``n_labels``.
    n_labels : int
    """
    cells = np.bincount(y * n_labels + predicted, minlength=n_labels * n_labels)
    return cells.reshape(n_labels, n_labels).astype(np.int64)


def top_k_hits(scores: Floats, y: Ints, k: int) -> NDArray[np.bool_]:
    """Return whether the true class is among the ``k`` classes of largest score.

    Of equal scores the first class comes first, as in a prediction, so that the case k = 1 is the accuracy.
    (scikit-learn's ``top_k_accuracy_score`` prefers the last one.)

    Parameters
    ----------
    scores : ndarray of shape (N, C)
    y : ndarray of shape (N,)
        Class numbers; those ≥ C are in no top k.
    k : int
    """
    n_classes = scores.shape[1]
    known = y < n_classes
    own = np.where(known, y, 0)[:, None]
    at = np.take_along_axis(scores, own, axis=1)
    ahead = (scores > at) | ((scores == at) & (np.arange(n_classes) < own))
    return known & (ahead.sum(axis=1) < k)


def balanced_accuracy(y: Ints, predicted: Ints) -> Measured:
    """Return the mean recall of the classes that occur in y.

    Parameters
    ----------
    y, predicted : ndarray of shape (N,)
        Class numbers.

    References
    ----------
    Brodersen, Ong, Stephan and Buhmann, "The balanced accuracy and its posterior distribution", 2010.
    """
    counts = np.bincount(y)
    correct = y == predicted
    recalls = np.bincount(y, weights=correct) / np.maximum(counts, 1)
    n_present = np.count_nonzero(counts)
    influence = len(y) / n_present * (correct - recalls[y]) / counts[y]
    return Measured(float(recalls.sum() / n_present), influence, _n_of_classes(counts))


def macro_f1(y: Ints, predicted: Ints) -> Measured:
    """Return the mean of F1 = 2 tp / (n_true + n_predicted) of the classes that occur in y or are predicted.

    Parameters
    ----------
    y, predicted : ndarray of shape (N,)
        Class numbers.

    References
    ----------
    Takahashi, Yamamoto, Kuchiba and Koyama, "Confidence interval for micro-averaged F1 and macro-averaged F1
    scores", 2022.
    """
    n = int(max(y.max(), predicted.max())) + 1
    counts = np.bincount(y, minlength=n)
    total = counts + np.bincount(predicted, minlength=n)
    correct = y == predicted
    f1 = 2.0 * np.bincount(y, weights=correct, minlength=n) / np.maximum(total, 1)
    n_present = np.count_nonzero(total)
    slope = f1 / np.maximum(total, 1)
    influence = len(y) / n_present * (2.0 * correct / total[y] - slope[y] - slope[predicted])
    return Measured(float(f1.sum() / n_present), influence, _n_of_classes(counts))


# -- probabilities -------------------------------------------------------------------------------------------


def brier_score(P: Floats, y: Ints) -> Measured:
    """Return the mean of Σ_c (P_c - [y = c])²; half of it for two classes, as in scikit-learn.

    Parameters
    ----------
    P : ndarray of shape (N, C)
        Probabilities.
    y : ndarray of shape (N,)
        Class numbers below C.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    errors = P.copy()
    errors[np.arange(len(y)), y] -= 1.0
    squares = np.einsum("ij,ij->i", errors, errors)
    return mean_of(0.5 * squares if P.shape[1] == 2 else squares)


def one_vs_rest_auroc(P: Floats, y: Ints) -> Measured:
    """Return the mean over the classes of the area under the ROC curve, of the class against all others.

    The area is the probability that a sample of the class gets a larger value than a sample of another class;
    equal values count one half. For two classes pass the one column of the second class.

    Parameters
    ----------
    P : ndarray of shape (N, C) or (N, 1)
        Probabilities; for two classes any score of the second class.
    y : ndarray of shape (N,)
        Class numbers. Each class must occur.

    References
    ----------
    Fawcett, "An introduction to ROC analysis", 2006. scikit-learn's ``roc_auc_score(multi_class="ovr")``.
    """
    areas, influence, smallest = [], np.zeros(len(y)), []
    for column in range(P.shape[1]):
        inside = y == (column if P.shape[1] > 1 else 1)
        own, others = np.sort(P[inside, column]), np.sort(P[~inside, column])
        lower = _shares_below(P[inside, column], others)
        higher = 1.0 - _shares_below(P[~inside, column], own)
        area = float(lower.mean())
        areas.append(area)
        influence[inside] += (lower - area) / len(own)
        influence[~inside] += (higher - area) / len(others)
        smallest.append(min(len(own), len(others)))
    return Measured(float(np.mean(areas)), influence * len(y) / len(areas), _n_of_classes(np.array(smallest)))


def _shares_below(values: Floats, ordered: Floats) -> Floats:
    """Return the fraction of ``ordered`` below each value, with one half of those equal to it."""
    n_below = np.searchsorted(ordered, values, "left")
    return np.asarray(0.5 * (n_below + np.searchsorted(ordered, values, "right")) / len(ordered))


def _n_of_classes(counts: Ints) -> float:
    """Return the n with the variance p (1 - p) / n of the mean of proportions with these numbers of samples."""
    counts = counts[counts > 0]
    return float(len(counts) ** 2 / (1.0 / counts).sum())


# -- calibration ---------------------------------------------------------------------------------------------


def confidence_bins(confidence: Floats, n_bins: int = N_BINS) -> Ints:
    """Return the number of the bin of each confidence: ``n_bins`` bins of equal width, closed below."""
    return np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)


def calibration_error(P: Floats, y: Ints, weights: Floats, n_bins: int = N_BINS) -> float:
    """Return the expected calibration error: the mean over bins of |accuracy - mean confidence|, by weight.

    Parameters
    ----------
    P : ndarray of shape (N, C)
        Probabilities.
    y : ndarray of shape (N,)
        Class numbers.
    weights : ndarray of shape (N,)
    n_bins : int
        Number of bins of equal width for the largest probability.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017.
    """
    return float(np.abs(calibration_distances(P, y, weights, n_bins)).sum() / weights.sum())


def calibration_distances(P: Floats, y: Ints, weights: Floats, n_bins: int = N_BINS) -> Floats:
    """Return Σ weight · (correct - confidence) of each bin; parameters as of `calibration_error`."""
    return _distances(P, y, weights, n_bins)[1]


def expected_calibration_error(P: Floats, y: Ints) -> Measured:
    """Return the `calibration_error` of samples of equal weight; parameters as there."""
    bins, distance, excess = _distances(P, y, np.ones(len(y)), N_BINS)
    value = float(np.abs(distance).sum() / len(y))
    return Measured(value, np.sign(distance)[bins] * excess - value, float(len(y)))


def _distances(P: Floats, y: Ints, weights: Floats, n_bins: int) -> tuple[Ints, Floats, Floats]:
    """Return the bin of each sample, Σ weight (correct - confidence) per bin, and correct - confidence."""
    confidence, correct = P.max(axis=1), P.argmax(axis=1) == y
    bins, excess = confidence_bins(confidence, n_bins), correct - confidence
    return bins, np.bincount(bins, weights * excess, minlength=n_bins).astype(np.float64), excess
