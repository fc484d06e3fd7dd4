"""Centring and scaling of features, done to W and b instead of to X.

A model sees ``z = (x - mean) * scale``. Its scores ``z @ W + b`` are ``x @ W_raw + b_raw`` with

    W_raw = diag(scale) W,        b_raw = b - mean @ W_raw,

so X is never touched. Rows of length 1 are the exception: a factor for each row cannot be folded into W. There X
is copied once, in a floating-point type of its own size, and a model divides each block of rows that it scores by
the same function, so that both see the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_array, issparse

from softmargin.errors import DataError, ParameterError
from softmargin.io.mapped import MappedFile

__all__ = ["ROWS", "SCALINGS", "Preprocessing", "scale_for", "unit_rows"]

SCALINGS = ("auto", "none", "pixel", "standard")
"""What a user may ask for; "auto" is resolved by the type of the features."""

ROWS = ("none", "l2")
"""What may have been done to each row before all else."""

_UNITS = {np.dtype(np.uint8): 1.0 / 255.0, np.dtype(np.uint16): 1.0 / 65535.0}

_CONSTANT = 1e-12
"""A standard deviation up to this part of the mean is rounding: the mean of a million equal numbers may be
off by a thousand ε (2e-13), and that error is all that the variance of a constant column holds."""


class Preprocessing(NamedTuple):
    """What was done to the features before W and b saw them.

    Attributes
    ----------
    scaling : {"none", "pixel", "standard"}
        The name of the scaling.
    mean : ndarray of shape (D,), float64
        Subtracted first; zeros if the features are not centred.
    scale : ndarray of shape (D,), float64
        Factors.
    rows : {"none", "l2"}
        "l2" if each row was divided by its Euclidean length before all else, which is not folded into W.
    """

    scaling: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    rows: str = "none"

    def fold(
        self, W: NDArray[np.float64], b: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the W (D, C) and b (C,) that give the same scores on raw features."""
        W_raw = self.scale[:, None] * W
        return W_raw, np.asarray(b - self.mean @ W_raw)

    def unfold(
        self, W_raw: NDArray[np.float64], b_raw: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the W (D, C) and b (C,) on preprocessed features: the inverse of `fold`.

        A feature whose scale is 0 gets weights of 0, since preprocessing makes it 0.
        """
        scale = np.broadcast_to(self.scale[:, None], W_raw.shape)
        W = np.divide(W_raw, scale, out=np.zeros(W_raw.shape), where=scale != 0.0)
        return W, np.asarray(b_raw + self.mean @ W_raw)


def scale_for(
    scaling: str, dtype: DTypeLike, mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[str, NDArray[np.float64]]:
    """Return the name of a scaling, resolved, and the factor of each feature.

    Parameters
    ----------
    scaling : {"auto", "none", "pixel", "standard"}
        "pixel" divides by the largest value of the integer type, "standard" by the standard deviation (a
        constant column is left as it is); "auto" is "pixel" for uint8 and "none" for everything else.
    dtype : dtype
        The type the features are stored in.
    mean, variance : ndarray of shape (D,), float64
        Moments of each feature, as an engine's ``moments`` returns them.

    Returns
    -------
    name : {"none", "pixel", "standard"}
    scale : ndarray of shape (D,), float64

    Raises
    ------
    ParameterError
        If the name is unknown, or "pixel" is asked for features that have no largest value.
    """
    if scaling not in SCALINGS:
        raise ParameterError(f"scaling must be one of {', '.join(map(repr, SCALINGS))}, but it is {scaling!r}.")
    dtype = np.dtype(dtype)
    if scaling == "auto":
        scaling = "pixel" if dtype == np.uint8 else "none"
    if scaling == "pixel":
        unit = _UNITS.get(dtype.newbyteorder("="))
        if unit is None:
            raise ParameterError(
                f"scaling 'pixel' needs features of type uint8 or uint16, but theirs is {dtype}: "
                f"choose 'standard' or 'none'."
            )
        return scaling, np.full(len(variance), unit)
    scale = np.ones(len(variance))
    if scaling == "standard":
        deviation = np.sqrt(variance)
        varies = deviation > _CONSTANT * np.abs(mean)
        scale[varies] = 1.0 / deviation[varies]
    return scaling, scale


_BLOCK_ELEMENTS = 1 << 18


def unit_rows(X: Any) -> Any:
    """Return X with each row divided by its Euclidean length; rows of zeros stay.

    Lengths are computed in float64, of rows divided by their largest value first, so that no square leaves the
    range. A row's result depends on that row alone.

    Parameters
    ----------
    X : ndarray or CSR array of shape (N, D)

    Returns
    -------
    ndarray or csr_array of shape (N, D)
        A new one: float64 for float64 and for integers of more than 16 bits, float32 for everything else. No
        further copy is made but for blocks of two megabytes.
    """
    file = MappedFile(X)
    wide = X.dtype == np.float64 or (X.dtype.kind in "iu" and X.dtype.itemsize > 2)
    dtype = np.float64 if wide else np.float32
    if issparse(X):
        result = csr_array((np.empty(X.data.shape, dtype), X.indices, X.indptr), shape=X.shape)
        for start in range(0, X.shape[0], _BLOCK_ELEMENTS):
            indptr = X.indptr[start : start + _BLOCK_ELEMENTS + 1]
            entries = slice(indptr[0], indptr[-1])
            values = X.data[entries].astype(np.float64)
            rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
            values /= _largest(rows, np.abs(values), len(indptr) - 1)[rows]
            squares = np.bincount(rows, values**2, minlength=len(indptr) - 1)
            result.data[entries] = values / np.sqrt(np.where(squares > 0.0, squares, 1.0))[rows]
        return result
    unit = np.empty(X.shape, dtype)
    step = max(1, _BLOCK_ELEMENTS // X.shape[1])
    with np.errstate(invalid="ignore"):  # NaN and inf are found where they are, by their scores
        for start in range(0, len(X), step):
            file.check(DataError)
            values = np.array(X[start : start + step], dtype=np.float64, order="C")
            largest = np.abs(values).max(axis=1, keepdims=True)
            values /= np.where(largest > 0.0, largest, 1.0)
            lengths = np.sqrt((values**2).sum(axis=1, keepdims=True))
            unit[start : start + step] = values / np.where(lengths > 0.0, lengths, 1.0)
    return unit


def _largest(rows: NDArray[np.intp], sizes: NDArray[np.float64], n_rows: int) -> NDArray[np.float64]:
    """Return the largest size of each row, 1 where there is none above 0."""
    largest = np.zeros(n_rows)
    np.maximum.at(largest, rows, sizes)
    return np.where(largest > 0.0, largest, 1.0)
