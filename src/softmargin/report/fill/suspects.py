"""Errors of the data rather than of the model: labels that are probably wrong, samples that are there twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from softmargin.data.base import Dataset, counted
from softmargin.losses.base import Floats, Ints
from softmargin.report.base import Duplicate, Suspect, Suspects
from softmargin.report.fill.base import Evidence, Shelf, name_of, words_of

__all__ = ["suspects"]

_MOST = 24
_THRESHOLD = 0.98
"""Correlation from which two samples count as nearly the same."""

_TOO_MANY = 0.1
_SKETCH = 64
_SKETCH_THRESHOLD = 0.92
"""Candidates are found by random projections; the error of a correlation of 0.98 is about 0.04 / √64 there."""

_ROWS_AT_ONCE = 1024
_MOST_PAIRS = 20_000
_MOST_ROWS = 200_000
_MOST_FEATURES = 100_000
_FILLED = 1 << 22
"""Numbers of sparse rows that are filled in at once."""

_FEWEST_FEATURES = 16
"""With fewer, rows correlate that have nothing to do with each other."""

_SEED = 0


def suspects(evidence: Evidence, shelf: Shelf) -> Suspects:
    """Return probable label errors (confident learning) and near-duplicates, most striking first."""
    labels = _label_errors(evidence)
    found, n_found, n_leaked = _duplicates(evidence, shelf)
    kept = []
    for i, other in labels[:_MOST]:
        number = shelf(i)
        if number is not None:
            p = evidence.probabilities[i]
            kept.append(Suspect(number, float(p[evidence.y[i]]), int(other), float(p[other])))
    words = _words(evidence, len(labels), n_found, n_leaked)
    return Suspects(tuple(kept), len(labels), found, n_found, n_leaked, _THRESHOLD, words)


def _words(evidence: Evidence, n_labels: int, n_found: int, n_leaked: int) -> str:
    said = f"{counted(n_labels, 'label')} of {evidence.n:,} may be wrong, by the model's own confidence."
    if n_labels > _TOO_MANY * evidence.n:
        said += (
            " That is far more than can be: the model errs too often to be a judge of labels, and only the first "
            "few, where it is surest, are worth a look."
        )
    why_not = _not_looked_for(evidence)
    if why_not:
        return f"{said} Near-duplicates are not looked for: {why_not}."
    at_least = "At least " if n_found >= _MOST_PAIRS else ""
    said += f" {at_least}{counted(n_found, 'pair')} of samples correlate by {_THRESHOLD:g} or more."
    if n_leaked:
        said += f" In {n_leaked:,} of them the other sample is in the training data, which flatters the accuracy."
    return said


def _label_errors(evidence: Evidence) -> list[tuple[int, int]]:
    """Return (sample, probable class), surest first.

    Northcutt, Jiang and Chuang, "Confident learning", 2021: a sample is suspected if another class has a
    probability that is at least as large as the mean probability of that class among the samples that carry it.
    """
    p, y = evidence.probabilities, evidence.y
    sums = np.bincount(y, weights=p[np.arange(len(y)), y], minlength=p.shape[1])
    thresholds = np.where(evidence.counts > 0, sums / np.maximum(evidence.counts, 1), np.inf)
    confident = np.where(p >= thresholds, p, -1.0)
    other = confident.argmax(axis=1)
    suspected = np.flatnonzero((other != y) & (confident.max(axis=1) > 0.0) & ~evidence.right)
    lead = p[suspected, other[suspected]] - p[suspected, y[suspected]]
    return [(int(i), int(other[i])) for i in suspected[np.argsort(-lead, kind="stable")]]


def _duplicates(evidence: Evidence, shelf: Shelf) -> tuple[tuple[Duplicate, ...], int, int]:
    training = evidence.training
    if _not_looked_for(evidence):
        return (), 0, 0
    pairs = [(*pair, False) for pair in _near(evidence.X, evidence.X, same=True)]
    if training is not None:
        pairs += [(*pair, True) for pair in _near(evidence.X, training.X, same=False)]
    # Those whose labels differ are the more telling ones.
    labels = evidence.data.y[evidence.rows]  # type: ignore[index]

    def second(pair: tuple[float, int, int, bool]) -> tuple[Dataset, int]:
        _, _, j, leaked = pair
        return (training, j) if leaked and training is not None else (evidence.data, int(evidence.rows[j]))

    def differs(pair: tuple[float, int, int, bool]) -> bool:
        data, row = second(pair)
        return bool(data.y is not None and data.y[row] != labels[pair[1]])

    pairs.sort(key=lambda pair: (not differs(pair), -pair[0]))
    found = []
    for pair in pairs[:_MOST]:
        similarity, i, _, leaked = pair
        data, row = second(pair)
        x, mine = _row(data.X, row), _row(evidence.X, i)
        found.append(
            Duplicate(
                similarity=similarity,
                first=evidence.name(i),
                first_label=words_of(labels[i]),
                first_picture=shelf.picture(mine),
                second=name_of(data, row),
                second_label="" if data.y is None else words_of(data.y[row]),
                second_picture=shelf.picture(x),
                leaked=leaked,
                exact=bool(np.array_equal(x, mine)),
            )
        )
    return tuple(found), len(pairs), sum(pair[3] for pair in pairs)


def _row(X: Any, i: int) -> NDArray[Any]:
    return np.asarray(X[[i]].toarray()[0] if issparse(X) else X[i])


def _not_looked_for(evidence: Evidence) -> str:
    """Return why near-duplicates are not looked for, "" if they are."""
    n_rows = max(data.n_samples for data in (evidence.data, evidence.training) if data is not None)
    n_features = evidence.model.n_features
    if n_features < _FEWEST_FEATURES:
        return (
            f"with fewer than {_FEWEST_FEATURES} features rows correlate that have nothing to do with each other"
        )
    if n_features > _MOST_FEATURES or n_rows > _MOST_ROWS:
        return f"that takes at most {_MOST_ROWS:,} samples and {_MOST_FEATURES:,} features"
    return ""


def _near(A: Any, B: Any, *, same: bool) -> list[tuple[float, int, int]]:
    """Return (correlation, row of A, row of B) of all pairs of rows above the threshold.

    Random projections of the rows find the candidates; then the correlation is computed as it is.
    """
    directions = None
    if A.shape[1] > 2 * _SKETCH:
        directions = np.random.default_rng(_SEED).standard_normal((A.shape[1], _SKETCH)).astype(np.float32)
    first = _sketch(A, directions)
    second = first if same else _sketch(B, directions)
    limit = _THRESHOLD if directions is None else _SKETCH_THRESHOLD
    pairs: list[tuple[float, int, int]] = []
    for start in range(0, A.shape[0], _ROWS_AT_ONCE):
        block = first[start : start + _ROWS_AT_ONCE]
        for other in range(start if same else 0, B.shape[0], 8 * _ROWS_AT_ONCE):
            i, j = np.nonzero(block @ second[other : other + 8 * _ROWS_AT_ONCE].T >= limit - 1e-4)
            i, j = i + start, j + other
            if same:
                i, j = i[i < j], j[i < j]
            pairs += _exact(A, B, i, j)
            if len(pairs) >= _MOST_PAIRS:  # enough to be told; data like these need another tool
                return pairs
    return pairs


def _sketch(X: Any, directions: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return the standardised rows, projected if there are directions, each of length 1 (or 0)."""
    parts = []
    for start in range(0, X.shape[0], _ROWS_AT_ONCE):
        block = X[start : start + _ROWS_AT_ONCE]
        if directions is not None and issparse(X):  # without filling in the mean
            block = block.astype(np.float32)
            rows = block @ directions - np.outer(block.mean(axis=1), directions.sum(axis=0))
        else:
            rows = _standard(block).astype(np.float32)
            rows = rows if directions is None else rows @ directions
        if directions is not None:
            rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
        parts.append(rows)
    return np.concatenate(parts)


def _standard(rows: Any) -> Floats:
    """Return rows less their mean, of length 1; rows that do not vary become 0."""
    values = np.asarray((rows.toarray() if issparse(rows) else rows).astype(np.float64))
    values -= values.mean(axis=1, keepdims=True)
    length = np.sqrt((values**2).sum(axis=1, keepdims=True))
    return np.where(length > 1e-9, values / np.maximum(length, 1e-300), 0.0)


def _exact(A: Any, B: Any, i: Ints, j: Ints) -> list[tuple[float, int, int]]:
    found = []
    step = max(1, min(_ROWS_AT_ONCE, _FILLED // A.shape[1]))
    for start in range(0, len(i), step):
        a, b = i[start : start + step], j[start : start + step]
        similarity = (_standard(A[a]) * _standard(B[b])).sum(axis=1)
        found += [
            (min(1.0, float(s)), int(x), int(y))
            for s, x, y in zip(similarity, a, b, strict=True)
            if s >= _THRESHOLD
        ]
    return found
