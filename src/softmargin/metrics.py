"""Metrics of a classifier, each with what its interval is computed from, in plain NumPy.

Class numbers are 0 … C-1. A label that the model does not know has a number ≥ C: in metrics of predictions it is a
class that is never predicted, and metrics of probabilities are for samples without such labels.

A metric is returned with the sum of its squared influences. The influence of a sample is the derivative of the
metric with respect to the weight of the sample, times N. The standard error is then sqrt(Σ influence²) / N (the
infinitesimal jackknife), for means as for quotients and ranks. Nothing is drawn at random.

All but AUROC follow from sums over the samples: the confusion matrix, and `Moments`.

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
    "N_BINS", "Measured", "Moments", "balanced_accuracy", "brier_terms", "calibration_error", "confidence_bins",
    "confidence_excess", "expected_calibration_error", "macro_f1", "mean_of",
    "one_vs_rest_auroc", "top_k_hits",
]  # fmt: skip

N_BINS = 15
"""Number of bins of the calibration error."""


class Moments(NamedTuple):
    """Number, mean and variance of values in K groups, which add up without loss of digits.

    Attributes
    ----------
    n : ndarray of shape (K,)
        Number of values.
    mean : ndarray of shape (K,)
        0 for a group without values.
    squares : ndarray of shape (K,)
        Σ (value - mean)².
    """

    n: Ints
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, values: Floats, groups: Ints | None = None, n_groups: int = 1) -> Moments:
        """Return the moments of ``values`` (N,), by default in one group."""
        if groups is None:
            mean = np.array([values.mean() if len(values) else 0.0])
            return cls(np.array([len(values)]), mean, np.array([((values - mean) ** 2).sum()]))
        n = np.bincount(groups, minlength=n_groups)
        mean = np.bincount(groups, values, n_groups) / np.maximum(n, 1)
        return cls(n, mean, np.bincount(groups, (values - mean[groups]) ** 2, n_groups).astype(np.float64))

    def merged(self, other: Moments) -> Moments:
        """Return the moments of both sets of values (Chan, Golub and LeVeque, 1979)."""
        n, apart = self.n + other.n, other.mean - self.mean
        share = other.n / np.maximum(n, 1)
        return Moments(
            n,
            np.where(self.n > 0, self.mean + share * apart, other.mean),
            self.squares + other.squares + self.n * share * apart * apart,
        )


class Measured(NamedTuple):
    """A metric of N samples.

    Attributes
    ----------
    value : float
    squares : float
        Σ influence².
    n : int
        N.
    n_perfect : float
        Number of samples of a simple proportion that would be as certain at the values 0 and 1, where all
        influences are 0.
    """

    value: float
    squares: float
    n: int
    n_perfect: float

    @property
    def standard_error(self) -> float:
        """sqrt(Σ influence²) / N."""
        return math.sqrt(self.squares) / self.n

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
        if self.n < 2:
            return None
        half = Z_95 * self.standard_error * math.sqrt(self.n / (self.n - 1))
        return max(0.0, self.value - half), self.value + half


def mean_of(values: Moments) -> Measured:
    """Return the mean of values in one group over the samples."""
    n = int(values.n[0])
    return Measured(float(values.mean[0]), float(values.squares[0]), n, float(n))


# -- predictions ---------------------------------------------------------------------------------------------


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


def balanced_accuracy(confusion: Ints) -> Measured:
    """Return the mean recall of the classes that occur.

    The influence of a sample of class a is ([correct] - r_a) N / (K n_a), with the recall r_a of its n_a samples
    and K classes that occur. So Σ influence² = (N/K)² Σ_a r_a (1 - r_a) / n_a.

    Parameters
    ----------
    confusion : ndarray of shape (L, L), int64
        Number of samples of each true class (row) and predicted class (column).

    References
    ----------
    Brodersen, Ong, Stephan and Buhmann, "The balanced accuracy and its posterior distribution", 2010.
    """
    counts = confusion.sum(axis=1)
    present = counts > 0
    n, recalls = counts[present], confusion.diagonal()[present] / counts[present]
    squares = (n.sum() / len(n)) ** 2 * (recalls * (1.0 - recalls) / n).sum()
    return Measured(float(recalls.mean()), float(squares), int(n.sum()), _n_of_classes(counts))


def macro_f1(confusion: Ints) -> Measured:
    """Return the mean of F1 = 2 tp / (n_true + n_predicted) of the classes that occur or are predicted.

    The influence of a sample follows from its class and its predicted class.

    Parameters
    ----------
    confusion : ndarray of shape (L, L), int64
        Number of samples of each true class (row) and predicted class (column).

    References
    ----------
    Takahashi, Yamamoto, Kuchiba and Koyama, "Confidence interval for micro-averaged F1 and macro-averaged F1
    scores", 2022.
    """
    counts = confusion.sum(axis=1)
    total, n = counts + confusion.sum(axis=0), int(counts.sum())
    f1 = 2.0 * confusion.diagonal() / np.maximum(total, 1)
    n_present, slope = np.count_nonzero(total), f1 / np.maximum(total, 1)
    true, predicted = np.nonzero(confusion)
    influence = n / n_present * (2.0 * (true == predicted) / total[true] - slope[true] - slope[predicted])
    squares = (confusion[true, predicted] * influence**2).sum()
    return Measured(float(f1.sum() / n_present), float(squares), n, _n_of_classes(counts))


# -- probabilities -------------------------------------------------------------------------------------------


def brier_terms(P: Floats, y: Ints) -> Floats:
    """Return Σ_c (P_c - [y = c])² of each sample (N,), whose mean is the Brier score; for two classes half of it.

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
    return 0.5 * squares if P.shape[1] == 2 else squares


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
    squares = (len(y) / len(areas)) ** 2 * float(influence @ influence)
    return Measured(float(np.mean(areas)), squares, len(y), _n_of_classes(np.array(smallest)))


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
    bins, excess = confidence_excess(P, y, n_bins)
    return float(np.abs(np.bincount(bins, weights * excess)).sum() / weights.sum())


def confidence_excess(P: Floats, y: Ints, n_bins: int = N_BINS) -> tuple[Ints, Floats]:
    """Return the bin of each sample, and correct - confidence; parameters as of `calibration_error`."""
    confidence, correct = P.max(axis=1), P.argmax(axis=1) == y
    return confidence_bins(confidence, n_bins), correct - confidence


def expected_calibration_error(bins: Moments) -> Measured:
    """Return the `calibration_error` of samples of equal weight.

    The influence of a sample is its excess, with the sign of the mean of its bin, less the calibration error.

    Parameters
    ----------
    bins : Moments
        Of the excess of the samples in each bin (see `confidence_excess`).
    """
    n = int(bins.n.sum())
    value = float((bins.n * np.abs(bins.mean)).sum() / n)
    squares = np.sign(bins.mean) ** 2 * bins.squares + bins.n * (np.abs(bins.mean) - value) ** 2
    return Measured(value, float(squares.sum()), n, float(n))
