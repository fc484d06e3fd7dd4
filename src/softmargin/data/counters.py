"""Columns that number the rows of a table: with them a model would learn the order of the file."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.tables import some

__all__ = ["without_counters"]

FEWEST_ROWS = 10
"""In fewer rows, equal steps may be chance."""
_STEMS = (
    "account|case|client|customer|device|employee|gu|image|item|member|order|passenger|patient|person|product|"
    "record|row|sample|session|student|subject|u|user|uu"
)
_NAMED_ID = re.compile(
    rf"(.*[_ .-])?ids?\.?|(.*[_ .-])?({_STEMS})ids?|ids?([_ .-].*|[0-9]+)"
    r"|rows?|obs|seqn|nr\.?|(s|sr|sl)[_ .]*no\.?|.*[_ .-](no|nr|number)\.?",
    re.DOTALL,
)
"""Names of identifiers (in lower case), such as ``customer_id``, ``patientid`` and ``case_no``; not ``valid``."""
_NAMED_ID_BY_CASE = re.compile(r".*[a-z0-9](I[dD]|No|Nr|Number)|No\.?|no\.?", re.DOTALL)
"""Those that only their case shows, such as ``PassengerId``; ``NO`` is nitric oxide."""
_NAMED_ROW = re.compile(r"X|\.\.\.1")
"""What R and its package tibble call a first column without a name."""


def without_counters(data: Dataset, names: Sequence[str], options: ReadOptions) -> Dataset:
    """Leave out the features that number the rows, with a note.

    These are columns of distinct whole numbers with equal steps from each row to the next, and columns with the
    name of an identifier (``customer_id``, ``PassengerId``, ``case_no``) and distinct whole numbers. In tables of
    fewer than ten rows this is only a first column ``X`` or ``...1`` of 1, 2, 3, …, as R writes it. A table with
    no other feature is not changed. Columns that were requested by name always stay.

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
    if not counters:
        return data
    found = some([names[k] for k in counters])
    if len(counters) == len(names):
        note = f"all features number the rows ({found}); a model of them learns the order of the file"
        return replace(data, notes=(*data.notes, note))
    rest = sorted({*range(len(names))}.difference(counters))
    note = f"columns that number or identify the rows are left out: {found} (--keep-counters keeps them)"
    kept = tuple(names[k] for k in rest)
    return replace(data, X=X[:, rest], feature_names=kept, notes=(*data.notes, note))


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
    name = name.strip()
    is_named = _NAMED_ID.fullmatch(name.lower()) or _NAMED_ID_BY_CASE.fullmatch(name)
    if not is_named or column.dtype.kind not in "iuf":
        return False
    whole = column.dtype.kind != "f" or bool((np.isfinite(column) & (column == np.floor(column))).all())
    return whole and len(np.unique(column)) == len(column)
