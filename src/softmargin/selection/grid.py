"""Grids of λ, in descending order from a λ at which W is nearly zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from softmargin.arguments import brief, check_count, check_reg
from softmargin.errors import DataError, ParameterError
from softmargin.objective import Objective
from softmargin.selection.fitter import PathFitter
from softmargin.vectors import to_numpy

__all__ = ["DECADES", "check_regs", "fixed_grid", "largest_reg", "reg_grid"]

DECADES = 12
"""Powers of ten that a grid with a given number of λ spans at most."""

_ROUGH, _ROUGH_PASSES = 0.1, 100
_NEARLY_ZERO = 1e-3
"""A training loss below this fraction of the loss at W = 0 is nearly zero: smaller λ change little."""

_SATURATED = 0.98
"""The loss is saturated if a ten times smaller λ leaves more than this fraction of it."""

_LEAST_SQUARE = 1e-280
"""A mean square of scores below this has lost digits to underflow."""

_LATTICE = 4
"""Exponents of ten are rounded to multiples of 1 / `_LATTICE`, so that rounding errors do not change the grid."""


def largest_reg(objective: Objective) -> float:
    """Return a λ at which W is nearly zero.

    For large λ the optimum is W = -G/(2λ), with G the gradient at zero. At the returned λ the scores of this W
    have a root mean square of 0.1 (0.1 Δ for the margin losses).

    Raises
    ------
    DataError
        If X is so large or small that the squared scores overflow or underflow.
    """
    objective, b = objective.compact, np.zeros(objective.n_classes)
    _, G, db = objective.value_and_grad(np.zeros((objective.n_features, objective.n_classes)), b)
    mean = to_numpy(objective.problem()[1])  # a free bias centres the features
    G = G - np.outer(mean, db)
    square = objective.score_square(G, b - mean @ G)
    if not np.isfinite(square) or (square < _LEAST_SQUARE and G.any()):
        size, flow = ("small", "underflow") if square < _LEAST_SQUARE else ("large", "overflow")
        raise DataError(
            f"Values in X are too {size} to choose λ: squares of the scores {flow} in float64; scale the features."
        )
    return 5.0 * float(np.sqrt(square)) / objective.loss.score_scale if square > 0.0 else 1.0


def reg_grid(objective: Objective, per_decade: int) -> Iterator[float]:
    """Yield λ in descending order, ``per_decade`` per power of ten, from one at which W is nearly zero.

    The grid scales with Δ as the optimum does: by 1/Δ for the hinge. For the squared hinge it does not change. It
    has a single λ where W = 0 is the optimum for all of them.
    """
    unit = objective.loss.reg_scale
    if objective.is_uninformative:
        yield 1.0 / unit
        return
    first = int(np.ceil(round(np.log10(largest_reg(objective) * unit) * _LATTICE, 6))) / _LATTICE
    k = 0
    while True:
        yield 10.0 ** (first - k / per_decade) / unit
        k += 1


def fixed_grid(objective: Objective, n: int) -> list[float]:
    """Return ``n`` λ, spaced evenly on a log scale, until the training loss is nearly zero.

    Rough fits, one per power of ten, find the end: the loss falls below `_NEARLY_ZERO` between the last two, which
    are interpolated. The grid ends earlier where the loss is saturated, and after `DECADES` powers of ten at most.
    """
    objective = objective.compact
    first = next(reg_grid(objective, 1))
    if n == 1 or objective.is_uninformative:
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


def check_regs(regs: str | int | Sequence[float]) -> int | list[float]:
    """Return the number of λ, or the unique λ in descending order, or raise a `ParameterError`."""
    if isinstance(regs, (int, np.integer)) and not isinstance(regs, bool):
        return check_count("regs", regs)
    try:
        if isinstance(regs, (str, bool)):
            raise TypeError
        given = [check_reg(reg) for reg in regs]
    except TypeError:
        raise ParameterError(f"regs must be 'auto', an integer or a list of λ, got {brief(regs)}.") from None
    if not given:
        raise ParameterError("regs must contain at least one λ, got an empty list.")
    if min(given) == 0.0:
        raise ParameterError("regs must be positive, got 0: without a penalty no gap can be certified.")
    return sorted(set(given), reverse=True)
