"""Choosing λ for each loss, and among the losses, on a held-out part of the training data.

Each loss walks its path of λ from "W is nearly zero" downwards, warm from the λ before, until validation
accuracy has stopped rising. Held-out samples get weight 0, so no part of X is copied, and one
preconditioner serves all losses and λ. Δ is not searched: it is exchangeable with λ
(``docs/mathematics.md``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from softmargin.accuracy import standard_error
from softmargin.engines import canonical_csr
from softmargin.errors import ConvergenceWarning, DataError, ParameterError
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.objective import Objective
from softmargin.preprocessing import Preprocessing, scale_for
from softmargin.solvers import Step, minimize
from softmargin.validation import (
    check_count,
    check_features,
    check_finite,
    check_labels,
    check_number,
    check_reg,
    encode_labels,
)

__all__ = ["Choice", "LossPath", "PathPoint", "choose", "held_out", "largest_reg", "preprocess"]

_DECREASE = 10**-0.5
_MAX_POINTS = 20
_PATIENCE = 3
_PATH_TOL = 1e-2
_PATH_PASSES = 400

Watcher = Callable[[Loss, float, Step], None]
"""Told the loss and λ at work, with each step of its fit."""


@dataclass(frozen=True)
class PathPoint:
    """One λ of a path: what was fitted without the held-out samples, and how it does on them.

    Attributes
    ----------
    reg : float
        λ.
    value, gap : float
        F on the training part and its proved relative gap.
    training_accuracy, validation_accuracy : float
        Share of samples (by weight) whose class has the largest score.
    validation_loss : float
        Mean loss over the held-out samples.
    n_passes : int
    seconds : float
    """

    reg: float
    value: float
    gap: float
    training_accuracy: float
    validation_accuracy: float
    validation_loss: float
    n_passes: int
    seconds: float


@dataclass(frozen=True)
class LossPath:
    """The path of one loss, from large λ to small, and the index of its best point."""

    loss: Loss
    points: tuple[PathPoint, ...]
    best: int

    @property
    def chosen(self) -> PathPoint:
        """The best point."""
        return self.points[self.best]


@dataclass(frozen=True)
class Choice:
    """What was chosen and why.

    Attributes
    ----------
    loss : Loss
    reg : float
    paths : tuple of LossPath
        One for each loss that was tried.
    n_training, n_validation : int
        Sizes of the two parts.
    """

    loss: Loss
    reg: float
    paths: tuple[LossPath, ...]
    n_training: int
    n_validation: int

    @property
    def standard_error(self) -> float:
        """Standard error of the chosen validation accuracy: half of Wilson's interval, which is never 0."""
        return standard_error(self._chosen_path.chosen.validation_accuracy, self.n_validation)

    @property
    def _chosen_path(self) -> LossPath:
        return next(path for path in self.paths if path.loss == self.loss)

    def reason(self) -> str:
        """Say in a few sentences what was chosen and why."""
        point = self._chosen_path.chosen
        said = [
            f"Chosen: {self.loss.name} with reg {self.reg:.3g}, by its accuracy of "
            f"{point.validation_accuracy:.4f} ± {self.standard_error:.4f} on {self.n_validation:,} "
            f"held-out samples."
        ]
        others = [path for path in self.paths if path is not self._chosen_path]
        if others:
            best = ", ".join(f"{path.loss.name} {path.chosen.validation_accuracy:.4f}" for path in others)
            said.append(f"The others at their best: {best}.")
            ties = [path for path in others if path.chosen.validation_accuracy == point.validation_accuracy]
            if ties:
                names = " and ".join(path.loss.name for path in ties)
                said.append(
                    f"{self.loss.name} does no better than {names}: it is taken because it was tried first."
                )
            close = [
                p
                for p in others
                if 0.0 < point.validation_accuracy - p.chosen.validation_accuracy <= self.standard_error
            ]
            if close:
                names = " and ".join(path.loss.name for path in close)
                said.append(f"The lead over {names} is within one standard error: it may be chance.")
        return " ".join(said)

    def record(self) -> dict[str, Any]:
        """Return everything as plain numbers and strings, for model files and reports."""
        return {
            "loss": self.loss.name,
            "reg": self.reg,
            "n_training": self.n_training,
            "n_validation": self.n_validation,
            "reason": self.reason(),
            "paths": [
                {"loss": path.loss.name, "best": path.best, "points": [asdict(point) for point in path.points]}
                for path in self.paths
            ],
        }


def choose(
    X: NDArray[Any] | csr_array,
    y: ArrayLike,
    losses: Sequence[Loss],
    regs: Sequence[float] | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    scaling: str = "auto",
    watcher: Watcher | None = None,
    **options: Any,
) -> Choice:
    """Choose a loss and λ by the accuracy on a held-out part.

    Parameters
    ----------
    X : ndarray or sparse array of shape (N, D)
    y : array-like of shape (N,)
        Labels: strings or integers.
    losses : sequence of Loss
        Tried in this order; of equal accuracies the first wins.
    regs : sequence of float, optional
        The λ to try; by default a path with a step of √10, from the data.
    sample_weight : array-like of shape (N,), optional
    validation_fraction : float, default 0.2
        Share of each class that is held out.
    seed : int, default 0
        Of the split.
    scaling : {"auto", "none", "unit", "standard"}, default "auto"
        As in `LinearClassifier`.
    watcher : callable, optional
        Called with the loss, λ and each step of a fit.
    **options
        Passed on to `Objective`: ``fit_intercept``, ``engine``, ``n_threads``.

    Returns
    -------
    Choice

    Raises
    ------
    DataError
        If X, y or the weights cannot be used, or no class has two samples, so that nothing can be held out.
    ParameterError
        If an argument is outside its domain.
    """
    X = check_features(X)
    if issparse(X):
        X = canonical_csr(X)
    check_finite(X)
    if isinstance(losses, (Loss, str)) or len(losses) == 0:
        raise ParameterError(f"losses must be a list of at least one loss, but it is {losses!r}.")
    if regs is not None and len(regs) == 0:
        raise ParameterError("regs holds no λ to try: give at least one, or leave it out for a path.")
    if not 0.0 < check_number("validation_fraction", validation_fraction) < 1.0:
        raise ParameterError(f"validation_fraction must lie between 0 and 1, but it is {validation_fraction!r}.")
    check_count("seed", seed, 0)
    given = np.asarray(check_labels(y))
    if given.shape != (X.shape[0],):
        raise DataError(f"y must hold {X.shape[0]} labels, one for each row of X, but its shape is {given.shape}.")
    _, labels, weights = encode_labels(given, sample_weight)
    validation = held_out(labels, weights, validation_fraction, seed)
    training_weights = weights.copy()
    training_weights[validation] = 0.0
    objective = Objective(losses[0], X, labels, 0.0, training_weights, **options)
    objective = objective.replace(scale=preprocess(objective, scaling, X.dtype).scale)
    paths = tuple(
        _walk_path(objective.replace(loss=loss), labels, weights, validation, regs, watcher) for loss in losses
    )
    # Of equal accuracies the earlier loss wins, as within a path the larger λ does.
    best = max(paths, key=lambda path: path.chosen.validation_accuracy)
    return Choice(best.loss, best.chosen.reg, paths, len(objective.active_rows), len(validation))


def preprocess(objective: Objective, scaling: str, dtype: np.dtype[Any]) -> Preprocessing:
    """Return the scaling of the features (centring is done by the solver, where it changes nothing)."""
    idle = np.ones(objective.n_features)
    mean, variance = objective.moments if scaling == "standard" else (idle, idle)
    name, scale = scale_for(scaling, dtype, mean, variance)
    return Preprocessing(name, np.zeros(objective.n_features), scale)


def held_out(y: NDArray[Any], weights: Floats, fraction: float, seed: int) -> Ints:
    """Return the numbers of the held-out samples, ascending: a share of each class, but never all of it.

    Raises
    ------
    DataError
        If nothing can be held out.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero((y == label) & (weights > 0.0)))
        parts.append(rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)])
    rows = np.sort(np.concatenate(parts))
    if rows.size == 0:
        raise DataError("No class has two samples, so none can be held out to choose with: give the loss and reg.")
    return rows


def largest_reg(objective: Objective) -> float:
    """Return the λ at which W is nearly zero: where scores first reach about a tenth of the loss's unit.

    For large λ the optimum is W = -G/(2λ), with G the gradient at zero; the scores of that are asked to
    have a root mean square of 0.1 (of 0.1 Δ for the margin losses).
    """
    W, b = np.zeros((objective.n_features, objective.n_classes)), np.zeros(objective.n_classes)
    _, G, _ = objective.value_and_grad(W, b)
    rows = objective.active_rows
    scores = objective.scores(G, b, rows[:: max(1, len(rows) // 4096)])
    size = float(np.sqrt((scores**2).mean()))
    return 5.0 * size / objective.loss.unit if size > 0.0 else 1.0


def _walk_path(
    objective: Objective,
    y: Ints,
    weights: Floats,
    validation: Ints,
    regs: Sequence[float] | None,
    watcher: Watcher | None,
) -> LossPath:
    centred = objective.centred()[0] if objective.fit_intercept else objective
    if regs is None:
        start = largest_reg(centred)
        grid = [start * _DECREASE**k for k in range(_MAX_POINTS)]
    else:
        grid = sorted(map(check_reg, regs), reverse=True)
    W, b = None, None
    points: list[PathPoint] = []
    best = 0
    for reg in grid:
        step = None if watcher is None else lambda seen, reg=reg: watcher(objective.loss, reg, seen)
        with warnings.catch_warnings():
            # A point of the path that misses its tolerance still serves the choice, and its gap is on record.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = minimize(objective.replace(reg=reg), W, b, _PATH_TOL, step, max_passes=_PATH_PASSES)
            if fit.interrupted:
                raise KeyboardInterrupt
        W, b = fit.W, fit.b
        scores = objective.scores(W, b)
        right = scores.argmax(axis=1) == y
        training = objective.active_rows
        losses = objective.loss.values(scores[validation], y[validation])
        points.append(
            PathPoint(
                reg=reg,
                value=fit.value,
                gap=fit.gap,
                training_accuracy=float(np.average(right[training], weights=weights[training])),
                validation_accuracy=float(np.average(right[validation], weights=weights[validation])),
                validation_loss=float(np.average(losses, weights=weights[validation])),
                n_passes=fit.n_passes,
                seconds=fit.seconds,
            )
        )
        if points[-1].validation_accuracy > points[best].validation_accuracy:
            best = len(points) - 1
        if regs is None and len(points) - 1 - best >= _PATIENCE:
            break
    return LossPath(objective.loss, tuple(points), best)
