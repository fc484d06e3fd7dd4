"""Labels as users give them: strings or integers, or a sentence that names the first that cannot be used."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import Ints, brief, refuse_masked
from softmargin.errors import DataError

__all__ = ["check_codes", "check_labels", "labels_of_rows"]

_MISSING = {"None", "nan", "NaN", "NaT", "<NA>"}
"""How None, and what libraries put where a value is missing, is written."""


def check_labels(y: ArrayLike) -> NDArray[Any]:
    """Return labels as an array of just these, or raise a `DataError` that names the first that cannot be one."""
    refuse_masked("y", y)
    mixed = isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) > 1
    try:
        labels = np.asarray(y, dtype=object if mixed else None)  # NumPy would make strings of them all
    except ValueError:
        raise DataError("y must hold one label for each row of X, but its rows have parts.") from None
    if labels.dtype.kind == "T":  # strings of any length, which scikit-learn does not know
        labels = labels.astype(object)
    if isinstance(y, (list, tuple)) and labels.ndim == 1:
        labels = _as_listed(y, labels)
    kind = labels.dtype.kind
    if kind not in "biufUO":
        raise DataError(f"y cannot be used as labels: it must hold strings or integers, not {labels.dtype}.")
    if kind == "O" and labels.ndim:
        _check_objects(labels)
    elif kind == "f" and not (finite := np.isfinite(labels)).all():
        raise _missing(int(finite.argmin()), labels.flat[finite.argmin()])
    return labels


def _as_listed(listed: Sequence[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as they were listed: NumPy cuts zeros off the end of strings and makes floats of integers."""
    if labels.dtype.kind == "U" and any(map(operator.ne, listed, labels.tolist())):
        return np.array(listed, dtype=object)
    if labels.dtype.kind == "f":
        whole = [row for row, label in enumerate(listed) if isinstance(label, (int, np.integer))]
        lost = next((row for row in whole if int(listed[row]) != int(labels[row])), None)
        if whole and lost is None and len(whole) == len(labels):
            lost = int(np.abs(labels).argmax())
        if lost is not None:
            raise DataError(
                f"y[{lost}] is {listed[lost]}, too large an integer beside the others: make them strings."
            )
    return labels


def _check_objects(labels: NDArray[Any]) -> None:
    """Raise a `DataError` if labels are other objects than strings."""
    others = [(row, label) for row, label in enumerate(labels.flat) if not isinstance(label, str)]
    for row, label in others:
        if str(label) in _MISSING:
            raise _missing(row, label)
    if 0 < len(others) < labels.size:
        kinds = ", ".join(sorted({type(label).__name__ for label in labels.flat}))
        raise DataError(f"y mixes labels of the types {kinds}: make them all strings or all integers.")
    if others:
        raise DataError(
            f"Unknown label type: y[0] is {brief(others[0][1])} in an array of objects; y must hold strings or "
            f"integers, one a sample."
        )


def _missing(row: int, label: object) -> DataError:
    return DataError(f"y[{row}] is {label}, but every sample needs a label, a string or an integer.")


def labels_of_rows(y: ArrayLike, n_samples: int) -> NDArray[Any]:
    """Return a label for each row of X; a column of them becomes a vector, with scikit-learn's warning."""
    from sklearn.utils import column_or_1d  # not for those who only use a model

    labels = check_labels(y)
    try:
        labels = np.asarray(column_or_1d(labels, warn=True))
    except ValueError as error:
        raise DataError(str(error)) from error
    if labels.shape != (n_samples,):
        raise DataError(f"y must hold {n_samples} labels, one for each row of X, but its shape is {labels.shape}.")
    return labels


def check_codes(labels: NDArray[Any], n_classes: int) -> Ints:
    """Return class numbers as int64 if all lie in 0 … C-1, or raise a `DataError` that names the first."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(f"y[{wrong[0]}] is {labels[wrong[0]]}, but labels must lie in 0 … {n_classes - 1}.")
    return np.ascontiguousarray(labels, dtype=np.int64)
