"""What every loss is: a small immutable record of its parameters that knows score space only.

Conventions
-----------
``scores`` is (N, C) float64, ``y`` is (N,) integer with values in 0 … C-1. A *row function* sees one
row ``s`` of C scores and its label ``y``; it is plain Python that Numba compiles into the loops of an
engine. ``dual`` rows ``a`` are what ``gradient`` returns: their entries sum to zero.

A loss writes each formula twice on purpose. The array methods are the readable NumPy form that the
reference engine uses; the row functions are the textbook's loop, which is the fast form. The tests hold
one against the other.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numba import types
from numba.extending import overload, register_jitable
from numpy.typing import ArrayLike, NDArray

from softmargin.errors import CapabilityError, DataError, ParameterError
from softmargin.validation import as_floats, check_codes, check_labels

__all__ = [
    "ANY_ORDER",
    "SMALLEST",
    "Balance",
    "Floats",
    "Ints",
    "Loss",
    "ascend_margins",
    "check_delta",
    "check_positive",
    "first_unusable",
    "pairwise_shift",
    "pairwise_slope",
    "row_ascent",
    "row_conjugate",
    "row_function",
    "row_gradient",
    "row_hessian_product",
    "row_hinges",
    "row_max",
    "row_squares",
    "row_sum",
    "row_violations",
    "violations",
    "with_target",
]

ANY_ORDER = {"reassoc", "contract", "nsz"}
"""What a compiler may do where any order of a sum serves; inf and NaN keep their meaning. In a loss only for sums
of one sign, which any order gives as well."""

_MAX_STEPS = 40
_STEP_TOLERANCE = 1e-6
"""The dual of one row of a margin loss is maximised by Newton's method, to this share of the target's change."""

SMALLEST = 1e-200
"""Less than this is taken for zero where it would divide."""

_FAR_BELOW = -1e300
"""A violation that no class has: the target's, so that no loop needs to leave it out."""

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
_RowFunction = TypeVar("_RowFunction", bound=Callable[..., Any])


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
    def unit(self) -> float:
        """The size of a score difference that matters: Δ for the margin losses, 1 for cross-entropy."""
        return self.parameters().get("delta", 1.0)

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

    def _values(self, scores: Floats, y: Ints) -> Floats:
        raise NotImplementedError

    def _gradient(self, scores: Floats, y: Ints) -> Floats:
        raise NotImplementedError

    def _hessian_product(self, scores: Floats, y: Ints, directions: Floats) -> Floats:
        """Return (d²L/ds²)·direction of each row, shape (N, C)."""
        raise CapabilityError(f"{self!r} has no Hessian: choose a solver for non-smooth losses.")

    def _bends(self, scores: Floats, y: Ints) -> tuple[NDArray[np.bool_], float] | None:
        """Return for which classes j a row curves along e_j - e_y, (N, C), and how much; None if otherwise.

        With these pairs and their curvature h, the Hessian of a row is ``Σ_j h (e_j - e_y)(e_j - e_y)ᵀ``.
        """
        return None

    def _conjugate(self, dual: Floats, y: Ints) -> Floats:
        """Return L*(a) of each dual row, shape (N,)."""
        raise NotImplementedError

    def _feasible(self, dual: Floats, y: Ints) -> Floats:
        """Turn rows into dual feasible ones close by, in place where it can, and return them."""
        raise NotImplementedError

    def _tilted(self, dual: Floats, y: Ints, shift: Floats) -> Floats:
        """Return feasible dual rows moved as a shift of all scores by ``shift`` (C,) moves them, about."""
        raise NotImplementedError

    def _tilt_slope(self, dual: Floats, y: Ints, weights: Floats) -> Floats:
        """Return the derivative (C, C) of the weighted sum of `_tilted` in the shift, at no shift."""
        raise NotImplementedError

    def _first_mix(self, shares: Floats, cost: float) -> float:
        """Return the θ for which the rows θ (π - e_y) have the best dual: -Σ_c π_c L*(θ (π - e_c)) - cost θ².

        π are the shares of the classes; these rows sum to zero and are feasible up to some θ.
        """
        raise NotImplementedError

    def _first_bias(self, shares: Floats) -> Floats:
        """Return the bias that goes with W = 0."""
        return np.zeros(len(shares))

    def _first_penalty(self, n_classes: int) -> float:
        """Return the penalty, in units of scores, that an ascent first puts on a sum of the dual rows."""
        raise NotImplementedError

    def dual_size(self, class_sums: Floats, square: float) -> float:
        """Return a bound on the weighted mean size of the terms that L* adds up, beyond their sum.

        Parameters
        ----------
        class_sums : ndarray of shape (C, C)
            Row c is the weighted sum of the dual rows of class c.
        square : float
            Weighted mean of ‖a‖².
        """
        return 2.0 * square + 2.0 * abs(float(np.trace(class_sums)))

    def rise(self, error: float, value: float, square: float, n_classes: int) -> float:
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

    def balance(self, class_sums: Floats, shares: Floats, conjugate: float) -> Balance:
        """Make dual rows feasible for the unpenalised bias.

        Parameters
        ----------
        class_sums : ndarray of shape (C, C)
            Row c is the weighted sum of the dual rows of class c.
        shares : ndarray of shape (C,)
            Share of each class in the total weight; all positive.
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


def violations(scores: Floats, y: Ints, delta: float) -> Floats:
    """Return s_j - s_y + Δ of each class, (N, C), and 0 for the true class.

    They are infinite where s_y is not finite: behind a target of -inf the loss is +inf, and no number is one
    where a target has left the range.
    """
    rows = np.arange(len(y))
    target = scores[rows, y]
    with np.errstate(invalid="ignore"):
        u = scores - target[:, None] + delta
    u[~np.isfinite(target)] = np.inf
    u[rows, y] = 0.0
    return u


def with_target(wrong: Floats, y: Ints) -> Floats:
    """Set the true class's entry of each row to minus the sum of the others, in place, and return the rows."""
    rows = np.arange(len(y))
    wrong[rows, y] = 0.0
    wrong[rows, y] = -wrong.sum(axis=1)
    return wrong


def pairwise_shift(class_sums: Floats, shares: Floats) -> Floats:
    """Return the rows Q (C, C) that cancel the imbalance r when ``Q[y]`` is added to each row of class y.

    ``Q[y, j] = r_y⁺ r_j⁻ / (π_y Σ r⁺)`` for j ≠ y is never negative and ``Q[y, y] = -Σ_j Q[y, j]``, so
    every pairwise margin loss keeps its sign constraints.
    """
    imbalance = class_sums.sum(axis=0)
    positive, negative = np.maximum(imbalance, 0.0), np.maximum(-imbalance, 0.0)
    total = positive.sum()
    if total == 0.0:
        return np.zeros_like(class_sums)
    # The ratio of sums is 1 up to rounding; using each side's own sum would leave r uncancelled by that much.
    shift = np.outer(positive / shares, negative / total)
    return with_target(shift, np.arange(len(shift)))


def pairwise_slope(mobility: Floats, y: Ints, weights: Floats) -> Floats:
    """Return Σ_i ω_i Σ_j m_ij (e_j - e_y)(e_j - e_y)ᵀ for non-negative m (N, C), 0 at the targets."""
    n_classes = mobility.shape[1]
    weighted = weights[:, None] * mobility
    cross = np.zeros((n_classes, n_classes))
    order = np.argsort(y, kind="stable")
    present, first = np.unique(y[order], return_index=True)
    cross[present] = np.add.reduceat(weighted[order], first, axis=0)  # several times as quick as np.add.at
    return np.asarray(np.diag(weighted.sum(axis=0) + cross.sum(axis=1)) - cross - cross.T)


@register_jitable(error_model="numpy", forceinline=True)
def row_hinges(s: NDArray[Any], y: int, delta: float) -> None:
    """Turn scores into max(0, s_j - s_y + Δ), in place and in their own precision; the target's becomes 0.

    NaN stays NaN, and is the target's, too, where its score is not finite: then no sum of these is a loss.
    """
    number = s.dtype.type
    target, shift, zero = s[y], number(delta), number(0)
    for j in range(s.size):
        violation = (s[j] - target) + shift
        s[j] = zero if violation < zero else violation
    s[y] = target - target


@register_jitable(fastmath=ANY_ORDER, error_model="numpy", forceinline=True)
def row_sum(s: NDArray[Any]) -> float:
    """Return the sum of entries that are not negative, in float64."""
    total = 0.0
    for j in range(s.size):
        total += s[j]
    return total


@register_jitable(fastmath=ANY_ORDER, error_model="numpy", forceinline=True)
def row_squares(s: NDArray[Any]) -> float:
    """Return the sum of the squares of the entries, in float64."""
    total = 0.0
    for j in range(s.size):
        total += np.float64(s[j]) * np.float64(s[j])
    return total


@register_jitable(fastmath={"nnan", "nsz"}, error_model="numpy", forceinline=True)
def row_max(s: NDArray[Any]) -> Any:
    """Return the largest entry."""
    top = s[0]
    for j in range(s.size):
        top = s[j] if s[j] > top else top
    return top


@register_jitable
def row_violations(s: Floats, a: Floats, y: int, delta: float) -> None:
    """Turn scores into violations s_j - s_y + Δ, in place; the target's is far below 0, and its dual entry 0."""
    target = s[y]
    for j in range(s.size):
        s[j] = (s[j] - target) + delta
    s[y] = _FAR_BELOW
    a[y] = 0.0


@register_jitable(fastmath=ANY_ORDER, error_model="numpy", forceinline=True)
def ascend_margins(u: Floats, a: Floats, y: int, q: float, curvature: float, cap: float, change: Floats) -> None:
    """Maximise the dual of a margin loss over one row ``a`` with 0 at its target, in place.

    L* is ``-Σ_j Δ t_j + (curvature/2) t_j²`` on 0 ≤ t_j ≤ cap, and u are the `row_violations`. When the target's
    entry has moved by -m, every other has moved by ``clip((u_j - curvature·a_j - q·m) / (q + curvature))``: m is
    the root of a decreasing function that is linear in pieces, found by Newton's method inside a bracket.
    """
    steep = 1.0 / (q + curvature)
    m = low = high = 0.0
    for step in range(_MAX_STEPS):
        total = 0.0
        free = 0.0
        for j in range(u.size):
            old = a[j]
            wanted = old + (u[j] - curvature * old - q * m) * steep
            new = min(max(wanted, 0.0), cap)
            total += new - old
            free += 1.0 if new == wanted else 0.0
        excess = total - m
        if abs(excess) <= _STEP_TOLERANCE * abs(total):
            break
        if step == 0:
            low, high = -2.0 * abs(excess), 2.0 * abs(excess)
        if excess > 0.0:
            low = m
        else:
            high = m
        m += excess / (1.0 + free * q * steep)
        if not low < m < high:  # at an end Newton's method goes round in circles
            m = 0.5 * (low + high)
    total = moved = 0.0
    for j in range(u.size):
        old = a[j]
        a[j] = min(max(old + (u[j] - curvature * old - q * m) * steep, 0.0), cap)
        change[j] = a[j] - old  # of what is stored, which may be float32
        moved += change[j]
        total += a[j]
    a[y], change[y] = -total, -moved


def row_gradient(loss: Any, s: Floats, y: int) -> float:
    """Return L(s, y) and turn ``s`` into dL/ds in place. Compiled code only."""
    raise NotImplementedError(f"{loss!r} has no row function for the gradient")


def row_hessian_product(loss: Any, s: Floats, y: int, t: Floats) -> None:
    """Turn the direction ``t`` into (d²L/ds²)·t in place; ``s`` is scratch afterwards. Compiled code only."""
    raise NotImplementedError(f"{loss!r} has no row function for the Hessian product")


def row_conjugate(loss: Any, a: Floats, y: int) -> float:
    """Return L*(a) of one dual row. Compiled code only."""
    raise NotImplementedError(f"{loss!r} has no row function for the conjugate")


def row_ascent(
    loss: Any, s: Floats, a: Floats, y: int, q: float, change: Floats, work: Floats
) -> tuple[float, float]:
    """Maximise the dual over one row ``a``, in place; return about its loss and its duality gap before.

    The maximiser of ``-L*(a') + ⟨a', s⟩ - (q/2) ‖a' - a‖²``: s are the scores at the dual row as it was, and
    q says how much they follow when it moves. ``change`` becomes a' - a; ``s`` and ``work`` are scratch.
    Compiled code only.
    """
    raise NotImplementedError(f"{loss!r} has no row function for dual ascent")


def row_function(
    function: Callable[..., Any], loss_type: type[Loss], fastmath: Any = False
) -> Callable[[_RowFunction], _RowFunction]:
    """Register the decorated function as the compiled form of ``function`` for one type of loss.

    It is always inlined: else the process that compiles a kernel runs another copy of it than those that find the
    kernel on disk, and with additions in any order the copies differ in the last bits.

    Numba chooses by the type of the record. (Passing functions as arguments would defeat the cache on
    disk: they are recompiled in every process.)
    """

    def register(implementation: _RowFunction) -> _RowFunction:
        def choose(*arguments: Any) -> _RowFunction | None:
            record = arguments[0]
            matches = (
                isinstance(record, types.BaseNamedTuple) and getattr(record, "instance_class", None) is loss_type
            )
            return implementation if matches else None

        choose.__signature__ = inspect.signature(implementation)  # type: ignore[attr-defined]
        overload(function, jit_options={"fastmath": fastmath, "error_model": "numpy", "forceinline": True})(choose)
        return implementation

    return register
