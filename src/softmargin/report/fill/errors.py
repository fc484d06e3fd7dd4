"""Where the model fails: margins, the samples with the largest loss, confusions."""

from __future__ import annotations

import itertools

import numpy as np

from softmargin.losses.base import Floats, Ints
from softmargin.report.fill.predictions import Predictions
from softmargin.report.fill.samples import SampleStore
from softmargin.report.panels import Confusion, Margins

__all__ = ["confusion", "joined", "margins", "worst"]

_BINS = 48
_TAIL = 0.005
_WORST = 24
_MOST_CLASSES = 200
_MOST_PAIRS = 30
_OFF_DIAGONAL, _DIAGONAL = 12, 6
"""Largest number of samples kept of a cell."""


def margins(preds: Predictions) -> Margins:
    """Return a histogram of the margins of each class, with common bins."""
    values, delta = preds.margins, preds.delta
    low, high = np.quantile(values, [_TAIL, 1.0 - _TAIL])
    wanted = 0.0 if delta is None else delta
    low, high = min(low, 0.0), max(high, wanted * 1.25, 1e-300)
    step = (high - low) / _BINS or 1.0
    first = int(np.floor(low / step))  # 0 is an edge, so that errors and correct samples share no bin
    edges = step * np.arange(first, first + _BINS + 2)
    bins = np.clip(np.digitize(values, edges) - 1, 0, len(edges) - 2)
    counts = np.zeros((preds.model.n_classes, len(edges) - 1), dtype=np.int64)
    np.add.at(counts, (preds.y, bins), 1)

    def shares(which: np.ndarray) -> tuple[float | None, ...]:
        hits = np.bincount(preds.y, weights=which, minlength=len(counts))
        return tuple(float(hit / n) if n else None for hit, n in zip(hits, preds.counts, strict=True))

    inside, wrong = values < wanted, ~preds.correct
    return Margins(
        edges=tuple(edges.tolist()),
        counts=tuple(map(tuple, counts.tolist())),
        delta=delta,
        inside=shares(inside),
        wrong=shares(wrong),
        all_inside=float(inside.mean()),
        all_wrong=float(wrong.mean()),
    )


def worst(preds: Predictions) -> list[int]:
    """Return the indices of the samples with the largest loss."""
    return np.argsort(-preds.losses, kind="stable")[:_WORST].tolist()


def confusion(preds: Predictions, store: SampleStore) -> Confusion:
    """Return the confusion matrix, the orders of its classes, confused pairs, and the samples of its cells."""
    n_classes = preds.model.n_classes
    cells = preds.y * n_classes + preds.predicted
    present, counts = np.unique(cells, return_counts=True)
    true, given = present // n_classes, present % n_classes
    wrong = true != given
    errors = np.bincount(np.concatenate([true[wrong], given[wrong]]), np.tile(counts[wrong], 2), n_classes)
    shown = np.sort(np.argsort(-errors, kind="stable")[:_MOST_CLASSES])
    place = np.full(n_classes, -1)
    place[shown] = np.arange(len(shown))
    matrix = np.zeros((len(shown), len(shown)), dtype=np.int64)
    inside = (place[true] >= 0) & (place[given] >= 0)
    matrix[place[true[inside]], place[given[inside]]] = counts[inside]
    return Confusion(
        shown=tuple(shown.tolist()),
        counts=tuple(map(tuple, matrix.tolist())),
        orders=_orders(preds, shown, matrix),
        pairs=_pairs(true[wrong], given[wrong], counts[wrong]),
        cells=_samples_of_cells(preds, store, cells),
    )


def _orders(preds: Predictions, shown: Ints, matrix: Ints) -> dict[str, tuple[int, ...]]:
    n = np.maximum(matrix.sum(axis=1), 1)
    recall = np.diag(matrix) / n
    orders = {"as given": range(len(shown)), "by recall": np.argsort(recall, kind="stable").tolist()}
    orders["by size"] = np.argsort(-matrix.sum(axis=1), kind="stable").tolist()
    if len(shown) > 2:
        rates = matrix / n[:, None]
        orders["by confusion"] = joined(rates + rates.T)
    names = [preds.classes[k] for k in shown]
    orders["by name"] = sorted(range(len(shown)), key=lambda k: names[k].casefold())
    return {name: tuple(order) for name, order in orders.items()}


def joined(alike: Floats) -> list[int]:
    """Return an order in which classes that are alike, by a symmetric matrix (n, n), are close to each other.

    The two groups with the smallest mean distance are joined, again and again, so that their most similar ends
    meet.
    """
    distances = np.sqrt(1.0 / (1.0 + 10.0 * alike))
    np.fill_diagonal(distances, np.inf)
    groups = {k: [k] for k in range(len(alike))}
    while len(groups) > 1:
        k, m = (int(place) for place in np.unravel_index(distances.argmin(), distances.shape))
        a, b = groups[k], groups.pop(m)
        pairs = [(left, right) for left in (a, a[::-1]) for right in (b, b[::-1])]
        left, right = max(pairs, key=lambda pair: alike[pair[0][-1], pair[1][0]])
        distances[k] = (len(a) * distances[k] + len(b) * distances[m]) / (len(a) + len(b))
        distances[:, k] = distances[k]
        distances[m] = distances[:, m] = distances[k, k] = np.inf
        groups[k] = left + right
    return groups.popitem()[1]


def _pairs(true: Ints, given: Ints, counts: Ints) -> tuple[tuple[int, int, int, int], ...]:
    times = {(int(a), int(b)): int(n) for a, b, n in zip(true, given, counts, strict=True)}
    ordered = sorted(times.items(), key=lambda item: (-item[1], item[0]))[:_MOST_PAIRS]
    return tuple((a, b, n, times.get((b, a), 0)) for (a, b), n in ordered)


def _samples_of_cells(preds: Predictions, store: SampleStore, cells: Ints) -> dict[str, tuple[int, ...]]:
    """Return samples of each cell by decreasing loss; each cell gets a first one before any gets a second."""
    order = np.lexsort((-preds.losses, cells))
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    groups = sorted(np.split(order, starts[1:]), key=lambda rows: (preds.correct[rows[0]], -len(rows)))
    groups = [rows[: _DIAGONAL if preds.correct[rows[0]] else _OFF_DIAGONAL] for rows in groups]
    kept: dict[str, list[int]] = {}
    for i in itertools.chain.from_iterable(itertools.zip_longest(*groups)):
        if i is not None and (number := store.add(i)) is not None:
            kept.setdefault(f"{preds.y[i]},{preds.predicted[i]}", []).append(number)
    return {cell: tuple(numbers) for cell, numbers in kept.items()}
