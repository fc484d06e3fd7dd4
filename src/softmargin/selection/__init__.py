"""Choosing λ for each loss, and among the losses, on held-out parts of the training data.

Each loss walks its path of λ from "W is nearly zero" downwards, warm from the λ before, on all folds at once,
until the held-out score has stopped rising. Held-out samples get weight 0, so no fold copies X, and one
preconditioner serves all losses, folds and λ. Δ is not searched: it is exchangeable with λ
(``docs/mathematics.md``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from softmargin.accuracy import standard_error
from softmargin.engines import canonical_csr
from softmargin.errors import DataError, ParameterError
from softmargin.losses import LOSSES
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.objective import Objective
from softmargin.preprocessing import Preprocessing, scale_for
from softmargin.selection.base import (
    Calibration,
    Comparison,
    FoldPoint,
    LossPath,
    PairedTest,
    PathPoint,
    as_good,
    told_apart,
)
from softmargin.selection.calibration import calibrate as calibrate_scores
from softmargin.selection.calibration import calibration_error, fit_temperature
from softmargin.selection.folds import Fold, Samples, content_hashes, gather, held_out, make_folds
from softmargin.selection.paired import mcnemar
from softmargin.selection.paths import (
    RegFit,
    Walker,
    check_regs,
    fixed_grid,
    largest_reg,
    path,
    reg_grid,
)
from softmargin.selection.together import walk_together
from softmargin.solvers import Callback, Fit, Step
from softmargin.validation import (
    check_count,
    check_features,
    check_finite,
    check_flag,
    check_labels,
    check_length,
    check_number,
    encode_labels,
)

__all__ = [
    "Calibration", "Comparison", "Fold", "FoldPoint", "LossPath", "PairedTest", "PathPoint", "RegFit",
    "Samples", "Scorer", "Settings", "Watcher", "calibration_error", "choose", "compare", "content_hashes",
    "fit_temperature", "gather", "largest_reg", "make_folds", "mcnemar", "path", "preprocess", "select",
]  # fmt: skip

_PER_DECADE = 2
_MOST_POINTS = 32
_PATIENCE = 3
_FALLS = 0.98
"""A walk goes on while its last few λ took the held-out loss below this share: a score that stands still says
little while the loss falls, as where features of very different sizes come into play one after the other."""

_MOST_FURTHER = 8
"""Points that a grid of given length is extended by at most while its best lies at an edge."""

_ROWS = 4096
"""Rows whose scores are looked at together."""

RULES = ("best", "one_se")

Watcher = Callable[[Loss, float, int, Step], None]
"""Told the loss, λ and the number of a fold, with each step of its fit; folds at work at once take turns."""

Scorer = Callable[[Loss, Floats, Floats, Ints, Ints], float]
"""``scorer(loss, W, b, classes, rows)`` scores a fit by held-out samples: W and b are for raw features, and
have one column for each of the class numbers ``classes``; larger is better."""


class Settings(NamedTuple):
    """How to choose; see `compare`."""

    regs: str | int | Sequence[float] = "auto"
    rule: str = "best"
    scoring: str | Scorer = "accuracy"
    scoring_name: str = ""
    path_tol: float = 1e-3
    path_passes: float = 1000
    calibrate: bool = True
    watcher: Watcher | None = None


def compare(
    X: NDArray[Any] | csr_array,
    y: ArrayLike,
    losses: Sequence[Loss | str],
    regs: str | int | Sequence[float] = "auto",
    *,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    rule: str = "best",
    scoring: str = "accuracy",
    path_tol: float = 1e-3,
    calibrate: bool = True,
    seed: int = 0,
    scaling: str = "auto",
    watcher: Watcher | None = None,
    **options: Any,
) -> Comparison:
    """Compare losses by cross-validation, each at its own best λ, and choose.

    Parameters
    ----------
    X : ndarray or sparse array of shape (N, D)
    y : array-like of shape (N,)
        Labels: strings or integers.
    losses : sequence of Loss, or of "hinge", "squared_hinge" and "cross_entropy"
        Of equal scores the one named first wins.
    regs : "auto", int or sequence of float, default "auto"
        The λ to try; or how many, from one at which W is nearly zero to one at which the training loss is; or
        "auto": from the first of these, two for each power of ten, until the score has not risen for three and the
        held-out loss no longer falls. The last two go on where the best lies at an edge.
    cv : int, splitter of scikit-learn, or iterable of pairs of index arrays, default 5
        The folds. A number makes folds of each class by the content of the rows: their order makes no difference,
        and rows with the same features stay together where they are no more than the folds.
    groups : array-like of shape (N,), optional
        Samples of one group are never on both sides of a fold.
    sample_weight : array-like of shape (N,), optional
    rule : {"best", "one_se"}, default "best"
        Take the λ of the best score, or the largest one within one standard error of it.
    scoring : {"accuracy", "loss"}, default "accuracy"
        Choose λ by the held-out accuracy or the held-out loss. Among losses accuracy decides, since the values of
        different losses cannot be compared.
    path_tol : float, default 1e-3
        Relative duality gap that each fit of a path has to prove.
    calibrate : bool, default True
        Whether to measure the calibration error, and fit a temperature for the hinges, on the held-out scores.
    seed : int, default 0
        Of the folds, where ``cv`` is a number.
    scaling : {"auto", "none", "unit", "standard"}, default "auto"
        As in `LinearClassifier`; its moments are those of the training part of each fold.
    watcher : callable, optional
        Called with the loss, λ, the number of the fold and each step of a fit, in this thread; folds that are at
        work at once take turns.
    **options
        Passed on to `Objective`: ``fit_intercept``, ``engine``, ``n_threads``; the last are shared by the folds.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If X, y or the weights cannot be used, or nothing can be held out.
    ParameterError
        If an argument is outside its domain.
    """
    check_count("seed", seed, 0)
    settings = Settings(
        regs, rule, scoring, path_tol=path_tol, calibrate=check_flag("calibrate", calibrate), watcher=watcher
    )
    if not isinstance(scoring, str):
        raise ParameterError(f"scoring must be 'accuracy' or 'loss', but it is {scoring!r}.")
    X, given, codes, weights, hashes = _checked(X, y, sample_weight, seed)
    folds = make_folds(cv, codes, given, weights, hashes, groups)
    return select(gather(X, given, codes, weights, hashes, folds), losses, settings, scaling, **options)


def choose(
    X: NDArray[Any] | csr_array,
    y: ArrayLike,
    losses: Sequence[Loss | str],
    regs: str | int | Sequence[float] = "auto",
    *,
    sample_weight: ArrayLike | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    scaling: str = "auto",
    watcher: Watcher | None = None,
    **options: Any,
) -> Comparison:
    """Choose a loss and λ by the accuracy on one held-out part: quicker than `compare`, and less certain.

    Parameters
    ----------
    X : ndarray or sparse array of shape (N, D)
    y : array-like of shape (N,)
        Labels: strings or integers.
    losses : sequence of Loss, or of "hinge", "squared_hinge" and "cross_entropy"
        Of equal accuracies the one named first wins.
    regs : "auto", int or sequence of float, default "auto"
        As in `compare`.
    sample_weight : array-like of shape (N,), optional
    validation_fraction : float, default 0.2
        Share of each class that is held out.
    seed : int, default 0
        Of the split.
    scaling : {"auto", "none", "unit", "standard"}, default "auto"
        As in `LinearClassifier`.
    watcher : callable, optional
        Called with the loss, λ, 0 and each step of a fit.
    **options
        Passed on to `Objective`: ``fit_intercept``, ``engine``, ``n_threads``.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If X, y or the weights cannot be used, or no class has two samples that differ, so that nothing can
        be held out.
    ParameterError
        If an argument is outside its domain.
    """
    check_count("seed", seed, 0)
    if not 0.0 < check_number("validation_fraction", validation_fraction) < 1.0:
        raise ParameterError(f"validation_fraction must lie between 0 and 1, but it is {validation_fraction!r}.")
    X, given, codes, weights, hashes = _checked(X, y, sample_weight, seed)
    folds = [held_out(codes, weights, validation_fraction, hashes)]
    settings = Settings(regs, watcher=watcher)
    return select(gather(X, given, codes, weights, hashes, folds), losses, settings, scaling, **options)


def _checked(
    X: Any, y: ArrayLike, sample_weight: ArrayLike | None, seed: int
) -> tuple[Any, Any, Ints, Floats, Any]:
    """Return X, the labels, the class numbers, the weights and the hashes of the samples."""
    X = check_features(X)
    if issparse(X):
        X = canonical_csr(X)
    check_finite(X)
    given = check_length(check_labels(y), X.shape[0])
    _, codes, weights = encode_labels(given, sample_weight)
    return X, given, codes, weights, content_hashes(X, seed)


def select(
    samples: Samples,
    losses: Sequence[Loss | str],
    settings: Settings,
    scaling: str,
    **options: Any,
) -> Comparison:
    """Walk all paths, and choose λ for each loss and one of the losses.

    Parameters
    ----------
    samples : Samples
    losses : sequence of Loss
    settings : Settings
    scaling : str
    **options
        Passed on to `Objective`.
    """
    started = time.perf_counter()
    if isinstance(losses, (Loss, str)) or len(losses) == 0:
        raise ParameterError(f"losses must be a list of at least one loss, but it is {losses!r}.")
    chosen: list[Any] = [LOSSES[one]() if isinstance(one, str) and one in LOSSES else one for one in losses]
    if settings.rule not in RULES:
        raise ParameterError(f"rule must be one of {', '.join(RULES)}, but it is {settings.rule!r}.")
    if isinstance(settings.scoring, str) and settings.scoring not in ("accuracy", "loss"):
        raise ParameterError(f"scoring must be 'accuracy', 'loss' or a scorer, but it is {settings.scoring!r}.")
    path_tol = check_number("path_tol", settings.path_tol)
    if not 0.0 < path_tol < 1.0:
        raise ParameterError(f"path_tol is a relative gap and must lie between 0 and 1, but it is {path_tol!r}.")
    if isinstance(settings.regs, (int, np.integer)) and not isinstance(settings.regs, bool):
        check_count("regs", settings.regs)
    elif not (isinstance(settings.regs, str) and settings.regs == "auto"):
        settings = settings._replace(regs=check_regs(settings.regs))
    whole = Objective(chosen[0], samples.X, samples.y, 0.0, samples.training_weights, **options)
    whole = whole.replace(scale=preprocess(whole, scaling, samples.X.dtype).scale)
    name = settings.scoring if isinstance(settings.scoring, str) else settings.scoring_name or "score"
    parts = [_Part(n, samples, whole, scaling, settings.scoring, name, options) for n in range(len(samples.folds))]
    walks = [_Walk(loss, whole, parts, settings) for loss in chosen]
    paths = [walk.path() for walk in walks]
    best = max(_decisive(path, settings) for path in paths)
    mine = next(path for path in paths if as_good(_decisive(path, settings), best))
    first = walks[paths.index(mine)]
    tests = tuple(_paired(first, walk, chosen) for walk in walks if walk is not first)
    seconds = time.perf_counter() - started
    return Comparison(
        mine.loss, mine.chosen.reg, tuple(paths), tests, settings.rule, name, samples.sizes, path_tol, seconds
    )


def preprocess(objective: Objective, scaling: str, dtype: np.dtype[Any]) -> Preprocessing:
    """Return the scaling of the features (centring is done by the solver, where it changes nothing)."""
    idle = np.ones(objective.n_features)
    mean, variance = objective.moments if scaling == "standard" else (idle, idle)
    name, scale = scale_for(scaling, dtype, mean, variance)
    return Preprocessing(name, np.zeros(objective.n_features), scale)


def _decisive(path: LossPath, settings: Settings) -> float:
    """Return what the choice among the losses goes by: of equal ones the first wins."""
    return path.chosen.validation_accuracy if settings.scoring == "loss" else path.chosen.score


class _Part:
    """One fold: the objective of its training samples, and what is asked of its held-out ones.

    A class that has no training sample in this fold takes no part in its fit. Its held-out samples count as wrong,
    and in no loss.
    """

    def __init__(
        self,
        number: int,
        samples: Samples,
        whole: Objective,
        scaling: str,
        scoring: str | Scorer,
        scoring_name: str,
        options: dict[str, Any],
    ) -> None:
        fold, weights = samples.folds[number], samples.training_weights
        self.number, self.fold, self._scoring, self._name = number, fold, scoring, scoring_name
        self._weights, self.labels, self.hashes = samples.weights, samples.y, samples.hashes
        self.counts = samples.counts
        counts = np.bincount(fold.training, minlength=len(samples.y))
        self._training = np.flatnonzero((counts > 0) & (weights > 0.0))
        self.classes = np.unique(samples.y[self._training])
        if len(self.classes) < 2:
            raise DataError(f"Fold {number} of cv has training samples of one class only: two are needed.")
        known = np.isin(samples.y, self.classes)
        codes = np.where(known, np.searchsorted(self.classes, samples.y), 0)
        self._codes: Ints = np.where(codes < len(self.classes), codes, 0).astype(np.int64)
        self.known = fold.validation[known[fold.validation]]
        objective = Objective(whole.loss, samples.X, self._codes, 0.0, weights * counts, **options)
        self._preprocessing = preprocess(objective, scaling, samples.X.dtype)
        self._objective = objective.replace(scale=self._preprocessing.scale)
        self._shared = whole

    def walker(self, loss: Loss) -> Walker:
        """Return what walks the path of a loss on the training samples."""
        return Walker(self._objective.replace(loss=loss), self._shared)

    def point(self, loss: Loss, reg: float, fit: Fit) -> tuple[FoldPoint, NDArray[np.bool_]]:
        """Return what is to be said of a fit, but for a scorer's score, and which held-out samples are right."""
        W, b = fit.W, fit.b
        training, validation, weights = self._training, self.fold.validation, self._weights
        right = self._right(W, b, training)
        training_accuracy = float(np.average(right, weights=weights[training]))
        losses = np.zeros(len(self.known))
        hits = np.zeros(len(self.labels), bool)
        for rows, scores in self._scores(W, b, self.known):
            losses[rows] = loss.values(scores, self._codes[self.known[rows]])
            hits[self.known[rows]] = scores.argmax(axis=1) == self._codes[self.known[rows]]
        loss_weights = weights[self.known]
        validation_loss = float(np.average(losses, weights=loss_weights)) if len(losses) else np.inf
        accuracy = float(np.average(hits[validation], weights=weights[validation]))
        offered = {"accuracy": accuracy, "loss": -validation_loss}
        square = float(np.vdot(W, W))
        point = FoldPoint(
            value=fit.value,
            gap=fit.gap,
            square=square,
            training_loss=fit.value - reg * square,
            training_accuracy=training_accuracy,
            validation_loss=validation_loss,
            validation_accuracy=accuracy,
            score=offered[self._scoring] if isinstance(self._scoring, str) else np.nan,
            n_passes=fit.n_passes,
            seconds=fit.seconds,
        )
        return point, hits[validation]

    def scored(self, loss: Loss, reg: float, point: FoldPoint, W: Floats, b: Floats) -> FoldPoint:
        """Return the point with its score: a scorer is the user's, and called in the thread he calls us in."""
        if isinstance(self._scoring, str):
            return point
        score = float(self._scoring(loss, *self._preprocessing.fold(W, b), self.classes, self.fold.validation))
        if not np.isfinite(score):
            raise DataError(
                f"scoring {self._name!r} gave {score} for {loss.name} with reg {reg:.3g} on fold {self.number}: "
                f"a score must be a finite number to choose by."
            )
        return replace(point, score=score)

    def held_out_scores(self, W: Floats, b: Floats) -> tuple[Floats, Ints, Floats]:
        """Return scores, class numbers and weights of the held-out samples of known classes."""
        scores = np.empty((len(self.known), len(self.classes)))
        for rows, part in self._scores(W, b, self.known):
            scores[rows] = part
        return scores, self._codes[self.known], self._weights[self.known]

    def spread(self, loss: Loss, W: Floats, b: Floats) -> float:
        """Return the standard error of the held-out score of this fold alone."""
        scores, y, weights = self.held_out_scores(W, b)
        if self._scoring == "accuracy":
            accuracy = float(np.average(scores.argmax(axis=1) == y, weights=weights))
            return standard_error(accuracy, int(self.counts[self.fold.validation].sum()))
        losses = loss.values(scores, y).repeat(self.counts[self.known])
        return float(np.std(losses, ddof=1) / np.sqrt(len(losses))) if len(losses) > 1 else np.inf

    def _right(self, W: Floats, b: Floats, rows: Ints) -> NDArray[np.bool_]:
        right = np.zeros(len(rows), bool)
        for part, scores in self._scores(W, b, rows):
            right[part] = scores.argmax(axis=1) == self._codes[rows[part]]
        return right

    def _scores(self, W: Floats, b: Floats, rows: Ints) -> Iterator[tuple[slice, Floats]]:
        """Yield the scores of some samples, a part at a time."""
        for start in range(0, len(rows), _ROWS):
            part = slice(start, min(start + _ROWS, len(rows)))
            yield part, self._objective.scores(W, b, rows[part])


_Found: TypeAlias = tuple[Fit, FoldPoint, NDArray[np.bool_]]
"""The fit of a fold for one λ, what there is to say about it, and which held-out samples it has right."""


class _Walk:
    """The path of one loss on all folds."""

    def __init__(self, loss: Loss, whole: Objective, parts: Sequence[_Part], settings: Settings) -> None:
        self.loss, self.parts, self._settings = loss, parts, settings
        self._whole = whole.replace(loss=loss)
        self._walkers = [part.walker(loss) for part in parts]
        self._points: list[PathPoint] = []
        self._right: dict[float, list[NDArray[np.bool_]]] = {}
        self._kept: tuple[float, list[tuple[Floats, Floats]]] | None = None
        self.index = 0

    def path(self) -> LossPath:
        """Return the path, and what the rule takes of it."""
        settings, started = self._settings, time.perf_counter()
        if settings.regs == "auto":
            with closing(self._walk(islice(reg_grid(self._whole, _PER_DECADE), _MOST_POINTS))) as walked:
                for reg, found in walked:
                    self._add(reg, found)
                    if len(self._points) - 1 - self._best() >= _PATIENCE and not self._loss_falls():
                        break
            self._extend_upwards(10.0 ** (1.0 / _PER_DECADE))
        elif isinstance(settings.regs, (int, np.integer)):
            grid = fixed_grid(self._whole, int(settings.regs))
            self._go(grid)
            if len(grid) > 1:
                step = grid[0] / grid[1]
                for _ in range(_MOST_FURTHER):
                    if self._best() < len(self._points) - 1:
                        break
                    self._go([self._points[-1].reg / step])
                self._extend_upwards(step)
        else:
            assert not isinstance(settings.regs, str)
            self._go(settings.regs)
        self._share_out(time.perf_counter() - started)
        best = self._best()
        one_se = self._one_se(best)
        self.index = best if settings.rule == "best" else one_se
        calibration = self._calibration() if settings.calibrate else None
        return LossPath(self.loss, tuple(self._points), best, one_se, self.index, calibration)

    def right(self) -> list[NDArray[np.bool_]]:
        """Return which held-out samples of each fold are right at the chosen λ."""
        return self._right[self._points[self.index].reg]

    def accuracies(self) -> Floats:
        """Return the held-out accuracy of each fold at the chosen λ."""
        return np.array([fold.validation_accuracy for fold in self._points[self.index].folds])

    def _go(self, regs: Iterable[float]) -> None:
        """Fit all folds for these λ and keep what was found."""
        for reg, found in self._walk(regs):
            self._add(reg, found)

    def _walk(self, regs: Iterable[float]) -> Generator[tuple[float, list[_Found]]]:
        """Yield each λ with what all folds found, each of them from what it found for the λ before."""
        watcher = self._settings.watcher

        def tell(number: int, reg: float, step: Step) -> None:
            assert watcher is not None
            watcher(self.loss, reg, self.parts[number].number, step)

        walks = [partial(self._fit, *both) for both in zip(self.parts, self._walkers, strict=True)]
        told = None if watcher is None else tell
        try:
            with closing(walk_together(walks, regs, self._whole.n_threads, told)) as walked:
                yield from walked
        finally:
            for walker in self._walkers:
                walker.objective.share_threads(self._whole.n_threads)

    def _fit(self, part: _Part, walker: Walker, reg: float, n_threads: int, callback: Callback | None) -> _Found:
        """Fit one fold for this λ, and return what there is to say about the fit."""
        walker.objective.share_threads(n_threads)
        fit = walker.fit(reg, self._settings.path_tol, self._settings.path_passes, callback)
        return fit, *part.point(self.loss, reg, fit)

    def _add(self, reg: float, found: list[_Found]) -> None:
        """Score the fits for a λ, and keep the points in descending order of λ."""
        settings = self._settings
        fits = [(fit.W, fit.b) for fit, _, _ in found]
        points = [
            part.scored(self.loss, reg, point, fit.W, fit.b)
            for part, (fit, point, _) in zip(self.parts, found, strict=True)
        ]
        scores = np.array([point.score for point in points])
        if len(points) > 1:
            error = float(scores.std(ddof=1) / np.sqrt(len(scores)))
        else:
            error = self.parts[0].spread(self.loss, *fits[0]) if isinstance(settings.scoring, str) else np.nan
        self._points.append(PathPoint(reg, tuple(points), float(scores.mean()), error))
        self._points.sort(key=lambda point: -point.reg)
        self._right[reg] = [right for _, _, right in found]
        if self._points[self._best()].reg == reg:
            self._kept = reg, fits

    def _share_out(self, seconds: float) -> None:
        """Share out the time that has gone by among the fits, of which some were made at once."""
        share = seconds / sum(fold.seconds for point in self._points for fold in point.folds)
        for k, point in enumerate(self._points):
            folds = tuple(replace(fold, seconds=share * fold.seconds) for fold in point.folds)
            self._points[k] = replace(point, folds=folds)

    def _extend_upwards(self, step: float) -> None:
        """Try larger λ while the largest is the best and better than the one before."""
        for _ in range(_MOST_FURTHER):
            if self._best() > 0 or (
                len(self._points) > 1 and as_good(self._points[1].score, self._points[0].score)
            ):
                return
            self._restart()
            self._go([self._points[0].reg * step])

    def _restart(self) -> None:
        """Let the walkers forget what they found: some may have gone ahead."""
        for walker in self._walkers:
            walker.restart()

    def _loss_falls(self) -> bool:
        """Whether the held-out loss is still falling towards smaller λ."""
        last, before = (self._points[k].mean("validation_loss") for k in (-1, -1 - _PATIENCE))
        return last < _FALLS * before

    def _best(self) -> int:
        """Return the index of the best score; of equal ones the largest λ."""
        best = max(point.score for point in self._points)
        return next(k for k, point in enumerate(self._points) if as_good(point.score, best))

    def _one_se(self, best: int) -> int:
        """Return the index of the largest λ within one standard error of the best."""
        point = self._points[best]
        if np.isnan(point.standard_error):
            if self._settings.rule == "one_se":
                why = "a fold has no finite score" if len(self.parts) > 1 else "one fold of this scoring has none"
                raise ParameterError(f"rule is 'one_se', which needs a standard error, but {why}.")
            return best
        return next(k for k, p in enumerate(self._points) if as_good(p.score, point.score - point.standard_error))

    def _calibration(self) -> Calibration:
        reg = self._points[self.index].reg
        scores, y, weights = [], [], []
        if self._kept is None or self._kept[0] != reg:
            self._restart()
            [(_, fits)] = self._walk([reg])
            self._kept = reg, [(fit.W, fit.b) for fit, _, _ in fits]
        for part, (W, b) in zip(self.parts, self._kept[1], strict=True):
            found = part.held_out_scores(W, b)
            n_classes = self._whole.n_classes
            if len(part.classes) < n_classes:  # a class that a fold knows nothing of is as good as impossible
                everyone = np.full((len(found[0]), n_classes), np.nan)
                everyone[:, part.classes] = found[0]
                lowest = found[0].min(axis=1, keepdims=True, initial=0.0)
                everyone = np.where(np.isnan(everyone), lowest, everyone)
                found = everyone, part.classes[found[1]], found[2]
            scores.append(found[0])
            y.append(found[1])
            weights.append(found[2])
        known = np.concatenate([part.known for part in self.parts])
        labels = self.parts[0].labels[known]
        n_different = len(np.unique(np.column_stack((self.parts[0].hashes[known], labels)), axis=0))
        return calibrate_scores(
            self.loss, np.concatenate(scores), np.concatenate(y), np.concatenate(weights), n_different,
            int(self.parts[0].counts[known].sum()),
        )  # fmt: skip


def _paired(mine: _Walk, other: _Walk, losses: Sequence[Loss]) -> PairedTest:
    """Hold the chosen loss against another on the held-out samples; one held out twice counts once."""
    seen: set[int] = set()
    only_first = only_second = 0
    for part, ours, theirs in zip(mine.parts, mine.right(), other.right(), strict=True):
        for row, first, second in zip(part.fold.validation.tolist(), ours.tolist(), theirs.tolist(), strict=True):
            if row not in seen:
                seen.add(row)
                count = int(part.counts[row])
                only_first += count * (first and not second)
                only_second += count * (second and not first)
    differences = mine.accuracies() - other.accuracies()
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else float("nan")
    return PairedTest(
        told_apart(mine.loss, losses),
        told_apart(other.loss, losses),
        only_first,
        only_second,
        mcnemar(only_first, only_second),
        float(differences.mean()),
        error,
    )
