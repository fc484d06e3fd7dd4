"""What every loss is: a small immutable record of its parameters that knows score space only.

Conventions
-----------
``scores`` is (N, C) float64 or float32, ``y`` is (N,) integer with values in 0 … C-1. ``dual`` rows are what
``gradient`` returns: their entries sum to zero.

A loss writes each formula twice on purpose. The array methods are the readable form: they take arrays of any
library that follows the array API standard, and return arrays of that library. The row functions, see
`softmargin.losses.rows`, are the textbook's loop over one row, which is the fast form on a CPU. The tests compare
the two.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import as_floats
from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.labels import check_codes, check_labels
from softmargin.losses.arrays import Array

__all__ = [
    "Balance",
    "Floats",
    "Ints",
    "Loss",
    "check_delta",
    "check_positive",
    "check_scores",
    "first_unusable",
]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


class Balance(NamedTuple):
    """How dual rows with a small imbalance are made exactly feasible.

    The rows ``shrink * a_i + shift[y_i]`` are dual feasible and their weighted sum is zero.

    Attributes
    ----------
    shrink : float
        Factor in (0, 1] on every dual row.
    shift : ndarray of shape (C, C)
        ``shift[c]`` is added to each row of class c.
    conjugate : float
        An upper bound on the weighted mean of L* over the new rows.
    """

    shrink: float
    shift: Floats
    conjugate: float


class Loss:
    """Mixin of every loss; the parameters themselves come from a NamedTuple.

    Being a tuple lets Numba pass a loss to compiled code by value. Equality and truth are those of a
    record, not of a tuple: two losses are equal only if they are the same loss.
    """

    __slots__ = ()
    name: ClassVar[str]
    """The name used on the command line and in model files."""
    title: ClassVar[str]
    """The name used in sentences."""
    smooth: ClassVar[bool] = True
    """Whether the gradient is continuous, which the smooth solvers need."""
    probabilistic: ClassVar[bool] = False
    """Whether the softmax of the scores estimates probabilities."""
    curves_in_pairs: ClassVar[bool] = False
    """Whether the Hessian of a row is a sum over active pairs, see `_active_pairs`."""
    ascends: ClassVar[bool] = False
    """Whether there is a row function that maximises the dual over one row."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.parameters() == other.parameters()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self), *self.parameters().values()))

    def __bool__(self) -> bool:
        return True

    def parameters(self) -> dict[str, float]:
        """Return the parameters by name, for model files and reports."""
        return dict(self._asdict())  # type: ignore[attr-defined]

    @property
    def score_scale(self) -> float:
        """The size of a score difference that matters: Δ for the margin losses, 1 for cross-entropy."""
        return self.parameters().get("delta", 1.0)

    @property
    def reg_scale(self) -> float:
        """In units of `score_scale` the optimum depends on λ times this number alone: Δ for the hinge, else 1."""
        return 1.0

    def smoothed(self, width: float) -> Loss | None:
        """Return this loss with its kinks rounded over a width in units of the scores; None if it has no kinks."""
        return None

    def is_dual_feasible_for(self, other: Loss) -> bool:
        """Return whether the gradients of this loss are dual feasible for ``other``."""
        return self == other

    def balance_stiffness(self, n_classes: int) -> float:
        """Return a scale of the curvature of the dual in the sum of the dual rows, in units of scores.

        Dual ascent derives from it the penalty on that sum, which a free bias requires to be zero.
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
            If shapes or labels do not fit or a score is no real number, NaN or ``+inf``.
        """
        return self._values(*check_scores(scores, y))

    def gradient(self, scores: ArrayLike, y: ArrayLike) -> Floats:
        """Return dL/ds of each sample, shape (N, C) float64; parameters as in `values`."""
        return self._gradient(*check_scores(scores, y))

    def _values(self, scores: Array, y: Array) -> Array:
        raise NotImplementedError

    def _gradient(self, scores: Array, y: Array) -> Array:
        raise NotImplementedError

    def _hessian_product(self, scores: Array, y: Array, directions: Array) -> Array:
        """Return (d²L/ds²)·direction of each row, shape (N, C)."""
        raise CapabilityError(f"{self!r} has no Hessian: choose a solver for non-smooth losses.")

    def _active_pairs(self, scores: Array, y: Array) -> tuple[Array, float] | None:
        """Return in which classes j a row is curved along e_j - e_y, (N, C) bool, and the curvature h.

        The Hessian of a row is ``Σ_j h (e_j - e_y)(e_j - e_y)ᵀ`` over these. None unless `curves_in_pairs`.
        """
        return None

    def _conjugate(self, dual: Array, y: Array) -> Array:
        """Return L*(a) of each dual row, shape (N,)."""
        raise NotImplementedError

    def _feasible(self, dual: Array, y: Array) -> Array:
        """Return dual feasible rows close to the given ones."""
        raise NotImplementedError

    def _rebalanced(self, dual: Array, y: Array, shift: Array) -> Array:
        """Return feasible dual rows moved, to first order, as a shift (C,) of all scores moves them."""
        raise NotImplementedError

    def _balance_jacobian(self, dual: Array, y: Array, weights: Array) -> Array:
        """Return the derivative (C, C) of the weighted sum of `_rebalanced` in the shift, at no shift."""
        raise NotImplementedError

    def _first_mix(self, class_weights: Floats, cost: float) -> float:
        """Return the θ for which the rows θ (π - e_y) have the best dual: -Σ_c π_c L*(θ (π - e_c)) - cost θ².

        π are the weights of the classes; these rows sum to zero and are feasible up to some θ.
        """
        raise NotImplementedError

    def _first_bias(self, class_weights: Floats) -> Floats:
        """Return the bias that goes with W = 0."""
        return np.zeros(len(class_weights))

    def conjugate_scale(self, class_sums: Floats, square: float) -> float:
        """Return a bound on the weighted mean size of the terms that L* adds up, beyond their sum.

        Parameters
        ----------
        class_sums : ndarray of shape (C, C)
            Row c is the weighted sum of the dual rows of class c.
        square : float
            Weighted mean of ‖a‖².
        """
        return 2.0 * square + 2.0 * abs(float(np.trace(class_sums)))

    def value_error_bound(self, error: float, value: float, square: float, n_classes: int) -> float:
        """Return by how much the mean loss may be larger than computed if no score is off by more than ``error``.

        Parameters
        ----------
        error : float
            Root of the weighted mean, over the samples, of the square of the largest error of a score.
        value : float
            Mean loss, as computed.
        square : float
            Weighted mean of ‖a‖² over the dual rows of the certificate; at the point itself they are dL/ds.
        n_classes : int
        """
        return 2.0 * error * math.sqrt(square)

    def check_smooth(self, purpose: str) -> None:
        """Raise a `CapabilityError` if the loss is not smooth.

        Parameters
        ----------
        purpose : str
            What a smooth loss is needed for.
        """
        if not self.smooth:
            raise CapabilityError(f"{self!r} is not smooth, so it cannot serve for {purpose}.")

    def balance(self, class_sums: Floats, class_weights: Floats, conjugate: float) -> Balance:
        """Make dual rows feasible for the unpenalised bias.

        Parameters
        ----------
        class_sums : ndarray of shape (C, C)
            Row c is the weighted sum of the dual rows of class c.
        class_weights : ndarray of shape (C,)
            Weight of each class; positive, summing to one.
        conjugate : float
            Weighted mean of L* over the dual rows as they are.

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
        raise DataError(f"scores must have two axes (samples, classes), but their shape is {scores.shape}.")
    n_samples, n_classes = scores.shape
    if n_classes < 2:
        raise DataError(f"scores must have a column for each of at least two classes, but they have {n_classes}.")
    if labels.shape != (n_samples,):
        raise DataError(f"y must have shape ({n_samples},) to match the scores, but its shape is {labels.shape}.")
    if labels.dtype.kind not in "iu":
        raise DataError(f"y must hold integer class numbers, but its dtype is {labels.dtype}.")
    labels = check_codes(labels, n_classes)
    row = first_unusable(scores)
    if row is not None:
        seen = np.array2string(scores[row], max_line_width=1000, threshold=10)
        raise DataError(f"scores[{row}] holds NaN, +inf or nothing but -inf: {seen}.")
    return scores, labels


def first_unusable(scores: Floats) -> int | None:
    """Return the first row that holds NaN, +inf or nothing but -inf: its largest score is not finite."""
    if np.isfinite(scores).all():  # as almost always, and quicker where there are few classes
        return None
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(scores.max(axis=1))
    return None if usable.all() else int(usable.argmin())


LEAST_DELTA = 1e-100
"""The smallest margin: the minimiser shrinks with it, and its square must be a number."""


def check_delta(delta: float) -> float:
    """Return a margin as a float, or raise a `ParameterError`."""
    number = check_positive("delta", delta)
    if number < LEAST_DELTA:
        raise ParameterError(f"delta must be at least {LEAST_DELTA:g}, but it is {delta!r}.")
    return number


def check_positive(name: str, value: float) -> float:
    """Return ``value`` as a float, or raise a `ParameterError` that names it."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(f"{name} must be a positive number, but it is {value!r}.") from None
    if not (0.0 < number < np.inf):
        raise ParameterError(f"{name} must be positive and finite, but it is {value!r}.")
    return number
