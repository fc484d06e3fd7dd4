"""What features, labels and weights must be before anything is fitted to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from softmargin.errors import DataError

__all__ = ["check_finite", "encode_labels"]


def check_finite(X: NDArray[Any]) -> None:
    """Raise a `DataError` that names the first row and column that is NaN or infinite, and how many are."""
    if X.dtype.kind != "f":
        return
    if X.dtype.itemsize > 8:
        raise DataError(f"X has dtype {X.dtype}; floating-point numbers of at most 64 bits are supported.")
    step = max(1, (1 << 20) // max(1, X.shape[1]))
    wrong, place = 0, (0, 0)
    for start in range(0, len(X), step):
        finite = np.isfinite(X[start : start + step])
        if not finite.all():
            rows, columns = np.nonzero(~finite)
            if wrong == 0:
                place = (start + int(rows[0]), int(columns[0]))
            wrong += len(rows)
    if wrong:
        what = "NaN" if np.isnan(X[place]) else "infinity (inf)"
        others = f", and {wrong - 1:,} more" if wrong > 1 else ""
        raise DataError(f"Input X contains {what} in row {place[0]}, column {place[1]}{others}.")


def encode_labels(
    y: NDArray[Any],
    sample_weight: ArrayLike | None,
    X: NDArray[Any],
    class_weight: dict[Any, float] | str | None = None,
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Return the classes, the class number of each sample and the weights.

    Raises
    ------
    DataError
        If there are fewer than two classes with a sample of positive weight.
    """
    check_classification_targets(y)
    weights = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64), dtype=np.float64)
    if (weights < 0.0).any():
        row = int(np.argmax(weights < 0.0))
        raise DataError(f"sample_weight[{row}] is {weights[row]}; weights must not be negative.")
    classes = np.unique(y[weights > 0.0])
    if len(classes) < 2:
        found = "none" if len(classes) == 0 else f"only one class, {classes[0]!r}"
        raise DataError(f"At least two classes are needed, but y holds {found} with positive weight.")
    codes = np.searchsorted(classes, y)
    # A sample of weight 0 may be of a class that has no other; it takes no part whatever its number.
    codes = np.minimum(codes, len(classes) - 1).astype(np.int64)
    if class_weight is not None:
        active = weights > 0.0
        factors = compute_class_weight(class_weight, classes=classes, y=y[active])
        weights = weights * factors[codes]
    return classes, codes, weights
