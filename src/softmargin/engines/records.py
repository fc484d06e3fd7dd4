"""Records that cross the engine protocol: sizes, capabilities and sums."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from softmargin.losses.base import Floats, Ints
from softmargin.vectors import Vector

__all__ = ["Capability", "Moments", "Quality", "Shape", "Sweep"]

_SMALL_HESSIAN = 1024
"""Up to this many weights, the whole Hessian is a small matrix."""

_TINY_HESSIAN = 100
"""Up to this many, a Newton step with it costs little more than a pass. For features of very different scales, it
is more accurate than products between active pairs."""

_CHEAP_FEATURES = 512
"""Up to this many features, a (D, D) matrix is cheap even if there are fewer rows than features."""

_FEW_ROWS_BYTES = 1 << 28
"""Maximum size of a float64 copy of few rows."""


class Capability(Enum):
    """What an engine supports beyond sums over all samples."""

    DUAL_ASCENT = auto()
    """`Engine.dual_state`."""
    CHEAP_SWEEPS = auto()
    """A sweep of dual ascent costs about as much as a pass, for any number of classes."""
    HESSIAN = auto()
    """Evaluations can keep their scores, and `Engine.hessian` returns a matrix or a sum over active pairs."""
    ROWS = auto()
    """Access to chosen samples: `Engine.batches` and `Engine.scores`."""
    SINGLE = auto()
    """Products in float32, if float32 represents X exactly."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a problem.

    Attributes
    ----------
    n_samples, n_features, n_classes : int
        N, D and C.
    n_active : int
        Number of samples of positive weight.
    weight_square : float
        Σ ω_i².
    class_weights : ndarray of shape (C,)
        Sum of the weights of each class; they sum to one.
    classes : ndarray of shape (C,)
        The number of each class in the whole data set; a fold may lack some.
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
        """Number of multiplications in X @ W."""
        return self.n_samples * self.n_features * self.n_classes

    @property
    def has_small_hessian(self) -> bool:
        """Whether the Hessian in all weights is a small matrix."""
        return (self.n_features + 1) * self.n_classes <= _SMALL_HESSIAN

    @property
    def has_tiny_hessian(self) -> bool:
        """Whether that matrix is so small that no other form of the Hessian costs less."""
        return self.n_features * self.n_classes <= _TINY_HESSIAN

    @property
    def has_few_rows(self) -> bool:
        """Whether there are fewer samples than features, few enough for a float64 copy of X."""
        size = 8 * self.n_active * self.n_features
        return _CHEAP_FEATURES < self.n_features > self.n_active and size <= _FEW_ROWS_BYTES


class Moments(NamedTuple):
    """Weighted mean and variance of each feature as it is stored, both (D,)."""

    mean: Vector
    variance: Vector


class Quality(NamedTuple):
    """Loss and accuracy of a point on some samples, with the weights for scoring.

    Attributes
    ----------
    loss : float
        Mean loss over the samples of known classes; infinite if there are none.
    accuracy : float
        Fraction of the samples whose class has the largest score.
    """

    loss: float
    accuracy: float


class Sweep(NamedTuple):
    """What a sweep of dual ascent measured, before it changed each row.

    Attributes
    ----------
    value : float
        F, at the point of the dual rows or at a multiple with all losses zero.
    gap : float
        F minus the dual objective.
    plain_gap : float
        The same at the point of the rows, without the cost of their imbalance.
    stretched : bool
        Whether value and gap are those of the multiple.
    """

    value: float
    gap: float
    plain_gap: float
    stretched: bool
