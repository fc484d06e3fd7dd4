"""Compare several feature sets of the same pictures or texts: losses × features on the same folds.

The folds are made from the keys of the samples, so every set is trained on the same samples and judged on the same
others. The selected set is then compared with each other one by McNemar's test, each with its best loss and λ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import brief, check_count
from softmargin.content import content_hashes
from softmargin.errors import DataError, ParameterError
from softmargin.losses import Loss
from softmargin.losses.base import Ints
from softmargin.preprocessing import requested_scaling
from softmargin.samples import Fold, Labelled
from softmargin.selection import rules
from softmargin.selection.compare import check_fraction, check_scoring, recorded, warn_unconverged
from softmargin.selection.cross_validation import cross_validate
from softmargin.selection.feature_records import FeatureChoice, FeatureSet
from softmargin.selection.folds import held_out, make_folds
from softmargin.selection.paired import Candidate, paired_test
from softmargin.selection.records import Comparison
from softmargin.selection.search_samples import gather
from softmargin.selection.settings import Settings
from softmargin.solvers import Step
from softmargin.text import to_json

__all__ = ["FeatureCallback", "FeatureComparison", "choose_features", "compare_features"]

FeatureCallback: TypeAlias = Callable[[str, Loss, float, int, Step], None]
"""Called with the name of the features and the arguments of a `FoldCallback`."""


@dataclass(frozen=True)
class FeatureComparison:
    """The result of `compare_features` or `choose_features`.

    Attributes
    ----------
    choice : FeatureChoice
        The selected features, the best loss of each set, and the tests.
    comparisons : dict of str to Comparison
        The comparison of the losses, per feature set in the given order.
    """

    choice: FeatureChoice
    comparisons: dict[str, Comparison]

    @property
    def selected(self) -> str:
        """Name of the selected features."""
        return self.choice.selected

    @property
    def comparison(self) -> Comparison:
        """The comparison of the losses on the selected features, with the choice among the features."""
        return replace(self.comparisons[self.selected], features=self.choice)

    def record(self) -> dict[str, Any]:
        """Return a dict of JSON values; numbers that are not finite become None."""
        record = self.choice.record() | {
            "reason": self.comparison.reason(),
            "comparisons": {name: found.record() for name, found in self.comparisons.items()},
        }
        return dict(to_json(record, lambda number: None))


def compare_features(
    sets: Mapping[str, Labelled],
    losses: Sequence[Loss | str],
    regs: str | int | Sequence[float] = "auto",
    *,
    cv: Any = 5,
    groups: ArrayLike | None = None,
    class_weight: dict[Any, float] | str | None = None,
    rule: str = "best",
    scoring: str = "accuracy",
    path_tol: float = 1e-3,
    max_passes: float = 1000,
    calibrate: bool = True,
    keep_out_of_fold: bool = False,
    seed: int = 0,
    scaling: str | Mapping[str, str] = "auto",
    fit_intercept: bool = True,
    engine: str = "auto",
    n_threads: int | None = None,
    callback: FeatureCallback | None = None,
) -> FeatureComparison:
    """Compare feature sets by cross-validation, each with its own best loss and λ, and select one.

    Parameters
    ----------
    sets : mapping of str to Labelled
        The features of the same samples, by name: row i of each set belongs to the same picture or text. Labels,
        sample weights and keys must be equal. Between equal accuracies the first set is selected.
    losses, regs, cv, groups, class_weight, rule, scoring, path_tol, max_passes, calibrate, seed
        As in `compare`; losses and feature sets are compared on the same folds.
    keep_out_of_fold : bool, default False
        As in `compare`, for the selected loss of each set.
    scaling : str or mapping of str to str, default "auto"
        As in `compare`, for all sets or by name.
    fit_intercept, engine, n_threads
        As in `compare`.
    callback : callable, optional
        Called as ``callback(name, loss, reg, fold, step)``, as in `compare`, with the name of the feature set.

    Returns
    -------
    FeatureComparison

    Raises
    ------
    DataError
        If the sets do not hold the same samples, or if no sample can be held out.
    ParameterError
        If another argument is invalid.

    Warns
    -----
    ConvergenceWarning
        If a fit of the selected features, loss and λ did not converge.
    """
    settings = Settings(
        regs, rule, check_scoring(scoring), "", path_tol, max_passes, calibrate, None, keep_out_of_fold
    )
    options = {"fit_intercept": fit_intercept, "engine": engine, "n_threads": n_threads}

    def deal(labelled: Labelled, hashes: NDArray[np.uint64]) -> list[Fold]:
        return make_folds(cv, labelled, hashes, groups)

    return _compared(sets, deal, losses, settings, groups, class_weight, seed, scaling, callback, options)


def choose_features(
    sets: Mapping[str, Labelled],
    losses: Sequence[Loss | str],
    regs: str | int | Sequence[float] = "auto",
    *,
    groups: ArrayLike | None = None,
    class_weight: dict[Any, float] | str | None = None,
    validation_fraction: float = 0.2,
    rule: str = "best",
    scoring: str = "accuracy",
    path_tol: float = 1e-3,
    max_passes: float = 1000,
    calibrate: bool = True,
    keep_out_of_fold: bool = False,
    seed: int = 0,
    scaling: str | Mapping[str, str] = "auto",
    fit_intercept: bool = True,
    engine: str = "auto",
    n_threads: int | None = None,
    callback: FeatureCallback | None = None,
) -> FeatureComparison:
    """Select features, loss and λ on one held-out part: faster than `compare_features`, and less accurate.

    Parameters
    ----------
    sets, losses, regs, scaling, callback
        As in `compare_features`.
    groups, class_weight, validation_fraction, rule, scoring, path_tol, max_passes, calibrate, keep_out_of_fold
        As in `choose`.
    seed, fit_intercept, engine, n_threads
        As in `choose`.

    Returns
    -------
    FeatureComparison

    Raises
    ------
    DataError
        If the sets do not hold the same samples, or if no sample can be held out.
    ParameterError
        If another argument is invalid.

    Warns
    -----
    ConvergenceWarning
        If a fit of the selected features, loss and λ did not converge.
    """
    fraction = check_fraction(validation_fraction)
    settings = Settings(
        regs, rule, check_scoring(scoring), "", path_tol, max_passes, calibrate, None, keep_out_of_fold
    )
    options = {"fit_intercept": fit_intercept, "engine": engine, "n_threads": n_threads}

    def deal(labelled: Labelled, hashes: NDArray[np.uint64]) -> list[Fold]:
        return [held_out(labelled.y, labelled.weights, fraction, hashes, groups)]

    return _compared(sets, deal, losses, settings, groups, class_weight, seed, scaling, callback, options)


def _compared(
    sets: Mapping[str, Labelled],
    deal: Callable[[Labelled, NDArray[np.uint64]], list[Fold]],
    losses: Sequence[Loss | str],
    settings: Settings,
    groups: ArrayLike | None,
    class_weight: dict[Any, float] | str | None,
    seed: int,
    scaling: str | Mapping[str, str],
    callback: FeatureCallback | None,
    options: dict[str, Any],
) -> FeatureComparison:
    """Compare the losses on each set, on the folds of the function ``deal``, and select one of the sets."""
    check_count("seed", seed, 0)
    if not sets:
        raise ParameterError("sets must hold at least one feature set, got none.")
    scalings = scaling if isinstance(scaling, Mapping) else dict.fromkeys(sets, scaling)
    missing = next((name for name in sets if name not in scalings), None)
    if missing is not None:
        raise ParameterError(f"scaling must name each feature set, got none for {brief(missing)}.")
    if not (callback is None or callable(callback)):
        raise ParameterError(f"callback must be callable, got {brief(callback)}.")
    first = next(iter(sets.values()))
    hashes = content_hashes(first.identity, seed)
    _check_same(sets, hashes, seed)
    folds = deal(first, hashes)
    settings = settings._replace(record=recorded(first, seed, groups, class_weight))

    def compared(name: str, labelled: Labelled) -> tuple[Comparison, Candidate]:
        own = settings._replace(progress=None if callback is None else partial(callback, name))
        search = gather(labelled, hashes, folds, labelled.training_weights(class_weight))
        wanted = requested_scaling(scalings[name], labelled.rows)
        found = cross_validate(search, losses, own, wanted, **options)
        return found.comparison, found.candidate(name)  # and lets copies and preconditioner of this set go

    comparisons, candidates, records = {}, [], []
    for name, labelled in sets.items():
        comparisons[name], candidate = compared(name, labelled)
        candidates.append(candidate)
        records.append(_record(name, labelled, comparisons[name]))
    k = rules.first_best([one.accuracy for one in records])
    tests = tuple(paired_test(candidates[k], other) for other in candidates if other is not candidates[k])
    found = FeatureComparison(FeatureChoice(records[k].name, tuple(records), tests), comparisons)
    warn_unconverged(found.comparison)
    return found


def _check_same(sets: Mapping[str, Labelled], hashes: NDArray[np.uint64], seed: int) -> None:
    """Raise a `DataError` unless all sets hold the samples of the first one, whose ``hashes`` are given."""
    (name, first), *others = sets.items()
    for other_name, other in others:
        both = f"{brief(name)} and {brief(other_name)}"
        if len(other.y) != len(first.y):
            raise DataError(
                f"Feature sets must hold the same samples, got {len(first.y)} and {len(other.y)} for {both}."
            )
        for what, own, given in (
            ("labels", first.labels, other.labels),
            ("weights", first.weights, other.weights),
        ):
            wrong = _different(own, given)
            if wrong.size:
                row = int(wrong[0])
                raise DataError(
                    f"Feature sets must have equal {what}, got {brief(own.tolist()[row])} and "
                    f"{brief(given.tolist()[row])} in row {row} of {both}."
                )
        wrong = _different(hashes, content_hashes(other.identity, seed))
        if wrong.size:
            raise DataError(
                f"Feature sets must have equal keys, from which the folds are made, got different ones in row "
                f"{wrong[0]} of {both}."
            )


def _different(own: NDArray[Any], given: NDArray[Any]) -> Ints:
    """Return the rows in which two vectors differ; strings and numbers always do."""
    return np.flatnonzero(np.broadcast_to(own != given, own.shape))


def _record(name: str, labelled: Labelled, found: Comparison) -> FeatureSet:
    point = found.chosen_path.chosen
    return FeatureSet(
        name=name,
        n_features=int(labelled.X.shape[1]),
        loss=found.name_of(found.loss),
        reg=found.reg,
        accuracy=point.validation_accuracy,
        standard_error=found.accuracy_error(point),
        accuracies={found.name_of(path.loss): path.chosen.validation_accuracy for path in found.paths},
        seconds=found.seconds,
    )
