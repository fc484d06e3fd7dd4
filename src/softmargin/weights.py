"""Weights of samples and of classes: their checks, and the weights for fitting that follow from both."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import Floats, Ints, as_floats, brief, check_nonnegative
from softmargin.errors import DataError, ParameterError

__all__ = [
    "ClassWeight", "balanced_weights", "check_class_weight", "check_weights", "class_factors",
    "factors_of_classes",
]  # fmt: skip

ClassWeight = dict[Any, float] | str | None
"""Factors on the sample weights, by label; or "balanced"."""


def check_weights(sample_weight: ArrayLike | None, n_samples: int) -> Floats:
    """Return the weights divided by the largest, so that neither 1e308 overflows nor 1e-308 underflows."""
    if sample_weight is None:
        return np.ones(n_samples)
    weights = as_floats("sample_weight", sample_weight)
    if weights.shape != (n_samples,):
        raise DataError(f"sample_weight must have shape ({n_samples},), got {weights.shape}.")
    wrong = np.flatnonzero(~(weights >= 0.0) | np.isinf(weights))
    if wrong.size:
        raise DataError(f"sample_weight[{wrong[0]}] is {weights[wrong[0]]}; weights must be finite and ≥ 0.")
    largest = weights.max()
    if largest == 0.0:
        raise DataError("sample_weight is zero for every sample; at least one weight must be positive.")
    return np.ascontiguousarray(weights / largest)


def check_class_weight(class_weight: Any) -> ClassWeight:
    """Return ``class_weight``, or raise a `ParameterError` if it is not a dict of weights, "balanced" or None."""
    if isinstance(class_weight, dict):
        for label, factor in class_weight.items():
            check_nonnegative(f"class_weight[{brief(label)}]", factor)
    elif not (class_weight is None or (isinstance(class_weight, str) and class_weight == "balanced")):
        raise ParameterError(f"class_weight must be a dict or 'balanced', got {brief(class_weight)}.")
    return class_weight


def class_factors(class_weight: dict[Any, float], classes: list[Any], labels: NDArray[Any]) -> Floats:
    """Return the factor of each class, 1 for a label that ``class_weight`` lacks.

    As in scikit-learn, other keys are allowed where every class has a key: a fold may lack a class.

    Parameters
    ----------
    class_weight : dict
    classes : list
        Labels of positive weight.
    labels : ndarray of shape (N,)
        Labels of all samples.

    Raises
    ------
    ParameterError
        If a class has no key and a key is not a label: then one of them is probably misspelt.
    """
    unknown: list[Any] = []
    if any(label not in class_weight for label in classes):
        known = set(labels.tolist())
        unknown = [label for label in class_weight if label not in known]
    if unknown:
        raise ParameterError(f"class_weight must have only labels of y as keys, got {brief(unknown[0])}.")
    return np.array([float(class_weight.get(label, 1.0)) for label in classes])


def balanced_weights(weights: Floats, y: Ints, n_classes: int) -> Floats:
    """Return sample weights whose sum is 1 for each class, so that all classes count the same.

    A weight of k is the same as k copies. The total of each class is an exactly rounded sum, which does not depend
    on the order of the samples.

    Parameters
    ----------
    weights : ndarray of shape (N,)
        Each class needs a positive weight.
    y : ndarray of shape (N,)
        Class numbers; arbitrary for samples of weight 0.
    n_classes : int
    """
    borders = np.cumsum(np.bincount(y, minlength=n_classes))[:-1]
    parts = np.split(weights[np.argsort(y, kind="stable")], borders)
    return np.asarray(weights / np.array([math.fsum(part) for part in parts])[y])


def factors_of_classes(class_weight: ClassWeight, labels: NDArray[Any], totals: Floats) -> Floats:
    """Return the factor on the weights of the samples of each class, of which the largest is 1.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    labels : ndarray of shape (C,)
        The labels of positive weight.
    totals : ndarray of shape (C,)
        The weight of each class.

    Raises
    ------
    ParameterError
        If ``class_weight`` is invalid.
    DataError
        If a factor is positive, but so small that it underflows.
    """
    if check_class_weight(class_weight) is None:
        return np.ones(len(labels))
    if isinstance(class_weight, dict):
        given = class_factors(class_weight, labels.tolist(), labels)
    else:
        given = totals.min(initial=np.inf) / totals
    factors = given / (given.max(initial=0.0) or 1.0)
    lost = np.flatnonzero((given > 0.0) & (factors * totals == 0.0))
    if lost.size:
        label = labels.tolist()[lost[0]]
        raise DataError(f"class_weight must leave a positive weight for each class, got 0 for {brief(label)}.")
    return np.asarray(factors)
