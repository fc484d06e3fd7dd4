"""The engine protocol: what reads X, wherever X lives, and knows neither penalty nor solver.

Three rules make the same solvers run in main memory, on a GPU and on a cluster:

1. Nothing of length N crosses the protocol. Scores, offsets, multipliers and dual rows stay where X is, behind a
   `RowState`. (A checkpoint is the exception: `RowState.save` returns what a file has to hold.)
2. W, b and gradients are arrays of the engine's namespace ``xp``, on its device. Code that works with them uses
   the array API.
3. A solver looks at ``supports`` before it asks for more than sums over all samples.

Conventions
-----------
X is the stored array, untouched. W is (D, C) float64, b is (C,) float64, weights sum to one, and only samples of
positive weight are read. Dual rows are ``dL/ds``. An `Affine` map is given where features are wanted centred and
scaled. Every result is float64, and its bits do not depend on the number of threads or workers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.affine import Affine
from softmargin.engines.records import Capability, Moments, Quality, Shape, Sweep
from softmargin.errors import CapabilityError
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.vectors import Vector

__all__ = [
    "Batch", "Capability", "DualSource", "DualState", "DualSums", "Engine", "Evaluation", "GivenRows", "Gradients",
    "Hessian", "Moments", "Preconditioner", "Quality", "RowState", "Shape", "Sweep",
]  # fmt: skip


class RowState(Protocol):
    """Numbers for each sample and class, (N, C), that stay with the engine that made them."""

    def scaled(self, factor: float) -> RowState:
        """Return them times a factor."""
        ...

    def moved(self, target: RowState, step: float, low: float, high: float) -> RowState:
        """Return them moved by ``step`` of the way to a target, and clipped to low … high."""
        ...

    def non_negative(self) -> RowState:
        """Return them with 0 in place of what is negative, in float32."""
        ...

    def save(self) -> NDArray[Any]:
        """Return them for a checkpoint; `Engine.rows_from` is the way back."""
        ...


class Evaluation(NamedTuple):
    """What one pass computed at a point.

    Attributes
    ----------
    W, b : array of shape (D, C) and (C,)
        The point, on the features as they are stored.
    value : float
        Σ ω_i L(s_i, y_i).
    dW, db : array of shape (D, C) and (C,)
        Its gradient.
    scores : RowState or None
        The scores plus offsets, where they were kept.
    """

    W: Vector
    b: Vector
    value: float
    dW: Vector
    db: Vector
    scores: RowState | None = None


@dataclass(frozen=True)
class Gradients:
    """Dual rows that are dL/ds of a loss at the scores of a point.

    Attributes
    ----------
    loss : Loss
    offsets : RowState, optional
        Added to the scores.
    keep : bool
        Whether `DualSums.rows` should hold them.
    """

    loss: Loss
    offsets: RowState | None = None
    keep: bool = False


@dataclass(frozen=True)
class GivenRows:
    """Dual rows as they are given: made feasible, and moved as a shift of all scores moves them.

    Attributes
    ----------
    rows : RowState
    shift : ndarray of shape (C,)
    """

    rows: RowState
    shift: Floats


DualSource: TypeAlias = Gradients | GivenRows


class DualSums(NamedTuple):
    """Weighted sums over the dual rows of all samples, made in one pass.

    Attributes
    ----------
    value : float
        Σ ω_i L(s_i, y_i), without offsets.
    conjugate : float
        Σ ω_i L*(a_i).
    square : float
        Σ ω_i ‖a_i‖².
    features : array of shape (D, C)
        Σ ω_i x_i a_iᵀ.
    classes : ndarray of shape (C, C)
        Row c is the sum of ω_i a_i over the samples of class c.
    rows : RowState or None
        The dual rows, where they were to be kept.
    """

    value: float
    conjugate: float
    square: float
    features: Vector
    classes: Floats
    rows: RowState | None = None


class Hessian(Protocol):
    """The Hessian of the mean loss at an evaluated point, in a form that is cheap against passes."""

    def product(self) -> Callable[[Vector, Vector], tuple[Vector, Vector]] | None:
        """Return what multiplies a direction (V, c), approximately, on stored features; None if not cheap."""
        ...

    def solve(self, G: Vector, reg: float, floor: float | None, preconditioner: Preconditioner) -> Vector | None:
        """Return the inverse, with 2λ added for W and ``floor`` for b, times G (D + 1, C), on mapped features.

        It is None where this form cannot be solved with, or rounding leaves no positive definite matrix.
        ``floor`` is None if b is fixed. ``preconditioner`` is the engine's for the same features.
        """
        ...


class Preconditioner(Protocol):
    """An approximate inverse of ``c Σ + 2λ I`` with the second moment Σ of the mapped features."""

    def solve(self, curvature: float, reg: float, G: Vector) -> Vector:
        """Return about (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""
        ...


class Batch(Protocol):
    """A few samples drawn at random."""

    def gradient(self, loss: Loss, W: Vector, b: Vector) -> tuple[float, Vector, Vector]:
        """Return unbiased estimates of the mean loss and its gradient at a point."""
        ...


class DualState(Protocol):
    """Dual rows of all samples, with the W and b that belong to them, which sweeps improve in place."""

    reg: float

    @property
    def n_passes(self) -> float:
        """How often each row was visited so far, on average."""
        ...

    @property
    def P(self) -> Vector:
        """W and b, (D + 1, C); a copy."""
        ...

    @property
    def rows(self) -> RowState:
        """The dual rows; a view, which later sweeps change."""
        ...

    def start_from_classes(self, rows: Floats, W: Vector, b: Vector) -> None:
        """Give every sample the row (C,) of its class, for which W and b are known."""
        ...

    def start_from_point(self, W: Vector, b: Vector) -> None:
        """Take the dL/ds of a point, in two passes."""
        ...

    def start_from(self, before: DualState, factor: float) -> None:
        """Take the rows of another λ times a factor."""
        ...

    def sweep(self, rng: np.random.Generator) -> Sweep:
        """Visit the rows in random order."""
        ...

    def balancing_shift(self) -> Floats:
        """Return the shift (C,) of all scores that brings the sum of the dual rows to zero."""
        ...

    def to_double(self) -> None:
        """Go on in float64."""
        ...

    def save(self) -> dict[str, Any]:
        """Return all that sweeps change, for a checkpoint: arrays, and what JSON can hold."""
        ...

    def restore(self, saved: dict[str, Any]) -> None:
        """Take what was saved."""
        ...


class Engine(ABC):
    """Reads X; a method that returns sums over the samples is one pass, unless it says otherwise.

    Attributes
    ----------
    shape : Shape
    supports : frozenset of Capability
    xp : namespace
        That of W, b and gradients.
    """

    shape: Shape
    supports: frozenset[Capability] = frozenset()
    xp: Any = np

    @property
    @abstractmethod
    def n_passes(self) -> float:
        """How often X was read so far; to read some of the rows counts as that share."""

    @property
    def n_threads(self) -> int:
        """How many threads of this process read X."""
        return 1

    def asarray(self, array: Any) -> Vector:
        """Return a NumPy array as one of the engine's, in float64."""
        return self.xp.asarray(array, dtype=self.xp.float64)

    def require(self, capability: Capability, purpose: str) -> None:
        """Raise a `CapabilityError` if the engine lacks a capability that is needed for a purpose."""
        if capability not in self.supports:
            raise CapabilityError(
                f"{type(self).__name__} does not support {capability.name}, needed for {purpose}."
            )

    @abstractmethod
    def value(self, loss: Loss, W: Vector, b: Vector) -> float:
        """Return Σ ω_i L(x_i W + b, y_i)."""

    @abstractmethod
    def evaluate(
        self,
        loss: Loss,
        W: Vector,
        b: Vector,
        offsets: RowState | None = None,
        *,
        single: bool = False,
        keep_scores: bool = False,
    ) -> Evaluation:
        """Return the value and gradient at a point; the scores are X @ W + b, plus offsets if given.

        With ``single`` products may be made in float32. With ``keep_scores`` the scores are kept for `hessian`.
        """

    def evaluate_many(
        self,
        loss: Loss,
        W: Sequence[Vector],
        b: Sequence[Vector],
        folds: Sequence[int] | None = None,
        *,
        single: bool = False,
    ) -> list[Evaluation]:
        """Return the values and gradients at several points, from one reading of X where the engine can do that.

        ``folds`` are the numbers of the folds whose training weights each point has; by default all samples count.
        """
        engines = [self] * len(W) if folds is None else [self.with_fold(k) for k in folds]
        if any(engine.shape.n_classes < self.shape.n_classes for engine in engines):
            raise CapabilityError(f"{type(self).__name__} cannot weigh by a fold that lacks a class.")
        return [e.evaluate(loss, W_k, b_k, single=single) for e, W_k, b_k in zip(engines, W, b, strict=True)]

    @abstractmethod
    def hessian_product(
        self, loss: Loss, W: Vector, b: Vector, V: Vector, c: Vector, offsets: RowState | None = None
    ) -> tuple[Vector, Vector]:
        """Return the product of the Hessian at (W, b) with the direction (V, c)."""

    def hessian(self, loss: Loss, at: Evaluation, affine: Affine) -> Hessian | None:
        """Return the Hessian where scores were kept; None where no form of it is cheap against passes."""
        return None

    @abstractmethod
    def dual_sums(self, loss: Loss, W: Vector, b: Vector, source: DualSource) -> DualSums:
        """Return the value of ``loss`` at (W, b), and the sums of dual rows with its conjugate, in float64."""

    @abstractmethod
    def rows_from(self, saved: NDArray[Any] | None) -> RowState:
        """Return rows that `RowState.save` returned, or float32 zeros."""

    @abstractmethod
    def moments(self) -> Moments:
        """Return mean and variance of each feature; two passes."""

    @abstractmethod
    def class_features(self) -> Vector:
        """Return the weighted sum of the features of each class, (D, C)."""

    @abstractmethod
    def preconditioner(self, affine: Affine, moments: Moments, single: bool) -> Preconditioner:
        """Return a preconditioner that costs no more than a few passes; made in float32 if that may be."""

    @abstractmethod
    def mean_curvature(self, loss: Loss, W: Vector, b: Vector, offsets: RowState | None = None) -> float:
        """Return the mean curvature of the loss in score space: the trace of its Hessian there over C - 1.

        Few samples serve. The same ones, and the same random directions, are taken each time.
        """

    @abstractmethod
    def score_square(self, G: Vector, b: Vector) -> float:
        """Return Σ ω_i of the mean square of the scores x_i G + b: the sum behind the largest λ."""

    @abstractmethod
    def quality(self, loss: Loss, W: Vector, b: Vector, part: str) -> Quality:
        """Return how a point does on the "training" samples, or on the "held_out" ones of a fold."""

    @abstractmethod
    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of X, labels and weights; it tells whether a checkpoint is of the same data."""

    @abstractmethod
    def with_fold(self, k: int) -> Engine:
        """Return the engine of the training part of a fold, by number: same X, other weights."""

    def dual_state(self, loss: Loss, reg: float, affine: Affine, penalty: float, single: bool) -> DualState:
        """Return dual rows for dual ascent, in float32 if that may be.

        ``penalty`` is what a sum of the dual rows costs at first, in units of scores; 0 if there is no bias.
        """
        raise CapabilityError(f"{type(self).__name__} does not support dual ascent.")

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all samples of positive weight in random order, so many at a time."""
        raise CapabilityError(f"{type(self).__name__} does not give access to rows.")

    def scores(self, W: Vector, b: Vector, rows: Ints) -> Floats:
        """Return the scores of chosen samples, (n, C)."""
        raise CapabilityError(f"{type(self).__name__} does not give access to rows.")

    def held_out_scores(self, W: Vector, b: Vector) -> tuple[Floats, Ints, Floats, Ints]:
        """Return scores, classes, weights and row numbers of the held-out samples of known classes of a fold."""
        raise CapabilityError(f"{type(self).__name__} does not give access to rows.")
