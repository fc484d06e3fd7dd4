"""Learning curves: the test accuracy by the number of training samples per class.

For each repeat the training samples are put in a random order, and the subset with n shots is the first n of each
class: the subsets of a repeat are nested. The order depends on the content of the samples and on the seed, not on
the order of the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmargin.arguments import brief, check_count, check_flag, check_reg
from softmargin.errors import DataError, ParameterError
from softmargin.losses import Loss, make_loss
from softmargin.losses.registry import check_losses
from softmargin.objective import Objective
from softmargin.preprocessing import requested_scaling
from softmargin.samples import Labelled, Samples
from softmargin.selection.compare import choose
from softmargin.selection.cross_validation import scaling_of
from softmargin.selection.curve_records import CurvePoint, LearningCurve, LossCurve
from softmargin.selection.curve_samples import HeldOut, Subsets, split
from softmargin.selection.groups import group_numbers
from softmargin.selection.schedule import fit_concurrently
from softmargin.selection.wording import unique_name
from softmargin.solvers import Callback, Step, solve
from softmargin.text import pluralize
from softmargin.threads import default_threads

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["CurveCallback", "learning_curve"]

_MAX_PASSES = 1000

CurveCallback: TypeAlias = Callable[[str, int, Step], None]
"""Called with what is fitted, the number of a repeat and each step of its fit, in the calling thread."""


def learning_curve(
    X: NDArray[Any] | csr_array | Labelled,
    y: ArrayLike,
    X_test: ArrayLike | csr_array | None = None,
    y_test: ArrayLike | None = None,
    *,
    loss: str | Loss | Sequence[str | Loss] = "cross_entropy",
    reg: float | str = "auto",
    groups: ArrayLike | None = None,
    shots: Sequence[int | str] = (1, 2, 4, 8, 16, "all"),
    repeats: int = 10,
    seed: int = 0,
    tol: float = 1e-3,
    scaling: str = "auto",
    normalize_rows: bool = False,
    fit_intercept: bool = True,
    engine: str = "auto",
    n_threads: int | None = None,
    callback: CurveCallback | None = None,
) -> LearningCurve:
    """Fit losses to random subsets with 1, 2, 4, … samples per class, and evaluate them on the same test samples.

    Parameters
    ----------
    X : ndarray or sparse array of shape (N, D), or Labelled
        Features of the training samples. If ``X`` is a `Labelled` record, ``y`` is ignored.
    y : array-like of shape (N,)
        Labels: strings or integers. All samples have the same weight.
    X_test, y_test : array-like of shape (M, D) and (M,), optional
        Test samples. By default a fifth of each class is held out of X: it is in no subset, and does not select λ.
    loss : str or Loss, or a sequence of them, default "cross_entropy"
        Losses to fit to the same subsets.
    reg : float or "auto", default "auto"
        λ of all fits. "auto" selects a λ per loss on the whole training set of N samples, as `choose` does, and
        fits n samples with λ·N/n: the same C = 1/(2nλ) for all, like scikit-learn's ``learning_curve`` of a fixed
        estimator. The labels of all training samples influence this one number; the test samples never do.
    groups : array-like of shape (N,), optional
        Groups of the training samples, such as patients. A group is never on both sides of the held-out fifth, nor
        of the split that selects λ. Subsets are drawn sample by sample, so they may hold a part of a group.
    shots : sequence of int, or "all", default (1, 2, 4, 8, 16, "all")
        Numbers of samples per class. A class with fewer samples is in the subset as a whole.
    repeats : int, default 10
        Number of random subsets for each number of shots. With all samples there is one fit.
    seed : int, default 0
        Seed of the subsets and of the held-out fifth.
    tol : float, default 1e-3
        Tolerance on the relative duality gap of each fit.
    scaling : {"auto", "none", "pixel", "standard"}, default "auto"
        As in `LinearClassifier`. "standard" uses the standard deviations of each subset.
    normalize_rows, fit_intercept, engine, n_threads : optional
        As in `LinearClassifier`. Repeats are fitted concurrently; the result does not depend on it.
    callback : callable, optional
        Called as ``callback(what, repeat, step)`` after each step of a fit, with a text, the number of the repeat
        and a `Step`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    DataError
        If the samples are invalid or have different weights, if no test sample has a label of the training
        samples, or if ``groups`` leaves nothing to hold out.
    ParameterError
        If another argument is invalid.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> test = digits.test
    >>> curve = sm.learning_curve(digits.X, digits.y, test.X, test.y, reg=1e-3, shots=[1, 8, "all"], repeats=3)
    >>> few, some, every = curve.curves[0].points
    >>> bool(few.mean < some.mean < every.mean), every.n_samples
    (True, 1442)
    """
    started = time.perf_counter()
    losses, numbers = _check_losses(loss), _check_shots(shots)
    check_count("repeats", repeats)
    check_count("seed", seed, 0)
    labelled = Labelled.check(X, y)
    if check_flag("normalize_rows", normalize_rows):
        labelled = labelled.with_unit_rows()
    if (labelled.weights != 1.0).any():
        raise DataError("Samples of a learning curve must all have weight 1, got other weights.")
    numbered = None if groups is None else group_numbers(groups, len(labelled.y))
    training, test, kept = split(labelled, X_test, y_test, seed, numbered)
    options: dict[str, Any] = {"fit_intercept": fit_intercept, "engine": engine, "n_threads": n_threads}
    selects = isinstance(reg, str) and reg == "auto"
    if selects:
        report = None if callback is None else lambda one, value, fold, step: callback(f"{one.name}, λ", 0, step)
        selection: dict[str, Any] = {"groups": kept, "seed": seed, "scaling": scaling, "callback": report}
        found = choose(training, training.labels, losses, **selection, **options)
        regs = [path.chosen.reg for path in found.paths]
    elif check_reg(reg) == 0.0:  # type: ignore[arg-type]
        raise ParameterError("reg must be positive, got 0: without a penalty no gap can be certified.")
    else:
        regs = [float(reg)] * len(losses)
    subsets = Subsets.of(training, seed)
    everything = Samples.weighted(training.X, training.y, np.ones(len(training.y)), len(training.classes))
    whole = Objective.of(losses[0], everything, 0.0, **options)
    scaling, *_ = scaling_of(
        whole, requested_scaling(scaling, labelled.rows), everything
    )  # "auto" is decided once
    n_chosen = len(training.y) if selects else None
    settings = _Settings(test, losses, regs, n_chosen, scaling, tol, options)
    fits = [_Repeat(number, subsets, numbers, settings).fit for number in range(repeats)]
    names = ["all samples" if n is None else pluralize(n, "shot") for n in numbers]
    follow = None if callback is None else lambda k, place, step: callback(names[int(place)], k, step)
    threads = default_threads() if n_threads is None else check_count("n_threads", n_threads)
    rounds = [done for _, done in fit_concurrently(fits, map(float, range(len(numbers))), threads, follow)]
    curves = []
    for k, one in enumerate(losses):
        points = []
        for n, done in zip(numbers, rounds, strict=True):
            fitted = [of_repeat[k] for of_repeat in done if of_repeat]
            size = subsets.size(n)
            points.append(
                CurvePoint(
                    shots=n,
                    n_samples=size,
                    reg=settings.reg(k, size),
                    accuracies=tuple(fit.accuracy for fit in fitted),
                    gap=max(fit.gap for fit in fitted),
                    n_passes=sum(fit.n_passes for fit in fitted),
                    seconds=sum(fit.seconds for fit in fitted),
                )
            )
        curves.append(LossCurve(unique_name(one, losses), one.parameters(), tuple(points)))
    return LearningCurve(
        curves=tuple(curves),
        n_training=len(training.y),
        n_test=len(test.labels),
        n_classes=len(training.classes),
        n_groups=None if numbered is None else int(numbered.max()) + 1,
        held_out=X_test is None,
        selected=selects,
        repeats=repeats,
        seed=seed,
        tol=tol,
        seconds=time.perf_counter() - started,
    )


class _Settings(NamedTuple):
    """What all fits share; ``n_chosen`` is the number of samples that λ was selected on, None for a fixed λ."""

    test: HeldOut
    losses: Sequence[Loss]
    regs: Sequence[float]
    n_chosen: int | None
    scaling: str
    tol: float
    options: dict[str, Any]

    def reg(self, k: int, n_samples: int) -> float:
        """Return λ of loss number ``k`` for a subset of this size."""
        return self.regs[k] * (1.0 if self.n_chosen is None else self.n_chosen / n_samples)


class _Fitted(NamedTuple):
    accuracy: float
    gap: float
    n_passes: int
    seconds: float


class _Repeat:
    """One repeat: fits all losses to one subset after the other."""

    def __init__(self, number: int, subsets: Subsets, shots: Sequence[int | None], settings: _Settings) -> None:
        self._number, self._subsets, self._shots, self._settings = number, subsets, shots, settings

    def fit(self, place: float, callback: Callback | None) -> list[_Fitted]:
        """Fit the subset number ``place``; with all samples only in the first repeat, since all are the same."""
        shots, subsets, settings = self._shots[int(place)], self._subsets, self._settings
        if self._number > 0 and subsets.size(shots) == subsets.size(None):
            return []
        rows, training = subsets.rows(self._number, shots), subsets.training
        C = len(training.classes)
        samples = Samples.weighted(training.X[rows], training.y[rows], np.ones(len(rows)), C)
        whole = Objective.of(settings.losses[0], samples, 0.0, **settings.options)
        preprocessing = scaling_of(whole, settings.scaling, samples)
        whole = whole.replace(scale=preprocessing.scale)
        found = []
        for k, loss in enumerate(settings.losses):
            objective = whole.replace(loss=loss, reg=settings.reg(k, len(rows)))
            # Not from the weights of the smaller subset: measured, that takes more passes than a start from zero.
            fit, _ = solve(objective, None, settings.tol, _MAX_PASSES, callback)
            if fit.interrupted:
                raise KeyboardInterrupt
            W, b = preprocessing.fold(fit.W, fit.b)
            accuracy = settings.test.accuracy(training.classes, samples.columns.spread(W), b)
            found.append(_Fitted(accuracy, fit.gap, fit.n_passes, fit.seconds))
        return found


def _check_losses(loss: str | Loss | Sequence[str | Loss]) -> list[Loss]:
    return [make_loss(one) for one in check_losses([loss] if isinstance(loss, (str, Loss)) else loss)]


def _check_shots(shots: Sequence[int | str]) -> list[int | None]:
    """Return the different numbers of shots in ascending order, None for all; or raise a `ParameterError`."""
    if isinstance(shots, (str, int)) or not len(shots):
        raise ParameterError(f"shots must be a list of integers ≥ 1, or 'all', got {brief(shots)}.")
    numbers = {check_count("shots", n) for n in shots if n != "all"}  # type: ignore[arg-type]
    return [*sorted(numbers), *([None] if "all" in list(shots) else [])]
