"""The base class of all losses: a small immutable record of parameters, with formulas in score space only.

Conventions
-----------
``scores`` is (N, C) float64 or float32, ``y`` is (N,) integer with values in 0 … C-1. ``dual`` rows have the form
that ``gradient`` returns: their entries sum to zero.

Each formula is written twice on purpose. The array methods are the readable form. They accept and return arrays of
any library that follows the array API standard. The row functions, see `softmargin.losses.rows`, are the
textbook's loop over one row, which is the fast form on a CPU. The tests compare both.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import as_floats, brief, check_number
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.labels import check_codes, check_labels
from softmargin.losses.arrays import Array

__all__ = ["Balance", "Floats", "Ints", "Loss", "check_delta", "check_positive", "check_scores", "first_unusable"]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


class Balance(NamedTuple):
    """The map that makes dual rows with a small weighted sum exactly feasible.

    The rows ``shrink * a_i + shift[y_i]`` are dual feasible, and their weighted sum is zero.

    Attributes
    ----------
    shrink : float
        Factor in (0, 1] of all dual rows.
    shift : ndarray of shape (C, C)
        ``shift[c]`` is added to each dual row of class c.
    conjugate : float
        Upper bound on the weighted mean of L* over the new rows.
    """

    shrink: float
    shift: Floats
    conjugate: float


class Loss:
    """Mixin of all losses; the parameters are the fields of a NamedTuple.

    Since a loss is a tuple, Numba can pass it to compiled code by value. Unlike tuples, losses of different types
    are never equal, and a loss without parameters is true.
    """

    __slots__ = ()
    name: ClassVar[str]
    """Name on the command line and in model files."""
    title: ClassVar[str]
    """Name in reports."""
    smooth: ClassVar[bool] = True
    """Whether the gradient is continuous, as solvers for smooth losses require."""
    probabilistic: ClassVar[bool] = False
    """Whether the softmax of the scores estimates class probabilities."""
    curves_in_pairs: ClassVar[bool] = False
    """Whether the Hessian of a row is a sum over active pairs, see `_active_pairs`."""
    separates: ClassVar[bool] = False
    """Whether the loss is zero at finite scores."""
    ascends: ClassVar[bool] = False
    """Whether `row_ascent` is implemented, as dual ascent requires."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.parameters() == other.parameters()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self), *self.parameters().values()))

    def __bool__(self) -> bool:
        return True

    def parameters(self) -> dict[str, float]:
        """Return the parameters by name."""
        return dict(self._asdict())  # type: ignore[attr-defined]

    @property
    def score_scale(self) -> float:
        """Typical size of score differences: Δ for the margin losses, 1 for cross-entropy."""
        return float(getattr(self, "delta", 1.0))

    @property
    def reg_scale(self) -> float:
        """In units of `score_scale`, the optimum depends only on λ times this number: Δ for the hinge, else 1."""
        return 1.0

    def smoothed(self, width: float) -> Loss | None:
        """Return a smooth approximation that differs within ``width`` (in scores) of the kinks; None if smooth."""
        return None

    def is_dual_feasible_for(self, other: Loss) -> bool:
        """Return whether the gradients of this loss are dual feasible for ``other``."""
        return self == other

    def balance_stiffness(self, n_classes: int) -> float:
        """Return a scale for the penalty of dual ascent on the sum of the dual rows, in units of scores.

        With a free bias, that sum must be zero.
        """
        raise NotImplementedError

    def values(self, scores: ArrayLike, y: ArrayLike) -> Floats:
        """Return the loss of each sample.

        Parameters
        ----------
        scores : array-like of shape (N, C)
            Scores; ``-inf`` is allowed, ``+inf`` and NaN are not.
        y : array-like of shape (N,)
            Integer labels in 0 … C-1.

        Returns
        -------
        ndarray of shape (N,), float64

        Raises
        ------
        DataError
            If shapes or labels are inconsistent, or if a score is not a real number, is NaN or is ``+inf``.
        """
        return self._values(*check_scores(scores, y))

    def gradient(self, scores: ArrayLike, y: ArrayLike) -> Floats:
        """Return dL/ds of each sample, (N, C) float64; parameters as in `values`."""
        return self._gradient(*check_scores(scores, y))

    def _values(self, scores: Array, y: Array) -> Array:
        raise NotImplementedError

    def _gradient(self, scores: Array, y: Array) -> Array:
        raise NotImplementedError

    def _values_and_gradient(self, scores: Array, y: Array) -> tuple[Array, Array]:
        """Return both, (N,) and (N, C); a loss may share what they have in common."""
        return self._values(scores, y), self._gradient(scores, y)

    def _hessian_product(self, scores: Array, y: Array, directions: Array) -> Array:
        """Return (d²L/ds²)·direction of each row, shape (N, C)."""
        raise CapabilityError(f"{self!r} is not smooth and has no Hessian; use a solver for non-smooth losses.")

    def _active_pairs(self, scores: Array, y: Array) -> tuple[Array, float] | None:
        """Return the active rival classes j of each row, (N, C) bool, and their curvature h.

        The Hessian of a row is ``Σ_j h (e_j - e_y)(e_j - e_y)ᵀ`` over these. None unless `curves_in_pairs`.
        """
        return None

    def _conjugate(self, dual: Array, y: Array) -> Array:
        """Return L*(a) of each dual row, shape (N,)."""
        raise NotImplementedError

    def _feasible(self, dual: Array, y: Array) -> Array:
        """Return dual feasible rows close to the given rows."""
        raise NotImplementedError

    def _rebalanced(self, dual: Array, y: Array, shift: Array) -> Array:
        """Return feasible dual rows moved, to first order, as a shift (C,) of all scores moves them."""
        raise NotImplementedError

    def _balance_jacobian(self, dual: Array, y: Array, weights: Array) -> Array:
        """Return the derivative (C, C) of the weighted sum of `_rebalanced` in the shift, at no shift."""
        raise NotImplementedError

    def _first_mix(self, class_weights: Floats, cost: float) -> float:
        """Return the θ that maximises the dual of the rows θ (π - e_y): -Σ_c π_c L*(θ (π - e_c)) - cost θ².

        π are the class weights. These rows sum to zero, and are feasible up to some θ.
        """
        raise NotImplementedError

    def _stretch(self, scores: Array, y: Array) -> float:
        """Return the factor on the scores (N, C) with which all these losses are zero, at least 1 or infinite."""
        raise NotImplementedError

    def _first_bias(self, class_weights: Floats) -> Floats:
        """Return a bias to start from with W = 0."""
        return np.zeros(len(class_weights))

    def conjugate_scale(self, class_sums: Floats, square: float) -> float:
        """Return a bound on the weighted mean of the absolute terms of L* minus their sum, for rounding errors.

        Parameters
        ----------
        class_sums : ndarray of shape (C, C)
            Row c is the weighted sum of the dual rows of class c.
        square : float
            Weighted mean of ‖a‖².
        """
        return 2.0 * square + 2.0 * abs(float(np.trace(class_sums)))

    def value_error_bound(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return a bound on the true minus the computed mean loss, given the errors of the scores.

        Parameters
        ----------
        error : float
            Root mean square, over the samples, of the largest error of a score of the sample.
        value : float
            Mean loss, as computed.
        square : float
            Weighted mean of ‖a‖² over the dual rows of the certificate, for example dL/ds at the point.
        n_classes : int
        """
        return 2.0 * error * math.sqrt(square)

    def check_smooth(self, purpose: str) -> None:
        """Raise a `CapabilityError` if the loss is not smooth.

        Parameters
        ----------
        purpose : str
            The feature that requires a smooth loss, to complete the message.
        """
        if not self.smooth:
            raise CapabilityError(f"{self!r} is not smooth, as required for {purpose}.")

    def balance(self, class_sums: Floats, class_weights: Floats, conjugate: float) -> Balance:
        """Return how to make dual rows feasible for an unpenalised bias: their weighted sum becomes zero.

        Parameters
        ----------
        class_sums : ndarray of shape (C, C)
            Row c is the weighted sum of the dual rows of class c.
        class_weights : ndarray of shape (C,)
            Weight of each class, positive; they sum to one.
        conjugate : float
            Weighted mean of L* over the given dual rows.

        Returns
        -------
        Balance
            See ``docs/mathematics.md``, "Restoring the balance".
        """
        raise NotImplementedError


def check_scores(scores: ArrayLike, y: ArrayLike) -> tuple[Floats, Ints]:
    """Return ``scores`` as float64 (N, C) and ``y`` as int64 (N,), or raise a `DataError`."""
    scores, labels = as_floats("scores", scores), check_labels(y)
    if scores.ndim != 2:
        raise DataError(f"scores must have two axes (samples, classes), got shape {scores.shape}.")
    n_samples, n_classes = scores.shape
    if n_classes < 2:
        raise DataError(f"scores must have at least two columns, one per class, got {n_classes}.")
    if labels.shape != (n_samples,):
        raise DataError(f"y must have shape ({n_samples},) to match scores, got shape {labels.shape}.")
    if labels.dtype.kind not in "iu":
        raise DataError(f"y must contain integer class numbers, got dtype {labels.dtype}.")
    labels = check_codes(labels, n_classes)
    row = first_unusable(scores)
    if row is not None:
        text = np.array2string(scores[row], max_line_width=1000, threshold=10)
        raise DataError(f"scores contain NaN, +inf or only -inf in row {row}: {text}.")
    return scores, labels


def first_unusable(scores: Floats) -> int | None:
    """Return the first row that contains NaN, +inf or only -inf, so that its maximum is not finite, or None."""
    if np.isfinite(scores).all():  # the usual case, and faster for few classes
        return None
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(scores.max(axis=1))
    return None if usable.all() else int(usable.argmin())


LEAST_DELTA = 1e-100
"""The smallest margin: the minimiser is proportional to it, and its square must not underflow."""


def check_delta(delta: float) -> float:
    """Return a margin as a float, or raise a `ParameterError`."""
    return check_positive("delta", delta, LEAST_DELTA)


def check_positive(name: str, value: float, least: float = 0.0) -> float:
    """Return ``value`` as a positive float of at least ``least``, or raise a `ParameterError` that names it."""
    number = check_number(name, value)
    if not (0.0 < number < np.inf and number >= least):
        bound = f"≥ {least:g}" if least else "> 0"
        raise ParameterError(f"{name} must be a finite number {bound}, got {brief(value)}.")
    return number
