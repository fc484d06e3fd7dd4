"""Centring and scaling of features, applied to W and b instead of to X.

A model sees ``z = (x - mean) * scale``. Its scores ``z @ W + b`` are ``x @ W_raw + b_raw`` with

    W_raw = diag(scale) W,        b_raw = b - mean @ W_raw,

so X is never changed. Normalized rows are the exception, because a factor per row cannot be folded into W. There X
is copied once, and a model normalizes each block of rows that it scores by the same function, so that training
and prediction see the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import DTypeLike, NDArray

from softmargin.arguments import check_choice
from softmargin.errors import DataError, ParameterError
from softmargin.io.mapped import MappedFile
from softmargin.sparse import Columns, issparse

__all__ = [
    "ROWS", "SCALINGS", "Preprocessing", "constant_columns", "needs_moments", "requested_scaling", "scale_for",
    "unit_rows",
]  # fmt: skip

SCALINGS = ("auto", "none", "pixel", "standard")
"""The scalings that a user may request; "auto" depends on the features."""

ROWS = ("none", "l2")
"""How rows may be normalized before anything else."""

_UNITS = {np.dtype(np.uint8): 1.0 / 255.0, np.dtype(np.uint16): 1.0 / 65535.0}

_SMALLEST = 1e-140
"""The squares of smaller means lose digits to underflow."""

_DIFFERENT = 100.0 * (1.0 - 1e-6)
"""Ratio of standard deviations from which "auto" standardizes: 100, reached in spite of rounding errors."""


class Preprocessing(NamedTuple):
    """The preprocessing of the features that W and b apply to.

    Attributes
    ----------
    scaling : {"none", "pixel", "standard"}
        The name of the scaling.
    mean : ndarray of shape (D,), float64
        Subtracted first; zeros if the features are not centred.
    scale : ndarray of shape (D,), float64
        Factor of each feature, applied after the mean is subtracted.
    rows : {"none", "l2"}
        "l2" if each row was divided by its Euclidean norm first, which cannot be folded into W.
    """

    scaling: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    rows: str = "none"

    def fold(
        self, W: NDArray[np.float64], b: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return W (D, C) and b (C,) that give the same scores on raw features."""
        W_raw = self.scale[:, None] * W
        return W_raw, np.asarray(b - self.mean @ W_raw)

    def spread(self, columns: Columns) -> Preprocessing:
        """Return the preprocessing of all columns of X; without standardization all have the same scale."""
        fill = 1.0 if self.scaling == "standard" else float(self.scale[0])
        return self._replace(mean=columns.spread(self.mean), scale=columns.spread(self.scale, fill))

    def unfold(
        self, W_raw: NDArray[np.float64], b_raw: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return W (D, C) and b (C,) for preprocessed features: the inverse of `fold`.

        A feature whose scale is 0 gets weights of 0, since preprocessing makes it 0.
        """
        scale = np.broadcast_to(self.scale[:, None], W_raw.shape)
        W = np.divide(W_raw, scale, out=np.zeros(W_raw.shape), where=scale != 0.0)
        return W, np.asarray(b_raw + self.mean @ W_raw)


def constant_columns(
    mean: NDArray[np.float64], variance: NDArray[np.float64], rounding: float
) -> NDArray[np.bool_]:
    """Return which columns are constant: those whose variance is within its rounding error, (D,).

    Let the values of a column be v. Its computed mean is v(1 + θ), where θ has two parts. The error of the sum is
    at most the ``rounding`` r of the engine, and the sum of the weights is 1 only up to r. So ``|θ| ≤ 2r``. The
    computed variance is ``v²θ²`` up to factors ``1 + O(r)``: at most ``(2r·mean)²``. This holds for any dtype, as
    sums are in float64, and for any size of v. scikit-learn's bound is the same, with r = N·ε.

    Parameters
    ----------
    mean, variance : ndarray of shape (D,), float64
        Weighted moments of each column.
    rounding : float
        Bound on the relative rounding error of a sum over the samples, `Engine.rounding`.

    References
    ----------
    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
    """
    # Square roots, so that no square underflows. A variance of 0 may be underflow where the mean is this small.
    unknown = (mean != 0.0) & (np.abs(mean) < _SMALLEST)
    return np.asarray((np.sqrt(variance) <= 2.0 * (1.0 + rounding) * rounding * np.abs(mean)) & ~unknown)


def requested_scaling(scaling: str, rows: str) -> str:
    """Return the scaling that was requested, "none" instead of "auto" for normalized rows ("l2").

    Raises
    ------
    ParameterError
        If the name is unknown.
    """
    check_choice("scaling", scaling, SCALINGS)
    return "none" if scaling == "auto" and rows == "l2" else scaling


def needs_moments(scaling: str, dtype: DTypeLike, sparse: bool) -> bool:
    """Return whether `scale_for` uses the moments."""
    return scaling == "standard" or (scaling == "auto" and np.dtype(dtype).kind == "f" and not sparse)


def scale_for(
    scaling: str,
    dtype: DTypeLike,
    variance: NDArray[np.float64],
    constant: NDArray[np.bool_],
    sparse: bool = False,
) -> tuple[str, NDArray[np.float64]]:
    """Resolve the name of a scaling and return the factor of each feature.

    Parameters
    ----------
    scaling : {"auto", "none", "pixel", "standard"}
        "pixel" divides by the largest value of the integer type, "standard" by the standard deviation (constant
        columns stay unchanged). "auto" is "pixel" for uint8. For dense floats it is "standard" if the standard
        deviations of two columns that are not constant differ by a factor of 100 or more. Else it is "none".
    dtype : dtype
        The dtype of the stored features.
    variance : ndarray of shape (D,), float64
        Variance of each feature, as returned by an engine's ``moments``.
    constant : ndarray of shape (D,), bool
        The result of `constant_columns`.
    sparse : bool
        Whether the features are a sparse array, which "auto" does not standardize.

    Returns
    -------
    name : {"none", "pixel", "standard"}
    scale : ndarray of shape (D,), float64

    Raises
    ------
    ParameterError
        If the name is unknown, or "pixel" is requested for features of another type than uint8 or uint16.
    """
    check_choice("scaling", scaling, SCALINGS)
    dtype = np.dtype(dtype)
    deviation = np.sqrt(variance)
    if scaling == "auto":
        known = (
            deviation[~constant & (deviation > 0.0)] if needs_moments(scaling, dtype, sparse) else deviation[:0]
        )
        differ = len(known) > 0 and known.max() >= _DIFFERENT * known.min()
        scaling = "pixel" if dtype == np.uint8 else "standard" if differ else "none"
    if scaling == "pixel":
        unit = _UNITS.get(dtype.newbyteorder("="))
        if unit is None:
            raise ParameterError(
                f"scaling='pixel' requires features of type uint8 or uint16, got {dtype}; use 'standard' instead."
            )
        return scaling, np.full(len(variance), unit)
    scale = np.ones(len(variance))
    if scaling == "standard":
        varies = ~constant & (deviation > 0.0)
        scale[varies] = 1.0 / deviation[varies]
    return scaling, scale


_BLOCK_ELEMENTS = 1 << 18


def unit_rows(X: Any) -> Any:
    """Return a copy of X with each row divided by its Euclidean norm; rows of zeros stay zero.

    Norms are computed in float64, after division by the largest value of the row, so that no square overflows.
    The result of a row depends on that row alone.

    Parameters
    ----------
    X : ndarray or CSR array of shape (N, D)

    Returns
    -------
    ndarray or csr_array of shape (N, D)
        float64 for float64 and for integers of more than 16 bits, else float32. The only further memory is a
        block of 2 MB.
    """
    file = MappedFile(X)
    wide = X.dtype == np.float64 or (X.dtype.kind in "iu" and X.dtype.itemsize > 2)
    dtype = np.float64 if wide else np.float32
    if issparse(X):
        result = scipy.sparse.csr_array((np.empty(X.data.shape, dtype), X.indices, X.indptr), shape=X.shape)
        for start in range(0, X.shape[0], _BLOCK_ELEMENTS):
            indptr = X.indptr[start : start + _BLOCK_ELEMENTS + 1]
            entries = slice(indptr[0], indptr[-1])
            values = X.data[entries].astype(np.float64)
            rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
            largest = np.zeros(len(indptr) - 1)
            np.maximum.at(largest, rows, np.abs(values))
            values /= _one_for_zero(largest)[rows]
            squares = np.bincount(rows, values**2, minlength=len(largest))
            result.data[entries] = values / np.sqrt(_one_for_zero(squares))[rows]
        return result
    unit = np.empty(X.shape, dtype)
    step = max(1, _BLOCK_ELEMENTS // X.shape[1])
    with np.errstate(invalid="ignore"):  # NaN and inf are detected later, in the scores
        for start in range(0, len(X), step):
            file.check(DataError)
            values = np.array(X[start : start + step], dtype=np.float64, order="C")
            values /= _one_for_zero(np.abs(values).max(axis=1, keepdims=True))
            norms = np.sqrt((values**2).sum(axis=1, keepdims=True))
            unit[start : start + step] = values / _one_for_zero(norms)
    return unit


def _one_for_zero(divisors: NDArray[Any]) -> NDArray[Any]:
    return np.where(divisors > 0.0, divisors, 1.0)
