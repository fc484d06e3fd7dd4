"""The path of λ: one fit after the other, each from what the last has found, each certified.

Dual ascent keeps its dual rows from one λ to the next, which spares it the passes that make rows of a point; other
solvers start at the last W and b. What depends on the features alone is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from softmargin.engines import DualRows
from softmargin.errors import DataError, ParameterError
from softmargin.losses import Hinge
from softmargin.losses.base import Floats
from softmargin.objective import Objective
from softmargin.solvers import Callback, DualAscent, Fit, default_solver
from softmargin.validation import check_count, check_number, check_reg

__all__ = ["DECADES", "RegFit", "Walker", "largest_reg", "path", "reg_grid"]

DECADES = 12
"""A grid of a given number of λ reaches at most so many powers of ten down."""

_ROUGH, _ROUGH_PASSES = 0.1, 100
_NEARLY_ZERO = 1e-3
"""A training loss of less than this share of that at zero is nearly zero: smaller λ change little."""

_SATURATED = 0.98
"""So do they where a power of ten leaves this share of the loss."""

_LATTICE = 4
"""λ of a grid are powers of ten with exponents that are multiples of one over this, so that neither the order of
rows nor that of a sum moves them."""

_DUAL_POWER = 0.6
"""From one λ to the next the dual rows move about as this power of λ, which leaves the rest of the way to W."""

_LEAST_SQUARE = 1e-280
"""A mean square of scores of less than this has lost its digits."""

_ROWS = 4096
"""Rows whose scores are looked at together."""


class RegFit(NamedTuple):
    """A λ and its fit.

    Attributes
    ----------
    reg : float
        λ.
    fit : Fit
    """

    reg: float
    fit: Fit


def largest_reg(objective: Objective) -> float:
    """Return the λ at which W is nearly zero: where scores first reach about a tenth of the loss's unit.

    For large λ the optimum is W = -G/(2λ), with G the gradient at zero; the scores of that are asked to
    have a root mean square of 0.1 (of 0.1 Δ for the margin losses).

    Raises
    ------
    DataError
        If the numbers are so large or small that these scores cannot be squared.
    """
    W, b = np.zeros((objective.n_features, objective.n_classes)), np.zeros(objective.n_classes)
    _, G, _ = objective.value_and_grad(W, b)
    rows, weights = objective.active_rows, objective.active_weights
    square = 0.0
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        with np.errstate(over="ignore", invalid="ignore"):
            square += float(weights[part] @ (objective.scores(G, b, rows[part]) ** 2).mean(axis=1))
    if not np.isfinite(square) or (square < _LEAST_SQUARE and G.any()):
        which = "small" if square < _LEAST_SQUARE else "large"
        raise DataError(
            f"X holds numbers too {which} to find a λ for: what they make of the gradient cannot be squared in "
            f"float64; scale the features first."
        )
    return 5.0 * float(np.sqrt(square)) / objective.loss.unit if square > 0.0 else 1.0


def reg_grid(objective: Objective, per_decade: int) -> Iterator[float]:
    """Yield λ downwards from the first power of ten's ``per_decade``-th root at which W is nearly zero.

    It moves with Δ as the optimum does: Δ·λ is what counts for the hinge, and λ for the squared hinge.
    """
    walked = objective.centred()[0] if objective.fit_intercept else objective
    unit = objective.loss.unit if isinstance(objective.loss, Hinge) else 1.0
    first = int(np.ceil(round(np.log10(largest_reg(walked) * unit) * _LATTICE, 6))) / _LATTICE
    k = 0
    while True:
        yield 10.0 ** (first - k / per_decade) / unit
        k += 1


@dataclass(frozen=True)
class _WarmAscent(DualAscent):
    """Dual ascent from the rows of another λ, which leaves its own behind."""

    before: DualRows | None = None
    after: list[DualRows] = field(default_factory=list)

    def first_rows(self, objective: Objective, known: tuple[Floats, Floats] | None) -> DualRows:
        rows = objective.dual_rows(np.float32, None if self.before is not None else known)
        if self.before is not None:
            rows.follow(self.before, (objective.reg / self.before.reg) ** _DUAL_POWER)
        self.after.append(rows)
        return rows


class Walker:
    """Minimises the same objective for one λ after the other, best from large to small.

    Parameters
    ----------
    objective : Objective
        Its own λ plays no part.
    shared : Objective, optional
        An objective on the same features, with samples that differ in their weights only; its preconditioner
        serves, which only steers a search.
    """

    def __init__(self, objective: Objective, shared: Objective | None = None) -> None:
        self.objective = objective
        self._shift = np.zeros(objective.n_features)
        self._walked = objective
        if objective.fit_intercept:
            self._walked, self._shift = objective.centred()
        if shared is not None and not (objective.has_few_rows or shared.has_few_rows):
            whole = shared.centred()[0] if shared.fit_intercept else shared
            self._walked = self._walked.steered_by(whole)
        self._rows: DualRows | None = None
        self._point: tuple[Floats, Floats] | None = None

    def restart(self) -> None:
        """Forget what was found."""
        self._rows, self._point = None, None

    def fit(self, reg: float, tol: float, max_passes: float, callback: Callback | None = None) -> Fit:
        """Return the fit for this λ, to a relative gap of ``tol`` or until ``max_passes`` are used up.

        It is in the coordinates of the objective. What misses its gap is no warning here: the gap is on record.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C ended the ``callback`` or the fit.
        """
        objective = self._walked.replace(reg=reg)
        W, b = np.zeros((objective.n_features, objective.n_classes)), np.zeros(objective.n_classes)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            solver = default_solver(objective, tol, max_passes)
            if isinstance(solver, DualAscent):
                rows = self._rows if self._rows is not None and reg <= self._rows.reg else None
                settings = (solver.tol, solver.max_passes, solver.finisher, solver.patience, solver.seed)
                warm = _WarmAscent(*settings, before=rows)
                if rows is None and self._point is not None:
                    W, b = self._point
                fit = warm.minimize(objective, W, b, callback)
                self._rows = warm.after[-1] if warm.after else None
            else:
                self._rows = None
                W, b = self._point or (W, b)
                fit = solver.minimize(objective, W, b, callback)
        if fit.interrupted:
            raise KeyboardInterrupt
        self._point = fit.W, fit.b
        return replace(fit, b=fit.b - self._shift @ fit.W)


def path(
    objective: Objective,
    regs: int | Sequence[float] = 25,
    tol: float = 1e-3,
    *,
    max_passes: float = 2000,
    watcher: Callable[[RegFit], None] | None = None,
) -> list[RegFit]:
    """Return certified fits for many λ, from large to small, for about the price of a few.

    Parameters
    ----------
    objective : Objective
        Its own λ plays no part.
    regs : int or sequence of float, default 25
        The λ; or how many, from one at which W is nearly zero to one at which the training loss is nearly zero or
        hardly falls any more.
    tol : float, default 1e-3
        Relative duality gap to prove for each.
    max_passes : float, default 2000
        Budget of each fit; where it does not suffice the fit's gap says so.
    watcher : callable, optional
        Called with each λ and its fit.

    Returns
    -------
    list of RegFit
        ``reg`` and ``fit`` of each, in descending order of λ.

    Raises
    ------
    ParameterError
        If an argument makes no sense.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> objective = sm.Objective(sm.SquaredHinge(), digits.X, digits.y, reg=0.0)
    >>> found = sm.path(objective, [1.0, 0.1, 0.01])
    >>> [reg for reg, _ in found], all(fit.gap <= 1e-3 for _, fit in found)
    ([1.0, 0.1, 0.01], True)
    """
    if not isinstance(objective, Objective):
        raise ParameterError(f"objective must be a softmargin.Objective, but it is {objective!r}.")
    objective.check_certifiable()
    tol, max_passes = check_number("tol", tol), check_number("max_passes", max_passes)
    grid: Sequence[float]
    if isinstance(regs, (int, np.integer)) and not isinstance(regs, bool):
        n = check_count("regs", int(regs))
        grid = fixed_grid(objective, n)
    else:
        grid = check_regs(regs)
    walker = Walker(objective)
    found = []
    for reg in grid:
        found.append(RegFit(reg, walker.fit(reg, tol, max_passes)))
        if watcher is not None:
            watcher(found[-1])
    return found


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
    walker, decades, enough = Walker(objective), float(DECADES), _NEARLY_ZERO * at_zero
    for k in range(1, DECADES + 1):
        reg = first * 10.0**-k
        fit = walker.fit(reg, _ROUGH, _ROUGH_PASSES)
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
