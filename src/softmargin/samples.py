"""The one place where X, y and weights are checked; internal functions take the checked records.

`Labelled` holds the labels of the user, `Samples` class numbers and weights that sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import (
    Floats,
    Ints,
    brief,
    check_count,
    floats_of_objects,
    refuse_masked,
)
from softmargin.errors import DataError
from softmargin.io.mapped import MappedFile
from softmargin.labels import check_codes, check_labels, keys_of_rows, labels_of_rows
from softmargin.preprocessing import unit_rows
from softmargin.shards import Shards
from softmargin.sparse import ALL_COLUMNS, Columns, canonical_csr, issparse, without_empty_columns
from softmargin.text import printable
from softmargin.weights import ClassWeight, balanced_weights, check_class_weight, check_weights, class_factors

__all__ = ["Fold", "Labelled", "Samples", "as_features", "check_features", "check_finite", "column_names"]

_BLOCK_NUMBERS = 1 << 20


class Fold(NamedTuple):
    """Row numbers of the training samples and of the held-out samples, both ascending.

    Training samples that a splitter draws several times (with replacement) count as often.
    """

    training: Ints
    validation: Ints


@dataclass(frozen=True)
class Samples:
    """Checked samples with class numbers, as engines read them.

    Attributes
    ----------
    X : ndarray or canonical CSR array of shape (N, D)
        Real numbers of at most 64 bits, in their stored dtype. If many columns of a sparse X are empty, they are
        left out, see ``columns``.
    y : ndarray of shape (N,), int64
        Class numbers 0 … C-1.
    weights : ndarray of shape (N,), float64
        Non-negative, summing to one; rows of weight 0 are ignored.
    n_classes : int
        C.
    folds : tuple of Fold
    scoring_weights : ndarray of shape (N,), optional
        Weights for scoring, if they differ from those for fitting.
    columns : Columns
        Which columns were left out.
    """

    X: Any
    y: Ints
    weights: Floats
    n_classes: int
    folds: tuple[Fold, ...] = ()
    scoring_weights: Floats | None = None
    columns: Columns = ALL_COLUMNS

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of X."""
        return self.X.dtype

    @property
    def is_sparse(self) -> bool:
        """Whether X is sparse."""
        return issparse(self.X)

    def features(self, rows: Ints) -> Any:
        """Return all features of some samples, dense or sparse like X."""
        return self.columns.widen(self.X[rows])

    def widened(self) -> Samples:
        """Return the samples with all columns."""
        return replace(self, X=self.columns.widen(self.X), columns=ALL_COLUMNS)

    @classmethod
    def check(
        cls,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        n_classes: int | None = None,
        folds: Sequence[Fold] = (),
    ) -> Samples:
        """Check samples with class numbers; X is not copied unless it must be converted.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        y : array-like of shape (N,)
            Class numbers. Each class must have a sample of positive weight.
        sample_weight : array-like of shape (N,), optional
        n_classes : int, optional
            C; by default the largest class number plus one, but at least 2.
        folds : sequence of Fold

        Raises
        ------
        DataError
            If X, y or the weights are invalid; the message says where.
        """
        X = check_features(X)
        labels = check_labels(y)
        if labels.shape != (X.shape[0],) or labels.dtype.kind not in "iu":
            raise DataError(
                f"y must hold {X.shape[0]} integer class numbers, one per row of X, got shape {labels.shape} and "
                f"dtype {labels.dtype}."
            )
        n_classes = max(int(labels.max()) + 1, 2) if n_classes is None else check_count("n_classes", n_classes, 2)
        weights = check_weights(sample_weight, X.shape[0])
        samples = cls.weighted(X, labels, weights, n_classes, tuple(folds))
        return replace(samples, y=check_codes(labels, n_classes))

    @classmethod
    def weighted(
        cls,
        X: Any,
        y: Ints,
        weights: Floats,
        n_classes: int,
        folds: tuple[Fold, ...] = (),
        scoring_weights: Floats | None = None,
    ) -> Samples:
        """Return the record without empty columns and with weights that sum to one.

        Raises
        ------
        DataError
            If a class has no weight.
        """
        present = np.unique(y[weights > 0.0])  # np.bincount would be as long as the largest class number
        if len(present) < n_classes:
            others = np.flatnonzero(present != np.arange(len(present)))
            missing = int(others[0]) if others.size else len(present)
            raise DataError(f"Class {missing} has no sample of positive weight; remove this class.")
        X, columns = without_empty_columns(X)
        return cls(X, y, weights / weights.sum(), n_classes, folds, scoring_weights, columns)


@dataclass(frozen=True)
class Labelled:
    """Checked samples with the labels of the user.

    Attributes
    ----------
    X : ndarray or canonical CSR array of shape (N, D)
    labels : ndarray of shape (N,)
    classes : ndarray of shape (C,)
        The labels that have a sample of positive weight, sorted.
    y : ndarray of shape (N,), int64
        Class numbers; not valid for samples of weight 0, whose label may be in no class.
    weights : ndarray of shape (N,), float64
        Non-negative; the largest is 1.
    rows : {"none", "l2"}
        "l2" if each row of X was divided by its Euclidean norm, as in `Preprocessing`.
    keys : ndarray of shape (N, K), optional
        Rows that identify the samples, from which folds are made. None: the rows of X.
    """

    X: Any
    labels: NDArray[Any]
    classes: NDArray[Any]
    y: Ints
    weights: Floats
    rows: str = "none"
    keys: NDArray[Any] | None = None

    @property
    def identity(self) -> Any:
        """``keys``, or X if there are none: the rows from which folds are made."""
        return self.X if self.keys is None else self.keys

    @classmethod
    def check(
        cls, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, keys: ArrayLike | None = None
    ) -> Labelled:
        """Check samples with labels; an X that is already a `Labelled` is returned unchanged.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D), or Labelled
        y : array-like of shape (N,)
        sample_weight : array-like of shape (N,), optional
        keys : array-like of shape (N, K), optional
            Numbers that identify the pictures or texts that X was computed from. Samples with equal keys must have
            equal features.

        Raises
        ------
        DataError
            If X, the labels, the weights or the keys are invalid, or fewer than two classes have a sample of
            positive weight.
        """
        if isinstance(X, Labelled):
            return X
        X = check_features(X)
        labels = labels_of_rows(y, X.shape[0])
        if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
            raise DataError("Unknown label type: y must hold strings or integers, got continuous values.")
        weights = check_weights(sample_weight, len(labels))
        return cls(X, labels, *_encoded(labels, weights), weights, keys=keys_of_rows(keys, len(labels)))

    def with_unit_rows(self) -> Labelled:
        """Return the samples with each row of X divided by its Euclidean norm, in a copy."""
        return self if self.rows == "l2" else replace(self, X=unit_rows(self.X), rows="l2")

    def of_classes(self, class_weight: ClassWeight) -> Labelled:
        """Return the samples without the classes whose ``class_weight`` is 0: their samples get the weight 0.

        Raises
        ------
        ParameterError
            If ``class_weight`` is invalid.
        DataError
            If fewer than two classes remain.
        """
        if not isinstance(check_class_weight(class_weight), dict):
            return self
        assert isinstance(class_weight, dict)
        idle = self.classes[class_factors(class_weight, self.classes.tolist(), self.labels) == 0.0]
        if not len(idle):
            return self
        weights = np.where(np.isin(self.labels, idle), 0.0, self.weights)
        if not weights.any():
            raise DataError("class_weight must be positive for at least two classes, got 0 for all of them.")
        weights = check_weights(weights, len(weights))
        classes, y = _encoded(self.labels, weights)
        return replace(self, classes=classes, y=y, weights=weights)

    def training_weights(self, class_weight: ClassWeight) -> Floats:
        """Return the weights for fitting: those of the samples times those of their classes.

        Raises
        ------
        ParameterError
            If ``class_weight`` is invalid.
        DataError
            If it is 0 for a class, which `of_classes` leaves out, or so small that the weight underflows.
        """
        if check_class_weight(class_weight) is None:
            return self.weights
        if isinstance(class_weight, dict):
            fitted = self.weights * class_factors(class_weight, self.classes.tolist(), self.labels)[self.y]
        else:
            fitted = balanced_weights(self.weights, self.y, len(self.classes))
        fitted /= fitted.max() or 1.0
        left = np.bincount(self.y, fitted, minlength=len(self.classes))
        if not left.all():
            label = self.classes.tolist()[int(left.argmin())]
            raise DataError(f"class_weight must leave a positive weight for each class, got 0 for {brief(label)}.")
        return np.asarray(fitted)

    def samples(self, class_weight: ClassWeight = None) -> Samples:
        """Return the samples for an engine; raise as `training_weights` and `Samples.check` do."""
        return Samples.weighted(self.X, self.y, self.training_weights(class_weight), len(self.classes))


def _encoded(labels: NDArray[Any], weights: Floats) -> tuple[NDArray[Any], Ints]:
    """Return the sorted labels of positive weight, and the class number of each sample, or raise a `DataError`."""
    classes = np.unique(labels[weights > 0.0])
    classes = classes.astype(classes.dtype.newbyteorder("="), copy=False)
    if len(classes) < 2:
        only = classes.tolist()[0]
        raise DataError(f"y must hold at least two classes of positive weight, got only one class, {brief(only)}.")
    return classes, np.minimum(np.searchsorted(classes, labels), len(classes) - 1).astype(np.int64)


# -- features ------------------------------------------------------------------------------------------------


def check_features(X: ArrayLike) -> Any:
    """Return X as `as_features` does; raise a `DataError` also if it is empty or contains NaN or infinity."""
    array = as_features(X)
    if 0 in array.shape:
        # scikit-learn's estimator checks look for the words after the number of features.
        raise DataError(
            f"X must hold at least one sample and one feature, got {array.shape[0]} sample(s), {array.shape[1]} "
            f"feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    check_finite(array)
    return array


def as_features(X: ArrayLike) -> Any:
    """Return X as an ndarray or a canonical CSR array (N, D), or raise a `DataError`.

    Real numbers of at most 64 bits are not copied, unless a sparse X must be converted or sorted. Numbers stored
    as objects, and columns of a data frame with missing values, become float64; in these, NaN and missing values
    raise an error at once.
    """
    refuse_masked("X", X)
    if isinstance(X, Shards):
        raise DataError(
            "X must be in memory, got shards; evaluate them with sm.evaluate(model, shards, None), or use "
            "softmargin predict --cluster."
        )
    array: Any = X if issparse(X) else _as_array(X)
    if array.ndim != 2:
        # scikit-learn's estimator checks look for the first three words.
        raise DataError(
            f"Reshape your data: X must be two-dimensional, one row per sample and one column per feature, got "
            f"shape {array.shape}."
        )
    if array.dtype.kind == "O" and not issparse(array):
        array = floats_of_objects("X", array)
        check_finite(array)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        # scikit-learn's estimator checks look for the words about complex data.
        start = "Complex data not supported: " if array.dtype.kind == "c" else ""
        raise DataError(f"{start}X must hold real numbers of at most 64 bits, got dtype {array.dtype}.")
    return canonical_csr(array) if issparse(array) else array


def column_names(X: Any) -> list[Any]:
    """Return the names of the columns of a data frame or an Arrow table; none for other types."""
    names = getattr(X, "column_names", None)  # pyarrow.Table, whose `columns` are the values
    return names if isinstance(names, list) else list(getattr(X, "columns", ()))


def _as_array(X: Any) -> Any:
    """Return a dense X as an ndarray, and a data frame of sparse columns as a sparse array."""
    types = set(X.dtypes) if hasattr(X, "dtypes") and getattr(X, "ndim", 0) == 2 else set()  # of a pandas frame
    if types and hasattr(X, "sparse") and all(t.fill_value == 0 for t in types):
        return X.sparse.to_coo()
    if not all(isinstance(t, np.dtype) for t in types) and {t.kind for t in types} <= set("fiub"):
        # Nullable or sparse columns, which NumPy would convert to objects.
        if not X.isna().to_numpy().any():
            plain = [getattr(t, "numpy_dtype", None) or getattr(t, "subtype", t) for t in types]
            return X.to_numpy(np.result_type(*plain))
        array = X.to_numpy(np.float64, na_value=np.nan)
        check_finite(array)
        return array
    try:
        array = np.asarray(X)
    except ValueError:
        raise DataError("X must be two-dimensional, got rows of different lengths.") from None
    if array.dtype.kind in "US" and isinstance(X, (list, tuple)):  # one string turns all numbers into strings
        array = np.asarray(X, dtype=object)
    return array


def check_finite(X: Any, feature_names: Sequence[str] | None = None, first_row: int = 0) -> None:
    """Raise a `DataError` that names the first row and column that is NaN or infinite, and how many are.

    X is dense or CSR; its rows are counted from ``first_row``. The error is raised, too, if the file that X is
    mapped from has been truncated.
    """
    MappedFile(X).check(DataError)
    if X.dtype.kind != "f":
        return
    stored = X.data[:, None] if issparse(X) else X
    step = max(1, _BLOCK_NUMBERS // max(1, stored.shape[1]))
    n_wrong, place = 0, (0, 0)
    for start in range(0, len(stored), step):
        finite = np.isfinite(stored[start : start + step])
        if not finite.all():
            rows, columns = np.nonzero(~finite)
            if n_wrong == 0:
                place = (start + int(rows[0]), int(columns[0]))
            n_wrong += len(rows)
    if n_wrong:
        what = "NaN" if np.isnan(stored[place]) else f"infinity ({stored[place]})"
        if issparse(X):
            entry = place[0]
            place = (int(np.searchsorted(X.indptr, entry, side="right")) - 1, int(X.indices[entry]))
        others = f", and {n_wrong - 1:,} more" if n_wrong > 1 else ""
        name = "" if feature_names is None else f" ({printable(feature_names[place[1]])})"
        raise DataError(f"Input X contains {what} in row {first_row + place[0]}, column {place[1]}{name}{others}.")
