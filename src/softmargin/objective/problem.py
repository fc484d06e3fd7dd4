"""F(W, b) = mean loss + λΣW²: the implementation of the `Problem` of ``protocol.py`` with an engine."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.engines import Capability, DualSource, DualState, Evaluation, GivenRows, Gradients, RowState
from softmargin.engines.base import Batch, Hessian
from softmargin.errors import CapabilityError, ParameterError
from softmargin.losses.base import Floats, Loss
from softmargin.objective.certificate import Proof, as_value, prove
from softmargin.objective.features import Features
from softmargin.objective.protocol import BatchGradient, Point, Problem, Traits
from softmargin.sparse import Columns
from softmargin.vectors import Vector, inner, namespace, stack, to_numpy

__all__ = ["PenalizedLoss", "lifted"]


class PenalizedLoss:
    """The mean of a loss over samples, with an L2 penalty on W.

    Parameters
    ----------
    loss : Loss
    reg : float
        λ.
    features : Features
    fit_intercept : bool
        Whether b is free; if not, its gradient is 0.
    """

    def __init__(self, loss: Loss, reg: float, features: Features, fit_intercept: bool) -> None:
        self.loss, self.reg, self.features, self.fit_intercept = loss, reg, features, fit_intercept
        self._offsets: RowState | None = None

    @cached_property
    def traits(self) -> Traits:
        """Sizes and capabilities."""
        engine = self.features.engine
        square = engine.shape.weight_square * self.features.mean_square_length
        stiffness = square / (2.0 * self.reg) if self.reg > 0.0 else np.inf
        return Traits(engine.shape, engine.supports, self.features.prefers_single, stiffness)

    @property
    def n_passes(self) -> float:
        """Number of passes over X so far."""
        return self.features.engine.n_passes

    @property
    def limitation(self) -> str:
        """Why fits may converge slowly, as a sentence; empty if no reason is known."""
        return self.features.limitation

    def value(self, W: Vector, b: Vector) -> float:
        """Return F at (W, b); one pass."""
        data = self.features.engine.value(self.loss, *self.features.affine.fold(W, b))
        return as_value(data + self.reg * inner(W, W))

    def value_and_grad(
        self, W: Vector, b: Vector, *, single: bool = False, keep_scores: bool = False
    ) -> tuple[float, Vector, Vector, Evaluation]:
        """Return F, its gradient in W and in b, and the result of the engine; one pass."""
        data = self.features.engine.evaluate(
            self.loss, *self.features.affine.fold(W, b), self._offsets, single=single, keep_scores=keep_scores
        )
        return *self.penalized(W, data, self.reg), data

    def penalized(self, W: Vector, data: Evaluation, reg: float) -> tuple[float, Vector, Vector]:
        """Return F and its gradients at W, from the engine's results on the stored features."""
        dW = self.features.affine.unfold_gradient(data.dW, data.db)
        if reg > 0.0:
            dW = dW + 2.0 * reg * W
        return as_value(float(data.value) + reg * inner(W, W)), dW, self._free(data.db)

    def evaluate(self, P: Vector, *, single: bool = False, keep_scores: bool = False) -> Point:
        """Return F and its gradient; one pass."""
        value, dW, db, data = self.value_and_grad(P[:-1, :], P[-1, :], single=single, keep_scores=keep_scores)
        return Point(P, value, stack(dW, db), data)

    def hessian_product(self, P: Vector, V: Vector) -> Vector:
        """Return the Hessian at P times the direction V (D + 1, C); one pass."""
        self.loss.check_smooth("a Hessian product")
        engine = self.features.engine
        found = engine.hessian_product(self.loss, *self._folded(P), *self._folded(V), self._offsets)
        return self._with_penalty(V, *found)

    def hessian(self, at: Point) -> _LocalHessian | None:
        """Return the Hessian at a point whose scores were kept; None if it is not much cheaper than a pass."""
        found = self.features.engine.hessian(self.loss, at.data, self.features.affine)
        return None if found is None else _LocalHessian(self, found)

    def prove(self, P: Vector, source: Problem | DualState | None = None, keep: bool = False) -> Proof:
        """Return the certificate of P; one pass."""
        if self._offsets is not None:
            raise CapabilityError("An objective that is smoothed around multipliers has no certificate.")
        rows: DualSource
        if source is None:
            rows = Gradients(self.loss)
        elif isinstance(source, PenalizedLoss):
            if not source.loss.is_dual_feasible_for(self.loss):
                raise ParameterError(f"Gradients of {source.loss!r} are not dual feasible for {self.loss!r}.")
            rows = Gradients(source.loss, source._offsets, keep)
        else:
            state = cast(DualState, source)
            rows = GivenRows(state.rows, state.balancing_shift())
        return prove(self.features, self.loss, self.reg, self.fit_intercept, P[:-1, :], P[-1, :], rows)

    def with_reg(self, reg: float) -> PenalizedLoss:
        """Return the objective with another λ."""
        return PenalizedLoss(self.loss, reg, self.features, self.fit_intercept)

    def metric(self) -> _Metric:
        """Return the approximate Hessian from the preconditioner of the features."""
        return _Metric(self)

    def smoothed(self, width: float, multipliers: RowState) -> PenalizedLoss:
        """Return the objective with its loss smoothed by ``width`` around multipliers."""
        loss = self.loss.smoothed(width)
        assert loss is not None, f"{self.loss!r} has no smoothed form"
        other = copy.copy(self)
        other.loss, other._offsets = loss, multipliers.scaled(width)
        return other

    def rows_from(self, saved: NDArray[Any] | None) -> RowState:
        """Return saved rows, or float32 zeros."""
        return self.features.engine.rows_from(saved)

    def dual_state(self, penalty: float, constant_feature: float) -> DualState:
        """Return the best dual rows that are the same for all samples of a class, θ (π - e_y)."""
        features, loss, reg = self.features, self.loss, self.reg
        engine, shares = features.engine, features.engine.shape.class_weights
        engine.require(Capability.DUAL_ASCENT, "dual ascent")
        least = constant_feature * features.mean_square_length / (2.0 * reg)
        penalty = max(penalty, least) if self.fit_intercept else 0.0
        state = engine.dual_state(loss, reg, features.affine, penalty, features.fits_single)
        mean = (features.moments.mean - features.affine.mean) * features.affine.scale
        G = mean[:, None] * engine.asarray(shares)[None, :] - features.class_sums
        theta = loss._first_mix(shares, inner(G, G) / (4.0 * reg))
        b = loss._first_bias(shares) if self.fit_intercept else np.zeros(len(shares))
        state.start_from_classes(
            theta * (shares - np.eye(len(shares))), theta / (-2.0 * reg) * G, engine.asarray(b)
        )
        return state

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[BatchGradient]:
        """Yield the gradients of mini-batches of ``size`` samples, over all samples in random order."""
        self.features.engine.require(Capability.ROWS, "mini-batches")
        for batch in self.features.engine.batches(size, rng):
            yield partial(self._batch_gradient, batch)

    def _batch_gradient(self, batch: Batch, P: Vector) -> Vector:
        _, dW, db = batch.gradient(self.loss, *self._folded(P))
        return self._with_penalty(P, dW, db)

    def vector(self, W: Any, b: Any) -> Vector:
        """Return W (D, C) and b (C,), NumPy arrays, as a vector of the engine."""
        return self.features.without_constant(stack(*map(self.features.engine.asarray, (W, b))))

    def prepare_certificates(self) -> None:
        """Compute what all certificates share; one pass, once."""
        if self.fit_intercept:
            self.features.class_sums  # noqa: B018

    def fingerprint(self) -> str:
        """Return a hash of the data, the loss and λ, which identifies the problem of a checkpoint."""
        affine = self.features.affine
        digest = hashlib.sha256(self.features.engine.fingerprint().encode())
        digest.update(repr([self.loss, self.reg, self.fit_intercept]).encode())
        for vector in (affine.mean, affine.scale):
            digest.update(to_numpy(vector).tobytes())
        return digest.hexdigest()

    def _folded(self, P: Vector) -> tuple[Vector, Vector]:
        return self.features.affine.fold(P[:-1, :], P[-1, :])

    def _with_penalty(self, V: Vector, dW: Vector, db: Vector) -> Vector:
        """Return a product with V on mapped features, with the penalty, from the product on stored features."""
        dW = self.features.affine.unfold_gradient(dW, db) + 2.0 * self.reg * V[:-1, :]
        return stack(dW, self._free(db))

    def _free(self, db: Vector) -> Vector:
        return db if self.fit_intercept else namespace(db).zeros_like(db)


def lifted(
    columns: Columns, W: ArrayLike, reg: float, value: float, dW: Floats | None = None
) -> tuple[float, Floats]:
    """Return F and its gradient at W (D, C), from those without the empty columns, of which only W² remains."""
    if columns.kept is None and dW is not None:
        return value, dW
    rest = columns.rest(np.asarray(W, np.float64))
    slope = 2.0 * reg * rest
    return value + reg * float(np.square(rest).sum()), slope if dW is None else columns.spread(dW, slope)


class _Metric:
    """``c Σ + 2λ I`` for W and ``c`` for b."""

    def __init__(self, problem: PenalizedLoss) -> None:
        self._problem, self._preconditioner = problem, problem.features.preconditioner()

    def solve(self, curvature: float, G: Vector) -> Vector:
        """Return the approximate product of its inverse with G (D + 1, C)."""
        solved = stack(self._preconditioner.solve(curvature, self._problem.reg, G[:-1, :]), G[-1, :] / curvature)
        return self._problem.features.without_constant(solved)  # folds share a preconditioner

    def mean_curvature(self, P: Vector) -> float:
        """Return the mean curvature of the loss in the scores at P."""
        problem = self._problem
        problem.loss.check_smooth("a curvature")
        return problem.features.engine.mean_curvature(problem.loss, *problem._folded(P), problem._offsets)


class _LocalHessian:
    """The Hessian of F in mapped features, from the engine's Hessian of the mean loss."""

    def __init__(self, problem: PenalizedLoss, data: Hessian) -> None:
        self._problem, self._data = problem, data

    def blocks(self, floor: float) -> Callable[[Vector], Vector] | None:
        """Return an approximate inverse, from one block per class, as a function of G (D + 1, C); or None."""
        problem = self._problem
        found = self._data.blocks(problem.reg, floor if problem.fit_intercept else None)
        return None if found is None else lambda G: problem.features.without_constant(found.solve(G))

    def product(self, single: bool = True) -> Callable[[Vector], Vector] | None:
        """Return a function that multiplies a direction (D + 1, C); None if that is not cheap."""
        product, problem = self._data.product(single), self._problem
        if product is None:
            return None
        return lambda V: problem._with_penalty(V, *product(*problem._folded(V)))

    def solve(self, G: Vector, floor: float) -> Vector | None:
        """Return the inverse, with a curvature of ``floor`` added for b, times G (D + 1, C); or None."""
        problem = self._problem
        least = floor if problem.fit_intercept else None
        solved = self._data.solve(G, problem.reg, least, problem.features.preconditioner())
        return None if solved is None else problem.features.without_constant(solved)
