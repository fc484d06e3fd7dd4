"""Parts of whole groups: samples of one patient, document or video are never on both sides of a fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.errors import DataError
from softmargin.labels import check_groups
from softmargin.losses.base import Floats, Ints

__all__ = ["WHOLE", "deal_groups", "group_numbers"]

WHOLE = float(1 << 40)
"""The total weight of all samples as an integer."""


def group_numbers(groups: ArrayLike, n_samples: int) -> Ints:
    """Return a number 0, 1, … per sample that is equal for samples of the same group.

    Parameters
    ----------
    groups : array-like of shape (N,)
        Strings or numbers.
    n_samples : int
        N.

    Raises
    ------
    DataError
        If the shape is wrong, or a group is missing.
    """
    array = np.asarray(groups)
    if array.shape != (n_samples,):
        raise DataError(f"groups must have shape ({n_samples},), got {array.shape}.")
    listed = array.tolist()
    check_groups(groups)
    try:
        return np.unique(array, return_inverse=True)[1].astype(np.int64)
    except TypeError as error:
        kinds = ", ".join(sorted({type(value).__name__ for value in listed}))
        raise DataError(f"groups must be all strings or all numbers, got the types {kinds}.") from error


def deal_groups(y: Ints, weights: Floats, hashes: NDArray[np.uint64], groups: Ints, shares: Floats) -> Ints:
    """Return the part of each sample, so that groups stay together and each part gets its share of each class.

    Groups are dealt one after the other, the largest first. Each goes to the part where
    Σ_c (n_c / N_c)² / share grows least, for the weight n_c of class c in a part and N_c in total. All classes
    together count as one more class. Between equal groups the hashes decide.

    Parameters
    ----------
    y : ndarray of shape (N,)
        Class numbers.
    weights : ndarray of shape (N,)
    hashes : ndarray of shape (N,)
    groups : ndarray of shape (N,)
        Group numbers.
    shares : ndarray of shape (K,)
        Positive; their sum is 1.

    Returns
    -------
    ndarray of shape (N,)
        The number of a part. -1 for a sample of weight 0, and for a group that is the only one of a class: without
        it, the class could not be learned.
    """
    rows = np.flatnonzero(weights > 0.0)
    rows = rows[np.lexsort((weights[rows], y[rows], hashes[rows], groups[rows]))]
    _, first, numbers = np.unique(groups[rows], return_index=True, return_inverse=True)
    n_groups, n_classes = len(first), int(y[rows].max()) + 1
    pairs, places = np.unique(numbers * n_classes + y[rows], return_inverse=True)
    sizes = np.rint(np.bincount(places, weights[rows] / weights[rows].sum() * WHOLE))
    of_group, classes = np.divmod(pairs, n_classes)
    totals = np.append(np.bincount(classes, sizes, n_classes), sizes.sum())
    begins = np.searchsorted(of_group, np.arange(n_groups + 1))

    only = np.bincount(classes, minlength=n_classes) == 1
    parts = np.where(np.bincount(of_group, only[classes], n_groups) > 0, -1, 0)
    whole = np.bincount(of_group, sizes, n_groups)
    order = np.lexsort((hashes[rows[first]], -whole))
    loads = np.zeros((len(shares), n_classes + 1))
    for group in order[parts[order] >= 0].tolist():
        own = slice(begins[group], begins[group + 1])
        columns, size = np.append(classes[own], n_classes), np.append(sizes[own], whole[group])
        scaled = size / totals[columns] ** 2
        part = int((((2.0 * loads[:, columns] + size) * scaled).sum(axis=1) / shares).argmin())
        parts[group] = part
        loads[part, columns] += size
    found = np.full(len(y), -1)
    found[rows] = parts[numbers]
    return found
