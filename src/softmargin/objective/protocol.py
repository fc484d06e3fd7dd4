"""The interface between solvers and an objective, on vectors P (D + 1, C): W, with b as its last row.

Vectors are arrays of the engine's namespace, and solvers use the array API for them. Solvers have no access to X
or to anything of length N. A `RowState` or a `DualState` holds such data.
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

_STIFF, _MOST_STIFF = 3.0, 1e9
"""Limits of `Traits.dual_stiffness`, in units of Δ for the hinge."""

BatchGradient: TypeAlias = Callable[[Vector], Vector]
"""Returns an unbiased estimate of the gradient (D + 1, C) of F at a point, from a mini-batch."""


class Traits(NamedTuple):
    """The properties by which a solver is chosen.

    Attributes
    ----------
    shape : Shape
    supports : frozenset of Capability
    prefers_single : bool
        Whether products in float32 are possible and faster.
    dual_stiffness : float
        Mean change of a sample's scores with its own dual row, Σω²‖z‖²/(2λ): large values make dual ascent slow.
    """

    shape: Shape
    supports: frozenset[Capability]
    prefers_single: bool
    dual_stiffness: float

    def is_stiff(self, unit: float) -> bool:
        """Return whether λ is small; ``unit`` is the `Loss.reg_scale`.

        A stiffness above the upper limit comes from features of very different scales.
        """
        return _STIFF < self.dual_stiffness / unit < _MOST_STIFF


class Point(NamedTuple):
    """A point, and the results of one pass there.

    Attributes
    ----------
    P : array of shape (D + 1, C)
    value : float
        F at P.
    gradient : array of shape (D + 1, C)
        Gradient of F at P.
    data : Evaluation
        Result of the engine.
    """

    P: Vector
    value: float
    gradient: Vector
    data: Evaluation


class Metric(Protocol):
    """The approximate Hessian ``c Σ + 2λ I`` in W and ``c`` in b, with the second moment Σ of the features."""

    def solve(self, curvature: float, G: Vector) -> Vector:
        """Return the approximate product of its inverse with G (D + 1, C)."""

    def mean_curvature(self, P: Vector) -> float:
        """Return the mean curvature of the loss in the scores at P, which is the c to use there."""


class LocalHessian(Protocol):
    """The Hessian of F at an evaluated point, in a form that is much cheaper than a pass."""

    def product(self, single: bool = True) -> Callable[[Vector], Vector] | None:
        """Return a function that multiplies a direction (D + 1, C); None if that is not cheap.

        With ``single``, it may compute in float32.
        """

    def blocks(self, floor: float) -> Callable[[Vector], Vector] | None:
        """Return an approximate inverse, from one block per class, as a function of G (D + 1, C).

        A curvature of ``floor`` is added for b. Return None if this is not cheap.
        """

    def solve(self, G: Vector, floor: float) -> Vector | None:
        """Return the inverse, with a curvature of ``floor`` added for b, times G (D + 1, C); or None."""


class Problem(Protocol):
    """The interface of an objective for solvers."""

    loss: Loss
    reg: float

    @property
    def traits(self) -> Traits:
        """Sizes and capabilities."""

    @property
    def n_passes(self) -> float:
        """Number of passes over X so far."""

    @property
    def limitation(self) -> str:
        """Why fits may converge slowly, as a sentence; empty if no reason is known."""

    def evaluate(self, P: Vector, *, single: bool = False, keep_scores: bool = False) -> Point:
        """Return F and its gradient; one pass.

        With ``single`` products may use float32. `hessian` requires ``keep_scores``.
        """

    def hessian(self, at: Point) -> LocalHessian | None:
        """Return the Hessian at a point whose scores were kept; None if it is not much cheaper than a pass."""

    def prove(self, P: Vector, source: Problem | DualState | None = None, keep: bool = False) -> Proof:
        """Return the certificate of P; one pass.

        The dual rows are those of a `DualState`, or dL/ds of ``source`` at P, by default of this objective. With
        ``keep`` the rows dL/ds are returned.
        """

    def with_reg(self, reg: float) -> Problem:
        """Return the objective with another λ."""

    def metric(self) -> Metric:
        """Return the approximate Hessian from the preconditioner of the features; computed once."""

    def smoothed(self, width: float, multipliers: RowState) -> Problem:
        """Return the objective with its loss smoothed by ``width`` around multipliers."""

    def rows_from(self, saved: NDArray[Any] | None) -> RowState:
        """Return saved rows, or float32 zeros."""

    def dual_state(self, penalty: float, constant_feature: float) -> DualState:
        """Return the best dual rows that are the same for all samples of a class, for dual ascent.

        Parameters
        ----------
        penalty : float
            Initial penalty on the sum of the dual rows, in units of scores. A free bias requires a sum of zero.
        constant_feature : float
            The penalty corresponds to a constant feature. Its minimum square, relative to that of a sample.
        """

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[BatchGradient]:
        """Yield the gradients of mini-batches of ``size`` samples, over all samples in random order."""
