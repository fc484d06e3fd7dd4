"""Stratified folds that depend on the content of the rows and not on their order.

Samples are dealt to the folds class by class, in the order of a hash of their features, or of their keys if they
have some. Each goes to the fold with the least weight of its class. Shuffling the rows does not change the folds.
Rows with the same features stay together, even with different labels, if there are at most as many of them as
folds. A sample and its copy are then never on both sides of a fold, and a weight of 2 is the same as two copies.
If there are more (binary features, categories), repetition is typical of the data, and they are dealt like
different samples.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import brief, check_count
from softmargin.errors import DataError, ParameterError
from softmargin.losses.base import Floats, Ints
from softmargin.samples import Fold, Labelled
from softmargin.selection.groups import WHOLE, deal_groups, group_numbers
from softmargin.text import truncate

__all__ = ["fold_signs", "held_out", "make_folds"]

_NOTHING = (
    "At least one class must have two samples with different features, got none: nothing can be held out; give "
    "the loss and reg instead."
)
_NO_GROUPS = (
    "At least one class must have samples in two groups, got none: nothing can be held out; use other groups, or "
    "give the loss and reg."
)


def fold_signs(folds: Sequence[Fold], n_samples: int) -> NDArray[np.uint64]:
    """Return 64 bits per sample that are equal for samples in the same parts of all folds.

    Parameters
    ----------
    folds : sequence of Fold
    n_samples : int
    """
    signs = np.zeros(n_samples, np.uint64)
    rng = np.random.default_rng(0)
    for fold in folds:
        for part in fold:
            np.add.at(signs, part, rng.integers(1 << 63, dtype=np.uint64))
    return signs


def held_out(
    y: Ints, weights: Floats, fraction: float, hashes: NDArray[np.uint64], groups: ArrayLike | None = None
) -> Fold:
    """Hold out a fraction of each class, but never the whole class.

    Parameters
    ----------
    y : ndarray of shape (N,)
        Class numbers.
    weights : ndarray of shape (N,)
        Samples of weight 0 are in neither part.
    fraction : float
    hashes : ndarray of shape (N,)
    groups : array-like of shape (N,), optional
        Samples of a group stay together, so that the held-out part is only nearly this fraction.

    Raises
    ------
    DataError
        If no sample can be held out.
    """
    if groups is not None:
        numbers, shares = group_numbers(groups, len(y)), np.array([1.0 - fraction, fraction])
        parts = deal_groups(y, weights, hashes, numbers, shares)
        if parts.max() == 0:  # few groups: the smallest one that can be held out
            free = np.unique(numbers[parts == 0])
            sizes = np.bincount(numbers, weights)[free]
            parts[(numbers == free[sizes.argmin()]) & (parts == 0)] = 1
        return _fold(parts == 1, weights, _NO_GROUPS)
    units = _units(y, weights, hashes, max(1, round(1.0 / fraction)))
    outside = np.zeros(len(units.sizes), bool)
    for members in _strata(units):
        sizes = units.sizes[members]
        middles = np.cumsum(sizes) - 0.5 * sizes
        chosen = members[middles < fraction * sizes.sum()]
        if len(chosen) == 0:
            chosen = members[[np.argmin(sizes)]]
        outside[chosen[: len(members) - 1]] = True
    return _fold(units.of_rows(outside, False), weights)


def make_folds(
    cv: Any,
    labelled: Labelled,
    hashes: NDArray[np.uint64],
    groups: ArrayLike | None = None,
) -> list[Fold]:
    """Return the folds described by ``cv``.

    Parameters
    ----------
    cv : int, splitter or iterable
        Number of folds by content; a splitter of scikit-learn; or pairs of index arrays of training and held-out
        samples. There are at most as many folds as different samples.
    labelled : Labelled
        Samples of weight 0 are in neither part of a fold.
    hashes : ndarray of shape (N,)
    groups : array-like of shape (N,), optional
        Samples of a group stay together: for a number of folds, or a splitter that supports groups. There are at
        most as many folds as groups.

    Raises
    ------
    DataError, ParameterError
        If such folds do not exist.
    """
    y, labels, weights = labelled.y, labelled.labels, labelled.weights
    numbers = None if groups is None else group_numbers(groups, len(y))
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        n_folds = check_count("cv", int(cv), 2)
        if numbers is None:
            return _by_content(y, weights, hashes, n_folds)
        parts = deal_groups(y, weights, hashes, numbers, np.full(n_folds, 1.0 / n_folds))
        if parts.max() < 0:
            raise DataError(_NO_GROUPS)
        return [_fold(parts == k, weights) for k in range(n_folds) if np.any(parts == k)]
    if isinstance(cv, str) or not (hasattr(cv, "split") or isinstance(cv, Iterable)):
        raise ParameterError(
            f"cv must be a number of folds, a splitter or pairs of index arrays, got {brief(cv)}."
        )
    try:
        # A splitter uses only the number of rows of X.
        placeholder = np.zeros((len(y), 1))
        from sklearn.model_selection import check_cv  # slow to import

        pairs = list(check_cv(cv, labels, classifier=True).split(placeholder, labels, groups))
    except (TypeError, ValueError) as error:
        found = truncate(" ".join(str(error).split()), 100).rstrip(".")
        raise DataError(f"cv must be able to split the samples, got {type(error).__name__}: {found}.") from error
    if not pairs:
        raise DataError("cv must give at least one fold, got none.")
    return [_checked(training, validation, n, weights) for n, (training, validation) in enumerate(pairs)]


class _Units(NamedTuple):
    """Units that are held out as a whole: rows with the same features, or single rows if there are many of them.

    Attributes
    ----------
    numbers : ndarray of shape (N,)
        Unit of each row; -1 for rows of weight 0.
    sizes : ndarray of shape (n_units,)
        Integer weights, so that sums do not depend on their order.
    strata : ndarray of shape (n_units,)
        Class of each unit, ranked from the rarest; the rarest one for a unit of several classes. -1 for the only
        unit of a class, which is in the training part of every fold.
    hashes : ndarray of shape (n_units,)
    """

    numbers: Ints
    sizes: Ints
    strata: Ints
    hashes: NDArray[np.uint64]

    def of_rows(self, values: NDArray[Any], default: Any) -> NDArray[Any]:
        """Return the value of the unit of each row; ``default`` for rows of weight 0."""
        return np.where(self.numbers >= 0, values[self.numbers], default)


def _units(y: Ints, weights: Floats, hashes: NDArray[np.uint64], most: int) -> _Units:
    """Return the units: rows with the same features stay together unless there are more than ``most``."""
    rows = np.flatnonzero(weights > 0.0)
    rows = rows[np.lexsort((weights[rows], y[rows], hashes[rows]))]
    _, first, counts = np.unique(hashes[rows], return_index=True, return_counts=True)
    copies = np.arange(len(rows)) - np.repeat(first, counts)
    begins = np.flatnonzero((copies == 0) | np.repeat(counts > most, counts))
    numbers = np.full(len(y), -1)
    numbers[rows] = np.searchsorted(begins, np.arange(len(rows)), side="right") - 1

    share = weights[rows] / weights[rows].sum() * WHOLE
    totals = np.rint(np.bincount(y[rows], share)).astype(np.int64)
    places = np.empty(len(totals), np.int64)
    places[np.argsort(totals, kind="stable")] = np.arange(len(totals))
    strata = np.minimum.reduceat(places[y[rows]], begins)

    pairs = np.unique(np.column_stack((numbers[rows], y[rows])), axis=0)
    n_units = np.bincount(pairs[:, 1], minlength=len(totals))
    strata[pairs[n_units[pairs[:, 1]] == 1, 0]] = -1
    # Copies get different hashes: dealt one after the other, every fold would train on what it holds out.
    mixed = _mixed(hashes[rows[begins]] + copies[begins].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return _Units(numbers, np.rint(np.add.reduceat(share, begins)).astype(np.int64), strata, mixed)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 bits that each depend on all given bits (the finalizer of splitmix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _strata(units: _Units) -> Iterable[Ints]:
    """Yield the units of each class that can be held out, ordered by hash, starting with the rarest class."""
    order = np.lexsort((units.hashes, units.strata))
    order = order[units.strata[order] >= 0]
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(units.strata[order])) + 1)


def _by_content(y: Ints, weights: Floats, hashes: NDArray[np.uint64], n_folds: int) -> list[Fold]:
    units = _units(y, weights, hashes, n_folds)
    places = np.full(len(units.sizes), -1)
    loads = [0] * n_folds
    for members in _strata(units):
        members = members[np.argsort(-units.sizes[members], kind="stable")]
        heap = sorted((0, load, k) for k, load in enumerate(loads))
        for unit, size in zip(members.tolist(), units.sizes[members].tolist(), strict=True):
            mine, load, k = heap[0]
            heapq.heapreplace(heap, (mine + size, load + size, k))
            places[unit], loads[k] = k, load + size
    held = units.of_rows(places, -1)
    if held.max() < 0:
        raise DataError(_NOTHING)
    return [_fold(held == k, weights) for k in range(n_folds) if np.any(held == k)]


def _fold(outside: NDArray[np.bool_], weights: Floats, nothing: str = _NOTHING) -> Fold:
    weighted = weights > 0.0
    validation = np.flatnonzero(outside & weighted)
    if validation.size == 0:
        raise DataError(nothing)
    return Fold(np.flatnonzero(~outside & weighted), validation)


def _checked(training: Any, validation: Any, number: int, weights: Floats) -> Fold:
    """Return a fold of a splitter or of the user, or raise a `DataError` if it is invalid."""
    parts = []
    for name, part in (("training", training), ("held-out", validation)):
        rows = np.asarray(part)
        if rows.dtype == np.bool_ and rows.shape == weights.shape:
            rows = np.flatnonzero(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise DataError(f"Fold {number} of cv must contain the indices of {name} samples, got {brief(part)}.")
        wrong = rows[(rows < 0) | (rows >= len(weights))]
        if wrong.size:
            raise DataError(
                f"Fold {number} of cv must contain indices 0 … {len(weights) - 1}, got {name} sample {wrong[0]}."
            )
        rows = np.sort(rows.astype(np.int64))
        rows = rows[weights[rows] > 0.0]
        if rows.size == 0:
            raise DataError(f"Fold {number} of cv must have a {name} sample of positive weight, got none.")
        parts.append(rows)
    both = np.intersect1d(*parts)
    if both.size:
        raise DataError(f"Fold {number} of cv must have disjoint parts, got sample {both[0]} in both of them.")
    return Fold(*parts)
