"""The scikit-learn estimator that selects the loss and λ by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from inspect import signature
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from softmargin.arguments import brief, check_count
from softmargin.engines import make_engine
from softmargin.errors import CapabilityError, ParameterError, SoftmarginError
from softmargin.estimators.base import FittedClassifier
from softmargin.estimators.linear import LinearClassifier
from softmargin.losses import Loss, make_loss
from softmargin.losses.base import Floats, Ints
from softmargin.losses.registry import check_losses
from softmargin.preprocessing import Preprocessing, requested_scaling
from softmargin.selection import (
    Comparison,
    OutOfFold,
    Scorer,
    SearchSamples,
    Settings,
    content_hashes,
    cross_validate,
    gather,
    make_folds,
    recorded,
    warn_unconverged,
)
from softmargin.selection.compare import check_scoring, compare_shards, refuse_for_shards
from softmargin.shards import Shards, as_shards
from softmargin.solvers import Callback

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["LinearClassifierCV"]

_NEVER = -1e30
"""Score of a class that is never predicted."""


class LinearClassifierCV(FittedClassifier):
    """Multiclass linear classifier whose loss and λ are selected by cross-validation.

    For each loss, a path of decreasing λ is fitted on all folds; every fit is certified. The selected loss and λ
    are then fitted to all samples, to the tolerance ``tol``. Only the samples given to ``fit`` are used.

    Parameters
    ----------
    losses : sequence of {"cross_entropy", "squared_hinge", "hinge"} or Loss
        Losses to compare on the same folds. Between equal scores the first in the list is selected.
    regs : "auto", int or sequence of float, default "auto"
        Values of λ, or their number. "auto" starts at a λ at which W is nearly zero and takes two values per power
        of ten. It stops when score and held-out loss become worse, or the score has not improved for three values
        and the held-out loss does not decrease. With a number, the values end where the training loss is nearly
        zero. Both paths are extended if the best λ is at an edge.
    cv : int, splitter of scikit-learn, or iterable of pairs of index arrays, default 5
        The folds. An integer makes stratified folds that depend on the content of the rows and not on their order.
        Rows with the same features stay together if there are at most as many of them as folds. One pair, or a
        ``PredefinedSplit``, is a fixed validation set.
    rule : {"best", "one_se"}, default "best"
        Select the λ with the best mean score, or the largest λ within one standard error of it. Between equal
        scores the smaller held-out loss decides, then the larger λ.
    scoring : {"accuracy", "loss"}, name of a scorer or callable, default "accuracy"
        The score that λ is selected by. With "loss", the losses are compared by accuracy, since the values of
        different losses are not comparable. A scorer of probabilities gets all classes as ``labels``, and 0 as the
        probability of a class that the training part of a fold lacks.
    delta : float, default 1.0
        The margin Δ of the hinge losses. It need not be searched, since changing λ has the same effect.
    calibrate : bool, default True
        Whether to compute the calibration error of the probabilities on held-out samples. For the hinge losses,
        which do not define probabilities, this fits a temperature.
    fit_intercept : bool, default True
        Whether to fit b.
    tol : float, default 1e-4
        Tolerance on the relative duality gap of the final fit.
    path_tol : float, default 1e-3
        Tolerance on the relative duality gap of each fit on a path.
    max_passes : int, default 2000
        Maximum number of passes over X per fit.
    scaling : {"auto", "none", "pixel", "standard"}, default "auto"
        As in `LinearClassifier`. "auto" is decided once, on all samples of ``fit``; "standard" uses the standard
        deviations of the training part of each fold.
    normalize_rows : bool, default False
        As in `LinearClassifier`; this makes a copy of X.
    class_weight : dict or "balanced", optional
        Factors on the sample weights per class, as in `LinearClassifier`, for fitting and not for scoring. Only a
        factor of 0 counts for both.
    engine : {"auto", "cpu", "reference", "chunked", "dask"}, default "auto"
        The implementation that reads X, as in `LinearClassifier`.
    n_threads : int, optional
        Number of threads; results do not depend on it.
    random_state : int, default 0
        Seed of the folds if ``cv`` is an integer.
    keep_out_of_fold : bool, default False
        Whether to store the held-out scores of all samples: up to 2·N·C numbers of 8 bytes.
    fit_all : bool, default True
        Whether to fit all λ of a list or a number of ``regs``. If not, a path ends after two λ in a row with a
        lower score and a larger held-out loss than before, or after one λ whose score is clearly lower.
    callback : callable, optional
        Called with each `Step` of the final fit; a true return value stops it.

    Attributes
    ----------
    path_ : Comparison
        All fits and tests: means, standard errors, gaps, seconds. ``path_.record()`` returns them as JSON values.
    best_loss_ : Loss
    best_reg_ : float
        The selected loss and λ.
    best_score_ : float
        Their mean held-out score.
    calibration_ : Calibration or None
        Calibration of the selected loss and λ on the held-out samples: its error and, for a hinge loss, the
        temperature.
    n_splits_ : int
        Number of folds.
    oof_decision_function_ : ndarray of shape (N, C)
        Only with ``keep_out_of_fold``: the scores of each sample at the selected loss and λ, by the fit of the
        first fold that holds it out. NaN if no fold holds it out, -inf for a class that the fold did not train.
    oof_proba_ : ndarray of shape (N, C)
        The probabilities of these scores. For a hinge loss they exist only with ``calibrate``; the temperature was
        fitted to the same scores.
    oof_fold_ : ndarray of shape (N,)
        The number of that fold; -1 if no fold holds the sample out.
    classes_ : ndarray of shape (C,)
        Labels of the classes that have a sample of positive weight.
    coef_ : ndarray of shape (C, D)
        Weights for X as given, one row per class. Two classes have two rows, ``coef_[1] = -coef_[0]``, and the
        one row of scikit-learn is ``coef_[1] - coef_[0]``.
    intercept_ : ndarray of shape (C,)
    loss_ : Loss
    reg_, tol_ : float
    value_, lower_bound_, gap_ : float
        F at the solution, the certified lower bound on its minimum, and the relative gap between them.
    converged_ : bool
        Whether ``gap_ <= tol_``.
    n_passes_ : int
        Number of passes over X of the final fit.
    fit_ : Fit
        The solver's result of the final fit.
    preprocessing_ : Preprocessing
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (D,)
        Only if X had string column names.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> search = sm.LinearClassifierCV(["squared_hinge"], regs=[1.0, 0.1, 1e-3], cv=3).fit(digits.X, digits.y)
    >>> search.best_reg_, search.path_.paths[0].chosen.validation_accuracy > 0.9
    (0.1, True)
    """

    def __init__(
        self,
        losses: Sequence[str | Loss] = ("cross_entropy", "squared_hinge", "hinge"),
        *,
        regs: str | int | Sequence[float] = "auto",
        cv: Any = 5,
        rule: str = "best",
        scoring: str | Callable[..., float] = "accuracy",
        delta: float = 1.0,
        calibrate: bool = True,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        path_tol: float = 1e-3,
        max_passes: float = 2000,
        scaling: str = "auto",
        normalize_rows: bool = False,
        class_weight: dict[Any, float] | str | None = None,
        engine: str = "auto",
        n_threads: int | None = None,
        random_state: int = 0,
        keep_out_of_fold: bool = False,
        fit_all: bool = True,
        callback: Callback | None = None,
    ) -> None:
        self.losses = losses
        self.regs = regs
        self.cv = cv
        self.rule = rule
        self.scoring = scoring
        self.delta = delta
        self.calibrate = calibrate
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.path_tol = path_tol
        self.max_passes = max_passes
        self.scaling = scaling
        self.normalize_rows = normalize_rows
        self.class_weight = class_weight
        self.engine = engine
        self.n_threads = n_threads
        self.random_state = random_state
        self.keep_out_of_fold = keep_out_of_fold
        self.fit_all = fit_all
        self.callback = callback

    def fit(
        self,
        X: ArrayLike | csr_array | Shards,
        y: Any,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Select the loss and λ, and fit them to all samples.

        Parameters
        ----------
        X : array-like, sparse array, dask array or Shards of shape (N, D)
            Features of any real type. X of up to 128 MB is copied into an order that depends on the content of its
            rows only. Larger X is read in place. Shards and dask arrays are as for `LinearClassifier`; their folds
            are not stratified.
        y : array-like of shape (N,)
            Labels: strings or integers. None for shards, which come with their labels.
        sample_weight : array-like of shape (N,), optional
            Non-negative weights, for fitting and for scoring.
        groups : array-like of shape (N,), optional
            Group of each sample. Samples of one group are never on both sides of a fold.

        Returns
        -------
        LinearClassifierCV
            The fitted estimator.

        Raises
        ------
        DataError
            If X, y, the weights or the folds are invalid; the message names the row.
        ParameterError
            If a parameter is invalid.

        Warns
        -----
        ConvergenceWarning
            If the final fit, or a fit of the selected loss and λ on a fold, did not converge.
        """
        losses = [make_loss(loss, self.delta) for loss in check_losses(self.losses)]
        seed = check_count("random_state", self.random_state, 0)
        if (shards := as_shards(X, y, sample_weight)) is not None:
            refuse_for_shards(groups=groups, keep_out_of_fold=self.keep_out_of_fold or None)
            return self._fit_shards(self._weighted(shards), losses, seed)
        labelled = self._labelled(X, y, sample_weight)
        hashes = content_hashes(labelled.identity, seed)
        # Class weights are used for fitting only.
        fitted = labelled.training_weights(self.class_weight)
        folds = make_folds(self.cv, labelled, hashes, groups)
        custom = not (isinstance(self.scoring, str) and self.scoring in ("accuracy", "loss"))
        search = gather(labelled, hashes, folds, fitted, merge=not custom)
        scoring, name = self._scorer(search, labelled.classes) if custom else (self.scoring, "")
        settings = Settings(
            self.regs, self.rule, scoring, name, self.path_tol, self.max_passes, self.calibrate,
            keep_out_of_fold=self.keep_out_of_fold, fit_all=self.fit_all,
            record=recorded(labelled, seed, groups, self.class_weight),
        )  # fmt: skip
        scaling = requested_scaling(self.scaling, labelled.rows)
        chosen, _, scaling = cross_validate(search, losses, settings, scaling, **self._options)
        self._fit_one(chosen.loss, chosen.reg, gather(labelled, hashes, [], fitted).samples, labelled, scaling)
        warn_unconverged(chosen)
        return self._choose(chosen)

    def _fit_shards(self, shards: Shards, losses: Sequence[Loss], seed: int) -> Self:
        """Select the loss and λ, and fit them to all samples in shards, which are read by one engine."""
        settings = Settings(
            self.regs, self.rule, check_scoring(self.scoring), "", self.path_tol, self.max_passes, self.calibrate,
            fit_all=self.fit_all,
        )  # fmt: skip
        engine = make_engine(self.engine, shards, self.n_threads)
        options: dict[str, Any] = {"engine": lambda *_: engine}
        own, scaling = self._options | options, requested_scaling(self.scaling, "none")
        chosen = compare_shards(shards, self.cv, None, losses, settings, seed, scaling, own)
        self._fit_one(chosen.loss, chosen.reg, shards, None, scaling, **options)
        return self._choose(chosen)

    def _choose(self, chosen: Comparison) -> Self:
        """Store the result of the selection."""
        path = chosen.chosen_path
        self.path_: Comparison = chosen
        self.best_loss_, self.best_reg_, self.best_score_ = chosen.loss, chosen.reg, path.chosen.score
        self.calibration_ = path.calibration
        self.n_splits_ = len(chosen.folds)
        self._keep(chosen.out_of_fold)
        return self

    def _keep(self, kept: OutOfFold | None) -> None:
        """Store the out-of-fold scores, if they were requested; those of an earlier fit are removed."""
        for name in ("oof_decision_function_", "oof_proba_", "oof_fold_"):
            if hasattr(self, name):
                delattr(self, name)
        if kept is not None:
            self.oof_decision_function_, self.oof_fold_ = kept.scores, kept.fold
            if (probabilities := kept.probabilities) is not None:
                self.oof_proba_ = probabilities

    def _scorer(self, search: SearchSamples, classes: Any) -> tuple[Scorer, str]:
        """Return a function that scores the fits of a path, and its name."""
        try:
            if not (isinstance(self.scoring, str) or callable(self.scoring)):
                raise ValueError
            from sklearn.metrics import get_scorer  # slow to import

            scorer = get_scorer(self.scoring)
        except ValueError:
            what = "'accuracy', 'loss', the name of a scorer or a callable"
            raise ParameterError(f"scoring must be {what}, got {brief(self.scoring)}.") from None
        scorer = _with_labels(scorer, classes)

        def score(loss: Loss, W: Floats, b: Floats, known: Ints, rows: Ints) -> float:
            fitted, W = _Scored(loss, n_threads=self.n_threads), search.samples.columns.spread(W)
            fitted.loss_, fitted.classes_ = loss, classes
            # A class without training samples is never predicted and has the probability 0.
            fitted.coef_, fitted.intercept_ = np.zeros((len(classes), len(W))), np.full(len(classes), _NEVER)
            fitted.coef_[known], fitted.intercept_[known] = W.T, b
            fitted.n_features_in_ = W.shape[0]
            fitted.preprocessing_ = Preprocessing("none", np.zeros(len(W)), np.ones(len(W)))  # done already
            try:
                return float(scorer(fitted, search.samples.features(rows), search.labels[rows]))
            except SoftmarginError:
                raise
            except (AttributeError, TypeError, ValueError) as error:
                why = " ".join(str(error.__cause__ or error).split()).rstrip(".")
                if isinstance(error, AttributeError) and not loss.probabilistic:
                    why = f"the {loss.title} does not define probabilities ({why})"
                elif len(known) < len(classes):
                    missing = np.delete(classes, known).tolist()[0]
                    why = f"a fold has no training sample of class {missing!r} ({why})"
                raise ParameterError(f"scoring {name!r} failed for the loss {loss.name}: {why}.") from error

        name = self.scoring if isinstance(self.scoring, str) else getattr(self.scoring, "__name__", "score")
        return score, name

    def _has_probabilities(self) -> bool:
        if hasattr(self, "loss_"):
            calibrated, losses = self.calibration_ is not None, [self.loss_]
        else:
            losses = [make_loss(loss, self.delta) for loss in check_losses(self.losses)]
            calibrated = self.calibrate
        if not (calibrated or all(loss.probabilistic for loss in losses)):
            raise AttributeError("Probabilities of a hinge loss need calibrate=True, got calibrate=False.")
        return True


def _with_labels(scorer: Any, classes: Any) -> Any:
    """Return a scorer of probabilities or scores that is told all classes: the held-out samples may lack some.

    Other scorers, and callables that scikit-learn did not make, are returned unchanged.
    """
    function, response = getattr(scorer, "_score_func", None), getattr(scorer, "_response_method", "predict")
    if function is None or response == "predict" or "labels" not in signature(function).parameters:
        return scorer
    told = copy(scorer)
    told._kwargs = {"labels": classes} | scorer._kwargs
    return told


class _Scored(LinearClassifier):
    """A fit on a path, as the estimator that a scorer receives."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        raise CapabilityError("A scorer receives a fitted classifier; fit() is not supported on it.")
