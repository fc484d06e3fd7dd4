"""What features, labels and weights must be before anything is fitted to them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from softmargin.errors import DataError, ParameterError

__all__ = ["check_finite", "check_reg", "check_samples", "check_vector", "encode_labels"]


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are many classes is no mistake
        check_classification_targets(y)
    weights = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64), dtype=np.float64)
    if (weights < 0.0).any():
        row = int(np.argmax(weights < 0.0))
        raise DataError(f"sample_weight[{row}] is {weights[row]}; weights must not be negative.")
    classes = np.unique(y[weights > 0.0])
    if len(classes) < 2:
        found = "none" if len(classes) == 0 else f"only one class, {classes.tolist()[0]!r}"
        raise DataError(f"At least two classes are needed, but y holds {found} with positive weight.")
    codes = np.searchsorted(classes, y)
    # A sample of weight 0 may be of a class that has no other; it takes no part whatever its number.
    codes = np.minimum(codes, len(classes) - 1).astype(np.int64)
    if class_weight is not None:
        active = weights > 0.0
        factors = compute_class_weight(class_weight, classes=classes, y=y[active])
        weights = weights * factors[codes]
    return classes, codes, weights


def check_reg(reg: float) -> float:
    """Return λ as a float, or raise a `ParameterError`."""
    try:
        number = float(reg)
    except (TypeError, ValueError):
        raise ParameterError(f"reg must be a number, but it is {reg!r}.") from None
    if not (0.0 <= number < np.inf):
        raise ParameterError(f"reg must be at least 0 and finite, but it is {reg!r}.")
    return number


def check_vector(name: str, vector: ArrayLike | None, n_features: int, default: float) -> NDArray[np.float64]:
    """Return one finite number a feature, or raise a `DataError`."""
    if vector is None:
        return np.full(n_features, default)
    array = np.asarray(vector, dtype=np.float64)
    if array.shape != (n_features,) or not np.isfinite(array).all():
        raise DataError(f"{name} must hold {n_features} finite numbers, one a feature.")
    return array


def check_samples(
    X: NDArray[Any], y: ArrayLike, sample_weight: ArrayLike | None, n_classes: int | None
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64], int]:
    """Return X, the labels, the weights (summing to one) and C as an engine takes them, or raise a `DataError`."""
    if hasattr(X, "toarray"):
        raise DataError("X is sparse, which is not supported yet: pass X.toarray() if it fits into memory.")
    X, labels = np.asanyarray(X), np.asarray(y)
    if X.ndim != 2 or X.dtype.kind not in "fiub" or X.dtype.itemsize > 8:
        raise DataError(
            f"X must be a two-dimensional array of real numbers of at most 64 bits, "
            f"but its shape is {X.shape} and its dtype {X.dtype}."
        )
    n_samples, n_features = X.shape
    if n_samples == 0 or n_features == 0:
        raise DataError(f"X must hold at least one sample and one feature, but its shape is {X.shape}.")
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"y must hold {n_samples} integer class numbers, one for each row of X, "
            f"but its shape is {labels.shape} and its dtype {labels.dtype}."
        )
    if n_classes is None:
        n_classes = max(int(labels.max()) + 1, 2)
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(f"y[{wrong[0]}] is {labels[wrong[0]]}, but labels must lie in 0 … {n_classes - 1}.")
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    weights = _check_weights(sample_weight, n_samples)
    missing = np.flatnonzero(np.bincount(labels, weights=weights, minlength=n_classes) == 0.0)
    if missing.size:
        raise DataError(
            f"Class {missing[0]} has no sample of positive weight, so its unpenalised bias has no optimum: "
            f"leave the class out."
        )
    return X, labels, weights, n_classes


def _check_weights(sample_weight: ArrayLike | None, n_samples: int) -> NDArray[np.float64]:
    if sample_weight is None:
        return np.full(n_samples, 1.0 / n_samples)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_samples,):
        raise DataError(f"sample_weight must have shape ({n_samples},), but its shape is {weights.shape}.")
    wrong = np.flatnonzero(~(weights >= 0.0) | np.isinf(weights))
    if wrong.size:
        raise DataError(
            f"sample_weight[{wrong[0]}] is {weights[wrong[0]]}; weights must be finite and not negative."
        )
    largest = weights.max()
    if largest == 0.0:
        raise DataError("sample_weight is zero for every sample; at least one weight must be positive.")
    weights = weights / largest  # first, so that neither 1e308 nor 1e-308 leaves the range
    return np.ascontiguousarray(weights / weights.sum())
