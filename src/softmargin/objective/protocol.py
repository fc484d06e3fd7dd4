"""What a solver sees of an objective: a dozen members, on vectors P (D + 1, C) of W with b as its last row.

Vectors are arrays of the engine's namespace; a solver works on them through the array API. It never sees X, nor
anything of length N: such things are held by a `RowState` or a `DualState`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.engines import Capability, DualState, Evaluation, RowState, Shape
from softmargin.losses.base import Loss
from softmargin.objective.certificate import Proof
from softmargin.vectors import Vector

__all__ = [
    "BatchGradient", "Capability", "DualState", "LocalHessian", "Metric", "Point", "Problem", "RowState", "Traits",
]  # fmt: skip

BatchGradient: TypeAlias = Callable[[Vector], Vector]
"""Returns an unbiased estimate of the gradient (D + 1, C) of F at a point, from a few samples."""


class Traits(NamedTuple):
    """What a solver is chosen by.

    Attributes
    ----------
    shape : Shape
    supports : frozenset of Capability
    prefers_single : bool
        Whether products in float32 are possible and pay off.
    dual_stiffness : float
        How far a sample's scores follow its own dual row, Σω²‖z‖²/(2λ) on average: what slows dual ascent.
    """

    shape: Shape
    supports: frozenset[Capability]
    prefers_single: bool
    dual_stiffness: float


class Point(NamedTuple):
    """A point with what one pass computed there.

    Attributes
    ----------
    P : array of shape (D + 1, C)
    value : float
        F.
    gradient : array of shape (D + 1, C)
        Of F.
    data : Evaluation
        What the engine returned.
    """

    P: Vector
    value: float
    gradient: Vector
    data: Evaluation


class Metric(Protocol):
    """The approximate Hessian ``c Σ + 2λ I`` in W and ``c`` in b, with the second moment Σ of the features."""

    def solve(self, curvature: float, G: Vector) -> Vector:
        """Return about its inverse times G (D + 1, C)."""
        ...

    def mean_curvature(self, P: Vector) -> float:
        """Return the mean curvature of the loss in score space at P: the c that fits there."""
        ...


class LocalHessian(Protocol):
    """The Hessian of F at an evaluated point, in a form that is cheap against passes."""

    def product(self) -> Callable[[Vector], Vector] | None:
        """Return what multiplies a direction (D + 1, C), approximately; None if that is not cheap."""
        ...

    def solve(self, G: Vector, floor: float) -> Vector | None:
        """Return the inverse, with a curvature of ``floor`` added in b, times G (D + 1, C); None if it cannot."""
        ...


class Problem(Protocol):
    """The objective as solvers see it."""

    loss: Loss
    reg: float

    @property
    def traits(self) -> Traits:
        """Sizes and capabilities."""
        ...

    @property
    def n_passes(self) -> float:
        """How often X was read so far."""
        ...

    def evaluate(self, P: Vector, *, single: bool = False, keep_scores: bool = False) -> Point:
        """Return F and its gradient; one pass.

        With ``single`` products may be made in float32; with ``keep_scores`` the point serves for `hessian`.
        """
        ...

    def hessian(self, at: Point) -> LocalHessian | None:
        """Return the Hessian at a point whose scores were kept; None if no form of it is cheap against passes."""
        ...

    def prove(self, P: Vector, source: Problem | DualState | None = None, keep: bool = False) -> Proof:
        """Return what is proved about P; one pass.

        The dual rows are those of a `DualState`, or dL/ds of ``source`` at P; by default of this objective. With
        ``keep`` the latter are kept.
        """
        ...

    def metric(self) -> Metric:
        """Return the approximate Hessian that the preconditioner of the features gives; made once."""
        ...

    def smoothed(self, width: float, multipliers: RowState) -> Problem:
        """Return the objective with its loss smoothed by ``width`` around multipliers."""
        ...

    def rows_from(self, saved: NDArray[Any] | None) -> RowState:
        """Return rows that were saved, or float32 zeros."""
        ...

    def dual_state(self, penalty: float, constant_feature: float) -> DualState:
        """Return the best dual rows that are the same for all samples of a class, for dual ascent.

        Parameters
        ----------
        penalty : float
            In units of scores, what a sum of the dual rows costs at first, which a free bias wants to be zero.
        constant_feature : float
            That cost corresponds to a constant feature, whose square is at least this share of that of a sample.
        """
        ...

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[BatchGradient]:
        """Yield gradients over all samples in random order, so many at a time."""
        ...
