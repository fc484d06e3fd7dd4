"""The engine protocol. An engine reads X where it is stored, and is independent of the penalty and the solver.

With three rules, the same solvers run in main memory, on a GPU and on a cluster:

1. No array of length N crosses the protocol. Scores, offsets, multipliers and dual rows stay where X is, behind a
   `RowState`. (The exception is `RowState.save`, which returns an array for a checkpoint.)
2. W, b and gradients are arrays of the engine's namespace ``xp``, on its device. Code that uses them is written
   for the array API.
3. A solver checks ``supports`` before it uses anything but sums over all samples.

Conventions
-----------
X is the array as it is stored. W is (D, C) float64, b is (C,) float64, the weights sum to one, and only samples of
positive weight are read. Dual rows are ``dL/ds``. Methods that use centred and scaled features take an `Affine`
map. Every result is float64, and does not depend on the number of threads or workers, to the last bit.
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
    "Batch", "Blocks", "Capability", "DualSource", "DualState", "DualSums", "Engine", "Evaluation", "GivenRows",
    "Gradients", "Hessian", "Moments", "Preconditioner", "Quality", "RowState", "Shape", "Sweep",
]  # fmt: skip


class RowState(Protocol):
    """An array (N, C), one number per sample and class, that stays with the engine that created it."""

    def scaled(self, factor: float) -> RowState:
        """Return the rows times a factor."""

    def moved(self, target: RowState, step: float, low: float, high: float) -> RowState:
        """Return rows + step · (target - rows), clipped to [low, high]."""

    def non_negative(self) -> RowState:
        """Return max(rows, 0) in float32."""

    def save(self) -> NDArray[Any]:
        """Return the rows as an array for a checkpoint; `Engine.rows_from` restores them."""


class Evaluation(NamedTuple):
    """The value and the gradient of the mean loss at a point, from one pass.

    Attributes
    ----------
    W, b : array of shape (D, C) and (C,)
        The point, for the features as they are stored.
    value : float
        Σ ω_i L(s_i, y_i).
    dW, db : array of shape (D, C) and (C,)
        Its gradient.
    scores : RowState or None
        The scores plus offsets; None unless `Engine.evaluate` was called with ``keep_scores``.
    """

    W: Vector
    b: Vector
    value: float
    dW: Vector
    db: Vector
    scores: RowState | None = None


@dataclass(frozen=True)
class Gradients:
    """Dual rows to compute: dL/ds of a loss at the scores of a point.

    Attributes
    ----------
    loss : Loss
    offsets : RowState, optional
        Added to the scores.
    keep : bool
        Whether to return the rows as `DualSums.rows`.
    """

    loss: Loss
    offsets: RowState | None = None
    keep: bool = False


@dataclass(frozen=True)
class GivenRows:
    """Existing dual rows, to be made feasible and then rebalanced by a shift of the scores.

    Attributes
    ----------
    rows : RowState
    shift : ndarray of shape (C,)
    """

    rows: RowState
    shift: Floats


DualSource: TypeAlias = Gradients | GivenRows


class DualSums(NamedTuple):
    """Weighted sums over the dual rows of all samples, from one pass.

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
        The dual rows, if `Gradients.keep` was true.
    """

    value: float
    conjugate: float
    square: float
    features: Vector
    classes: Floats
    rows: RowState | None = None


class Hessian(Protocol):
    """The Hessian of the mean loss at an evaluated point, in a form whose use is cheap compared with a pass."""

    def product(self, single: bool) -> Callable[[Vector, Vector], tuple[Vector, Vector]] | None:
        """Return the product with a direction (V, c) on stored features; None if it is not cheap.

        With ``single``, it may be computed in float32.
        """

    def blocks(self, reg: float, floor: float | None) -> Blocks | None:
        """Return an approximate inverse on mapped features, from one block per class; None if it is not cheap.

        2λ is added for W and ``floor`` for b, as in `solve`.
        """

    def solve(self, G: Vector, reg: float, floor: float | None, preconditioner: Preconditioner) -> Vector | None:
        """Return the inverse, with 2λ added for W and ``floor`` for b, times G (D + 1, C), on mapped features.

        Return None if this form has no solver, or if the matrix is not positive definite after rounding.
        ``floor`` is None if b is fixed. ``preconditioner`` is that of the engine for the same features.
        """


class Blocks(Protocol):
    """An approximate inverse of a Hessian."""

    def solve(self, G: Vector) -> Vector:
        """Return the approximate inverse times G (D + 1, C)."""


class Preconditioner(Protocol):
    """An approximate inverse of ``c Σ + 2λ I`` with the second moment Σ of the mapped features.

    Attributes
    ----------
    limitation : str
        Why fits may converge slowly with it, as a sentence for the user; empty if there is no reason.
    """

    limitation: str

    def solve(self, curvature: float, reg: float, G: Vector) -> Vector:
        """Return approximately (c Σ + 2λ I)⁻¹ G for G of shape (D, C)."""


class Batch(Protocol):
    """A random mini-batch of samples."""

    def gradient(self, loss: Loss, W: Vector, b: Vector) -> tuple[float, Vector, Vector]:
        """Return unbiased estimates of the mean loss and of its gradient at a point."""


class DualState(Protocol):
    """The dual rows of all samples with the corresponding W and b; sweeps improve them in place."""

    reg: float

    @property
    def n_passes(self) -> float:
        """Mean number of visits per row so far."""

    @property
    def P(self) -> Vector:
        """W and b as a new array (D + 1, C)."""

    def stretched_P(self) -> Vector:
        """Return the multiple of W and b with all losses zero, if there is one; half a pass."""

    @property
    def rows(self) -> RowState:
        """The dual rows, as a view that later sweeps change."""

    def start_from_classes(self, rows: Floats, W: Vector, b: Vector) -> None:
        """Start with the same row for all samples of a class; ``rows`` is (C, C), and W and b correspond to it."""

    def start_from_point(self, W: Vector, b: Vector) -> None:
        """Start with dL/ds at a point; two passes."""

    def start_from(self, before: DualState, factor: float) -> None:
        """Start with the rows of another λ times a factor."""

    def sweep(self, rng: np.random.Generator) -> Sweep:
        """Visit the rows once in random order; rows with little to gain are visited in some sweeps only."""

    def balancing_shift(self) -> Floats:
        """Return the shift (C,) of all scores for which the rebalanced dual rows sum to zero."""

    def to_double(self) -> None:
        """Continue in float64."""

    def save(self) -> dict[str, Any]:
        """Return everything that sweeps change, for a checkpoint: arrays and values that JSON can hold."""

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore what `save` returned."""


class Engine(ABC):
    """Base class of engines. A method that returns sums over the samples takes one pass, unless documented.

    Attributes
    ----------
    shape : Shape
    supports : frozenset of Capability
    xp : namespace
        The array namespace of W, b and gradients.
    labels : ndarray of shape (C,), or None
        The label of each class, if the data came with labels and not with class numbers.
    """

    shape: Shape
    supports: frozenset[Capability] = frozenset()
    xp: Any = np
    labels: NDArray[Any] | None = None

    @property
    @abstractmethod
    def n_passes(self) -> float:
        """Number of passes over X so far; reading some of the rows counts as a fraction of a pass."""

    @property
    def n_threads(self) -> int:
        """Number of threads in which fits may run concurrently: those of this process that read X."""
        return 1

    def asarray(self, array: Any) -> Vector:
        """Return a NumPy array as a float64 array of the engine's namespace."""
        return self.xp.asarray(array, dtype=self.xp.float64)

    def require(self, capability: Capability, purpose: str) -> None:
        """Raise a `CapabilityError` unless the engine supports a capability; ``purpose`` says what needs it."""
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
        """Return the value and the gradient at a point; the scores are X @ W + b, plus offsets if given.

        With ``single``, products may be computed in float32. With ``keep_scores``, the result holds the scores,
        as `hessian` requires.
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
        """Return the values and gradients at several points, from a single pass if the engine supports it.

        ``folds`` holds one fold number per point, whose training weights are used; by default, all samples are.
        """
        engines = [self] * len(W) if folds is None else [self.with_fold(k) for k in folds]
        if any(engine.shape.n_classes < self.shape.n_classes for engine in engines):
            raise CapabilityError(f"{type(self).__name__} does not support folds that lack a class.")
        return [e.evaluate(loss, W_k, b_k, single=single) for e, W_k, b_k in zip(engines, W, b, strict=True)]

    @abstractmethod
    def hessian_product(
        self, loss: Loss, W: Vector, b: Vector, V: Vector, c: Vector, offsets: RowState | None = None
    ) -> tuple[Vector, Vector]:
        """Return the product of the Hessian at (W, b) with the direction (V, c)."""

    def hessian(self, loss: Loss, at: Evaluation, affine: Affine) -> Hessian | None:
        """Return the Hessian at an evaluation that holds its scores; None if a pass is cheaper in any form."""
        return None

    @abstractmethod
    def dual_sums(self, loss: Loss, W: Vector, b: Vector, source: DualSource) -> DualSums:
        """Return the value of ``loss`` at (W, b) and the sums over dual rows, with its conjugate, in float64."""

    @abstractmethod
    def rows_from(self, saved: NDArray[Any] | None) -> RowState:
        """Return the rows that `RowState.save` returned, or zeros in float32."""

    @abstractmethod
    def moments(self) -> Moments:
        """Return the mean and the variance of each feature; two passes."""

    @abstractmethod
    def class_features(self) -> Vector:
        """Return the weighted sum of the features of each class, (D, C)."""

    @abstractmethod
    def preconditioner(self, affine: Affine, moments: Moments, single: bool) -> Preconditioner:
        """Return a preconditioner that costs no more than a few passes; with ``single``, it may be in float32."""

    @abstractmethod
    def mean_curvature(self, loss: Loss, W: Vector, b: Vector, offsets: RowState | None = None) -> float:
        """Return the mean curvature of the loss in score space: the trace of its Hessian divided by C - 1.

        It is estimated from few samples. Each call uses the same samples and the same random directions.
        """

    @abstractmethod
    def score_square(self, G: Vector, b: Vector) -> float:
        """Return Σ ω_i ‖x_i G + b‖² / C, from which the largest λ of a path is derived."""

    @abstractmethod
    def quality(self, loss: Loss, W: Vector, b: Vector, part: str) -> Quality:
        """Return the loss and accuracy of a point on the "training" or, of a fold, on the "held_out" samples."""

    @abstractmethod
    def rounding(self) -> float:
        """Return a bound on the relative rounding error of a sum over the samples."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of X, labels and weights, to detect a checkpoint of other data."""

    @abstractmethod
    def with_fold(self, k: int) -> Engine:
        """Return the engine of the training samples of fold ``k``: the same X with other weights."""

    def dual_state(self, loss: Loss, reg: float, affine: Affine, penalty: float, single: bool) -> DualState:
        """Return dual rows for dual ascent; with ``single``, they may be in float32.

        ``penalty`` is the initial penalty on the sum of the dual rows, in units of scores; 0 without a bias.
        """
        raise CapabilityError(f"{type(self).__name__} does not support dual ascent.")

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all samples of positive weight in random order, in mini-batches of ``size``."""
        raise CapabilityError(f"{type(self).__name__} does not support access to rows.")

    def scores(self, W: Vector, b: Vector, rows: Ints) -> Floats:
        """Return the scores of chosen samples, (n, C)."""
        raise CapabilityError(f"{type(self).__name__} does not support access to rows.")

    def held_out_scores(self, W: Vector, b: Vector) -> tuple[Floats, Ints, Floats, Ints]:
        """Return the scores, classes, weights and row numbers of a fold's held-out samples of known classes."""
        raise CapabilityError(f"{type(self).__name__} does not support access to rows.")
