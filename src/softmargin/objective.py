"""The objective F(W, b): mean loss plus λΣW², its derivatives and its certificate."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from softmargin.engines import DualRows, Engine, Product, Samples, make_engine
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.losses import LOSSES, Hinge, SmoothedHinge
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.preconditioner import CovariancePreconditioner, DiagonalPreconditioner, GramPreconditioner, Pairs
from softmargin.threads import ForkLock, one_blas_thread
from softmargin.validation import (
    as_floats,
    check_finite,
    check_flag,
    check_reg,
    check_samples,
    check_vector,
    check_weights,
)

__all__ = ["Certificate", "Objective"]

_DENSE_FEATURES = 6144
"""Up to this many features a (D, D) array is made (300 MB at the limit); beyond, a diagonal serves."""

_SPARSE_FEATURES = 2048
"""The same for sparse X, whose passes cost so little that a (D, D) array soon outweighs them."""

_CHEAP_FEATURES = 512
"""Up to this many features a (D, D) array costs nothing to speak of, even where there are fewer rows than that."""

_LARGE = 1 << 22
"""From this many multiplications in X @ W on, single precision is quicker."""

_SINGLE_RANGE = 1e24
"""Squares of features up to this size, and down to its inverse, are multiplied in float32."""

_SMALL_HESSIAN = 1024
_HESSIAN_ROWS = 512
_HASHED_ROWS = 1024

_CONSTANT_FEATURE = 0.01
"""Square of the constant feature whose weight is the bias in a dual ascent, against that of a sample, at least."""

_SMALL_ROWS = 1 << 28
"""Dual rows may always take this many bytes, and so may a copy of few rows, of sparse ones with their zeros."""

_FEW_PAIRS = 0.125
"""Up to this share of all pairs of a sample and a class, products with their Hessian are cheap against passes."""

_SMALL_COPY = 1 << 26
"""A copy of rows in float32 may always have this many bytes."""

_EXACT_TRACE_CLASSES = 16
"""Up to this many classes a trace is added up in full; beyond, from this many random directions."""


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _walks(method: _Method) -> _Method:
    """Let a method work without warnings and with one thread of BLAS.

    A point from which numbers leave the range has an infinite value or proves nothing; that says it. And threads
    that BLAS starts for a sum over W would go on waiting in a loop, in the way of the engine's.
    """

    @wraps(method)
    def quietly(*arguments: Any, **more: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
            return method(*arguments, **more)

    return cast(_Method, quietly)


_MAKING = ForkLock()
"""Held while a preconditioner is made, for which folds that are fitted at once wait."""

_EPS = float(np.finfo(np.float64).eps)
_LEAST = float(np.finfo(np.float64).tiny)
_ROUNDED_UP = 1.0 + 4.0 * _EPS


class Certificate(NamedTuple):
    """What is proved about a point: ``lower_bound <= min F <= value``.

    Attributes
    ----------
    value : float
        F at the point.
    lower_bound : float
        A bound on F everywhere, lowered by the rounding errors made in computing it.
    gap : float
        (above - lower_bound) / above, the relative duality gap.
    above : float
        The value, raised by what rounding may have taken from it.
    """

    value: float
    lower_bound: float
    gap: float
    above: float


def relative_gap(value: float, lower_bound: float) -> float:
    """Return (value - lower_bound) / value, rounded up; infinite, which proves nothing, if one is not finite."""
    if not (np.isfinite(value) and np.isfinite(lower_bound)):
        return np.inf
    if value <= 0.0:
        return 0.0
    gap = max(value - lower_bound, 0.0) / value * _ROUNDED_UP
    return min(gap, 1.0) if lower_bound >= 0.0 else gap


def _as_value(number: float) -> float:
    """Return a value of F: infinite where scores left the range, so that no number stands for their losses."""
    return np.inf if np.isnan(number) else number


def _check_loss(loss: Loss) -> Loss:
    """Return the loss, or raise a `ParameterError` that says which object to pass."""
    if isinstance(loss, Loss):
        return loss
    meant: object = LOSSES.get(loss) if isinstance(loss, str) else loss
    if isinstance(meant, type) and issubclass(meant, Loss):
        raise ParameterError(f"loss must be a loss itself: pass {meant.__name__}() instead of {loss!r}.")
    raise ParameterError(f"loss must be a loss such as softmargin.Hinge(), but it is {loss!r}.")


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
    engine : {"auto", "cpu", "reference"}
        What walks over X.
    n_threads : int, optional
        Threads of the engine; results do not depend on it.

    Raises
    ------
    DataError
        If shapes, labels or weights cannot be used.
    ParameterError
        If ``reg`` is negative or not finite, ``loss`` is no loss or ``n_classes`` or ``n_threads`` no number.

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
        engine: str = "auto",
        n_threads: int | None = None,
    ) -> None:
        self.loss = _check_loss(loss)
        samples = Samples(*check_samples(X, y, sample_weight, n_classes))
        self.reg = check_reg(reg)
        self.fit_intercept = check_flag("fit_intercept", fit_intercept)
        self.n_samples, self.n_features = samples.X.shape
        self.n_classes = samples.n_classes
        shares = np.bincount(samples.y, weights=samples.weights, minlength=samples.n_classes)
        self.shares: Floats = shares.astype(np.float64)
        self._mean = check_vector("mean", mean, self.n_features, 0.0)
        self._scale = check_vector("scale", scale, self.n_features, 1.0)
        self._engine: Engine = make_engine(engine, samples, n_threads)
        self._offsets: Floats | None = None
        self._given_mean = self._mean  # that of the point which is returned, whatever it was searched around
        self._kept: NDArray[Any] | None = None
        self._shared: dict[str, Any] = {}
        self._steered_by: Objective | None = None

    # -- variants that share the data ------------------------------------------------------------------

    def replace(
        self,
        *,
        loss: Loss | None = None,
        reg: float | None = None,
        scale: ArrayLike | None = None,
        offsets: Floats | None = None,
    ) -> Objective:
        """Return the objective on the same data with another loss, λ, scale or score offsets (N, C).

        The data, its engine and what was computed from the features alone are shared. With offsets there is a
        function and its derivatives, but no certificate.

        Parameters
        ----------
        loss : Loss, optional
        reg : float, optional
            λ.
        scale : array-like of shape (D,), optional
        offsets : ndarray of shape (N, C), optional
            Added to the scores of each sample.

        Raises
        ------
        DataError, ParameterError
            If an argument does not fit.
        """
        other = copy.copy(self)
        other.loss = self.loss if loss is None else _check_loss(loss)
        other.reg = self.reg if reg is None else check_reg(reg)
        if offsets is not None:
            if np.shape(offsets) != (self.n_samples, self.n_classes):
                raise DataError(
                    f"offsets must have shape ({self.n_samples}, {self.n_classes}), "
                    f"but theirs is {np.shape(offsets)}."
                )
            other._offsets = offsets
        if scale is not None:
            other._scale = check_vector("scale", scale, self.n_features, 1.0)
            other._shared = {"moments": self.moments}
        return other

    def centred(self) -> tuple[Objective, Floats]:
        """Return the same objective in centred features, and the shift: ``b = b_centred - shift @ W``."""
        mean = self.moments[0]
        other = copy.copy(self)
        other._mean = mean
        other._shared = self._shared.setdefault("centred", {"moments": self.moments})
        return other, (mean - self._mean) * self._scale

    def steered_by(self, other: Objective) -> Objective:
        """Return the same objective, searched with the preconditioner of ``other``, which has these features."""
        steered = copy.copy(self)
        steered._steered_by = other
        return steered

    # -- the function ----------------------------------------------------------------------------------

    @property
    def n_passes(self) -> float:
        """How often X was read so far."""
        return self._engine.n_passes

    @property
    def n_threads(self) -> int:
        """How many threads walk over X."""
        return self._engine.workers.n_threads

    def share_threads(self, n_threads: int) -> None:
        """Let ``n_threads`` walk over X from now on, for all objectives on these data; results do not change."""
        self._engine.workers.share(n_threads)

    @_walks
    def value(self, W: ArrayLike, b: ArrayLike) -> float:
        """Return F(W, b); one pass. It is infinite where the scores of a sample leave the range.

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        """
        W, b = self._check_point(W, b)
        data = self._engine.value(self.loss, *self._fold(W, b), self._offsets)
        return _as_value(data + self.reg * float(np.vdot(W, W)))

    @_walks
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
        W, b = self._check_point(W, b)
        engine = self._engine
        value, dW, db = engine.value_and_grad(self.loss, *self._fold(W, b), self._offsets, self._kept, single)
        return self._penalised(value, dW, db, W, self.reg)

    @_walks
    def values_and_grads(
        self,
        W: ArrayLike,
        b: ArrayLike,
        *,
        regs: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        single: bool = False,
    ) -> tuple[Floats, Floats, Floats]:
        """Return F and its gradients at K points, from one reading of X where that saves time.

        For points of several λ or folds that are wanted at the same time. In float32 (``single``), with two or
        three classes, reading X takes longest: five points then take 2.2 to 3.4 times as long as one. In float64
        or with more classes they take four to five times as long. Sparse X, X of very small problems and X for so
        many classes that one W is large are read once for each point; ``n_passes`` says what was read. With the
        weights of the objective each answer has the same bits as that of `value_and_grad`.

        Parameters
        ----------
        W : array-like of shape (K, D, C)
        b : array-like of shape (K, C)
        regs : float or array-like of shape (K,), optional
            λ of each point; by default that of the objective.
        sample_weight : array-like of shape (K, N), optional
            Weights of each point, 0 for the rows that its fold leaves out; by default those of the objective.
        single : bool, default False
            As in `value_and_grad`.

        Returns
        -------
        values : ndarray of shape (K,)
        dW : ndarray of shape (K, D, C)
        db : ndarray of shape (K, C)

        Raises
        ------
        CapabilityError
            If this objective has offsets, see `replace`.
        DataError
            If shapes or weights cannot be used.
        ParameterError
            If a λ is negative or not finite.

        Examples
        --------
        >>> import numpy as np, softmargin as sm
        >>> objective = sm.Objective(sm.Hinge(), np.eye(3), [0, 1, 2], reg=0.1)
        >>> W = np.stack([np.zeros((3, 3)), np.eye(3)])
        >>> values, dW, db = objective.values_and_grads(W, np.zeros((2, 3)), regs=[0.1, 0.2])
        >>> values
        array([2. , 0.6])
        """
        if self._offsets is not None:
            raise CapabilityError("An objective with offsets takes one point at a time.")
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
        weights = None if sample_weight is None else self._check_folds(sample_weight, n_points)
        folded = [self._fold(*point) for point in zip(points, biases, strict=True)]
        raw, shifts = (np.array(part) for part in zip(*folded, strict=True))
        sums = self._engine.values_and_grads(self.loss, raw, shifts, weights, single)
        found = zip(*sums, points, penalties.tolist(), strict=True)
        values, dW, db = (np.array(part) for part in zip(*(self._penalised(*one) for one in found), strict=True))
        return values, dW, db

    def _penalised(
        self, value: float, G: Floats, db: Floats, W: Floats, reg: float
    ) -> tuple[float, Floats, Floats]:
        """Return F and its gradients, from the mean loss and its gradients in the features as they are stored."""
        dW = self._unfold(G, db)
        if reg > 0.0:
            dW = dW + 2.0 * reg * W
        value = _as_value(float(value) + reg * float(np.vdot(W, W)))
        return value, dW, db if self.fit_intercept else np.zeros_like(db)

    def _check_folds(self, sample_weight: ArrayLike, n_points: int) -> Floats:
        """Return weights (K, N) that sum to one for each point, or raise a `DataError`."""
        given = as_floats("sample_weight", sample_weight)
        if given.shape != (n_points, self.n_samples):
            raise DataError(
                f"sample_weight must have shape ({n_points}, {self.n_samples}), but its shape is {given.shape}."
            )
        weights = np.empty(given.shape)
        for k, of_one in enumerate(given):
            try:
                weights[k] = check_weights(of_one, self.n_samples)
            except DataError as error:
                raise DataError(f"Point {k}: {error}") from error
        if weights[:, self._engine.samples.weights == 0.0].any():
            raise DataError("sample_weight must be 0 where that of the objective is: it does not read those rows.")
        weights /= weights.sum(axis=1, keepdims=True)
        return weights

    @_walks
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
        W, b = self._check_point(W, b)
        V, c = self._check_point(V, c)
        self.loss.check_smooth("a Hessian product")
        dW, db = self._engine.hessian_product(self.loss, *self._fold(W, b), *self._fold(V, c), self._offsets)
        dW = self._unfold(dW, db) + 2.0 * self.reg * V
        return dW, db if self.fit_intercept else np.zeros_like(db)

    @_walks
    def certificate(
        self,
        W: ArrayLike,
        b: ArrayLike,
        dual: Objective | DualRows | None = None,
        keep: NDArray[Any] | None = None,
    ) -> Certificate:
        """Return what is proved about (W, b); one pass.

        Parameters
        ----------
        W, b : array-like of shape (D, C) and (C,)
        dual : Objective or DualRows, optional
            The dual rows, or the objective on the same data whose dL/ds at (W, b) serve as such; by default
            this one. A smoothed hinge with its multipliers gives a hinge a far better bound than the hinge's
            own subgradient.
        keep : ndarray of shape (N, C), optional
            Where to write the dual rows.

        Raises
        ------
        ParameterError
            If λ is 0: without a penalty there is no such bound. Or if ``dual`` is something else, or an objective
            on other data or with a loss whose dL/ds are no dual rows of this one.

        Notes
        -----
        The bound is -Σ ω_i L*(a_i) - ‖Zᵀ(ωA)‖²/(4λ) for dual rows a whose weighted sum is zero; how rows
        that miss this by a little are made feasible is derived in ``docs/mathematics.md``.
        """
        W, b = self._check_point(W, b)
        self.check_certifiable()
        if self.reg == 0.0:
            raise ParameterError("reg is 0: there is no lower bound without a penalty; choose a positive reg.")
        if not self.fit_intercept and b.any():
            raise DataError("b must be zero, since this objective has no intercept.")
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            return Certificate(np.inf, 0.0, np.inf, np.inf)
        rows = (dual.A, dual.tilt()) if isinstance(dual, DualRows) else None
        source = self if dual is None or isinstance(dual, DualRows) else self._check_source(dual)
        sums = self._engine.dual_sums(self.loss, *self._fold(W, b), source.loss, source._offsets, rows, keep)
        penalty = self.reg * float(np.square(W).ravel(order="K").sum())  # in pairs of pairs: a few roundings
        value = _as_value(sums.value + penalty)
        imbalance = sums.classes.sum(axis=0)
        G, conjugate, shrink = self._unfold(sums.features, imbalance), sums.conjugate, 1.0
        if self.fit_intercept:
            shrink, shift, conjugate = self.loss.balance(sums.classes, self.shares, sums.conjugate)
            G = shrink * G + self._class_features @ shift
        # Higham (2002), §3: sums of n terms are right to n·ε times the sum of the sizes of the terms. By Cauchy
        # and Schwarz that of the dual rows bounds the error of a row of G; twice that covers centring and balance.
        rounding = 2.0 * self._engine.rounding()
        sizes = np.linalg.norm(G, axis=1) + rounding * np.sqrt(sums.square) * self._feature_sizes
        slack = rounding * (abs(sums.conjugate) + self.loss.dual_size(sums.classes, sums.square))
        square = float(sizes @ sizes) * (1.0 + _EPS * (self.n_features + self.n_classes))
        lower_bound = -conjugate - slack - square / (4.0 * self.reg)
        # Every loss and the penalty are at least 0, so 0 is a bound whatever was computed.
        lower_bound = max(float(lower_bound), 0.0) if np.isfinite(lower_bound) else 0.0
        # F may be larger than computed, for the scores are rounded.
        error = self._score_error(*self._fold(W, b))
        rise = self.loss.rise(error, sums.value, sums.square, self.n_classes)
        vanished = _LEAST * (1.0 + self.reg * W.size) if W.any() else 0.0  # squares that are no numbers any more
        above = _as_value(value + rounding * value + 64.0 * _EPS * penalty + rise + vanished)
        return Certificate(value, lower_bound, relative_gap(above, lower_bound), above)

    def check_certifiable(self) -> None:
        """Raise a `CapabilityError` if the scores have offsets, for which there is no bound."""
        if self._offsets is not None:
            raise CapabilityError("An objective with offsets has no certificate: its value and derivatives serve.")

    def _check_source(self, dual: object) -> Objective:
        """Return the objective whose dL/ds serve as dual rows, or raise a `ParameterError`."""
        if not isinstance(dual, Objective) or dual._engine is not self._engine:
            raise ParameterError(
                f"dual must be DualRows or an objective that replace() made of this one, but it is {dual!r}."
            )
        smoothed = isinstance(self.loss, Hinge) and isinstance(dual.loss, SmoothedHinge)
        if not smoothed and dual.loss != self.loss:
            raise ParameterError(f"The dL/ds of {dual.loss!r} cannot serve as dual rows of {self.loss!r}.")
        return dual

    def scores(self, W: ArrayLike, b: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        """Return the scores of some samples, shape (n, C).

        Parameters
        ----------
        W : array-like of shape (D, C)
        b : array-like of shape (C,)
        rows : array-like of int, optional
            Numbers of the samples; by default all.
        """
        W, b = self._check_point(W, b)
        numbers = np.arange(self.n_samples) if rows is None else np.asarray(rows)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(f"rows must hold whole numbers, but it is an array of {numbers.dtype}.")
        wrong = np.flatnonzero((numbers < 0) | (numbers >= self.n_samples))
        if wrong.size:
            raise DataError(
                f"rows[{wrong[0]}] is {numbers[wrong[0]]}, but rows must lie in 0 … {self.n_samples - 1}."
            )
        with one_blas_thread():
            return self._engine.scores(*self._fold(W, b), numbers.astype(np.int64, copy=False))

    # -- what solvers ask about the data ---------------------------------------------------------------

    def keeping_scores(self) -> Objective:
        """Return the same objective; it keeps the scores of the last gradient for the Hessians."""
        other = copy.copy(self)
        exact = self.has_small_hessian or self.has_few_rows
        dtype = np.float64 if exact else np.float32  # an exact step wants exact scores
        other._kept = np.zeros((self.n_samples, self.n_classes), dtype)
        return other

    def _bends(self) -> tuple[NDArray[np.bool_], float] | None:
        """Return the pairs of classes that bend where the last gradient was taken; None if that is not known."""
        if self._kept is None:
            return None
        rows = self._engine.rows
        return self.loss._bends(self._kept[rows].astype(np.float64, copy=False), self._engine.samples.y[rows])

    def local_hessian(self) -> Product | None:
        """Return the product with the Hessian of F where the last gradient was taken, about.

        It is None if no pair of classes bends there, or so many that products cost about as much as passes or the
        copy of their rows is larger than X or, for small data, than 64 MB.
        """
        bends = self._bends()
        if bends is None:
            return None
        samples, rows = self._engine.samples, self._engine.rows
        n_pairs = int(np.count_nonzero(bends[0]))
        affordable = max(self.n_samples, _SMALL_COPY // (8 * self.n_features))
        if n_pairs == 0 or n_pairs > min(affordable, _FEW_PAIRS * bends[0].size):
            return None
        place, wrong = np.nonzero(bends[0])
        right = samples.y[rows[place]]
        order = np.argsort(right * self.n_classes + wrong, kind="stable")
        place, wrong, right = rows[place[order]], wrong[order], right[order]
        pairs = self._engine.pair_products(place, wrong, right, bends[1] * samples.weights[place])

        def product(V: Floats, c: Floats) -> tuple[Floats, Floats]:
            dW, db = pairs(*self._fold(V, c))
            dW = self._unfold(dW, db) + 2.0 * self.reg * V
            return dW, db if self.fit_intercept else np.zeros_like(db)

        return product

    @property
    def is_large(self) -> bool:
        """Whether products in float32 are worth a thought: much work, and not outweighed by exact steps."""
        exact = self._kept is not None and self._kept.dtype == np.float64
        large = self.n_samples * self.n_features * self.n_classes >= _LARGE
        return large and not exact and self.fits_single

    @property
    def fits_single(self) -> bool:
        """Whether products of the preprocessed features, and their scales, stay far inside float32's range."""
        mean, variance = self.moments
        largest = float(((variance + (mean - self._mean) ** 2) * self._scale**2).max())
        return all(1.0 / _SINGLE_RANGE < size < _SINGLE_RANGE for size in (largest, float(self._scale.max())))

    @property
    def has_small_hessian(self) -> bool:
        """Whether the whole Hessian, of all weights at once, is a small matrix."""
        return (self.n_features + 1) * self.n_classes <= _SMALL_HESSIAN

    @property
    def has_few_rows(self) -> bool:
        """Whether there are fewer rows than features, and few enough for a copy of them in float64: 256 MB."""
        n_rows = len(self._engine.rows)
        return _CHEAP_FEATURES < self.n_features > n_rows and 8 * n_rows * self.n_features <= _SMALL_ROWS

    def newton_step(self, gradient: Floats, floor: float) -> Floats | None:
        """Return the inverse Hessian of F times the gradient (D + 1, C) where it was taken, by pairs of classes.

        It is None if the loss does not bend in pairs, or in too many for a matrix of their products, or if there
        are not few rows.

        Parameters
        ----------
        gradient : ndarray of shape (D + 1, C)
        floor : float
            Curvature that b has besides.
        """
        bends = self._bends() if self.has_few_rows else None
        if bends is None or 8 * np.count_nonzero(bends[0]) ** 2 > _SMALL_ROWS:
            return None
        place, wrong = np.nonzero(bends[0])
        rows = self._engine.rows
        pairs = Pairs(place, wrong, self._engine.samples.y[rows[place]], bends[1])
        preconditioner = self.preconditioner()
        assert isinstance(preconditioner, GramPreconditioner)
        self._engine.count(2 * len(rows))
        return preconditioner.solve_pairs(pairs, self.reg, 1.0 / floor if self.fit_intercept else 0.0, gradient)

    def whole_hessian(self) -> Floats | None:
        """Return the Hessian of F where the last gradient was taken, as a matrix; None if it is not small.

        Its rows and columns are those of the flattened (D + 1, C) array of W with b as its last row.
        """
        if self._kept is None or not self.has_small_hessian:
            return None
        samples, rows, bends = self._engine.samples, self._engine.rows, self._bends()
        rows = rows if bends is None else rows[bends[0].any(axis=1)]
        D, C = self.n_features + 1, self.n_classes
        hessian = np.zeros((C, C, D, D))
        self._engine.count(len(rows))
        for start in range(0, len(rows), _HESSIAN_ROWS):
            part = rows[start : start + _HESSIAN_ROWS]
            Z = np.ones((len(part), D))
            Z[:, :-1] = self._engine.preprocessed_rows(part, self._mean, self._scale)
            scores, y = self._kept[part].astype(np.float64), samples.y[part]

            def add(j: int, stop: threading.Event, Z: Any = Z, scores: Floats = scores, y: Ints = y) -> None:
                unit = np.broadcast_to(np.eye(C)[j], scores.shape)
                column = self.loss._hessian_product(scores, y, unit) * samples.weights[part][:, None]  # noqa: B023
                column = column[:, : j + 1]
                products = Z.T @ (column[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)
                hessian[j, : j + 1] += products.reshape(D, j + 1, D).transpose(1, 0, 2)

            tasks = [partial(add, j) for j in reversed(range(C))]  # the largest first
            self._engine.workers.run(tasks, len(part) * D * C * D * C)
        for j in range(C):
            for k in range(j):
                hessian[k, j] = hessian[j, k]
            hessian[j, j, : D - 1, : D - 1] += 2.0 * self.reg * np.eye(D - 1)
        if not self.fit_intercept:
            hessian[:, :, -1, :] = hessian[:, :, :, -1] = 0.0
            hessian[range(C), range(C), -1, -1] = 1.0
        return hessian.transpose(2, 0, 3, 1).reshape(D * C, D * C)

    def dual_rows_fit(self) -> bool:
        """Whether dual rows take no more memory than X or 256 MB, and X may be read in dense blocks of rows.

        It may where it is dense, or small enough: the zeros of a sparse X would fill up to 256 MB of float32.
        """
        X = self._engine.samples.X
        dense = isinstance(X, np.ndarray)
        if not dense and 4 * self.n_samples * self.n_features > _SMALL_ROWS:
            return False
        return 4 * self.n_samples * self.n_classes <= max(X.nbytes if dense else 0, _SMALL_ROWS)

    @property
    def dual_stiffness(self) -> float:
        """How far a sample's scores follow its own dual row, Σω²‖z‖²/(2λ) in the mean: what slows dual ascent."""
        weights = self._engine.samples.weights
        return float((weights * weights).sum()) * self._size / (2.0 * self.reg)

    @property
    def _size(self) -> float:
        """Mean square of the length of a sample."""
        mean, variance = self.moments
        return float(((variance + (mean - self._mean) ** 2) * self._scale**2).sum())

    def dual_rows(self, dtype: Any = np.float32, start: tuple[Floats, Floats] | None = None) -> DualRows:
        """Return dual rows, ready to ascend: for losses that can.

        Parameters
        ----------
        dtype : dtype
            float32 or float64; it is float64 where float32 is too narrow for the features.
        start : tuple of ndarray (D, C) and ndarray (C,), optional
            W and b whose dL/ds they should be, in two passes. By default they are the best of θ (π - e_y), with
            the class shares π: as good as a sweep or two, and made from the class sums of the features alone.
        """
        if not self.fits_single:
            dtype = np.float64
        penalty = 0.0
        if self.fit_intercept:
            least = _CONSTANT_FEATURE * self._size / (2.0 * self.reg)
            penalty = max(self.loss._first_penalty(self.n_classes), least)
        rows = DualRows(self._engine, self.loss, self.reg, self._mean, self._scale, penalty, dtype)
        if start is None:
            mean = (self.moments[0] - self._mean) * self._scale
            G = np.outer(mean, self.shares) - self._class_features
            theta = self.loss._first_mix(self.shares, float((G * G).sum()) / (4.0 * self.reg))
            A = (theta * (self.shares - np.eye(self.n_classes))).astype(dtype)[self._engine.samples.y]
            A[self._engine.samples.weights == 0.0] = 0.0
            b = self.loss._first_bias(self.shares) if self.fit_intercept else np.zeros(self.n_classes)
            rows.begin(A, theta / (-2.0 * self.reg) * G, b, np.zeros(self.n_classes))
        else:
            A = self.multipliers(*start).astype(dtype)
            as_they_are = (A, np.zeros(self.n_classes))
            sums = self._engine.dual_sums(self.loss, *self._fold(*start), self.loss, None, as_they_are)
            imbalance = sums.classes.sum(axis=0)
            rows.begin(A, -self._unfold(sums.features, imbalance) / (2.0 * self.reg), start[1], imbalance)
        return rows

    def multipliers(self, W: Floats, b: Floats) -> Floats:
        """Return dL/ds of every sample, (N, C): the dual point that belongs to (W, b).

        Parameters
        ----------
        W : ndarray of shape (D, C)
        b : ndarray of shape (C,)
        """
        scores = self.scores(W, b)
        if self._offsets is not None:
            scores += self._offsets
        return self.loss._gradient(scores, self._engine.samples.y)

    @property
    def active_rows(self) -> Ints:
        """Numbers of the samples of positive weight."""
        return self._engine.rows

    @property
    def active_weights(self) -> Floats:
        """Weights of these, which sum to one."""
        return np.asarray(self._engine.samples.weights[self._engine.rows])

    def batch_gradient(self, W: Floats, b: Floats, rows: Ints) -> tuple[float, Floats, Floats]:
        """Return an unbiased estimate of F and its gradient from a few samples.

        Parameters
        ----------
        W : ndarray of shape (D, C)
        b : ndarray of shape (C,)
        rows : ndarray of int64
            Numbers of samples, drawn uniformly among `active_rows`.
        """
        samples = self._engine.samples
        scores = self.scores(W, b, rows)
        if self._offsets is not None:
            scores += self._offsets[rows]
        y = samples.y[rows]
        weights = samples.weights[rows] * (len(self.active_rows) / len(rows))
        dual = self.loss._gradient(scores, y) * weights[:, None]
        db = dual.sum(axis=0)
        dW = self._unfold(samples.X[rows].astype(np.float64).T @ dual, db) + 2.0 * self.reg * W
        value = float(weights @ self.loss._values(scores, y)) + self.reg * float(np.vdot(W, W))
        return value, dW, db if self.fit_intercept else np.zeros_like(db)

    def curvature(self, W: Floats, b: Floats) -> float:
        """Return the mean curvature of the loss in score space, over at most 2,048 samples.

        Parameters
        ----------
        W : ndarray of shape (D, C)
        b : ndarray of shape (C,)

        Notes
        -----
        It is the trace of the mean C×C output Hessian over C - 1, from the C unit directions or, for many
        classes, by Hutchinson's estimator. All samples see the same directions, so neither their order nor
        whether one counts twice or stands there twice makes a difference.
        """
        self.loss.check_smooth("a curvature")
        samples, rows = self._engine.samples, self._engine.rows
        rows = rows[:: max(1, len(rows) // 2048)]
        scores = self.scores(W, b, rows)
        if self._offsets is not None:
            scores += self._offsets[rows]
        n_classes = self.n_classes
        if n_classes <= _EXACT_TRACE_CLASSES:
            probes = np.eye(n_classes) * np.sqrt(n_classes)
        else:
            probes = np.random.default_rng(0).choice([-1.0, 1.0], size=(_EXACT_TRACE_CLASSES, n_classes))
        traces = np.zeros(len(rows))
        for probe in probes:
            directions = np.broadcast_to(probe, scores.shape)
            traces += self.loss._hessian_product(scores, samples.y[rows], directions) @ probe
        mean = float(np.average(traces, weights=samples.weights[rows])) / len(probes)
        return mean / (n_classes - 1)

    def preconditioner(self) -> CovariancePreconditioner | GramPreconditioner | DiagonalPreconditioner:
        """Return the preconditioner of these features, made once for all losses and λ.

        The covariance is estimated from so many rows that it costs no more than a few passes, but from at
        least twice as many as there are features where there are so many.
        """
        if self._steered_by is not None:
            return self._steered_by.preconditioner()
        with _MAKING.lock:
            if "preconditioner" not in self._shared:
                self._shared["preconditioner"] = self._made_preconditioner()
        return self._shared["preconditioner"]

    def _made_preconditioner(self) -> CovariancePreconditioner | GramPreconditioner | DiagonalPreconditioner:
        engine, rows = self._engine, self._engine.rows
        X, limit, density = engine.samples.X, _DENSE_FEATURES, 1.0
        if issparse(X):
            limit, density = _SPARSE_FEATURES, X.nnz / (self.n_samples * self.n_features)
        if self.has_few_rows:
            engine.count(len(rows))
            roots = np.sqrt(engine.samples.weights[rows])
            Z = engine.preprocessed_rows(rows, self._mean, self._scale, np.float64)
            Z *= roots[:, None]
            return GramPreconditioner(Z, roots, engine.workers)
        if self.n_features > limit:
            mean, variance = self.moments
            return DiagonalPreconditioner((variance + (mean - self._mean) ** 2) * self._scale**2)
        enough = max(2 * self.n_features, int(density * 40 * len(rows) * self.n_classes) // self.n_features)
        if len(rows) > enough:
            rows = np.sort(np.random.default_rng(0).choice(rows, size=enough, replace=False))
        return CovariancePreconditioner(
            engine.covariance(self._mean, self._scale, rows, self.fits_single), engine.workers
        )

    def prepare_certificates(self) -> None:
        """Make what all certificates share, in one pass, unless it is there."""
        if self.fit_intercept:
            self._class_features  # noqa: B018

    def fingerprint(self) -> str:
        """Return a hash of the data, the weights, the loss and λ."""
        samples = self._engine.samples
        self._engine.count(0)
        X: Any = samples.X
        parts = [self.loss, self.reg, self.fit_intercept, self.n_classes, X.shape, str(X.dtype)]
        digest = hashlib.sha256(repr(parts).encode())
        for array in (samples.y, samples.weights, self._mean, self._scale):
            digest.update(np.ascontiguousarray(array).tobytes())
        for array in (X.data, X.indices, X.indptr) if issparse(X) else (X,):
            for start in range(0, len(array), _HASHED_ROWS):
                digest.update(np.ascontiguousarray(array[start : start + _HASHED_ROWS]).tobytes())
        return digest.hexdigest()

    @property
    def moments(self) -> tuple[Floats, Floats]:
        """Weighted mean and variance of each feature of X as stored, both (D,); made once, in two passes."""
        if "moments" not in self._shared:
            with np.errstate(over="ignore", invalid="ignore"):
                mean, variance = self._engine.moments()
            if not np.isfinite(variance).all():
                check_finite(self._engine.samples.X)
                column = int(np.argmin(np.isfinite(variance)))
                raise DataError(f"Column {column} of X holds numbers too large to be squared.")
            self._shared["moments"] = mean, variance
        return self._shared["moments"]

    @property
    def _class_features(self) -> Floats:
        """Weighted sum of the preprocessed features of each class, (D, C)."""
        if "class_features" not in self._shared:
            self._shared["class_features"] = self._unfold(self._engine.class_features(), self.shares)
        return self._shared["class_features"]

    @property
    def _feature_sizes(self) -> Floats:
        """Root mean square of each feature and its mean, (D,), before centring, in the scale of the features."""
        return np.asarray(np.sqrt(self._squares + self._mean**2) * np.abs(self._scale))

    @property
    def _squares(self) -> Floats:
        """Mean square of each feature as it is stored, (D,), and what may be lost of tiny squares."""
        mean, variance = self.moments
        return variance + mean**2 + float(np.finfo(np.float64).tiny)

    def _score_error(self, raw: Floats, folded: Floats) -> float:
        """Return a bound on the root mean square, over the samples, of the largest rounding error of a score.

        The point is given as it is folded. See ``docs/mathematics.md``, "What rounding takes".
        """
        sizes = np.sqrt(self._squares) + 3.0 * np.abs(self._mean) + np.abs(self._mean - self._given_mean)
        largest = float(np.abs(raw).max(initial=0.0)) or 1.0  # so that no square is lost
        longest = largest * float(np.sqrt(np.square(raw / largest).sum(axis=0).max()))
        # Feature by feature is far closer where these differ in size, Cauchy and Schwarz where the classes do.
        terms = min(float(sizes @ np.abs(raw).max(axis=1)), float(np.linalg.norm(sizes)) * longest)
        terms += 3.0 * float(np.abs(folded).max()) + self.loss.unit
        return 0.5 * _EPS * (self.n_features + 8) * terms

    def _fold(self, W: Floats, b: Floats) -> tuple[Floats, Floats]:
        raw = W if (self._scale == 1.0).all() else W * self._scale[:, None]
        return raw, b - self._mean @ raw if self._mean.any() else b

    def _unfold(self, raw: Floats, sums: Floats) -> Floats:
        if self._mean.any():
            raw = raw - np.outer(self._mean, sums)
        return raw if (self._scale == 1.0).all() else np.asarray(raw * self._scale[:, None])

    def _check_point(self, W: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
        W, b = as_floats("W", W), as_floats("b", b)
        if W.shape != (self.n_features, self.n_classes) or b.shape != (self.n_classes,):
            raise DataError(
                f"W and b must have shapes ({self.n_features}, {self.n_classes}) and ({self.n_classes},), "
                f"but theirs are {W.shape} and {b.shape}."
            )
        return W, b
