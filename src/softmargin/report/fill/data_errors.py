"""Errors of the data rather than of the model: probable label errors and near-duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.losses.base import Floats, Ints
from softmargin.report.fill.predictions import Predictions, name_of
from softmargin.report.fill.samples import SampleStore
from softmargin.report.panels import DataErrors, Duplicate, SuspectLabel
from softmargin.sparse import issparse
from softmargin.text import Phrase, pluralize, printable

__all__ = ["data_errors"]

_MOST = 24
_THRESHOLD = 0.98
"""Correlation from which two samples count as near-duplicates."""

_TOO_MANY = 0.1
_SKETCH = 64
_SKETCH_THRESHOLD = 0.92
"""Candidates are found by random projections; the error of a correlation of 0.98 is about 0.04 / √64 there."""

_ROWS_AT_ONCE = 1024
_MOST_PAIRS = 20_000
_MOST_ROWS = 200_000
_MOST_FEATURES = 100_000
_FILLED = 1 << 20
"""Largest number of elements of a chunk of rows in float64."""

_FEWEST_FEATURES = 16
"""With fewer, unrelated rows correlate."""

_SEED = 0


def data_errors(preds: Predictions, store: SampleStore) -> DataErrors:
    """Return probable label errors (confident learning) and near-duplicates, the most certain first."""
    labels = _label_errors(preds)
    found, n_found, n_leaked = _duplicates(preds, store)
    kept = []
    for i, other in labels[:_MOST]:
        number = store.add(i)
        if number is not None:
            p = preds.probabilities[i]
            kept.append(SuspectLabel(number, float(p[preds.y[i]]), int(other), float(p[other])))
    words = _words(preds, len(labels), n_found, n_leaked)
    return DataErrors(tuple(kept), len(labels), found, n_leaked, words)


def _words(preds: Predictions, n_labels: int, n_found: int, n_leaked: int) -> str:
    labels = pluralize(preds.n, "label")
    words = [Phrase("{0} of {1} may be wrong (confident learning).", f"{n_labels:,}", labels)]
    if n_labels > _TOO_MANY * preds.n:
        words.append(
            Phrase(
                "This is implausibly many: the model is not accurate enough to find label errors, and only the "
                "first few are worth checking."
            )
        )
    reason = _reason_not_to_search(preds)
    if reason:
        words.append(Phrase("Near-duplicates were not searched for: {0}.", reason))
        return Phrase.joined(" ", words)
    pairs = pluralize(n_found, "pair")
    if n_found >= _MOST_PAIRS:
        pairs = Phrase("at least {0}", pairs)
    words.append(Phrase("Near-duplicates (correlation ≥ {0}): {1}.", f"{_THRESHOLD:g}", pairs))
    if n_leaked:
        words.append(
            Phrase(
                "In {0} of these pairs one sample is in the training data: the accuracy may be too high.",
                f"{n_leaked:,}",
            )
        )
    return Phrase.joined(" ", words)


def _label_errors(preds: Predictions) -> list[tuple[int, int]]:
    """Return (sample, probable class), the most certain first.

    A label is suspect if another class has at least the mean probability of that class over the samples labelled
    with it (Northcutt, Jiang and Chuang, "Confident learning", 2021).
    """
    p, y = preds.probabilities, preds.y
    sums = np.bincount(y, weights=p[np.arange(len(y)), y], minlength=p.shape[1])
    thresholds = np.where(preds.counts > 0, sums / np.maximum(preds.counts, 1), np.inf)
    confident = np.where(p >= thresholds, p, -1.0)
    other = confident.argmax(axis=1)
    suspected = np.flatnonzero((other != y) & (confident.max(axis=1) > 0.0) & ~preds.correct)
    lead = p[suspected, other[suspected]] - p[suspected, y[suspected]]
    return [(int(i), int(other[i])) for i in suspected[np.argsort(-lead, kind="stable")]]


def _duplicates(preds: Predictions, store: SampleStore) -> tuple[tuple[Duplicate, ...], int, int]:
    if _reason_not_to_search(preds):
        return (), 0, 0
    labels = preds.data.y[preds.rows]  # type: ignore[index]
    parts = [(preds.data, preds.rows, preds.X)]
    if preds.training is not None:
        parts.append((preds.training, np.arange(preds.training.n_samples), preds.training.X))
    pairs = []
    for data, rows, X in parts:
        for similarity, i, j in _near(preds.X, X):
            same_label = data.y is None or data.y[rows[j]] == labels[i]
            pairs.append((same_label, -similarity, i, data, int(rows[j])))
    pairs.sort(key=lambda pair: pair[:2])  # pairs with different labels first
    found = []
    for _, similarity, i, data, row in pairs[:_MOST]:
        other, own = _row(data.X, row), _row(preds.X, i)
        found.append(
            Duplicate(
                similarity=-similarity,
                first=preds.name(i),
                first_label=printable(labels[i]),
                first_picture=store.picture(preds.data, int(preds.rows[i])),
                second=name_of(data, row),
                second_label="" if data.y is None else printable(data.y[row]),
                second_picture=store.picture(data, row),
                leaked=data is preds.training,
                exact=bool(np.array_equal(other, own)),
            )
        )
    return tuple(found), len(pairs), sum(pair[3] is preds.training for pair in pairs)


def _row(X: Any, i: int) -> NDArray[Any]:
    return np.asarray(X[[i]].toarray()[0] if issparse(X) else X[i])


def _reason_not_to_search(preds: Predictions) -> str:
    """Return why near-duplicates are not searched for, "" if they are."""
    n_rows = max(data.n_samples for data in (preds.data, preds.training) if data is not None)
    n_features = preds.model.n_features
    if n_features < _FEWEST_FEATURES:
        return Phrase("with fewer than {0} features unrelated rows correlate", str(_FEWEST_FEATURES))
    if n_features > _MOST_FEATURES or n_rows > _MOST_ROWS:
        limits = f"{_MOST_ROWS:,}", f"{_MOST_FEATURES:,}"
        return Phrase("the search is limited to {0} samples and {1} features", *limits)
    return ""


def _near(A: Any, B: Any) -> list[tuple[float, int, int]]:
    """Return (correlation, row of A, row of B) of all pairs of rows above the threshold; each once if A is B.

    Random projections of the rows find the candidates, whose correlation is then computed exactly.
    """
    n_features = A.shape[1]
    directions, limit = np.eye(n_features), _THRESHOLD
    if n_features > 2 * _SKETCH:
        directions, limit = np.random.default_rng(_SEED).standard_normal((n_features, _SKETCH)), _SKETCH_THRESHOLD
    first = _sketch(A, directions)
    second = first if A is B else _sketch(B, directions)
    pairs: list[tuple[float, int, int]] = []
    for start in range(0, A.shape[0], _ROWS_AT_ONCE):
        block = first[start : start + _ROWS_AT_ONCE]
        for other in range(start if A is B else 0, B.shape[0], 8 * _ROWS_AT_ONCE):
            i, j = np.nonzero(block @ second[other : other + 8 * _ROWS_AT_ONCE].T >= limit - 1e-4)
            i, j = i + start, j + other
            if A is B:
                i, j = i[i < j], j[i < j]
            pairs += _exact(A, B, i, j)
            if len(pairs) >= _MOST_PAIRS:  # such data need another tool
                return pairs
    return pairs


def _sketch(X: Any, directions: Floats) -> NDArray[np.float32]:
    """Return the centred rows times ``directions``, normalized."""
    parts, step = [], max(1, _FILLED // X.shape[1])
    for start in range(0, X.shape[0], step):
        block = X[start : start + step].astype(np.float64)
        rows = block @ directions - np.outer(block.mean(axis=1), directions.sum(axis=0))
        parts.append(_normalized(rows).astype(np.float32))
    return np.concatenate(parts)


def _standard(rows: Any) -> Floats:
    """Return the rows centred and normalized."""
    values = np.asarray((rows.toarray() if issparse(rows) else rows).astype(np.float64))
    return _normalized(values - values.mean(axis=1, keepdims=True))


def _normalized(rows: Floats) -> Floats:
    """Return centred rows divided by their norm; constant rows become 0."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(norms > 1e-9, rows / np.maximum(norms, 1e-300), 0.0)


def _exact(A: Any, B: Any, i: Ints, j: Ints) -> list[tuple[float, int, int]]:
    found: list[tuple[float, int, int]] = []
    step = max(1, min(_ROWS_AT_ONCE, _FILLED // A.shape[1]))
    for start in range(0, len(i), step):
        a, b = i[start : start + step], j[start : start + step]
        similarity = (_standard(A[a]) * _standard(B[b])).sum(axis=1)
        kept = similarity >= _THRESHOLD
        similarity = np.minimum(similarity, 1.0)
        found += zip(similarity[kept].tolist(), a[kept].tolist(), b[kept].tolist(), strict=True)
    return found
