"""What arguments, features, labels and weights must be before anything is fitted to them."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from softmargin.errors import DataError, ParameterError
from softmargin.mapped import MappedFile

__all__ = [
    "as_floats",
    "check_count",
    "check_features",
    "check_finite",
    "check_flag",
    "check_labels",
    "check_number",
    "check_reg",
    "check_samples",
    "check_sparse",
    "check_vector",
    "encode_labels",
    "overflowing",
    "refuse_masked",
]


def check_number(name: str, value: float) -> float:
    """Return a real number as a float, or raise a `ParameterError` that names it."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"{name} must be a number, but it is {value!r}.") from None


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least ``least`` as an int, or raise a `ParameterError` that names it."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ParameterError(f"{name} must be a whole number, but it is {value!r}.") from None
    if number < least:
        raise ParameterError(f"{name} must be at least {least}, but it is {value!r}.")
    return number


def check_flag(name: str, value: bool) -> bool:
    """Return True or False as a bool, or raise a `ParameterError` that names what it is not."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(f"{name} must be True or False, but it is {value!r}.")
    return bool(value)


def refuse_masked(name: str, values: object) -> None:
    """Raise a `DataError` if these are a masked array: all that follows would use the masked values."""
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{name} is a masked array, whose mask would be ignored; fill or drop the masked values.")


def as_floats(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return real numbers as a float64 array, or raise a `DataError` that names them."""
    refuse_masked(name, values)
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiubO":
            raise TypeError
        with np.errstate(over="ignore"):  # of a wider type: what becomes infinite is refused as such
            return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{name} must be an array of real numbers.") from None


def check_finite(X: Any) -> None:
    """Raise a `DataError` that names the first row and column that is NaN or infinite, and how many are.

    X is dense or CSR. One that is mapped from a file cut short in the meantime is refused, too.
    """
    MappedFile(X).check(DataError)
    if X.dtype.kind != "f":
        return
    if X.dtype.itemsize > 8:
        raise DataError(f"X has dtype {X.dtype}; floating-point numbers of at most 64 bits are supported.")
    stored = X.data[:, None] if issparse(X) else X
    step = max(1, (1 << 20) // max(1, stored.shape[1]))
    wrong, place = 0, (0, 0)
    for start in range(0, len(stored), step):
        finite = np.isfinite(stored[start : start + step])
        if not finite.all():
            rows, columns = np.nonzero(~finite)
            if wrong == 0:
                place = (start + int(rows[0]), int(columns[0]))
            wrong += len(rows)
    if wrong:
        what = "NaN" if np.isnan(stored[place]) else "infinity (inf)"
        if issparse(X):
            entry = place[0]
            place = (int(np.searchsorted(X.indptr, entry, side="right")) - 1, int(X.indices[entry]))
        others = f", and {wrong - 1:,} more" if wrong > 1 else ""
        raise DataError(f"Input X contains {what} in row {place[0]}, column {place[1]}{others}.")


def overflowing(row: int) -> DataError:
    """Return the error for a row of finite features whose scores are not."""
    return DataError(
        f"X row {row} is so large that its scores overflow; features must have the units of the training data."
    )


def check_labels(y: ArrayLike) -> ArrayLike:
    """Return labels as they came, unless an array cannot say what they are: then raise a `DataError`."""
    refuse_masked("y", y)
    if isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) > 1:
        raise _mixed(y)  # NumPy would make strings of them all
    return y


def _mixed(y: Any) -> DataError:
    kinds = sorted({type(label).__name__ for label in y})
    return DataError(f"y mixes labels of the types {', '.join(kinds)}: make them all strings or all integers.")


def encode_labels(
    y: NDArray[Any],
    sample_weight: ArrayLike | None,
    class_weight: dict[Any, float] | str | None = None,
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Return the classes, the class number of each sample and the weights, of which the largest is 1.

    Raises
    ------
    DataError
        If labels or weights cannot be used or fewer than two classes have a sample of positive weight.
    ParameterError
        If ``class_weight`` makes no sense.
    """
    from sklearn.utils.multiclass import type_of_target  # not for those who only use a model

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that there are many classes is no mistake
            kind = type_of_target(y, input_name="y")
    except (TypeError, ValueError) as error:
        if y.dtype.kind == "O" and y.ndim == 1 and len(set(map(type, y))) > 1:
            raise _mixed(y) from None
        raise DataError(f"y cannot be used as labels: {error}") from error
    if kind not in ("binary", "multiclass"):
        raise DataError(f"Unknown label type: {kind}; y must hold strings or integers, one a sample.")
    weights = _check_weights(sample_weight, len(y))
    classes = np.unique(y[weights > 0.0])
    classes = classes.astype(classes.dtype.newbyteorder("="), copy=False)
    if len(classes) < 2:
        raise DataError(
            f"At least two classes are needed, but y holds only one class, {classes.tolist()[0]!r}, with positive "
            f"weight."
        )
    codes = np.searchsorted(classes, y)
    # A sample of weight 0 may be of a class that has no other; it takes no part whatever its number.
    codes = np.minimum(codes, len(classes) - 1).astype(np.int64)
    if class_weight is not None:
        weights = weights * _class_factors(class_weight, classes, y[weights > 0.0])[codes]
    return classes, codes, weights


def _class_factors(
    class_weight: dict[Any, float] | str, classes: NDArray[Any], y: NDArray[Any]
) -> NDArray[np.float64]:
    from sklearn.utils import compute_class_weight

    if isinstance(class_weight, dict):
        for label, factor in class_weight.items():
            if not 0.0 <= check_number(f"class_weight[{label!r}]", factor) < np.inf:
                raise ParameterError(
                    f"class_weight[{label!r}] must be finite and not negative, but it is {factor!r}."
                )
    elif not (isinstance(class_weight, str) and class_weight == "balanced"):
        raise ParameterError(f"class_weight must be a dict or 'balanced', but it is {class_weight!r}.")
    try:
        return np.asarray(compute_class_weight(class_weight, classes=classes, y=y), dtype=np.float64)
    except ValueError:
        unknown = [label for label in class_weight if label not in classes.tolist()]
        raise ParameterError(f"class_weight has the label {unknown[0]!r}, which is no class of y.") from None


def check_reg(reg: float) -> float:
    """Return λ as a float, or raise a `ParameterError`."""
    number = check_number("reg", reg)
    if not (0.0 <= number < np.inf):
        raise ParameterError(f"reg must be at least 0 and finite, but it is {reg!r}.")
    return number


def check_vector(name: str, vector: ArrayLike | None, n_features: int, default: float) -> NDArray[np.float64]:
    """Return one finite number a feature, or raise a `DataError`."""
    if vector is None:
        return np.full(n_features, default)
    array = as_floats(name, vector)
    if array.shape != (n_features,) or not np.isfinite(array).all():
        raise DataError(f"{name} must hold {n_features} finite numbers, one a feature.")
    return array


def check_features(X: ArrayLike) -> Any:
    """Return X, dense or sparse, as an array that an engine can walk over, or raise a `DataError`."""
    refuse_masked("X", X)
    try:
        array: Any = X if issparse(X) else np.asanyarray(X)
    except ValueError:
        raise DataError("X is not a table: its rows have different lengths.") from None
    if issparse(array):
        check_sparse(array)
    if isinstance(array, np.matrix):
        array = np.asarray(array)  # whose rows are matrices, too
    if array.ndim != 2 or array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise DataError(
            f"X must be a two-dimensional array of real numbers of at most 64 bits, "
            f"but its shape is {array.shape} and its dtype {array.dtype}."
        )
    if 0 in array.shape:
        raise DataError(f"X must hold at least one sample and one feature, but its shape is {array.shape}.")
    return array


def check_sparse(X: Any) -> None:
    """Raise a `DataError` if a sparse X has entries outside of it: SciPy's conversions do not look."""
    if X.ndim != 2:
        return  # told by whoever wants two dimensions
    indices, limits = list(getattr(X, "coords", ())), list(X.shape)
    if hasattr(X, "indptr"):
        block = getattr(X, "blocksize", (1, 1))
        major, minor = (X.shape[0] // block[0], X.shape[1] // block[1]) if X.format != "csc" else X.shape[::-1]
        limits, indptr = [minor], X.indptr
        steps = len(indptr) == major + 1 and indptr[0] == 0 and bool((indptr[1:] >= indptr[:-1]).all())
        if not (steps and indptr[-1] <= min(len(X.indices), len(X.data))):
            raise DataError(f"X is no valid {X.format.upper()} matrix (indptr): its arrays do not fit together.")
        indices = [X.indices[: indptr[-1]]]
    for found, limit in zip(indices, limits, strict=False):
        if len(found) and not (int(found.min()) >= 0 and int(found.max()) < limit):
            wrong = int(found.max()) if int(found.max()) >= limit else int(found.min())
            raise DataError(
                f"X is no valid {X.format.upper()} matrix (an index is {wrong}, and they go from 0 to {limit - 1}"
                f"): its arrays do not fit together."
            )


def check_samples(
    X: Any, y: ArrayLike, sample_weight: ArrayLike | None, n_classes: int | None
) -> tuple[Any, NDArray[np.int64], NDArray[np.float64], int]:
    """Return X, the labels, the weights (summing to one) and C as an engine takes them, or raise a `DataError`."""
    X = check_features(X)
    n_samples = X.shape[0]
    refuse_masked("y", y)
    try:
        labels = np.asarray(y)
    except ValueError:
        raise DataError("y must hold one class number for each row of X, but its rows have parts.") from None
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"y must hold {n_samples} integer class numbers, one for each row of X, "
            f"but its shape is {labels.shape} and its dtype {labels.dtype}."
        )
    n_classes = max(int(labels.max()) + 1, 2) if n_classes is None else check_count("n_classes", n_classes, 2)
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(f"y[{wrong[0]}] is {labels[wrong[0]]}, but labels must lie in 0 … {n_classes - 1}.")
    weights = _check_weights(sample_weight, n_samples)
    weights /= weights.sum()
    present = np.unique(labels[weights > 0.0])  # a count of every class would have the size of the largest number
    if len(present) < n_classes:
        others = np.flatnonzero(present != np.arange(len(present)))
        missing = int(others[0]) if others.size else len(present)
        beside = "" if sample_weight is None else " (beside the largest)"
        raise DataError(
            f"Class {missing} has no sample of positive weight{beside}: leave the class out, "
            f"for nothing is known of it."
        )
    return X, np.ascontiguousarray(labels, dtype=np.int64), weights, n_classes


def _check_weights(sample_weight: ArrayLike | None, n_samples: int) -> NDArray[np.float64]:
    """Return the weights divided by the largest, so that neither 1e308 nor 1e-308 leaves the range."""
    if sample_weight is None:
        return np.ones(n_samples)
    weights = as_floats("sample_weight", sample_weight)
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
    return np.ascontiguousarray(weights / largest)
