"""Centring and scaling of features, done to W and b instead of to X.

A model sees ``z = (x - mean) * scale``. Its scores ``z @ W + b`` are ``x @ W_raw + b_raw`` with

    W_raw = diag(scale) W,        b_raw = b - mean @ W_raw,

so X is never touched.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from softmargin.errors import ParameterError

__all__ = ["SCALINGS", "Preprocessing", "scale_for"]

SCALINGS = ("auto", "none", "unit", "standard")
"""What a user may ask for; "auto" is resolved by the type of the features."""

_UNITS = {np.dtype(np.uint8): 1.0 / 255.0, np.dtype(np.uint16): 1.0 / 65535.0}

_CONSTANT = 1e-12
"""A standard deviation up to this part of the mean is rounding: the mean of a million equal numbers may be
off by a thousand ε (2e-13), and that error is all that the variance of a constant column holds."""


class Preprocessing(NamedTuple):
    """What was done to the features before W and b saw them.

    Attributes
    ----------
    scaling : {"none", "unit", "standard"}
        The name of the scaling.
    mean : ndarray of shape (D,), float64
        Subtracted first; zeros if the features are not centred.
    scale : ndarray of shape (D,), float64
        Factors.
    """

    scaling: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

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
    scaling : {"auto", "none", "unit", "standard"}
        "unit" divides by the largest value of the integer type, "standard" by the standard deviation (a
        constant column is left as it is); "auto" is "unit" for uint8 and "none" for everything else.
    dtype : dtype
        The type the features are stored in.
    mean, variance : ndarray of shape (D,), float64
        Moments of each feature, as an engine's ``moments`` returns them.

    Returns
    -------
    name : {"none", "unit", "standard"}
    scale : ndarray of shape (D,), float64

    Raises
    ------
    ParameterError
        If the name is unknown, or "unit" is asked for features that have no largest value.
    """
    if scaling not in SCALINGS:
        raise ParameterError(f"scaling must be one of {', '.join(map(repr, SCALINGS))}, but it is {scaling!r}.")
    dtype = np.dtype(dtype)
    if scaling == "auto":
        scaling = "unit" if dtype == np.uint8 else "none"
    if scaling == "unit":
        unit = _UNITS.get(dtype.newbyteorder("="))
        if unit is None:
            raise ParameterError(
                f"scaling 'unit' needs features of type uint8 or uint16, but theirs is {dtype}: "
                f"choose 'standard' or 'none'."
            )
        return scaling, np.full(len(variance), unit)
    scale = np.ones(len(variance))
    if scaling == "standard":
        deviation = np.sqrt(variance)
        varies = deviation > _CONSTANT * np.abs(mean)
        scale[varies] = 1.0 / deviation[varies]
    return scaling, scale
