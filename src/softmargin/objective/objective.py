"""The objective F(W, b): mean loss plus λΣW², its derivatives and its certificate, in NumPy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from softmargin.affine import Affine
from softmargin.arguments import as_floats, check_flag, check_reg, check_vector
from softmargin.engines import Capability, Engine, Moments, Quality, make_engine
from softmargin.engines.registry import EngineFactory
from softmargin.errors import DataError, ParameterError
from softmargin.losses import check_loss
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.objective.certificate import Certificate
from softmargin.objective.features import Features
from softmargin.objective.problem import PenalizedLoss
from softmargin.samples import Samples
from softmargin.threads import one_blas_thread
from softmargin.vectors import Vector, stack, to_numpy

__all__ = ["Objective"]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _quietly(method: _Method) -> _Method:
    """Suppress overflow warnings and limit BLAS to one thread.

    Overflow shows as an infinite value. Threads of BLAS would spin beside the engine's.
    """

    @wraps(method)
    def quiet(*arguments: Any, **more: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
            return method(*arguments, **more)

    return cast(_Method, quiet)


class Objective:
    """F(W, b) = (1/Σω) Σ_i ω_i L(z_i W + b, y_i) + λ Σ W², with z = (x - mean) * scale.

    Parameters
    ----------
    loss : Loss
        ``Hinge()``, ``SquaredHinge()``, ``CrossEntropy()`` or a loss of your own.
    X : ndarray or sparse array of shape (N, D)
        Features of any real type; read in place, never copied as a whole. Sparse X of another format than
        canonical CSR is converted to that first, and objects that are numbers to float64.
    y : array-like of shape (N,)
        Integer labels 0 … C-1. Each class needs a sample of positive weight.
    reg : float
        λ ≥ 0, the factor of ΣW² (without ½).
    sample_weight : array-like of shape (N,), optional
        Non-negative weights ω; a sample of weight 0 takes no part.
    n_classes : int, optional
        C; by default the largest label plus one.
    fit_intercept : bool, default True
        Whether b is free (and unpenalised); if not, it stays 0.
    mean, scale : array-like of shape (D,), optional
        Centring and scaling, folded into W and b while X stays as it is. By default 0 and 1.
    engine : {"auto", "cpu", "reference"} or callable
        What reads X; or what makes an engine of `Samples` and a number of threads.
    n_threads : int, optional
        Threads of the engine; results do not depend on it.

    Attributes
    ----------
    loss, reg, fit_intercept
        As they were given.
    n_samples, n_features, n_classes : int
        N, D and C.
    classes : ndarray of shape (C,)
        The number of each class in the data as a whole: a fold may lack some.

    Raises
    ------
    DataError
        If shapes, labels or weights cannot be used.
    ParameterError
        If ``reg`` is negative or not finite, or another argument is outside its domain.

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
        X: NDArray[Any] | csr_array,
        y: ArrayLike,
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
        self._start(
            loss, Samples.check(X, y, sample_weight, n_classes), reg, fit_intercept, mean, scale, engine, n_threads
        )

    @classmethod
    def of(cls, loss: Loss, samples: Samples, reg: float, **options: Any) -> Objective:
        """Return the objective of a loss and a λ (``reg``) on samples that were checked already.

        The options are ``fit_intercept``, ``mean``, ``scale``, ``engine`` and ``n_threads``, as above.
        """
        objective = cls.__new__(cls)
        objective._start(loss, samples, reg, **options)
        return objective

    def _start(
        self,
        loss: Loss,
        samples: Samples,
        reg: float,
        fit_intercept: bool = True,
        mean: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        engine: str | EngineFactory = "auto",
        n_threads: int | None = None,
    ) -> None:
        loss, reg, fit_intercept = check_loss(loss), check_reg(reg), check_flag("fit_intercept", fit_intercept)
        made: Engine = make_engine(engine, samples, n_threads)
        n_features = made.shape.n_features
        vectors = check_vector("mean", mean, n_features, 0.0), check_vector("scale", scale, n_features, 1.0)
        affine = Affine(*(made.asarray(vector) for vector in vectors))
        self._set(PenalizedLoss(loss, reg, Features(made, affine), fit_intercept))

    def _set(self, problem: PenalizedLoss) -> None:
        shape = problem.features.engine.shape
        self._problem, self._engine = problem, problem.features.engine
        self.loss, self.reg, self.fit_intercept = problem.loss, problem.reg, problem.fit_intercept
        self.n_samples, self.n_features, self.n_classes = shape.n_samples, shape.n_features, shape.n_classes
        self.classes = shape.classes

    @property
    def n_passes(self) -> float:
        """How often X was read so far."""
        return self._engine.n_passes

    @property
    def n_threads(self) -> int:
        """How many threads read X."""
        return self._engine.n_threads

    @property
    def moments(self) -> Moments:
        """Weighted mean and variance of each feature of X as stored, both (D,); made once, in two passes."""
        return Moments(*map(to_numpy, self._problem.features.moments))

    def replace(
        self, *, loss: Loss | None = None, reg: float | None = None, scale: ArrayLike | None = None
    ) -> Objective:
        """Return the objective on the same data with another ``loss``, ``reg`` (λ) or ``scale`` (D,).

        The data, its engine and what was computed from the features alone are shared.
        """
        problem, features = self._problem, self._problem.features
        if scale is not None:
            features = features.scaled(self._engine.asarray(check_vector("scale", scale, self.n_features, 1.0)))
        loss = problem.loss if loss is None else check_loss(loss)
        reg = problem.reg if reg is None else check_reg(reg)
        return self._with(PenalizedLoss(loss, reg, features, problem.fit_intercept))

    def fold(self, k: int) -> Objective:
        """Return the objective of the training part of fold number k, of the classes with samples there."""
        problem = self._problem
        return self._with(
            PenalizedLoss(problem.loss, problem.reg, problem.features.fold(k), problem.fit_intercept)
        )

    def _with(self, problem: PenalizedLoss) -> Objective:
        other = copy.copy(self)
        other._set(problem)
        return other

    def problem(self) -> tuple[PenalizedLoss, Vector]:
        """Return what solvers see, centred if b is free, and the shift: ``b = b_centred - shift @ W``."""
        problem, features = self._problem, self._problem.features
        if not problem.fit_intercept:
            features.moments  # noqa: B018 (the same passes before a fit, with and without centring)
            return problem, 0.0 * features.affine.mean
        shift = (features.moments.mean - features.affine.mean) * features.affine.scale
        return PenalizedLoss(problem.loss, problem.reg, features.centred, True), shift

    # -- the function ----------------------------------------------------------------------------------

    @_quietly
    def value(self, W: ArrayLike, b: ArrayLike) -> float:
        """Return F(W, b); one pass. It is infinite where the scores of a sample overflow.

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        """
        return self._problem.value(*self._checked(W, b))

    @_quietly
    def value_and_grad(self, W: ArrayLike, b: ArrayLike, single: bool = False) -> tuple[float, Floats, Floats]:
        """Return F and its gradient in W (D, C) and in b (C,); one pass.

        At a kink the gradient is the documented subgradient of the loss.

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        single : bool, default False
            Whether the products may be made in float32, at twice the speed, where X fits that.
        """
        value, dW, db, _ = self._problem.value_and_grad(*self._checked(W, b), single=single)
        return value, to_numpy(dW), to_numpy(db)

    @_quietly
    def values_and_grads(
        self,
        W: ArrayLike,
        b: ArrayLike,
        *,
        regs: ArrayLike | None = None,
        folds: Sequence[int] | None = None,
        single: bool = False,
    ) -> tuple[Floats, Floats, Floats]:
        """Return F and its gradient at K points, from one reading of X where that saves time.

        In float32 (``single``), with two or three classes, reading X takes longest: five points then take 2.2 to
        3.4 times as long as one. In float64 or with more classes, for sparse X and for very small problems little
        or nothing is saved. Without folds each answer has the same bits as that of `value_and_grad`.

        Parameters
        ----------
        W : array-like of shape (K, D, C)
        b : array-like of shape (K, C)
        regs : float or array-like of shape (K,), optional
            λ of each point; by default that of the objective.
        folds : sequence of K int, optional
            The fold whose training weights each point has; by default all samples count.
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
                f"K ≥ 1 points, but theirs are {points.shape} and {biases.shape}."
            )
        penalties = as_floats("regs", self.reg if regs is None else regs)
        penalties = np.full(n_points, penalties) if penalties.ndim == 0 else penalties
        if penalties.shape != (n_points,) or not (np.isfinite(penalties) & (penalties >= 0.0)).all():
            raise ParameterError(f"regs must hold {n_points} numbers, finite and at least 0, but it is {regs!r}.")
        if folds is not None and np.shape(folds) != (n_points,):
            raise ParameterError(f"folds must hold the number of a fold for each of {n_points} points: {folds!r}.")
        at = [tuple(map(self._engine.asarray, point)) for point in zip(points, biases, strict=True)]
        folded = [self._problem.features.affine.fold(*point) for point in at]
        raw, shifts = ([point[k] for point in folded] for k in (0, 1))
        data = self._engine.evaluate_many(self.loss, raw, shifts, folds, single=single)
        pairs = zip(at, data, penalties.tolist(), strict=True)
        found = [self._problem.penalized(W_k, evaluation, reg) for (W_k, _), evaluation, reg in pairs]
        values, dW, db = (np.array([to_numpy(part) for part in parts]) for parts in zip(*found, strict=True))
        return values, dW, db

    @_quietly
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
        return _parts(self._problem.hessian_product(self._point(W, b), self._point(V, c)))

    @_quietly
    def certificate(self, W: ArrayLike, b: ArrayLike) -> Certificate:
        """Return what is proved about (W, b) by the dual rows dL/ds at that point; one pass.

        Parameters
        ----------
        W, b : array-like of shape (D, C) and (C,)

        Raises
        ------
        DataError
            If b is not zero though it is fixed.
        ParameterError
            If λ is 0: without a penalty there is no such bound.

        Notes
        -----
        The bound is derived in ``docs/mathematics.md``. A fit has a better one: solvers find better dual rows.
        """
        P = self._point(W, b)
        if self.reg == 0.0:
            raise ParameterError("reg is 0: there is no lower bound without a penalty; choose a positive reg.")
        if not self.fit_intercept and to_numpy(P[-1, :]).any():
            raise DataError("b must be zero, since this objective has no intercept.")
        return self._problem.prove(P).certificate

    # -- what choosing asks ----------------------------------------------------------------------------

    @_quietly
    def quality(self, W: ArrayLike, b: ArrayLike, part: str) -> Quality:
        """Return mean loss and accuracy of (W, b) on a part: "training", or the "held_out" samples of a fold."""
        return self._engine.quality(self.loss, *self._folded(W, b), part)

    @_quietly
    def held_out_scores(self, W: ArrayLike, b: ArrayLike) -> tuple[Floats, Ints, Floats, Ints]:
        """Return scores at (W, b), class numbers, weights and row numbers of held-out samples of known classes."""
        self._engine.require(Capability.ROWS, "held-out scores")
        return self._engine.held_out_scores(*self._folded(W, b))

    @_quietly
    def score_square(self, W: ArrayLike, b: ArrayLike) -> float:
        """Return the weighted mean square of the scores at W (D, C) and b (C,); one pass."""
        return self._engine.score_square(*self._folded(W, b))

    @_quietly
    def scores(self, W: ArrayLike, b: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Return the scores of some samples, shape (n, C).

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        rows : array-like of int, optional
            Numbers of the samples; by default all.

        Raises
        ------
        CapabilityError
            If the engine gives no access to rows.
        """
        self._engine.require(Capability.ROWS, "scores")
        folded = self._folded(W, b)
        numbers = np.arange(self.n_samples) if rows is None else np.asarray(rows)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(f"rows must hold whole numbers, but it is an array of {numbers.dtype}.")
        wrong = np.flatnonzero((numbers < 0) | (numbers >= self.n_samples))
        if wrong.size:
            raise DataError(
                f"rows[{wrong[0]}] is {numbers[wrong[0]]}, but rows must lie in 0 … {self.n_samples - 1}."
            )
        return self._engine.scores(*folded, numbers.astype(np.int64, copy=False))

    def _checked(self, W: ArrayLike, b: ArrayLike) -> tuple[Vector, Vector]:
        """Return W and b as vectors of the engine's, or raise a `DataError`."""
        W, b = as_floats("W", W), as_floats("b", b)
        if W.shape != (self.n_features, self.n_classes) or b.shape != (self.n_classes,):
            raise DataError(
                f"W and b must have shapes ({self.n_features}, {self.n_classes}) and ({self.n_classes},), "
                f"but theirs are {W.shape} and {b.shape}."
            )
        return self._engine.asarray(W), self._engine.asarray(b)

    def _point(self, W: ArrayLike, b: ArrayLike) -> Vector:
        return stack(*self._checked(W, b))

    def _folded(self, W: ArrayLike, b: ArrayLike) -> tuple[Vector, Vector]:
        return self._problem.features.affine.fold(*self._checked(W, b))


def _parts(P: Vector) -> tuple[Floats, Floats]:
    """Return W and b of a vector, as NumPy arrays."""
    array = to_numpy(P)
    return array[:-1], array[-1]
