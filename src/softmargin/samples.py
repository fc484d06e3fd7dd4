"""The one place where X, y and weights are checked; everything below the public functions takes the records.

`Labelled` holds the labels of the user, `Samples` class numbers and weights that sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from softmargin.arguments import (
    Floats,
    Ints,
    as_floats,
    check_count,
    check_number,
    floats_of_objects,
    refuse_masked,
)
from softmargin.errors import DataError, ParameterError
from softmargin.io.mapped import MappedFile
from softmargin.labels import check_codes, check_labels, labels_of_rows
from softmargin.preprocessing import unit_rows
from softmargin.text import printable

__all__ = [
    "Fold",
    "Labelled",
    "Samples",
    "as_features",
    "check_features",
    "check_finite",
    "check_weights",
]

_BLOCK_NUMBERS = 1 << 20


class Fold(NamedTuple):
    """Row numbers of the samples to fit to and of those held out, both ascending.

    A splitter that draws with replacement may name a training sample several times: it then counts as often.
    """

    training: Ints
    validation: Ints


@dataclass(frozen=True)
class Samples:
    """What an engine reads; it needs no further check.

    Attributes
    ----------
    X : ndarray or canonical CSR array of shape (N, D)
        Real numbers of at most 64 bits, in the type they are stored in.
    y : ndarray of shape (N,), int64
        Class numbers 0 … C-1.
    weights : ndarray of shape (N,), float64
        Non-negative, summing to one; rows of weight 0 take no part.
    n_classes : int
        C.
    folds : tuple of Fold
    scoring_weights : ndarray of shape (N,), optional
        Weights to judge fits by, if other than those to fit with.
    """

    X: Any
    y: Ints
    weights: Floats
    n_classes: int
    folds: tuple[Fold, ...] = ()
    scoring_weights: Floats | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that X is stored in."""
        return self.X.dtype

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.X.shape[1])

    def features(self, rows: Ints) -> Any:
        """Return the features of some samples, as an array of the kind of X."""
        return self.X[rows]

    @classmethod
    def check(
        cls,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        n_classes: int | None = None,
        folds: Sequence[Fold] = (),
    ) -> Samples:
        """Return the record of samples with class numbers; X is not copied where it can be read as it is.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        y : array-like of shape (N,)
            Class numbers. Each class needs a sample of positive weight.
        sample_weight : array-like of shape (N,), optional
        n_classes : int, optional
            C; by default the largest class number plus one, and at least 2.
        folds : sequence of Fold

        Raises
        ------
        DataError
            If X, y or the weights cannot be used; the message says where.
        """
        X = check_features(X)
        labels = check_labels(y)
        if labels.shape != (X.shape[0],) or labels.dtype.kind not in "iu":
            raise DataError(
                f"y must hold {X.shape[0]} integer class numbers, one for each row of X, "
                f"but its shape is {labels.shape} and its dtype {labels.dtype}."
            )
        n_classes = max(int(labels.max()) + 1, 2) if n_classes is None else check_count("n_classes", n_classes, 2)
        weights = check_weights(sample_weight, X.shape[0])
        samples = cls.weighted(X, labels, weights, n_classes, tuple(folds), any_weights=sample_weight is not None)
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
        any_weights: bool = True,
    ) -> Samples:
        """Return the record for weights of any sum, or raise a `DataError` if a class has none."""
        present = np.unique(y[weights > 0.0])  # a count of every class would be as long as the largest number
        if len(present) < n_classes:
            others = np.flatnonzero(present != np.arange(len(present)))
            missing = int(others[0]) if others.size else len(present)
            beside = " (beside the largest)" if any_weights else ""
            raise DataError(
                f"Class {missing} has no sample of positive weight{beside}: leave the class out, "
                f"for nothing is known of it."
            )
        return cls(X, y, weights / weights.sum(), n_classes, folds, scoring_weights)


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
        Class numbers. Those of samples of weight 0 mean nothing: their label may be in no class.
    weights : ndarray of shape (N,), float64
        Non-negative; the largest is 1.
    rows : {"none", "l2"}
        "l2" if each row of X was divided by its Euclidean length, as in `Preprocessing`.
    """

    X: Any
    labels: NDArray[Any]
    classes: NDArray[Any]
    y: Ints
    weights: Floats
    rows: str = "none"

    @classmethod
    def check(cls, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Labelled:
        """Return the record of samples with labels of any kind; an X that is such a record is returned as it is.

        Raises
        ------
        DataError
            If X, the labels or the weights cannot be used, or fewer than two classes have a sample of positive
            weight.
        """
        if isinstance(X, Labelled):
            return X
        X = check_features(X)
        labels = labels_of_rows(y, X.shape[0])
        if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
            raise DataError("Unknown label type: continuous; y must hold strings or integers, one a sample.")
        weights = check_weights(sample_weight, len(labels))
        classes = np.unique(labels[weights > 0.0])
        classes = classes.astype(classes.dtype.newbyteorder("="), copy=False)
        if len(classes) < 2:
            raise DataError(
                f"At least two classes are needed, but y holds only one class, {classes.tolist()[0]!r}, with "
                f"positive weight."
            )
        codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1).astype(np.int64)
        return cls(X, labels, classes, codes, weights)

    def with_unit_rows(self) -> Labelled:
        """Return the samples with each row of X divided by its Euclidean length, which makes one copy."""
        return self if self.rows == "l2" else replace(self, X=unit_rows(self.X), rows="l2")

    def training_weights(self, class_weight: dict[Any, float] | str | None) -> Floats:
        """Return the weights to fit with: those of the samples times the factors of their classes.

        Raises
        ------
        ParameterError
            If ``class_weight`` makes no sense.
        """
        if class_weight is None:
            return self.weights
        from sklearn.utils import compute_class_weight  # not for those who only use a model

        if isinstance(class_weight, dict):
            for label, factor in class_weight.items():
                if not 0.0 <= check_number(f"class_weight[{label!r}]", factor) < np.inf:
                    raise ParameterError(
                        f"class_weight[{label!r}] must be finite and not negative, but it is {factor!r}."
                    )
        elif not (isinstance(class_weight, str) and class_weight == "balanced"):
            raise ParameterError(f"class_weight must be a dict or 'balanced', but it is {class_weight!r}.")
        labels = self.labels[self.weights > 0.0]
        try:
            factors = np.asarray(compute_class_weight(class_weight, classes=self.classes, y=labels), np.float64)
        except ValueError:
            unknown = [label for label in class_weight if label not in self.classes.tolist()]
            raise ParameterError(f"class_weight has the label {unknown[0]!r}, which is no class of y.") from None
        return np.asarray(self.weights * factors[self.y])

    def samples(self, class_weight: dict[Any, float] | str | None = None) -> Samples:
        """Return the record that an engine reads; raise as `training_weights` and `Samples.check` do."""
        weights = check_weights(self.training_weights(class_weight), len(self.y))
        return Samples.weighted(self.X, self.y, weights, len(self.classes))


# -- features ------------------------------------------------------------------------------------------------


def check_features(X: ArrayLike) -> Any:
    """Return X as `as_features` does, or raise a `DataError`: also for no row or column, for NaN and infinity."""
    array = as_features(X)
    if 0 in array.shape:
        n_samples, n_features = array.shape
        # scikit-learn looks for the words from the number of features on.
        raise DataError(
            f"X must hold at least one sample and one feature, but found {n_samples} sample(s), {n_features} "
            f"feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    check_finite(array)
    return array


def as_features(X: ArrayLike) -> Any:
    """Return X as an ndarray or a canonical CSR array (N, D), or raise a `DataError`.

    Real numbers of at most 64 bits are not copied, unless a sparse X has another format or an order of its own.
    Objects that are numbers, and the columns of a data frame that have missing values, become float64; NaN and
    what is missing are refused in these at once.
    """
    refuse_masked("X", X)
    array: Any = X if issparse(X) else _as_array(X)
    if array.ndim != 2:
        # scikit-learn looks for the first three words.
        raise DataError(
            f"Reshape your data: X must be two-dimensional, one row a sample and one column a feature, but its "
            f"shape is {array.shape}."
        )
    if array.dtype.kind == "O" and not issparse(array):
        array = floats_of_objects("X", array)
        check_finite(array)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        # scikit-learn looks for the words about complex numbers.
        start = "Complex data not supported: " if array.dtype.kind == "c" else ""
        raise DataError(f"{start}X must hold real numbers of at most 64 bits, but its dtype is {array.dtype}.")
    return _canonical_csr(array) if issparse(array) else array


def _as_array(X: Any) -> Any:
    """Return what is not sparse as an ndarray, and a data frame of sparse columns as a sparse array."""
    types = set(X.dtypes) if hasattr(X, "dtypes") and getattr(X, "ndim", 0) == 2 else set()  # of pandas' columns
    if types and hasattr(X, "sparse") and all(t.fill_value == 0 for t in types):
        return X.sparse.to_coo()
    if not all(isinstance(t, np.dtype) for t in types) and {t.kind for t in types} <= set("fiub"):
        # Of these, and of columns of both, NumPy would make an object of every number.
        if not X.isna().to_numpy().any():
            # nullable, sparse
            plain = [getattr(t, "numpy_dtype", None) or getattr(t, "subtype", t) for t in types]
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


def _canonical_csr(X: Any) -> csr_array:
    """Return a sparse X (N, D) as a CSR array with sorted columns, none of them twice.

    It shares the memory of an X that is that already; X itself stays as it was.
    """
    if not hasattr(X, "indptr") and not hasattr(X, "coords"):
        X = X.tocsr()  # from lists or diagonals, in which no index is taken on trust
    _check_sparse(X)
    given = X.tocsr()
    # An array of our own around the same memory: sorting leaves marks on the object.
    csr = csr_array(given.shape, dtype=given.dtype)
    csr.data, csr.indices, csr.indptr = given.data, given.indices, given.indptr
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


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


def check_finite(X: Any, feature_names: Sequence[str] | None = None) -> None:
    """Raise a `DataError` that names the first row and column that is NaN or infinite, and how many are.

    X is dense or CSR. One that is mapped from a file cut short in the meantime is refused, too.
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
        raise DataError(f"Input X contains {what} in row {place[0]}, column {place[1]}{name}{others}.")


def check_weights(sample_weight: ArrayLike | None, n_samples: int) -> Floats:
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
