"""What arguments, features, labels and weights must be before anything is fitted to them."""

from __future__ import annotations

import operator
import reprlib
import warnings
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from softmargin.errors import DataError, ParameterError
from softmargin.mapped import MappedFile

__all__ = [
    "as_floats",
    "as_table",
    "check_codes",
    "check_count",
    "check_features",
    "check_finite",
    "check_flag",
    "check_labels",
    "check_length",
    "check_number",
    "check_reg",
    "check_samples",
    "check_vector",
    "check_weights",
    "encode_labels",
    "overflowing",
]

_MISSING = {"None", "nan", "NaN", "NaT", "<NA>"}
"""How None, and what libraries put where a value is missing, is written."""


class _NoNumberError(DataError, TypeError):
    """An object among numbers; `float` and scikit-learn call this a `TypeError`."""


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


def _refuse_masked(name: str, values: object) -> None:
    """Raise a `DataError` if these are a masked array: all that follows would use the masked values."""
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{name} is a masked array, whose mask would be ignored; fill or drop the masked values.")


def as_floats(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return real numbers as a float64 array, or raise a `DataError` that names them."""
    _refuse_masked(name, values)
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} must be an array of real numbers, but its rows have different lengths.") from None
    if array.dtype.kind == "O":
        return _from_objects(name, array)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} must be an array of real numbers, but its dtype is {array.dtype}.")
    with np.errstate(over="ignore"):  # of a wider type: what becomes infinite is refused as such
        return np.asarray(array, dtype=np.float64)


def _from_objects(name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    """Return an array of objects as float64, or raise a `DataError` that names the first that is no real number.

    NumPy itself would read numbers from strings and take None for NaN.
    """
    wrong = {kind for kind in set(map(type, array.flat)) if not _is_real(kind)}
    if not wrong:
        try:
            return array.astype(np.float64)
        except (OverflowError, ValueError):
            raise DataError(f"{name} holds a number that is beyond the range of 64 bits.") from None
    n_wrong = sum(type(value) in wrong for value in array.flat)
    place, value = next((place, value) for place, value in np.ndenumerate(array) if type(value) in wrong)
    where = ", ".join(f"{axis} {index}" for axis, index in zip(("row", "column"), place, strict=False))
    others = f", and {n_wrong - 1:,} more such" if n_wrong > 1 else ""
    # scikit-learn looks for the words "argument must be … string … number".
    raise _NoNumberError(
        f"{name} holds {_brief(value)} in {where}{others}: the argument must be an array without strings and "
        f"other objects, of real numbers alone."
    )


def _is_real(kind: type) -> bool:
    # NumPy counts spans of time among its integers.
    return issubclass(kind, (Real, Decimal, np.bool_)) and not issubclass(kind, np.timedelta64)


def _brief(value: object) -> str:
    """Return any value in a few words on one line."""
    return " ".join(reprlib.repr(value).split())


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


def check_labels(y: ArrayLike) -> NDArray[Any]:
    """Return labels as an array of just these, or raise a `DataError` that names the first that is none."""
    _refuse_masked("y", y)
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
            f"Unknown label type: y[0] is {_brief(others[0][1])} in an array of objects; y must hold strings or "
            f"integers, one a sample."
        )


def _missing(row: int, label: object) -> DataError:
    return DataError(f"y[{row}] is {label}, but every sample needs a label, a string or an integer.")


def check_length(labels: NDArray[Any], n_samples: int) -> NDArray[Any]:
    """Return labels if there is one for each row of X, or raise a `DataError`."""
    if labels.shape != (n_samples,):
        raise DataError(f"y must hold {n_samples} labels, one for each row of X, but its shape is {labels.shape}.")
    return labels


def check_codes(labels: NDArray[Any], n_classes: int) -> NDArray[np.int64]:
    """Return class numbers as int64 if all lie in 0 … C-1, or raise a `DataError` that names the first."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if wrong.size:
        raise DataError(f"y[{wrong[0]}] is {labels[wrong[0]]}, but labels must lie in 0 … {n_classes - 1}.")
    return np.ascontiguousarray(labels, dtype=np.int64)


def encode_labels(
    y: NDArray[Any],
    sample_weight: ArrayLike | None,
    class_weight: dict[Any, float] | str | None = None,
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Return the classes, the class number of each sample and the weights, of which the largest is 1.

    The labels are as `check_labels` returns them.

    Raises
    ------
    DataError
        If labels or weights cannot be used or fewer than two classes have a sample of positive weight.
    ParameterError
        If ``class_weight`` makes no sense.
    """
    from sklearn.utils.multiclass import type_of_target  # not for those who only use a model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are many classes is no mistake
        kind = type_of_target(y, input_name="y")
    if kind not in ("binary", "multiclass"):
        raise DataError(f"Unknown label type: {kind}; y must hold strings or integers, one a sample.")
    weights = check_weights(sample_weight, len(y))
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
    """Return X as `as_table` does, or raise a `DataError`, also if there is no row or no column."""
    array = as_table(X)
    if 0 in array.shape:
        n_samples, n_features = array.shape
        # scikit-learn looks for the words from the number of features on.
        raise DataError(
            f"X must hold at least one sample and one feature, but found {n_samples} sample(s), {n_features} "
            f"feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    return array


def as_table(X: ArrayLike) -> Any:
    """Return X, dense or sparse, as an array (N, D) that an engine can walk over, or raise a `DataError`.

    Real numbers of at most 64 bits are not copied. Objects that are numbers, and the columns of a data frame that
    have missing values, become float64; NaN and what is missing are refused in these at once.
    """
    _refuse_masked("X", X)
    array = _as_array(X)
    if array.ndim != 2:
        # scikit-learn looks for the first three words.
        raise DataError(
            f"Reshape your data: X must be two-dimensional, one row a sample and one column a feature, but its "
            f"shape is {array.shape}."
        )
    if issparse(array):
        _check_sparse(array)
    elif array.dtype.kind == "O":
        array = _from_objects("X", array)
        check_finite(array)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        # scikit-learn looks for the words about complex numbers.
        start = "Complex data not supported: " if array.dtype.kind == "c" else ""
        raise DataError(f"{start}X must hold real numbers of at most 64 bits, but its dtype is {array.dtype}.")
    return array


def _as_array(X: Any) -> Any:
    """Return what is no sparse array as an ndarray, and a data frame of sparse columns as a sparse array."""
    if issparse(X):
        return X
    types = set(X.dtypes) if hasattr(X, "dtypes") and getattr(X, "ndim", 0) == 2 else set()  # of pandas' columns
    if types and hasattr(X, "sparse") and all(t.fill_value == 0 for t in types):
        return X.sparse.to_coo()
    if not all(isinstance(t, np.dtype) for t in types) and {t.kind for t in types} <= set("fiub"):
        # Of these, and of columns of both, NumPy would make an object of every number.
        if not X.isna().to_numpy().any():
            plain = (
                getattr(t, "numpy_dtype", None) or getattr(t, "subtype", t) for t in types
            )  # nullable, sparse
            return X.to_numpy(np.result_type(*plain))
        array = X.to_numpy(np.float64, na_value=np.nan)
        check_finite(array)
        return array
    try:
        array = np.asarray(X)
    except ValueError:
        raise DataError("X is not a table: its rows have different lengths.") from None
    if array.dtype.kind in "US" and isinstance(X, (list, tuple)):  # in which one word makes words of all numbers
        array = np.asarray(X, dtype=object)
    return array


def _check_sparse(X: Any) -> None:
    """Raise a `DataError` if a sparse X (N, D) has entries outside of it: SciPy's conversions do not look."""
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
    labels = check_labels(y)
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"y must hold {n_samples} integer class numbers, one for each row of X, "
            f"but its shape is {labels.shape} and its dtype {labels.dtype}."
        )
    n_classes = max(int(labels.max()) + 1, 2) if n_classes is None else check_count("n_classes", n_classes, 2)
    codes = check_codes(labels, n_classes)
    weights = check_weights(sample_weight, n_samples)
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
    return X, codes, weights, n_classes


def check_weights(sample_weight: ArrayLike | None, n_samples: int) -> NDArray[np.float64]:
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
