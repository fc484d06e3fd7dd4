"""Records that cross the engine protocol: sizes, capabilities and sums."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from softmargin.losses.base import Floats, Ints
from softmargin.vectors import Vector

__all__ = ["Capability", "Moments", "Quality", "Shape", "Sweep"]

_SMALL_HESSIAN = 1024
"""Up to this many weights the whole Hessian is a small matrix."""

_CHEAP_FEATURES = 512
"""Up to this many features a (D, D) matrix is cheap, even where there are fewer rows than that."""

_FEW_ROWS_BYTES = 1 << 28
"""A float64 copy of few rows may take this much memory."""


class Capability(Enum):
    """What an engine can do beyond sums over all samples."""

    DUAL_ASCENT = auto()
    """`Engine.dual_state`."""
    HESSIAN = auto()
    """Evaluations keep their scores, and `Engine.hessian` makes a matrix or a sum over active pairs of them."""
    ROWS = auto()
    """Samples can be chosen: `Engine.batches` and `Engine.scores`."""
    SINGLE = auto()
    """Products in float32, where X fits that."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a problem.

    Attributes
    ----------
    n_samples, n_features, n_classes : int
        N, D and C.
    n_active : int
        Samples of positive weight.
    weight_square : float
        Σ ω_i².
    class_weights : ndarray of shape (C,)
        The share of each class in the weight of all samples.
    classes : ndarray of shape (C,)
        The number of each class in the data that the engine was made for: a fold may lack some.
    """

    n_samples: int
    n_features: int
    n_classes: int
    n_active: int
    weight_square: float
    class_weights: Floats
    classes: Ints

    @property
    def n_products(self) -> int:
        """Multiplications in X @ W."""
        return self.n_samples * self.n_features * self.n_classes

    @property
    def has_small_hessian(self) -> bool:
        """Whether the whole Hessian, of all weights at once, is a small matrix."""
        return (self.n_features + 1) * self.n_classes <= _SMALL_HESSIAN

    @property
    def has_few_rows(self) -> bool:
        """Whether there are fewer samples than features, and so few that a float64 copy of them is small."""
        size = 8 * self.n_active * self.n_features
        return _CHEAP_FEATURES < self.n_features > self.n_active and size <= _FEW_ROWS_BYTES


class Moments(NamedTuple):
    """Weighted mean and variance of each feature as it is stored, both (D,)."""

    mean: Vector
    variance: Vector


class Quality(NamedTuple):
    """How a point does on some samples, by the weights that scores are made with.

    Attributes
    ----------
    loss : float
        Mean loss over the samples of known classes; infinite if there are none.
    accuracy : float
        Share of the samples whose class has the largest score.
    """

    loss: float
    accuracy: float


class Sweep(NamedTuple):
    """What one sweep over the dual rows saw.

    Attributes
    ----------
    value : float
        F, approximately: each row's loss was seen when its turn came.
    gap : float
        F minus the dual, approximately, of the rows that were visited.
    """

    value: float
    gap: float
