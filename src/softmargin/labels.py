"""Checks of the labels that users pass, strings or integers, and of the keys of samples."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import Ints, brief, refuse_masked
from softmargin.errors import DataError

__all__ = ["MISSING", "check_codes", "check_groups", "check_labels", "keys_of_rows", "labels_of_rows"]

MISSING = {"None", "nan", "NaN", "NaT", "<NA>"}
"""The text of None and of the missing values of libraries."""


def check_labels(y: ArrayLike) -> NDArray[Any]:
    """Return labels as an array, or raise a `DataError` that names the first that cannot be a label."""
    refuse_masked("y", y)
    mixed = isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) > 1
    try:
        labels = np.asarray(y, dtype=object if mixed else None)  # NumPy would convert them all to strings
    except ValueError:
        raise DataError("y must hold one label per row of X, got nested sequences.") from None
    if labels.dtype.kind == "T":  # variable-width strings, which scikit-learn does not support
        labels = labels.astype(object)
    if isinstance(y, (list, tuple)) and labels.ndim == 1:
        labels = _as_listed(y, labels)
    kind = labels.dtype.kind
    if kind not in "biufUO":
        raise DataError(f"y must hold strings or integers, got dtype {labels.dtype}.")
    if kind == "O" and labels.ndim:
        _check_objects(labels)
    elif kind == "f" and not (finite := np.isfinite(labels)).all():
        raise _missing(int(finite.argmin()), labels.flat[finite.argmin()])
    return labels


def _as_listed(listed: Sequence[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """Undo what NumPy does to a list of labels: it strips trailing zero bytes, and may make integers floats."""
    if labels.dtype.kind == "U" and any(map(operator.ne, listed, labels.tolist())):
        return np.array(listed, dtype=object)
    if labels.dtype.kind == "f":
        whole = [row for row, label in enumerate(listed) if isinstance(label, (int, np.integer))]
        lost = next((row for row in whole if int(listed[row]) != int(labels[row])), None)
        if whole and lost is None and len(whole) == len(labels):
            lost = int(np.abs(labels).argmax())
        if lost is not None:
            raise DataError(f"y[{lost}] is {listed[lost]}, too large for an integer label; convert y to strings.")
    return labels


def _check_objects(labels: NDArray[Any]) -> None:
    """Raise a `DataError` unless all labels are strings."""
    others = [(row, label) for row, label in enumerate(labels.flat) if not isinstance(label, str)]
    for row, label in others:
        if str(label) in MISSING:
            raise _missing(row, label)
    if 0 < len(others) < labels.size:
        kinds = ", ".join(sorted({type(label).__name__ for label in labels.flat}))
        raise DataError(f"y mixes labels of the types {kinds}; convert all to strings or all to integers.")
    if others:
        # scikit-learn's estimator checks look for the first three words.
        raise DataError(
            f"Unknown label type: y must hold strings or integers, one per sample, got {brief(others[0][1])} in "
            f"an array of objects."
        )


def _missing(row: int, label: object) -> DataError:
    return DataError(f"y[{row}] is {label}; each sample needs a label, a string or an integer.")


def check_groups(groups: ArrayLike) -> None:
    """Raise a `DataError` for the first missing group: None, NaN and the missing values of libraries."""
    listed = groups if isinstance(groups, (list, tuple)) else np.asarray(groups).tolist()
    lost = next((k for k, one in enumerate(listed) if not isinstance(one, str) and str(one) in MISSING), None)
    if lost is not None:
        raise DataError(f"groups must name the group of each sample, got {brief(listed[lost])} in row {lost}.")


def labels_of_rows(y: ArrayLike, n_samples: int) -> NDArray[Any]:
    """Return one label per row of X; a column becomes a vector, with scikit-learn's warning."""
    labels = check_labels(y)
    if labels.ndim != 1:
        from sklearn.utils import column_or_1d  # slow to import

        try:
            labels = np.asarray(column_or_1d(labels, warn=True))
        except ValueError as error:
            raise DataError(str(error)) from error
    if labels.shape != (n_samples,):
        raise DataError(f"y must hold {n_samples} labels, one per row of X, got shape {labels.shape}.")
    return labels


def check_codes(labels: NDArray[Any], n_classes: int) -> Ints:
    """Return class numbers as int64, or raise a `DataError` for the first outside 0 … C-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(f"y[{wrong[0]}] is {labels[wrong[0]]}; class numbers must lie in 0 … {n_classes - 1}.")
    return np.ascontiguousarray(labels, dtype=np.int64)


def keys_of_rows(keys: ArrayLike | None, n_rows: int) -> NDArray[Any] | None:
    """Return the keys of samples as an ndarray (N, K) of numbers, or raise a `DataError`; None stays None."""
    if keys is None:
        return None
    array = np.asarray(keys)
    if array.ndim != 2 or len(array) != n_rows or array.dtype.kind not in "fiub":
        raise DataError(
            f"keys must hold one row of numbers per row of X ({n_rows}), got dtype {array.dtype} and shape "
            f"{array.shape}."
        )
    return array
