"""Columns that number the rows of a table: with them a model would learn the order of the file."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.tables import may_identify, names_identifiers, some
from softmargin.sparse import issparse
from softmargin.text import quoted

__all__ = ["without_counters"]

FEWEST_ROWS = 10
"""In fewer rows, equal steps may be chance."""
_NAMED_ROW = re.compile(r"X|\.\.\.1")
"""What R and its package tibble call a first column without a name."""


def without_counters(data: Dataset, names: Sequence[str], options: ReadOptions) -> Dataset:
    """Leave out the features that number the rows, with a note.

    These are columns of distinct whole numbers with equal steps from each row to the next, and columns with the
    name of an identifier (``customer_id``, ``PassengerId``, ``case_no``) and distinct whole numbers. In tables of
    fewer than ten rows this is only a first column ``X`` or ``...1`` of 1, 2, 3, …, as R writes it. A table with
    no other feature is not changed. Columns that were requested by name always stay.
    If there are no ids, they are the first column left out that is named like an identifier, as text. A note names
    the columns that are named like an identifier but have repeated values, which are features.

    Parameters
    ----------
    data : Dataset
        A whole table whose features are columns of numbers.
    names : sequence of str, length D
        The name of each feature, also for a table without names.
    options : ReadOptions
        ``columns`` or ``keep_counters`` keep them.

    Returns
    -------
    Dataset
        The same object if there is nothing to leave out.
    """
    X: Any = data.X
    chosen = options.columns is not None or options.keep_counters or options.only_features
    if chosen or issparse(X):
        return data
    if len(X) < FEWEST_ROWS:
        counters = [0] if len(X) > 1 and len(names) > 1 and _numbers_rows(X[:, 0], names[0]) else []
    else:
        counters = [k for k, name in enumerate(names) if _counts(X[:, k]) or _identifies(X[:, k], name)]
        named = (k for k, name in enumerate(names) if names_identifiers(name))
        repeated = [names[k] for k in named if k not in counters and len(np.unique(X[:, k])) < len(X)]
        if repeated:
            advice = "name the features with --columns to leave them out"
            what = "columns named like an identifier have repeated values and are features"
            data = replace(data, notes=(*data.notes, f"{what}: {some(repeated)} ({advice})"))
    if not counters:
        return data
    found = some([names[k] for k in counters])
    if len(counters) == len(names):
        note = f"all features number the rows ({found}); a model of them learns the order of the file"
        return replace(data, notes=(*data.notes, note))
    rest = sorted({*range(len(names))}.difference(counters))
    note = f"columns that number or identify the rows are left out: {found} (--keep-counters keeps them)"
    kept = tuple(names[k] for k in rest)
    notes, ids = (*data.notes, note), data.ids
    first = next((k for k in counters if may_identify(names[k])), None)
    if ids is None and first is not None:
        ids = tuple(str(int(value)) for value in X[:, first].tolist())
        notes += (f"column {quoted(names[first])} is used as the sample ids",)
    return replace(data, X=X[:, rest], feature_names=kept, ids=ids, notes=notes)


def _counts(column: NDArray[Any]) -> bool:
    """Return whether a column holds whole numbers with equal steps."""
    with np.errstate(invalid="ignore", over="ignore"):
        for part in (column[:FEWEST_ROWS], column):  # most columns are decided by the first rows
            steps = np.diff(part.astype(np.float64))
            step = steps[0]
            if step == 0 or step != np.floor(step) or part[0] != np.floor(part[0]) or not (steps == step).all():
                return False
    return True


def _numbers_rows(column: NDArray[Any], name: str) -> bool:
    """Return whether a column is 1, 2, 3, … and has the name that R gives to the numbers of rows."""
    return _NAMED_ROW.fullmatch(name) is not None and np.array_equal(column, np.arange(1, len(column) + 1))


def _identifies(column: NDArray[Any], name: str) -> bool:
    """Return whether a column has the name of an identifier and distinct whole numbers."""
    if not may_identify(name) or column.dtype.kind not in "iuf":
        return False
    whole = column.dtype.kind != "f" or bool((np.isfinite(column) & (column == np.floor(column))).all())
    return whole and len(np.unique(column)) == len(column)
