"""Choosing λ for each loss, and among the losses, on held-out parts of the training data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from softmargin.arguments import check_count, check_flag, check_number
from softmargin.errors import ParameterError
from softmargin.losses import Loss
from softmargin.samples import Labelled
from softmargin.selection.cross_validation import FoldCallback, Settings, cross_validate
from softmargin.selection.folds import content_hashes, gather, held_out, make_folds
from softmargin.selection.records import Comparison

__all__ = ["choose", "compare"]


def compare(
    X: NDArray[Any] | csr_array | Labelled,
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
    callback: FoldCallback | None = None,
    **options: Any,
) -> Comparison:
    """Compare losses by cross-validation, each at its own best λ, and choose.

    Parameters
    ----------
    X : ndarray or sparse array of shape (N, D), or Labelled
        Samples that are checked already are taken as they are; y and the weights are then not looked at.
    y : array-like of shape (N,)
        Labels: strings or integers.
    losses : sequence of Loss, or of "cross_entropy", "squared_hinge" and "hinge"
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
        Take the λ of the best score, or the largest one within one standard error of it. Of equal scores the
        smaller held-out loss decides, then the larger λ.
    scoring : {"accuracy", "loss"}, default "accuracy"
        Choose λ by the held-out accuracy or the held-out loss. Among losses accuracy decides, since the values of
        different losses cannot be compared.
    path_tol : float, default 1e-3
        Relative duality gap that each fit of a path has to prove.
    calibrate : bool, default True
        Whether to measure the calibration error, and fit a temperature for the hinges, on the held-out scores.
    seed : int, default 0
        Of the folds, where ``cv`` is a number.
    scaling : {"auto", "none", "pixel", "standard"}, default "auto"
        As in `LinearClassifier`; its moments are those of the training part of each fold.
    callback : callable, optional
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
        regs, rule, scoring, path_tol=path_tol, calibrate=check_flag("calibrate", calibrate), progress=callback
    )
    if not isinstance(scoring, str):
        raise ParameterError(f"scoring must be 'accuracy' or 'loss', but it is {scoring!r}.")
    labelled = Labelled.check(X, y, sample_weight)
    hashes = content_hashes(labelled.X, seed)
    search = gather(labelled, hashes, make_folds(cv, labelled, hashes, groups))
    return cross_validate(search, losses, settings, scaling, **options)


def choose(
    X: NDArray[Any] | csr_array | Labelled,
    y: ArrayLike,
    losses: Sequence[Loss | str],
    regs: str | int | Sequence[float] = "auto",
    *,
    sample_weight: ArrayLike | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    scaling: str = "auto",
    callback: FoldCallback | None = None,
    **options: Any,
) -> Comparison:
    """Choose a loss and λ by the accuracy on one held-out part: quicker than `compare`, and less certain.

    Parameters
    ----------
    X : ndarray or sparse array of shape (N, D), or Labelled
        Samples that are checked already are taken as they are; y and the weights are then not looked at.
    y : array-like of shape (N,)
        Labels: strings or integers.
    losses : sequence of Loss, or of "cross_entropy", "squared_hinge" and "hinge"
        Of equal accuracies the one named first wins.
    regs : "auto", int or sequence of float, default "auto"
        As in `compare`.
    sample_weight : array-like of shape (N,), optional
    validation_fraction : float, default 0.2
        Share of each class that is held out.
    seed : int, default 0
        Of the split.
    scaling : {"auto", "none", "pixel", "standard"}, default "auto"
        As in `LinearClassifier`.
    callback : callable, optional
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
    labelled = Labelled.check(X, y, sample_weight)
    hashes = content_hashes(labelled.X, seed)
    search = gather(labelled, hashes, [held_out(labelled.y, labelled.weights, validation_fraction, hashes)])
    return cross_validate(search, losses, Settings(regs, progress=callback), scaling, **options)
