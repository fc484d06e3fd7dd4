"""The loss and λ chosen by cross-validation, as scikit-learn knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.metrics import get_scorer

from softmargin.arguments import check_count, check_flag
from softmargin.errors import CapabilityError, ParameterError, SoftmarginError
from softmargin.estimators.base import FittedClassifier
from softmargin.estimators.linear import LinearClassifier
from softmargin.losses import Loss, make_loss
from softmargin.losses.base import Floats, Ints
from softmargin.preprocessing import Preprocessing
from softmargin.selection import (
    Comparison,
    Scorer,
    SearchSamples,
    Settings,
    content_hashes,
    cross_validate,
    gather,
    make_folds,
)
from softmargin.solvers import Callback

__all__ = ["LinearClassifierCV"]


class LinearClassifierCV(FittedClassifier):
    """Multiclass linear classifier whose loss and λ are chosen by cross-validation.

    Each loss walks a path of λ on all folds at once; every fit is certified. The chosen loss and λ are then fitted
    to all samples until the gap is proved. Nothing but the samples given to ``fit`` is looked at.

    Parameters
    ----------
    losses : sequence of {"cross_entropy", "squared_hinge", "hinge"} or Loss
        Compared on the same folds; of equal scores the one named first wins.
    regs : "auto", int or sequence of float, default "auto"
        The λ to try; or how many, from one at which W is nearly zero to one at which the training loss is; or
        "auto": from the first of these, two for each power of ten, until the score has not risen for three and the
        held-out loss no longer falls. The last two go on where the best lies at an edge.
    cv : int, splitter of scikit-learn, or iterable of pairs of index arrays, default 5
        A number makes folds of each class by the content of the rows: their order makes no difference, and rows
        with the same features stay together where they are no more than the folds. One pair, or a
        ``PredefinedSplit``, is a fixed validation set.
    rule : {"best", "one_se"}, default "best"
        Take the λ of the best mean score, or the largest within one standard error of it.
    scoring : {"accuracy", "loss"}, name of a scorer or callable, default "accuracy"
        What λ is chosen by. With "loss", the losses are then compared by accuracy, since their values cannot be.
    delta : float, default 1.0
        The margin Δ of the hinges. It is not searched: λ does the same.
    calibrate : bool, default True
        Whether to measure how well probabilities are calibrated on held-out samples and to fit a temperature for
        the hinges, which have no probabilities of their own.
    fit_intercept : bool, default True
        Whether to fit b.
    tol : float, default 1e-4
        Relative duality gap to reach and prove in the last fit.
    path_tol : float, default 1e-3
        That of the fits on the paths.
    max_passes : int, default 2000
        Budget of readings of X of each fit.
    scaling : {"auto", "none", "pixel", "standard"}, default "auto"
        As in `LinearClassifier`; "standard" takes the moments of the training part of a fold.
    normalize_rows : bool, default False
        As in `LinearClassifier`; a copy of X is made for this.
    class_weight : dict or "balanced", optional
        Factors on the weights of the samples of each class when fitting; scores are not weighted by them.
    engine : {"auto", "cpu", "reference"}, default "auto"
        What walks over X.
    n_threads : int, optional
        Threads; the result does not depend on it.
    random_state : int, default 0
        Of the folds, where ``cv`` is a number.
    callback : callable, optional
        Called with each `Step` of the last fit; a true return value stops it.

    Attributes
    ----------
    path_ : Comparison
        Everything that was tried, as a plain record: means, standard errors, gaps, seconds; ``path_.record()`` is
        JSON.
    best_loss_ : Loss
    best_reg_ : float
        What was chosen.
    best_score_ : float
        Mean held-out score of that.
    calibration_ : Calibration or None
        Calibration error and, for a hinge, the temperature: of the chosen loss and λ on held-out samples.
    n_splits_ : int
        Number of folds.
    classes_ : ndarray of shape (C,)
        Labels of the classes that have a sample of positive weight.
    coef_ : ndarray of shape (C, D)
        Weights, one row a class (two rows for two classes), in units of X as given.
    intercept_ : ndarray of shape (C,)
    loss_ : Loss
    reg_, tol_ : float
    value_, lower_bound_, gap_ : float
        F at the solution, what is proved to be below F everywhere, and their relative distance.
    converged_ : bool
        Whether ``gap_ <= tol_``.
    n_passes_ : int
        Readings of X by the last fit.
    fit_ : Fit
        The solver's result for it.
    preprocessing_ : Preprocessing
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (D,)
        Only if X had string column names.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> search = sm.LinearClassifierCV(["squared_hinge"], regs=[1.0, 0.1, 0.01], cv=3).fit(digits.X, digits.y)
    >>> search.best_reg_, search.path_.paths[0].chosen.validation_accuracy > 0.9
    (0.01, True)
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
        self.callback = callback

    def fit(
        self,
        X: ArrayLike | csr_array,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Choose loss and λ, and fit them to all samples.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
            Features of any real type. Up to 256 MB are copied, into an order that does not depend on that of the
            rows; more are read in place.
        y : array-like of shape (N,)
            Labels: strings or integers.
        sample_weight : array-like of shape (N,), optional
            Non-negative weights, for fitting and for scoring.
        groups : array-like of shape (N,), optional
            Samples of one group are never on both sides of a fold.

        Returns
        -------
        LinearClassifierCV
            Itself.

        Raises
        ------
        DataError
            If X, y, the weights or the folds cannot be used; the message says where.
        ParameterError
            If a parameter is outside its domain.

        Warns
        -----
        ConvergenceWarning
            If the last fit did not reach its gap within ``max_passes``.
        """
        if isinstance(self.losses, (str, Loss)):
            raise ParameterError(f"losses must be a list of at least one loss, but it is {self.losses!r}.")
        losses = [make_loss(loss, self.delta) for loss in self.losses]
        seed = check_count("random_state", self.random_state, 0)
        labelled = self._labelled(X, y, sample_weight)
        hashes = content_hashes(labelled.X, seed)
        # Weights by class have a part in the fits alone.
        fitted = labelled.training_weights(self.class_weight)
        folds = make_folds(self.cv, labelled, hashes, groups)
        custom = not (isinstance(self.scoring, str) and self.scoring in ("accuracy", "loss"))
        search = gather(labelled, hashes, folds, fitted, merge=not custom)
        scoring, name = self._scorer(search, labelled.classes) if custom else (self.scoring, "")
        settings = Settings(
            self.regs, self.rule, scoring, name, self.path_tol, self.max_passes,
            check_flag("calibrate", self.calibrate),
        )  # fmt: skip
        chosen = cross_validate(search, losses, settings, self.scaling, **self._options)
        self._fit_one(chosen.loss, chosen.reg, gather(labelled, hashes, [], fitted).samples, labelled)
        path = chosen.chosen_path
        self.path_: Comparison = chosen
        self.best_loss_, self.best_reg_, self.best_score_ = chosen.loss, chosen.reg, path.chosen.score
        self.calibration_ = path.calibration
        self.n_splits_ = len(folds)
        return self

    def _scorer(self, search: SearchSamples, classes: Any) -> tuple[Scorer, str]:
        """Return what scores the paths, and its name."""
        if not (isinstance(self.scoring, str) or callable(self.scoring)):
            raise ParameterError(
                f"scoring must be 'accuracy', 'loss', the name of a scorer or one, but it is {self.scoring!r}."
            )
        try:
            scorer = get_scorer(self.scoring)
        except ValueError:
            raise ParameterError(
                f"scoring must be 'accuracy', 'loss' or a scorer's name, but it is {self.scoring!r}."
            ) from None

        def score(loss: Loss, W: Floats, b: Floats, known: Ints, rows: Ints) -> float:
            fitted = _Scored(loss, n_threads=self.n_threads)
            fitted.loss_, fitted.classes_ = loss, classes[known]
            fitted.coef_, fitted.intercept_ = np.ascontiguousarray(W.T), b
            fitted.n_features_in_ = W.shape[0]
            fitted.preprocessing_ = Preprocessing("none", np.zeros(len(W)), np.ones(len(W)))  # done already
            try:
                return float(scorer(fitted, search.samples.features(rows), search.labels[rows]))
            except SoftmarginError:
                raise
            except (AttributeError, TypeError, ValueError) as error:
                why = " ".join(str(error.__cause__ or error).split())
                if isinstance(error, AttributeError) and not loss.probabilistic:
                    why = f"the {loss.title} has margins, and no probabilities to be scored by ({why})"
                elif len(known) < len(classes):
                    why = f"a fold has no training sample of class {np.delete(classes, known)[0]!r} ({why})"
                raise ParameterError(f"scoring {name!r} cannot score the fits of {loss.name}: {why}") from error

        name = self.scoring if isinstance(self.scoring, str) else getattr(self.scoring, "__name__", "score")
        return score, name

    def _gives_probabilities(self) -> bool:
        if not hasattr(self, "loss_"):  # what is going to be fitted
            losses = [make_loss(loss, self.delta) for loss in self.losses]
            if not (self.calibrate or all(loss.probabilistic for loss in losses)):
                raise AttributeError("The hinges have margins, not probabilities: set calibrate=True.")
        elif not (self.loss_.probabilistic or self.calibration_ is not None):
            raise AttributeError(
                f"The {self.loss_.title} has margins, not probabilities, and calibrate was False."
            )
        return True

    def _temperature(self) -> float:
        return 1.0 if self.calibration_ is None else self.calibration_.temperature

    def _own_choice(self) -> Comparison:
        return self.path_


class _Scored(LinearClassifier):
    """A fit of a path, as a scorer wants it."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        raise CapabilityError("What a scorer is given is fitted already, and may not be fitted anew.")
