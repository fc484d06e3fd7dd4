"""Columns that only count the rows, which are never features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import issparse

from softmargin.data.dataset import Dataset
from softmargin.text import printable

__all__ = ["without_counters"]

_FEWEST_ROWS = 10
"""With fewer rows, numbers in arithmetic progression may be a coincidence."""


def without_counters(data: Dataset) -> Dataset:
    """Return a table without its columns of whole numbers in arithmetic progression, with a note.

    Row numbers tell the order of the file, and thus the class if it is sorted. They would never help on new data.
    """
    names = data.feature_names
    if names is None or data.n_samples < _FEWEST_ROWS or issparse(data.X):
        return data
    first = np.asarray(data.X[:3], dtype=np.float64)
    steps = first[1] - first[0]
    suspects = np.flatnonzero((steps != 0) & (first[2] - first[1] == steps) & (steps == np.floor(steps)))
    found = [int(k) for k in suspects if (np.diff(data.X[:, k].astype(np.float64)) == steps[k]).all()]
    if not found or len(found) == len(names):
        return data
    kept = [k for k in range(len(names)) if k not in found]
    listed = ", ".join(repr(printable(names[k])) for k in found)
    counts = "counts" if len(found) == 1 else "count"
    note = f"left out {listed}, which only {counts} the rows (give --columns to keep such a column)"
    return replace(data, X=data.X[:, kept], feature_names=tuple(names[k] for k in kept), notes=(*data.notes, note))
