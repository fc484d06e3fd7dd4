"""Grids of λ, from one at which W is nearly zero downwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from softmargin.arguments import check_reg
from softmargin.errors import DataError, ParameterError
from softmargin.objective import Objective
from softmargin.selection.fitter import PathFitter
from softmargin.vectors import to_numpy

__all__ = ["DECADES", "check_regs", "fixed_grid", "largest_reg", "reg_grid"]

DECADES = 12
"""A grid of a given number of λ reaches at most so many powers of ten down."""

_ROUGH, _ROUGH_PASSES = 0.1, 100
_NEARLY_ZERO = 1e-3
"""A training loss of less than this share of that at zero is nearly zero: smaller λ change little."""

_SATURATED = 0.98
"""So do they where a power of ten leaves this share of the loss."""

_LEAST_SQUARE = 1e-280
"""A mean square of scores of less than this has lost its digits."""

_LATTICE = 4
"""λ of a grid are powers of ten with exponents that are multiples of one over this, so that neither the order of
rows nor that of a sum moves them."""


def largest_reg(objective: Objective) -> float:
    """Return the λ at which W is nearly zero: where scores first reach about a tenth of the loss's scale.

    For large λ the optimum is W = -G/(2λ), with G the gradient at zero; the scores of that are asked to
    have a root mean square of 0.1 (of 0.1 Δ for the margin losses).

    Raises
    ------
    DataError
        If the numbers are so large or small that these scores cannot be squared.
    """
    b = np.zeros(objective.n_classes)
    _, G, db = objective.value_and_grad(np.zeros((objective.n_features, objective.n_classes)), b)
    mean = to_numpy(objective.problem()[1])  # a free bias takes it off the features
    G = G - np.outer(mean, db)
    square = objective.score_square(G, b - mean @ G)
    if not np.isfinite(square) or (square < _LEAST_SQUARE and G.any()):
        which = "small" if square < _LEAST_SQUARE else "large"
        raise DataError(
            f"X holds numbers too {which} to find a λ for: what they make of the gradient cannot be squared in "
            f"float64; scale the features first."
        )
    return 5.0 * float(np.sqrt(square)) / objective.loss.score_scale if square > 0.0 else 1.0


def reg_grid(objective: Objective, per_decade: int) -> Iterator[float]:
    """Yield λ downwards from the first power of ten's ``per_decade``-th root at which W is nearly zero.

    It moves with Δ as the optimum does: Δ·λ is what counts for the hinge, and λ for the squared hinge.
    """
    unit = objective.loss.reg_scale
    first = int(np.ceil(round(np.log10(largest_reg(objective) * unit) * _LATTICE, 6))) / _LATTICE
    k = 0
    while True:
        yield 10.0 ** (first - k / per_decade) / unit
        k += 1


def fixed_grid(objective: Objective, n: int) -> list[float]:
    """Return ``n`` λ in equal steps, from one at which W is nearly zero to one at which the training loss is.

    The end is looked for by rough fits, a power of ten at a time, and taken between the last two where the loss
    crosses what is nearly zero. It comes earlier where another power of ten takes the loss hardly any lower, and
    after `DECADES` powers of ten at the latest.
    """
    first = next(reg_grid(objective, 1))
    if n == 1:
        return [first]
    W, b = np.zeros((objective.n_features, objective.n_classes)), np.zeros(objective.n_classes)
    at_zero = before = objective.replace(reg=0.0).value(W, b)
    fitter, decades, enough = PathFitter(objective), float(DECADES), _NEARLY_ZERO * at_zero
    for k in range(1, DECADES + 1):
        reg = first * 10.0**-k
        fit = fitter.fit(reg, _ROUGH, _ROUGH_PASSES)
        loss = fit.value - reg * float(np.vdot(fit.W, fit.W))
        if loss < enough:
            share = np.log(before / enough) / np.log(before / max(loss, 1e-300))
            decades = max(1.0, k - 1 + np.ceil(_LATTICE * share) / _LATTICE)
            break
        if loss > _SATURATED * before:
            decades = float(k)
            break
        before = loss
    return [first * 10.0 ** (-decades * k / (n - 1)) for k in range(n)]


def check_regs(regs: str | int | Sequence[float]) -> list[float]:
    """Return given λ in descending order, each once, or raise a `ParameterError`."""
    try:
        if isinstance(regs, (str, int)):
            raise TypeError
        given = [check_reg(reg) for reg in regs]
    except TypeError:
        raise ParameterError(f"regs must be 'auto', a count or a list of λ, but it is {regs!r}.") from None
    if not given:
        raise ParameterError("regs holds no λ to try: give at least one, or leave it out for a path.")
    if min(given) == 0.0:
        raise ParameterError("regs holds 0: without a penalty nothing can be certified; give positive λ.")
    return sorted(set(given), reverse=True)
