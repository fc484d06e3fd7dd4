"""The objective F(W, b): mean loss plus λΣW², its derivatives and its certificate, in NumPy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.affine import Affine
from softmargin.arguments import as_floats, brief, check_flag, check_reg, check_vector
from softmargin.engines import Capability, Engine, Moments, Quality, make_engine
from softmargin.engines.registry import EngineFactory
from softmargin.errors import DataError, ParameterError
from softmargin.losses import check_loss
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.objective.certificate import Certificate
from softmargin.objective.features import Features
from softmargin.objective.problem import PenalizedLoss, lifted
from softmargin.objective.quiet import quietly
from softmargin.samples import Samples
from softmargin.shards import Shards, as_shards
from softmargin.sparse import ALL_COLUMNS
from softmargin.vectors import Vector, stack, to_numpy

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Objective"]


class Objective:
    """F(W, b) = (1/Σω) Σ_i ω_i L(z_i W + b, y_i) + λ Σ W², with z = (x - mean) * scale.

    Parameters
    ----------
    loss : Loss
        ``Hinge()``, ``SquaredHinge()``, ``CrossEntropy()`` or a custom loss.
    X : ndarray, sparse array, dask array, Samples or Shards of shape (N, D)
        Features of any real type. A dense array is read in place and never copied as a whole. A sparse array is
        converted to canonical CSR, and an array of objects to float64. `Samples` and `Shards` include y and the
        weights.
    y : array-like of shape (N,), or None
        Integer labels 0 … C-1. Each class needs a sample of positive weight.
    reg : float
        λ ≥ 0, the factor of ΣW² (without ½).
    sample_weight : array-like of shape (N,), optional
        Non-negative weights ω. A sample of weight 0 is ignored.
    n_classes : int, optional
        C; by default the largest label plus one.
    fit_intercept : bool, default True
        Whether b is free (and unpenalised). If not, it is 0.
    mean, scale : array-like of shape (D,), optional
        Centring and scaling, by default 0 and 1. They are folded into W and b; X is not changed.
    engine : {"auto", "chunked", "cpu", "dask", "reference"} or callable
        The engine that reads X, or a function of `Samples` and a number of threads that returns one. Shards are
        read by "dask" on a cluster, or by "chunked" in this process.
    n_threads : int, optional
        Number of threads of the engine. Results do not depend on it.

    Attributes
    ----------
    loss, reg, fit_intercept
        The arguments of the same names.
    n_samples, n_features, n_classes : int
        N, D and C.
    classes : ndarray of shape (C,)
        The class number of each column of W, in the whole data: a fold may lack classes.
    labels : ndarray of shape (C,), or None
        The label of each class of `Shards`.
    columns : Columns
        The columns of X that the engine reads: if many columns of a sparse X are empty, it reads the others.

    Raises
    ------
    DataError
        If shapes, labels or weights are invalid.
    ParameterError
        If ``reg`` is negative or not finite, or another argument is invalid.

    Examples
    --------
    >>> import numpy as np, softmargin as sm
    >>> X, y = np.eye(3), [0, 1, 2]
    >>> objective = sm.Objective(sm.Hinge(), X, y, reg=0.1)
    >>> objective.value(np.zeros((3, 3)), np.zeros(3))
    2.0
    """

    def __init__(
        self,
        loss: Loss,
        X: NDArray[Any] | csr_array | Samples | Shards,
        y: Any,
        reg: float,
        sample_weight: ArrayLike | None = None,
        *,
        n_classes: int | None = None,
        fit_intercept: bool = True,
        mean: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        engine: str | EngineFactory = "auto",
        n_threads: int | None = None,
    ) -> None:
        samples: Samples | Shards | None = X if isinstance(X, Samples) else as_shards(X, y, sample_weight)
        samples = samples or Samples.check(X, y, sample_weight, n_classes)
        loss, reg, fit_intercept = check_loss(loss), check_reg(reg), check_flag("fit_intercept", fit_intercept)
        if mean is not None:  # a shifted column is not empty
            samples = samples.widened()
        made: Engine = make_engine(engine, samples, n_threads)
        self.columns = samples.columns
        D = self.columns.n_columns or made.shape.n_features
        vectors = check_vector("mean", mean, D, 0.0), check_vector("scale", scale, D, 1.0)
        affine = Affine(*(made.asarray(self.columns.take(vector)) for vector in vectors))
        self._set(PenalizedLoss(loss, reg, Features(made, affine), fit_intercept))

    @classmethod
    def of(cls, loss: Loss, samples: Samples | Shards, reg: float, **options: Any) -> Objective:
        """Return the objective of a ``loss`` and a λ, ``reg``, with one row of W per column of ``samples.X``.

        The samples are validated already. The options are ``fit_intercept``, ``mean``, ``scale``, ``engine`` and
        ``n_threads``, as above.
        """
        samples = replace(samples, columns=ALL_COLUMNS) if isinstance(samples, Samples) else samples
        return cls(loss, samples, None, reg, **options)

    @property
    def compact(self) -> Objective:
        """The same objective for W without the rows of empty columns, which are 0 at the optimum."""
        other = copy.copy(self)
        other.columns = ALL_COLUMNS
        return other._with(self._problem)

    def _set(self, problem: PenalizedLoss) -> None:
        self._problem, self._engine, shape = problem, problem.features.engine, problem.features.engine.shape
        self.loss, self.reg, self.fit_intercept = problem.loss, problem.reg, problem.fit_intercept
        self.n_samples, self.n_classes, self.classes = shape.n_samples, shape.n_classes, shape.classes
        self.labels, self.n_features = self._engine.labels, self.columns.n_columns or shape.n_features

    @property
    def n_passes(self) -> float:
        """Number of passes over X so far."""
        return self._engine.n_passes

    @property
    def n_threads(self) -> int:
        """Number of threads in which fits may run concurrently."""
        return self._engine.n_threads

    @property
    def moments(self) -> Moments:
        """Weighted mean and variance of each stored feature, both (D,); computed once, in two passes."""
        return Moments(*(self.columns.spread(to_numpy(part)) for part in self._problem.features.moments))

    @property
    def constant_columns(self) -> NDArray[np.bool_]:
        """Which columns are constant, up to the rounding errors of their variance, (D,); see `moments`."""
        return self.columns.spread(to_numpy(self._problem.features.constant), True)

    @property
    @quietly
    def is_uninformative(self) -> bool:
        """Whether W = 0 is optimal for every λ up to rounding errors: all classes have the same mean features."""
        return self.problem()[0].features.has_equal_means

    def replace(
        self, *, loss: Loss | None = None, reg: float | None = None, scale: ArrayLike | None = None
    ) -> Objective:
        """Return the objective on the same data with another ``loss``, ``reg`` (λ) or ``scale`` (D,).

        The data, the engine and what was computed from the features alone are shared.
        """
        problem, features = self._problem, self._problem.features
        if scale is not None:
            vector = self.columns.take(check_vector("scale", scale, self.n_features, 1.0))
            features = features.scaled(self._engine.asarray(vector))
        loss = problem.loss if loss is None else check_loss(loss)
        reg = problem.reg if reg is None else check_reg(reg)
        return self._with(PenalizedLoss(loss, reg, features, problem.fit_intercept))

    def fold(self, k: int) -> Objective:
        """Return the objective of the training part of fold ``k``, for the classes with samples there."""
        return self._with(PenalizedLoss(self.loss, self.reg, self._problem.features.fold(k), self.fit_intercept))

    def _with(self, problem: PenalizedLoss) -> Objective:
        other = copy.copy(self)
        other._set(problem)
        return other

    def problem(self) -> tuple[PenalizedLoss, Vector]:
        """Return the problem for solvers, centred if b is free, and the shift: ``b = b_centred - shift @ W``."""
        problem, features = self._problem, self._problem.features
        if not problem.fit_intercept:
            features.moments  # noqa: B018 (the same passes before a fit, with and without centring)
            return problem, 0.0 * features.affine.mean
        shift = (features.moments.mean - features.affine.mean) * features.affine.scale
        return PenalizedLoss(problem.loss, problem.reg, features.centred, True), shift

    @quietly
    def value(self, W: ArrayLike, b: ArrayLike) -> float:
        """Return F(W, b); one pass. It is infinite if the scores of a sample overflow.

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        """
        return lifted(self.columns, W, self.reg, self._problem.value(*self._checked(W, b)))[0]

    @quietly
    def value_and_grad(self, W: ArrayLike, b: ArrayLike, single: bool = False) -> tuple[float, Floats, Floats]:
        """Return F and its gradient in W (D, C) and in b (C,); one pass.

        At a kink of the loss, the result is a subgradient.

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        single : bool, default False
            Whether products may use float32, which is twice as fast, if the range of X allows it.
        """
        value, dW, db, _ = self._problem.value_and_grad(*self._checked(W, b), single=single)
        return *lifted(self.columns, W, self.reg, value, to_numpy(dW)), to_numpy(db)

    @quietly
    def values_and_grads(
        self,
        W: ArrayLike,
        b: ArrayLike,
        *,
        regs: ArrayLike | None = None,
        folds: Sequence[int] | None = None,
        single: bool = False,
    ) -> tuple[Floats, Floats, Floats]:
        """Return F and its gradient at K points, in one pass over X if that is faster.

        In float32 (``single``) with two or three classes, most of the time is spent on reading X. Five points then
        take 2.2 to 3.4 times as long as one. In float64, with more classes, for sparse X and for very small
        problems, little or no time is saved. Without folds, each result has the same bits as that of
        `value_and_grad`.

        Parameters
        ----------
        W : array-like of shape (K, D, C)
        b : array-like of shape (K, C)
        regs : float or array-like of shape (K,), optional
            λ of each point; by default that of the objective.
        folds : sequence of K int, optional
            The fold whose training samples each point uses; by default all samples.
        single : bool, default False
            As in `value_and_grad`.

        Returns
        -------
        values : ndarray of shape (K,)
        dW : ndarray of shape (K, D, C)
        db : ndarray of shape (K, C)

        Examples
        --------
        >>> import numpy as np, softmargin as sm
        >>> objective = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], reg=0.1)
        >>> W = np.stack([np.zeros((3, 3)), np.eye(3)])
        >>> values, dW, db = objective.values_and_grads(W, np.zeros((2, 3)), regs=[0.1, 0.2])
        >>> values
        array([2. , 0.6])
        """
        check_flag("single", single)
        points, biases = as_floats("W", W), as_floats("b", b)
        n_points, shape = len(biases) if biases.ndim > 0 else 0, (self.n_features, self.n_classes)
        if n_points == 0 or points.shape != (n_points, *shape) or biases.shape != (n_points, self.n_classes):
            raise DataError(
                f"W and b must have shapes (K, {self.n_features}, {self.n_classes}) and (K, {self.n_classes}) for "
                f"K ≥ 1 points, got {points.shape} and {biases.shape}."
            )
        penalties = as_floats("regs", self.reg if regs is None else regs)
        penalties = np.full(n_points, penalties) if penalties.ndim == 0 else penalties
        if penalties.shape != (n_points,) or not (np.isfinite(penalties) & (penalties >= 0.0)).all():
            raise ParameterError(f"regs must contain {n_points} finite numbers ≥ 0, got {brief(regs)}.")
        if folds is not None and np.shape(folds) != (n_points,):
            raise ParameterError(f"folds must contain one fold number per point ({n_points}), got {brief(folds)}.")
        at = [self._checked(*point) for point in zip(points, biases, strict=True)]
        raw, shifts = zip(*(self._problem.features.affine.fold(*point) for point in at), strict=True)
        data = self._engine.evaluate_many(self.loss, raw, shifts, folds, single=single)
        found = []
        for point, (W_k, _), of_data, reg in zip(points, at, data, penalties.tolist(), strict=True):
            value, dW, db = self._problem.penalized(W_k, of_data, reg)
            found.append((*lifted(self.columns, point, reg, value, to_numpy(dW)), to_numpy(db)))
        values, gradients, sums = (np.array(parts) for parts in zip(*found, strict=True))
        return values, gradients, sums

    @quietly
    def hessian_product(self, W: ArrayLike, b: ArrayLike, V: ArrayLike, c: ArrayLike) -> tuple[Floats, Floats]:
        """Return the Hessian at (W, b) times the direction (V, c), shapes (D, C) and (C,); one pass.

        Parameters
        ----------
        W, b : array-like of shape (D, C) and (C,)
            The point.
        V, c : array-like of shape (D, C) and (C,)
            The direction.

        Raises
        ------
        CapabilityError
            If the loss has no Hessian.
        """
        product = to_numpy(self._problem.hessian_product(self._point(W, b), self._point(V, c)))
        return lifted(self.columns, V, self.reg, 0.0, product[:-1])[1], product[-1]

    @quietly
    def certificate(self, W: ArrayLike, b: ArrayLike) -> Certificate:
        """Return the certificate of (W, b) from the dual rows dL/ds at that point; one pass.

        Parameters
        ----------
        W, b : array-like of shape (D, C) and (C,)

        Raises
        ------
        DataError
            If b is not zero although ``fit_intercept`` is False.
        ParameterError
            If λ is 0: without a penalty there is no such bound.

        Notes
        -----
        The bound is derived in ``docs/mathematics.md``. Solvers find better dual rows, so a fit has a better
        bound.
        """
        P = self._point(W, b)
        if self.reg == 0.0:
            raise ParameterError("reg must be positive, got 0: there is no lower bound without a penalty.")
        if not self.fit_intercept and to_numpy(P[-1, :]).any():
            raise DataError("b must be zero because the objective has fit_intercept=False.")
        return self._problem.prove(P).certificate.with_penalty(lifted(self.columns, W, self.reg, 0.0)[0])

    @quietly
    def quality(self, W: ArrayLike, b: ArrayLike, part: str) -> Quality:
        """Return mean loss and accuracy of (W, b) on a part: the "training" or "held_out" samples of a fold."""
        return self._engine.quality(self.loss, *self.stored(W, b), part)

    @quietly
    def held_out_scores(self, W: ArrayLike, b: ArrayLike) -> tuple[Floats, Ints, Floats, Ints]:
        """Return scores at (W, b), classes, weights and row numbers of held-out samples of known classes."""
        self._engine.require(Capability.ROWS, "held-out scores")
        return self._engine.held_out_scores(*self.stored(W, b))

    @quietly
    def score_square(self, W: ArrayLike, b: ArrayLike) -> float:
        """Return the weighted mean square of the scores at W (D, C) and b (C,); one pass."""
        return self._engine.score_square(*self.stored(W, b))

    @quietly
    def scores(self, W: ArrayLike, b: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Return the scores of some samples, shape (n, C).

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        rows : array-like of int, optional
            Row numbers of the samples; by default all.

        Raises
        ------
        CapabilityError
            If the engine does not support access to rows.
        """
        self._engine.require(Capability.ROWS, "scores")
        folded = self.stored(W, b)
        numbers = np.arange(self.n_samples) if rows is None else np.asarray(rows)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(f"rows must be a vector of integers, got {numbers.dtype} of shape {numbers.shape}.")
        invalid = np.flatnonzero((numbers < 0) | (numbers >= self.n_samples))
        if invalid.size:
            k = invalid[0]
            raise DataError(f"rows[{k}] must be between 0 and {self.n_samples - 1}, got {numbers[k]}.")
        return self._engine.scores(*folded, numbers.astype(np.int64, copy=False))

    def _checked(self, W: ArrayLike, b: ArrayLike) -> tuple[Vector, Vector]:
        """Return W and b as vectors of the engine, or raise a `DataError`."""
        W, b = as_floats("W", W), as_floats("b", b)
        if W.shape != (self.n_features, self.n_classes) or b.shape != (self.n_classes,):
            raise DataError(
                f"W and b must have shapes ({self.n_features}, {self.n_classes}) and ({self.n_classes},), "
                f"got {W.shape} and {b.shape}."
            )
        return self._engine.asarray(self.columns.take(W)), self._engine.asarray(b)

    def _point(self, W: ArrayLike, b: ArrayLike) -> Vector:
        return stack(*self._checked(W, b))

    def stored(self, W: ArrayLike, b: ArrayLike) -> tuple[Vector, Vector]:
        """Return W and b for the features as they are stored, as vectors of the engine."""
        return self._problem.features.affine.fold(*self._checked(W, b))
