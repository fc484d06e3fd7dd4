"""Select λ for each loss, and one of the losses, on held-out parts of the training data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import brief, check_count, check_number
from softmargin.content import content_hashes
from softmargin.errors import CapabilityError, ConvergenceWarning, ParameterError, warn
from softmargin.losses import Loss
from softmargin.memory import release_freed
from softmargin.preprocessing import requested_scaling
from softmargin.samples import Fold, Labelled
from softmargin.selection.cross_validation import cross_validate
from softmargin.selection.folds import held_out, make_folds
from softmargin.selection.groups import group_numbers
from softmargin.selection.records import Comparison, Recorded
from softmargin.selection.search_samples import gather
from softmargin.selection.settings import FoldCallback, Settings
from softmargin.selection.wording import unconverged_sentence
from softmargin.shards import Shards, as_shards

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "check_fraction", "check_scoring", "choose", "compare", "compare_shards", "recorded", "refuse_for_shards",
    "warn_unconverged",
]  # fmt: skip


def compare(
    X: NDArray[Any] | csr_array | Labelled | Shards,
    y: Any,
    losses: Sequence[Loss | str],
    regs: str | int | Sequence[float] = "auto",
    *,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: dict[Any, float] | str | None = None,
    rule: str = "best",
    scoring: str = "accuracy",
    path_tol: float = 1e-3,
    max_passes: float = 1000,
    calibrate: bool = True,
    keep_out_of_fold: bool = False,
    fit_all: bool = True,
    seed: int = 0,
    scaling: str = "auto",
    fit_intercept: bool = True,
    engine: str = "auto",
    n_threads: int | None = None,
    callback: FoldCallback | None = None,
) -> Comparison:
    """Compare losses by cross-validation, each at its own best λ, and select one.

    Parameters
    ----------
    X : ndarray, sparse array or dask array of shape (N, D), Labelled or Shards
        Features. If ``X`` is a `Labelled` record, ``y`` and ``sample_weight`` are ignored. Shards of `open_shards`
        and dask arrays are read by ``engine="dask"``, or in this process.
    y : array-like of shape (N,)
        Labels: strings or integers. None for shards, which come with their labels.
    losses : sequence of Loss, or of "cross_entropy", "squared_hinge" and "hinge"
        Losses to compare on the same folds. Between equal scores the first in the list is selected.
    regs, cv : optional
        Values of λ, and the folds, as in `LinearClassifierCV`.
    groups : array-like of shape (N,), optional
        Group of each sample. Samples of one group are never on both sides of a fold.
    sample_weight : array-like of shape (N,), optional
        Non-negative weights, for fitting and for scoring.
    class_weight : dict or "balanced", optional
        Factors on the sample weights per class. They are used for fitting and not for scoring.
    rule : {"best", "one_se"}, default "best"
        As in `LinearClassifierCV`.
    scoring : {"accuracy", "loss"}, default "accuracy"
        Select λ by the held-out accuracy or by the held-out loss. The losses are compared by accuracy in both
        cases, since the values of different losses are not comparable.
    path_tol : float, default 1e-3
        Tolerance on the relative duality gap of each fit on a path.
    max_passes : float, default 1000
        Maximum number of passes over X of each fit on a path.
    calibrate : bool, default True
        Whether to compute the calibration error, and fit a temperature for the hinges, on the held-out scores.
    keep_out_of_fold : bool, default False
        Whether the result has the held-out scores of all samples, ``out_of_fold``: N·C numbers of 8 bytes.
    fit_all : bool, default True
        Whether to fit all given λ. If not, a path ends when held-out score and loss become worse.
    seed : int, default 0
        Seed of the folds if ``cv`` is an integer.
    scaling : {"auto", "none", "pixel", "standard"}, default "auto"
        As in `LinearClassifier`. "standard" uses the standard deviations of the training part of each fold.
    fit_intercept, engine, n_threads : optional
        As in `LinearClassifier`. The folds share the engine and the threads.
    callback : callable, optional
        Called as ``callback(loss, reg, fold, step)`` after each step of a fit, with the number of the fold and a
        `Step`. Concurrent folds call it one after the other, in the calling thread.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If X, y or the weights are invalid, or if no sample can be held out.
    ParameterError
        If another argument is invalid.

    Warns
    -----
    ConvergenceWarning
        If a fit of the selected loss and λ did not converge.
    """
    settings = Settings(
        regs,
        rule,
        check_scoring(scoring),
        "",
        path_tol,
        max_passes,
        calibrate,
        callback,
        keep_out_of_fold,
        fit_all,
    )

    def deal(labelled: Labelled, hashes: NDArray[np.uint64]) -> list[Fold]:
        return make_folds(cv, labelled, hashes, groups)

    options = {"fit_intercept": fit_intercept, "engine": engine, "n_threads": n_threads}
    if (shards := as_shards(X, y, sample_weight)) is not None:
        refuse_for_shards(groups=groups, keep_out_of_fold=keep_out_of_fold or None)
        shards = shards if class_weight is None else shards.weighted(class_weight)
        return compare_shards(shards, cv, None, losses, settings, seed, scaling, options)
    labelled = Labelled.check(X, y, sample_weight)
    return _compared(labelled, deal, losses, settings, groups, class_weight, seed, scaling, options)


def choose(
    X: NDArray[Any] | csr_array | Labelled | Shards,
    y: Any,
    losses: Sequence[Loss | str],
    regs: str | int | Sequence[float] = "auto",
    *,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    class_weight: dict[Any, float] | str | None = None,
    validation_fraction: float = 0.2,
    rule: str = "best",
    scoring: str = "accuracy",
    path_tol: float = 1e-3,
    max_passes: float = 1000,
    calibrate: bool = True,
    keep_out_of_fold: bool = False,
    fit_all: bool = True,
    seed: int = 0,
    scaling: str = "auto",
    fit_intercept: bool = True,
    engine: str = "auto",
    n_threads: int | None = None,
    callback: FoldCallback | None = None,
) -> Comparison:
    """Select a loss and λ by the accuracy on one held-out part: faster than `compare`, and less accurate.

    Parameters
    ----------
    X, y, losses, regs, groups, sample_weight, class_weight
        As in `compare`.
    validation_fraction : float, default 0.2
        Fraction of each class that is held out; with ``groups`` nearly this fraction.
    rule, scoring, path_tol, max_passes, calibrate, keep_out_of_fold, fit_all
        As in `compare`.
    seed, scaling, fit_intercept, engine, n_threads, callback
        As in `compare`, for the only fold, number 0.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If X, y or the weights are invalid, or if no class has two samples with different features.
    ParameterError
        If another argument is invalid.

    Warns
    -----
    ConvergenceWarning
        If a fit of the selected loss and λ did not converge.
    """
    fraction = check_fraction(validation_fraction)
    settings = Settings(
        regs,
        rule,
        check_scoring(scoring),
        "",
        path_tol,
        max_passes,
        calibrate,
        callback,
        keep_out_of_fold,
        fit_all,
    )

    def deal(labelled: Labelled, hashes: NDArray[np.uint64]) -> list[Fold]:
        return [held_out(labelled.y, labelled.weights, fraction, hashes, groups)]

    options = {"fit_intercept": fit_intercept, "engine": engine, "n_threads": n_threads}
    if (shards := as_shards(X, y, sample_weight)) is not None:
        refuse_for_shards(groups=groups, keep_out_of_fold=keep_out_of_fold or None)
        shards = shards if class_weight is None else shards.weighted(class_weight)
        return compare_shards(shards, 2, fraction, losses, settings, seed, scaling, options)
    labelled = Labelled.check(X, y, sample_weight)
    return _compared(labelled, deal, losses, settings, groups, class_weight, seed, scaling, options)


def compare_shards(
    shards: Shards,
    cv: object,
    fraction: float | None,
    losses: Sequence[Loss | str],
    settings: Settings,
    seed: int,
    scaling: str,
    options: dict[str, Any],
) -> Comparison:
    """Compare the losses on samples in shards; ``cv`` and ``fraction`` are those of `SearchShards.divided`."""
    from softmargin.selection.search_shards import SearchShards

    search = SearchShards.divided(shards, cv, fraction, seed, options["engine"], options["n_threads"])
    factors = shards.class_weight
    if isinstance(factors, dict):
        factors = {str(label): float(factor) for label, factor in factors.items()}
    record = Recorded(int(seed), None, factors, shards.weights_column is not None)
    settings = settings._replace(record=record)
    own = options | {"engine": lambda *_: search.engine}
    found = cross_validate(search, losses, settings, requested_scaling(scaling, "none"), **own).comparison
    warn_unconverged(found)
    return found


def refuse_for_shards(**given: Any) -> None:
    """Raise a `CapabilityError` if one of these arguments, by name, is not None."""
    for name, value in given.items():
        if value is not None:
            raise CapabilityError(f"Data in shards do not support {name}; use engine='cpu' for data in memory.")


def _compared(
    labelled: Labelled,
    deal: Callable[[Labelled, NDArray[np.uint64]], list[Fold]],
    losses: Sequence[Loss | str],
    settings: Settings,
    groups: ArrayLike | None,
    class_weight: dict[Any, float] | str | None,
    seed: int,
    scaling: str,
    options: dict[str, Any],
) -> Comparison:
    """Compare the losses on the folds of the function ``deal``."""
    hashes = content_hashes(labelled.identity, check_count("seed", seed, 0))
    weights = labelled.training_weights(class_weight)
    settings = settings._replace(record=recorded(labelled, seed, groups, class_weight))
    search = gather(labelled, hashes, deal(labelled, hashes), weights)
    wanted = requested_scaling(scaling, labelled.rows)
    found = cross_validate(search, losses, settings, wanted, **options).comparison
    release_freed()
    warn_unconverged(found)
    return found


def recorded(
    labelled: Labelled, seed: int, groups: ArrayLike | None, class_weight: dict[Any, float] | str | None
) -> Recorded:
    """Return the settings that the result of a selection does not show."""
    kept = labelled.weights > 0.0
    n_groups = None if groups is None else len(np.unique(group_numbers(groups, len(labelled.y))[kept]))
    factors = class_weight
    if isinstance(class_weight, dict):
        factors = {str(label): float(factor) for label, factor in class_weight.items()}
    weights = labelled.weights[labelled.weights > 0.0]
    return Recorded(int(seed), n_groups, factors, bool((weights != 1.0).any()))


def warn_unconverged(found: Comparison) -> None:
    """Issue a `ConvergenceWarning` if a fit of the selected loss and λ did not converge."""
    sentence = unconverged_sentence(found)
    if sentence:
        warn(sentence, ConvergenceWarning)


def check_scoring(scoring: object) -> str:
    """Return the name of a score, or raise a `ParameterError` for a scorer, which needs `LinearClassifierCV`."""
    if not isinstance(scoring, str):
        raise ParameterError(f"scoring must be 'accuracy' or 'loss', got {brief(scoring)}.")
    return scoring


def check_fraction(fraction: float) -> float:
    """Return the fraction that is held out, or raise a `ParameterError`."""
    number = check_number("validation_fraction", fraction)
    if not 0.0 < number < 1.0:
        raise ParameterError(f"validation_fraction must be between 0 and 1, got {brief(fraction)}.")
    return number
