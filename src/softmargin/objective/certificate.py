"""The certificate of a point: a lower bound on F from dual rows, with bounds on the rounding errors.

The bound is -Σ ω_i L*(a_i) - ‖Zᵀ(ωA)‖²/(4λ) for dual rows a whose weighted sum is zero. ``docs/mathematics.md``
derives how rows are made feasible whose sum is not quite zero, and every bound on rounding errors.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from softmargin.engines import DualSource, RowState
from softmargin.losses.base import Loss
from softmargin.objective.features import Features
from softmargin.vectors import Vector, is_finite, namespace, to_numpy

__all__ = ["Certificate", "Proof", "as_value", "prove", "relative_gap"]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
_CROSSED = 1e-6
"""Relative amount by which a bound may exceed a value: both include rounding errors, so a larger one is a bug."""

_ROUNDED_UP = 1.0 + 4.0 * _EPS


class Certificate(NamedTuple):
    """The certificate of a point: ``lower_bound <= min F <= value``.

    Attributes
    ----------
    value : float
        F at the point.
    lower_bound : float
        Lower bound on the minimum of F; rounding errors are subtracted.
    gap : float
        (value_upper - lower_bound) / value_upper, the relative duality gap.
    value_upper : float
        Upper bound on F at the point: the value plus a bound on its rounding error.
    """

    value: float
    lower_bound: float
    gap: float
    value_upper: float

    def with_penalty(self, penalty: float) -> Certificate:
        """Return the certificate of a point whose penalty is larger, without effect on its scores."""
        if penalty == 0.0:
            return self
        upper = (self.value_upper + penalty) * (1.0 + 64.0 * _EPS)
        return Certificate(self.value + penalty, self.lower_bound, relative_gap(upper, self.lower_bound), upper)


class Proof(NamedTuple):
    """A certificate, and how it was derived.

    Attributes
    ----------
    certificate : Certificate
    rows : RowState or None
        Its dual rows, if requested.
    rounding : float
        How far the lower bound was lowered to allow for rounding errors.
    """

    certificate: Certificate
    rows: RowState | None
    rounding: float = 0.0


def relative_gap(value: float, lower_bound: float) -> float:
    """Return (value - lower_bound) / value, rounded up; infinite if one of the two is not finite.

    It is also infinite for a lower bound above the value: then a formula of the loss or a sum of the engine is
    wrong.
    """
    if not (math.isfinite(value) and math.isfinite(lower_bound)) or lower_bound > value * (1.0 + _CROSSED):
        return np.inf
    if value <= 0.0:
        return 0.0
    gap = max(value - lower_bound, 0.0) / value * _ROUNDED_UP
    return min(gap, 1.0) if lower_bound >= 0.0 else gap


def as_value(number: float) -> float:
    """Return a value of F: infinite where scores overflowed to NaN."""
    return math.inf if math.isnan(number) else number


def prove(
    features: Features, loss: Loss, reg: float, fit_intercept: bool, W: Vector, b: Vector, source: DualSource
) -> Proof:
    """Return the certificate of (W, b) from dual rows; one pass.

    Parameters
    ----------
    features : Features
    loss : Loss
    reg : float
        λ > 0.
    fit_intercept : bool
        Whether b is free, which requires dual rows that sum to zero.
    W, b : array of shape (D, C) and (C,)
    source : DualSource
        Source of the dual rows.
    """
    xp, engine, affine = namespace(W), features.engine, features.affine
    if not (is_finite(W) and is_finite(b)):
        return Proof(Certificate(np.inf, 0.0, np.inf, np.inf), None)
    raw, folded = affine.fold(W, b)
    sums = engine.dual_sums(loss, raw, folded, source)
    penalty = reg * float(xp.sum(xp.square(W)))  # pairwise summation: few roundings
    value = as_value(sums.value + penalty)
    imbalance = engine.asarray(sums.classes.sum(axis=0))
    G, conjugate = affine.unfold_gradient(sums.features, imbalance), sums.conjugate
    if fit_intercept:
        shrink, shift, conjugate = loss.balance(sums.classes, engine.shape.class_weights, sums.conjugate)
        G = float(shrink) * G + features.class_sums @ engine.asarray(shift)
    # Higham (2002), §3: the error of a sum of n terms is at most n·ε times the sum of their absolute values. By
    # Cauchy-Schwarz, that of the dual rows bounds the error of a row of G; twice that covers centring and balance.
    rounding = 2.0 * engine.rounding()
    lengths = xp.sqrt(xp.sum(xp.square(G), axis=1))
    computed = -conjugate - float(xp.vecdot(lengths, lengths)) / (4.0 * reg)
    lengths = lengths + rounding * float(np.sqrt(sums.square)) * features.uncentred_sizes
    slack = rounding * (abs(sums.conjugate) + loss.conjugate_scale(sums.classes, sums.square))
    square = float(xp.vecdot(lengths, lengths)) * (1.0 + _EPS * sum(W.shape))
    lower_bound = -conjugate - slack - square / (4.0 * reg)
    # Every loss and the penalty are at least 0, so 0 is always a lower bound.
    lower_bound = max(float(lower_bound), 0.0) if np.isfinite(lower_bound) else 0.0
    # F may be larger than computed, because the scores are rounded.
    error = _score_error(features, loss, raw, folded)
    raised = loss.value_error_bound(error, sums.value, sums.square, W.shape[1])
    underflow = _TINY * (1.0 + reg * W.shape[0] * W.shape[1]) if bool(xp.any(W != 0.0)) else 0.0  # of squares
    value_upper = as_value(value + rounding * value + 64.0 * _EPS * penalty + raised + underflow)
    certificate = Certificate(value, lower_bound, relative_gap(value_upper, lower_bound), value_upper)
    return Proof(certificate, sums.rows, max(float(computed) - lower_bound, 0.0) if np.isfinite(computed) else 0.0)


def _score_error(features: Features, loss: Loss, raw: Vector, folded: Vector) -> float:
    """Return a bound on the root mean square, over the samples, of the largest rounding error of a score.

    The arguments are the folded W and b. See ``docs/mathematics.md``, section 10.
    """
    xp, mean = namespace(raw), features.affine.mean
    sizes = xp.sqrt(features.stored_squares) + 3.0 * xp.abs(mean) + xp.abs(mean - features.origin)
    absolute = xp.abs(raw)
    largest = float(xp.max(absolute)) or 1.0  # so that no square underflows
    longest = largest * math.sqrt(float(xp.max(xp.sum(xp.square(raw / largest), axis=0))))
    # The sum over features is tighter if features differ in size, the Cauchy-Schwarz bound if classes do.
    norm = float(np.linalg.norm(to_numpy(sizes)))
    terms = min(float(xp.vecdot(sizes, xp.max(absolute, axis=1))), norm * longest)
    terms += 3.0 * float(xp.max(xp.abs(folded))) + loss.score_scale
    return 0.5 * _EPS * (raw.shape[0] + 8) * terms
