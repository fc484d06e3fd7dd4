"""What is proved about a point: a lower bound on F from dual rows, and a bound on what rounding did to both.

The bound is -Σ ω_i L*(a_i) - ‖Zᵀ(ωA)‖²/(4λ) for dual rows a whose weighted sum is zero; how rows that miss this by
a little are made feasible, and every bound on rounding, is derived in ``docs/mathematics.md``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from softmargin.engines import DualSource, RowState
from softmargin.losses.base import Loss
from softmargin.objective.features import Features
from softmargin.vectors import Vector, namespace, to_numpy

__all__ = ["Certificate", "Proof", "as_value", "prove", "relative_gap"]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
_CROSSED = 1e-6
"""By this share a bound may exceed a value: both were widened by what rounding may have done, so none should."""

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
        (value_upper - lower_bound) / value_upper, the relative duality gap.
    value_upper : float
        The value, raised by what rounding may have taken from it.
    """

    value: float
    lower_bound: float
    gap: float
    value_upper: float


class Proof(NamedTuple):
    """A certificate, and the dual rows it was made with where these were to be kept."""

    certificate: Certificate
    rows: RowState | None


def relative_gap(value: float, lower_bound: float) -> float:
    """Return (value - lower_bound) / value, rounded up; infinite, which proves nothing, if one is not finite.

    A lower bound above the value proves nothing, either: a formula of the loss or a sum of the engine is wrong.
    """
    if not (np.isfinite(value) and np.isfinite(lower_bound)) or lower_bound > value * (1.0 + _CROSSED):
        return np.inf
    if value <= 0.0:
        return 0.0
    gap = max(value - lower_bound, 0.0) / value * _ROUNDED_UP
    return min(gap, 1.0) if lower_bound >= 0.0 else gap


def as_value(number: float) -> float:
    """Return a value of F: infinite where scores overflowed, so that no number stands for their losses."""
    return np.inf if np.isnan(number) else number


def prove(
    features: Features, loss: Loss, reg: float, fit_intercept: bool, W: Vector, b: Vector, source: DualSource
) -> Proof:
    """Return what dual rows prove about (W, b); one pass.

    Parameters
    ----------
    features : Features
    loss : Loss
    reg : float
        λ > 0.
    fit_intercept : bool
        Whether b is free, which asks that the dual rows sum to zero.
    W, b : array of shape (D, C) and (C,)
    source : DualSource
        Where the dual rows come from.
    """
    xp, engine, affine = namespace(W), features.engine, features.affine
    if not (bool(xp.all(xp.isfinite(W))) and bool(xp.all(xp.isfinite(b)))):
        return Proof(Certificate(np.inf, 0.0, np.inf, np.inf), None)
    raw, folded = affine.fold(W, b)
    sums = engine.dual_sums(loss, raw, folded, source)
    penalty = reg * float(xp.sum(xp.square(W)))  # in pairs of pairs: a few roundings
    value = as_value(sums.value + penalty)
    imbalance = engine.asarray(sums.classes.sum(axis=0))
    G, conjugate = affine.unfold_gradient(sums.features, imbalance), sums.conjugate
    if fit_intercept:
        shrink, shift, conjugate = loss.balance(sums.classes, engine.shape.class_weights, sums.conjugate)
        G = float(shrink) * G + features.class_sums @ engine.asarray(shift)
    # Higham (2002), §3: sums of n terms are right to n·ε times the sum of the sizes of the terms. By Cauchy
    # and Schwarz that of the dual rows bounds the error of a row of G; twice that covers centring and balance.
    rounding = 2.0 * engine.rounding()
    lengths = xp.sqrt(xp.sum(xp.square(G), axis=1))
    lengths = lengths + rounding * float(np.sqrt(sums.square)) * features.uncentred_sizes
    slack = rounding * (abs(sums.conjugate) + loss.conjugate_scale(sums.classes, sums.square))
    square = float(xp.vecdot(lengths, lengths)) * (1.0 + _EPS * sum(W.shape))
    lower_bound = -conjugate - slack - square / (4.0 * reg)
    # Every loss and the penalty are at least 0, so 0 is a bound whatever was computed.
    lower_bound = max(float(lower_bound), 0.0) if np.isfinite(lower_bound) else 0.0
    # F may be larger than computed, for the scores are rounded.
    error = _score_error(features, loss, raw, folded)
    raised = loss.value_error_bound(error, sums.value, sums.square, W.shape[1])
    vanished = 0.0  # squares below the range of numbers
    if bool(xp.any(W != 0.0)):
        vanished = _TINY * (1.0 + reg * W.shape[0] * W.shape[1])
    value_upper = as_value(value + rounding * value + 64.0 * _EPS * penalty + raised + vanished)
    return Proof(Certificate(value, lower_bound, relative_gap(value_upper, lower_bound), value_upper), sums.rows)


def _score_error(features: Features, loss: Loss, raw: Vector, folded: Vector) -> float:
    """Return a bound on the root mean square, over the samples, of the largest rounding error of a score.

    The point is given as it is folded. See ``docs/mathematics.md``, "What rounding takes".
    """
    xp, mean = namespace(raw), features.affine.mean
    sizes = xp.sqrt(features.stored_squares) + 3.0 * xp.abs(mean) + xp.abs(mean - features.origin)
    absolute = xp.abs(raw)
    largest = float(xp.max(absolute)) or 1.0  # so that no square is lost
    longest = largest * math.sqrt(float(xp.max(xp.sum(xp.square(raw / largest), axis=0))))
    # Feature by feature is far closer where these differ in size, Cauchy and Schwarz where the classes do.
    norm = float(np.linalg.norm(to_numpy(sizes)))
    terms = min(float(xp.vecdot(sizes, xp.max(absolute, axis=1))), norm * longest)
    terms += 3.0 * float(xp.max(xp.abs(folded))) + loss.score_scale
    return 0.5 * _EPS * (raw.shape[0] + 8) * terms
