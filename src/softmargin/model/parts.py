"""The weights of a model without its metadata, as predictions and exports need them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Parts"]


class Parts(NamedTuple):
    """A linear classifier: ``scores = x @ W + b``.

    Attributes
    ----------
    W : ndarray of shape (D, C), float64
    b : ndarray of shape (C,), float64
    classes : ndarray of shape (C,)
    has_probabilities : bool
        Whether the softmax of the scores gives probabilities (cross-entropy).
    unit_rows : bool
        Whether x is divided by its Euclidean length first.
    feature_names : tuple of str, or None
    """

    W: NDArray[np.float64]
    b: NDArray[np.float64]
    classes: NDArray[Any]
    has_probabilities: bool
    unit_rows: bool
    feature_names: tuple[str, ...] | None
