"""Folds that depend on what the samples are, and not on where they stand.

A sample goes to the fold that a hash of its features and label tells, class by class in turn. So the folds do not
change when rows are shuffled, equal rows never stand on both sides, and a weight of 2 is the same as two copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.model_selection import StratifiedGroupKFold, check_cv

from softmargin.errors import DataError, ParameterError
from softmargin.losses.base import Floats, Ints
from softmargin.validation import check_count

__all__ = ["Fold", "Samples", "content_hashes", "fold_signs", "gather", "held_out", "make_folds"]


_COPIED = 1 << 28
"""Up to this many bytes X is put into an order that depends on its rows alone."""


class Fold(NamedTuple):
    """Numbers of the samples to fit to and of those held out, both ascending.

    A splitter that draws with replacement may name a sample several times: it then counts as often.
    """

    training: Ints
    validation: Ints


class Samples(NamedTuple):
    """Samples, and the folds they are to be chosen with.

    Attributes
    ----------
    X : ndarray or csr_array of shape (N, D)
    y : ndarray of shape (N,)
        Class numbers.
    labels : ndarray of shape (N,)
        What the user calls these classes.
    weights, training_weights : ndarray of shape (N,)
        To score with and to fit with.
    hashes : ndarray of shape (N,)
        Of the content of each sample.
    folds : list of Fold
    sizes : tuple of tuple of int
        Numbers of training and held-out samples of each fold, as they were given.
    """

    X: Any
    y: Ints
    labels: NDArray[Any]
    weights: Floats
    training_weights: Floats
    hashes: NDArray[np.uint64]
    folds: list[Fold]
    sizes: tuple[tuple[int, int], ...]


def content_hashes(X: Any, y: Ints, seed: int = 0) -> NDArray[np.uint64]:
    """Return 64 bits for each sample that depend on its features, its label and the seed alone.

    Parameters
    ----------
    X : ndarray or csr_array of shape (N, D)
    y : ndarray of shape (N,)
        Class numbers.
    seed : int
    """
    key = int(seed).to_bytes(16, "little")
    hashes = np.empty(X.shape[0], np.uint64)
    dtype = X.dtype.newbyteorder("<")
    for i, label in enumerate(y.tolist()):
        if issparse(X):
            part = slice(X.indptr[i], X.indptr[i + 1])
            stored, columns = X.data[part], X.indices[part].astype(np.int64)
            there = stored != 0
            parts = [columns[there].tobytes(), stored[there].astype(dtype).tobytes()]
        else:
            row = X[i] + 0.0 if dtype.kind == "f" else X[i]  # -0.0 becomes 0.0
            parts = [row.astype(dtype, copy=False).tobytes()]
        digest = hashlib.blake2b(label.to_bytes(8, "little"), digest_size=8, key=key)
        for part_bytes in parts:
            digest.update(part_bytes)
        hashes[i] = int.from_bytes(digest.digest(), "little")
    return hashes


def fold_signs(folds: list[Fold], n_samples: int) -> NDArray[np.uint64]:
    """Return 64 bits for each sample that are the same for those that are in the same parts of all folds.

    Parameters
    ----------
    folds : list of Fold
    n_samples : int
    """
    signs = np.zeros(n_samples, np.uint64)
    rng = np.random.default_rng(0)
    for fold in folds:
        for part in fold:
            np.add.at(signs, part, rng.integers(1 << 63, dtype=np.uint64))
    return signs


def held_out(y: Ints, weights: Floats, fraction: float, hashes: NDArray[np.uint64]) -> Fold:
    """Hold out a share of each class, but never all of it.

    Parameters
    ----------
    y : ndarray of shape (N,)
        Class numbers.
    weights : ndarray of shape (N,)
        Samples of weight 0 are in neither part.
    fraction : float
    hashes : ndarray of shape (N,)

    Raises
    ------
    DataError
        If nothing can be held out.
    """
    outside = np.zeros(len(y), bool)
    for rows, ranks, n_different in _classes(y, weights, hashes):
        n_outside = min(max(1, round(fraction * n_different)), n_different - 1)
        outside[rows] = ranks < n_outside
    return _fold(outside, weights)


def make_folds(
    cv: Any,
    y: Ints,
    labels: NDArray[Any],
    weights: Floats,
    hashes: NDArray[np.uint64],
    groups: ArrayLike | None = None,
) -> list[Fold]:
    """Return the folds that ``cv`` asks for.

    Parameters
    ----------
    cv : int, splitter or iterable
        A number of folds, by content, at most as many as there are different samples; a splitter of scikit-learn;
        or pairs of the numbers of training and held-out samples.
    y : ndarray of shape (N,)
        Class numbers.
    labels : ndarray of shape (N,)
        What the user calls the classes, for a splitter.
    weights : ndarray of shape (N,)
        Samples of weight 0 are in neither part of a fold.
    hashes : ndarray of shape (N,)
    groups : array-like of shape (N,), optional
        Samples of a group stay together: for a splitter that knows groups, or a number of folds.

    Raises
    ------
    DataError, ParameterError
        If there can be no such folds.
    """
    if groups is not None and np.shape(groups) != y.shape:
        raise DataError(f"groups must have shape {y.shape}, but its shape is {np.shape(groups)}.")
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        n_folds = check_count("cv", int(cv), 2)
        if groups is None:
            return _by_content(y, weights, hashes, n_folds)
        cv = StratifiedGroupKFold(n_folds)
    elif cv is None or isinstance(cv, (bool, str, float)):
        raise ParameterError(f"cv must be a number of folds, a splitter or pairs of indices, but it is {cv!r}.")
    if not hasattr(cv, "split") and not isinstance(cv, Iterable):
        raise ParameterError(f"cv must be a number of folds, a splitter or pairs of indices, but it is {cv!r}.")
    try:
        # A splitter looks at the shape of X only, and zeros of one column serve for that.
        placeholder = np.zeros((len(y), 1))
        pairs = list(check_cv(cv, labels, classifier=True).split(placeholder, labels, groups))
    except (TypeError, ValueError) as error:
        raise DataError(f"cv could not split the samples: {error}") from error
    if not pairs:
        raise DataError("cv gives no fold: nothing can be held out to choose with.")
    return [_checked(training, validation, n, weights) for n, (training, validation) in enumerate(pairs)]


def _by_content(y: Ints, weights: Floats, hashes: NDArray[np.uint64], n_folds: int) -> list[Fold]:
    places = np.full(len(y), -1)
    first = 0
    for rows, ranks, n_different in _classes(y, weights, hashes):
        if n_different > 1:  # the only sample of a class is fitted to in every fold
            places[rows] = (first + ranks) % n_folds
            first += n_different
    if first == 0:
        raise DataError("No class has two samples, so none can be held out to choose with: give the loss and reg.")
    return [_fold(places == k, weights) for k in range(min(n_folds, first))]


def _classes(y: Ints, weights: Floats, hashes: NDArray[np.uint64]) -> Iterable[tuple[Ints, Ints, int]]:
    """Yield the samples of each class, the rank of each among the different ones, and how many these are."""
    for label in np.unique(y):
        rows = np.flatnonzero((y == label) & (weights > 0.0))
        different, ranks = np.unique(hashes[rows], return_inverse=True)
        yield rows, ranks, len(different)


def _fold(outside: NDArray[np.bool_], weights: Floats) -> Fold:
    there = weights > 0.0
    validation = np.flatnonzero(outside & there)
    if validation.size == 0:
        raise DataError("No class has two samples, so none can be held out to choose with: give the loss and reg.")
    return Fold(np.flatnonzero(~outside & there), validation)


def _checked(training: Any, validation: Any, number: int, weights: Floats) -> Fold:
    """Return one fold of a splitter, of which nothing is known."""
    parts = []
    for name, part in (("training", training), ("held-out", validation)):
        rows = np.asarray(part)
        if rows.dtype == np.bool_ and rows.shape == weights.shape:
            rows = np.flatnonzero(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise DataError(f"Fold {number} of cv must hold the numbers of {name} samples, but it holds {part!r}.")
        wrong = rows[(rows < 0) | (rows >= len(weights))]
        if wrong.size:
            raise DataError(
                f"Fold {number} of cv names the {name} sample {wrong[0]}, but samples are 0 … {len(weights) - 1}."
            )
        rows = np.sort(rows.astype(np.int64))
        rows = rows[weights[rows] > 0.0]
        if rows.size == 0:
            raise DataError(f"Fold {number} of cv has no {name} sample of positive weight.")
        parts.append(rows)
    both = np.intersect1d(*parts)
    if both.size:
        raise DataError(
            f"Fold {number} of cv has sample {both[0]} in both parts: what is held out would be known."
        )
    return Fold(*parts)


def gather(
    X: Any,
    labels: NDArray[Any],
    codes: Ints,
    weights: Floats,
    hashes: NDArray[np.uint64],
    folds: list[Fold],
    training_weights: Floats | None = None,
    merge: bool = True,
) -> Samples:
    """Return checked samples and their folds, prepared.

    Parameters
    ----------
    X, labels, codes, weights, hashes, folds, training_weights
        As in `Samples`; weights to fit with are by default those to score with.
    merge : bool
        Whether equal samples may become one.
    """
    fitted = weights if training_weights is None else training_weights
    sizes = tuple((len(fold.training), len(fold.validation)) for fold in folds)
    return prepare(Samples(X, codes, labels, weights, fitted, hashes, folds, sizes), merge)


def prepare(samples: Samples, merge: bool = True) -> Samples:
    """Return the samples in an order that depends on what they are and not on where they stood.

    Equal samples of the same folds become one with the sum of their weights: so copies are the same as weights, to
    the last bit. X of more than 256 MB stays as it is.

    Parameters
    ----------
    samples : Samples
    merge : bool
        Whether equal samples may become one.
    """
    X, y, labels, weights, training_weights, hashes, folds, sizes = samples
    size = X.data.nbytes + X.indices.nbytes if issparse(X) else X.nbytes
    if size > _COPIED:
        return samples
    signs = fold_signs(folds, len(y))
    order = np.lexsort((training_weights, weights, signs, hashes))
    order = order[weights[order] > 0.0]
    first = np.ones(len(order), bool)
    if merge:
        first[1:] = (hashes[order][1:] != hashes[order][:-1]) | (signs[order][1:] != signs[order][:-1])
    places = np.full(len(y), -1)
    places[order] = np.cumsum(first) - 1
    rows, n = order[first], int(first.sum())
    scored, fitted = (
        np.bincount(places[order], given[order], minlength=n).astype(np.float64)
        for given in (weights, training_weights)
    )
    moved = [Fold(*(_moved(part, places, merge) for part in fold)) for fold in folds]
    scored, fitted = scored / scored.max(), fitted / fitted.max()
    return Samples(X[rows], y[rows], labels[rows], scored, fitted, hashes[rows], moved, sizes)


def _moved(part: Ints, places: Ints, merge: bool) -> Ints:
    """Return where the samples of one part of a fold stand now; those that became one count as one."""
    if not merge:
        return np.sort(places[part])
    numbers, counts = np.unique(part, return_counts=True)
    found, at = np.unique(places[numbers], return_index=True)
    return np.repeat(found, counts[at])
