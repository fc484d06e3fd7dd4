"""Cross-validation: the path of λ of each loss on all folds, and the selection of λ and the loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from softmargin.arguments import check_choice
from softmargin.errors import DataError, ParameterError, warn
from softmargin.losses import LOSSES, Loss
from softmargin.losses.registry import check_losses
from softmargin.objective import Objective
from softmargin.preprocessing import SCALINGS, Preprocessing, needs_moments, scale_for
from softmargin.samples import Samples
from softmargin.selection import rules
from softmargin.selection.fitter import PathFitter
from softmargin.selection.grid import fixed_grid, reg_grid
from softmargin.selection.out_of_fold import OutOfFold
from softmargin.selection.paired import Candidate, paired_test
from softmargin.selection.records import Comparison, FoldPoint, LossPath, PathPoint
from softmargin.selection.schedule import fit_concurrently
from softmargin.selection.search import FoldFit, Judged, Search
from softmargin.selection.settings import Settings
from softmargin.selection.wording import unique_name
from softmargin.shards import Shards
from softmargin.solvers import Callback, Fit
from softmargin.statistics import standard_error
from softmargin.threads import one_blas_thread

__all__ = ["CrossValidated", "cross_validate", "scaling_of"]

_PER_DECADE = 2
_MOST_POINTS = 32
_SKIPPED = 4
"""Number of λ after the first, where W is small. They are fitted only if the next score is near the best."""

_MOST_FURTHER = 8
"""Number of points by which a grid is extended at most while its best λ is at an edge."""


class CrossValidated(NamedTuple):
    """A comparison of losses, the search of the selected one, which keeps the samples, and the scaling."""

    comparison: Comparison
    search: _LossSearch
    scaling: str

    def candidate(self, name: str) -> Candidate:
        """Return the selected loss and λ, to be compared with others on the same folds."""
        return self.search.candidate(name)


@one_blas_thread()
def cross_validate(
    search: Search, losses: Sequence[Loss | str], settings: Settings, scaling: str, **options: Any
) -> CrossValidated:
    """Fit all paths, and select λ for each loss and one of the losses.

    Parameters
    ----------
    search : Search
    losses : sequence of Loss or str
    settings : Settings
    scaling : str
    **options
        Passed on to `Objective`.
    """
    started = time.perf_counter()
    chosen = [LOSSES[one]() if isinstance(one, str) and one in LOSSES else one for one in check_losses(losses)]
    settings = settings.checked()
    whole = Objective.of(chosen[0], search.samples, 0.0, **options)
    # "auto" is decided once, on all samples; deviations are those of each fold.
    scaling, _, scale, _ = scaling_of(whole, scaling, search.samples)
    whole = whole.replace(scale=scale)
    if whole.is_uninformative:
        warn("W = 0 is optimal for every reg, up to rounding: all classes have equal mean features.", UserWarning)
    folds = [_Fold.of(whole, k, search, scaling) for k in range(len(search.sizes))]
    searches = [_LossSearch(loss, whole, folds, search, settings) for loss in chosen]
    paths = [one.path() for one in searches]
    k = rules.first_best([rules.comparable_score(path.chosen, settings.scoring) for path in paths])
    names = [unique_name(loss, chosen) for loss in chosen]
    tests = tuple(
        paired_test(searches[k].candidate(names[k]), other.candidate(name))
        for name, other in zip(names, searches, strict=True)
        if other is not searches[k]
    )
    comparison = Comparison(
        paths[k].loss, paths[k].chosen.reg, tuple(paths), tests, settings.rule, settings.scoring_name,
        search.sizes, settings.path_tol, time.perf_counter() - started, recorded=settings.record,
        out_of_fold=searches[k].out_of_fold() if settings.keep_out_of_fold else None,
    )  # fmt: skip
    return CrossValidated(comparison, searches[k], scaling)


def scaling_of(objective: Objective, scaling: str, samples: Samples | Shards) -> Preprocessing:
    """Return the scaling of the features; the solver centres them, which does not change the optimum."""
    check_choice("scaling", scaling, SCALINGS)  # here, because an array cannot be compared with a name
    n_features = objective.n_features
    variance, constant = np.ones(n_features), np.zeros(n_features, bool)
    if needs_moments(scaling, samples.dtype, samples.is_sparse):
        variance, constant = objective.moments.variance, objective.constant_columns
    name, scale = scale_for(scaling, samples.dtype, variance, constant, samples.is_sparse)
    return Preprocessing(name, np.zeros(n_features), scale)


class _Fold(NamedTuple):
    """One fold: the objective of its training part, which can also evaluate the held-out part."""

    number: int
    objective: Objective
    preprocessing: Preprocessing

    @classmethod
    def of(cls, whole: Objective, k: int, search: Search, scaling: str) -> _Fold:
        """Return fold number ``k``, with its features scaled by the moments of its training part."""
        objective = whole.fold(k)
        preprocessing = scaling_of(objective, scaling, search.samples)
        return cls(k, objective.replace(scale=preprocessing.scale), preprocessing)


_Found: TypeAlias = tuple[Fit, FoldPoint]


class _LossSearch:
    """The path of one loss on all folds."""

    def __init__(
        self, loss: Loss, whole: Objective, folds: Sequence[_Fold], search: Search, settings: Settings
    ) -> None:
        self.loss, self.folds, self._search, self._settings = loss, folds, search, settings
        self._whole = whole.replace(loss=loss)
        self._fitters = [PathFitter(fold.objective.replace(loss=loss)) for fold in folds]
        self._points: list[PathPoint] = []
        self._kept: tuple[float, list[Fit]] = 0.0, []  # the fits of the best λ so far
        self._index = 0
        self._ended_at: float | None = None

    def path(self) -> LossPath:
        """Fit the path, and return it with the selected point."""
        settings, started = self._settings, time.perf_counter()
        ends = None if settings.fit_all else rules.is_past_best
        grid: list[float] = []
        if settings.regs == "auto":
            self._fit_auto(list(islice(reg_grid(self._whole, _PER_DECADE), _MOST_POINTS)))
            self._extend_upwards(10.0 ** (1.0 / _PER_DECADE))
        elif isinstance(settings.regs, int):
            grid = fixed_grid(self._whole, settings.regs)
            self._fit_all(grid, ends)
            if len(grid) > 1:
                step = grid[0] / grid[1]
                for _ in range(_MOST_FURTHER):
                    if self._best() < len(self._points) - 1:
                        break
                    self._fit_all([self._points[-1].reg / step])
                self._extend_upwards(step)
        else:
            assert not isinstance(settings.regs, str)
            grid = list(settings.regs)
            self._fit_all(grid, ends)
        self._share_out(time.perf_counter() - started)
        best = self._best()
        one_se = rules.largest_within_one_se(self._points, best)
        if settings.rule == "one_se" and np.isnan(self._points[best].standard_error):
            why = "a fold whose score is not finite" if len(self.folds) > 1 else "a single fold"
            raise ParameterError(f"rule 'one_se' needs a standard error of the score, got {why}; use rule 'best'.")
        self._index = best if settings.rule == "best" else one_se
        calibration = self._judged.calibration if settings.calibrate else None
        self._restart()  # lets the dual rows go
        return LossPath(
            self.loss, tuple(self._points), best, one_se, self._index, calibration,
            tuple(float(reg) for reg in grid if reg < self._points[-1].reg), self._ended_at,
        )  # fmt: skip

    @property
    def chosen(self) -> PathPoint:
        """The selected point."""
        return self._points[self._index]

    def candidate(self, name: str) -> Candidate:
        """Return this loss at the selected λ, to be compared with others on the same folds."""
        return Candidate(name, self.chosen, self._judged.correct)

    def out_of_fold(self) -> OutOfFold:
        """Return the scores of all samples at the selected λ, each from the first fold that holds it out."""
        calibration = self._judged.calibration
        temperature = None if calibration is None else calibration.temperature
        return self._search.out_of_fold(self._chosen_fits(), 1.0 if self.loss.probabilistic else temperature)

    @cached_property
    def _judged(self) -> Judged:
        return self._search.judge(self._chosen_fits(), self._settings.calibrate)

    def _chosen_fits(self) -> list[FoldFit]:
        """Return the fit of each fold at the selected λ."""
        if self._kept[0] != self.chosen.reg:
            self._restart()
            [(reg, found)] = self._fits([self.chosen.reg])
            self._kept = reg, [fit for fit, _ in found]
        pairs = zip(self._fitters, self._kept[1], strict=True)
        return [FoldFit(fitter.objective, fit) for fitter, fit in pairs]

    def _best(self) -> int:
        return rules.best_of(self._points)

    def _fit_auto(self, grid: Sequence[float]) -> None:
        """Fit a grid from its first λ to the end of the path, but those after the first only where they matter."""
        self._fit_all([grid[0], *grid[1 + _SKIPPED :]], rules.path_ends, self._gives_up)
        for reg in reversed(grid[1 : 1 + _SKIPPED]):
            if rules.is_far_below(self._points, 1):
                break
            self._restart()
            self._fit_all([reg])

    def _gives_up(self, reg: float, found: Sequence[_Found]) -> bool:
        """Return whether the first folds show that a λ is past the best one; remember this λ."""
        if rules.is_past_best_on(self._points, [point for _, point in found]):
            self._ended_at = reg
        return self._ended_at is not None

    def _fit_all(
        self,
        regs: Iterable[float],
        ends: Callable[[Sequence[PathPoint]], bool] | None = None,
        gives_up: Callable[[float, Sequence[_Found]], bool] | None = None,
    ) -> None:
        """Fit all folds for these λ and record the points, until ``ends`` or ``gives_up`` is true."""
        with closing(self._fits(regs, gives_up)) as fits:
            for reg, found in fits:
                self._add(reg, found)
                if ends is not None and ends(self._points):
                    break

    def _fits(
        self, regs: Iterable[float], gives_up: Callable[[float, Sequence[_Found]], bool] | None = None
    ) -> Generator[tuple[float, list[_Found]]]:
        """Yield each λ with the fits of all folds, each a warm start for the next λ."""
        progress = self._settings.progress
        report = None if progress is None else lambda k, reg, step: progress(self.loss, reg, k, step)
        fits = [partial(self._fit, fitter) for fitter in self._fitters]
        return fit_concurrently(fits, regs, self._whole.n_threads, report, gives_up)

    def _fit(self, fitter: PathFitter, reg: float, callback: Callback | None) -> _Found:
        """Fit one fold for this λ, and evaluate the fit, except for the score of a custom scorer."""
        settings = self._settings
        fit = fitter.fit(reg, settings.path_tol, settings.path_passes, callback)
        training, held_out = (fitter.objective.quality(fit.W, fit.b, part) for part in ("training", "held_out"))
        square = float(np.vdot(fit.W, fit.W))
        scores = {"accuracy": held_out.accuracy, "loss": -held_out.loss}
        point = FoldPoint(
            value=fit.value,
            gap=fit.gap,
            square=square,
            training_loss=fit.value - reg * square,
            training_accuracy=training.accuracy,
            validation_loss=held_out.loss,
            validation_accuracy=held_out.accuracy,
            score=scores[settings.scoring] if isinstance(settings.scoring, str) else np.nan,
            n_passes=fit.n_passes,
            seconds=fit.seconds,
        )
        return fit, point

    def _add(self, reg: float, found: list[_Found]) -> None:
        """Score the fits for a λ, and insert the point in descending order of λ."""
        fits, points = [fit for fit, _ in found], [point for _, point in found]
        if not isinstance(self._settings.scoring, str):
            points = [self._scored(*of_fold, reg) for of_fold in zip(self.folds, fits, points, strict=True)]
        scores = np.array([point.score for point in points])
        if len(points) > 1:
            error = float(scores.std(ddof=1) / np.sqrt(len(scores)))
        else:
            error = self._error_of_one_fold(fits[0], points[0])
        self._points.append(PathPoint(reg, tuple(points), float(scores.mean()), error))
        self._points.sort(key=lambda point: -point.reg)
        if self._points[self._best()].reg == reg:
            self._kept = reg, fits

    def _scored(self, fold: _Fold, fit: Fit, point: FoldPoint, reg: float) -> FoldPoint:
        """Return the point with the score of a custom scorer, which is called in the calling thread."""
        samples = self._search.samples
        assert callable(self._settings.scoring)
        assert isinstance(samples, Samples)
        rows, (W, b) = samples.folds[fold.number].validation, fold.preprocessing.fold(fit.W, fit.b)
        score = float(self._settings.scoring(self.loss, W, b, fold.objective.classes, rows))
        if not np.isfinite(score):
            raise DataError(
                f"scoring {self._settings.scoring_name!r} must return a finite number, got {score} for "
                f"{self.loss.name} with reg {reg:.3g} on fold {fold.number}."
            )
        return replace(point, score=score)

    def _error_of_one_fold(self, fit: Fit, point: FoldPoint) -> float:
        """Return the standard error of the score of a single fold; NaN for a custom scorer."""
        if self._settings.scoring == "accuracy":
            return standard_error(point.validation_accuracy, self._search.sizes[0][1])
        if self._settings.scoring != "loss":
            return np.nan
        return self._search.loss_error(FoldFit(self._fitters[0].objective, fit))

    def _share_out(self, seconds: float) -> None:
        """Divide the elapsed time among the fits, some of which ran concurrently."""
        share = seconds / sum(point.seconds for point in self._points)
        for k, point in enumerate(self._points):
            folds = tuple(replace(fold, seconds=share * fold.seconds) for fold in point.folds)
            self._points[k] = replace(point, folds=folds)

    def _extend_upwards(self, step: float) -> None:
        """Try larger λ while the largest is the best and better than the next one."""
        if self._whole.is_uninformative:
            return
        for _ in range(_MOST_FURTHER):
            scores = [point.score for point in self._points[:2]]
            if self._best() > 0 or (len(scores) > 1 and rules.as_good(scores[1], scores[0])):
                return
            self._restart()
            self._fit_all([self._points[0].reg * step])

    def _restart(self) -> None:
        """Start the next fits from zero: some folds may be ahead by one λ."""
        for fitter in self._fitters:
            fitter.restart()
