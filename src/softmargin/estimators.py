"""The classifier as scikit-learn knows it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from softmargin.data import Dataset
from softmargin.engines import Samples, make_engine
from softmargin.errors import DataError, ParameterError
from softmargin.losses import LOSSES, CrossEntropy, Loss, softmax
from softmargin.losses.base import Floats
from softmargin.model import Model
from softmargin.objective import Objective
from softmargin.preprocessing import Preprocessing
from softmargin.selection import Choice, preprocess
from softmargin.solvers import Callback, Fit, minimize
from softmargin.validation import check_finite, check_labels, encode_labels, refuse_masked

__all__ = ["LinearClassifier", "make_loss"]


def make_loss(name: str | Loss, delta: float = 1.0) -> Loss:
    """Return the loss of this name; a `Loss` is returned as it is.

    Raises
    ------
    ParameterError
        If there is no loss of this name or ``delta`` is not positive.
    """
    if isinstance(name, Loss):
        return name
    if not isinstance(name, str) or name not in LOSSES:
        raise ParameterError(f"loss must be one of {', '.join(LOSSES)}, but it is {name!r}.")
    chosen = LOSSES[name]
    return chosen(delta) if "delta" in chosen._fields else chosen()  # type: ignore[attr-defined, call-arg]


def _has_probabilities(classifier: LinearClassifier) -> bool:
    try:  # what was fitted counts, or else what is going to be
        loss = getattr(classifier, "loss_", None) or make_loss(classifier.loss, classifier.delta)
    except ParameterError as error:
        raise AttributeError(str(error)) from error
    if not isinstance(loss, CrossEntropy):
        raise AttributeError("The hinges have margins, not probabilities: take loss='cross_entropy'.")
    return True


class LinearClassifier(ClassifierMixin, BaseEstimator):
    """Multiclass linear classifier, trained to a certified optimum.

    It minimises the weighted mean loss plus λΣW² over the weights W and the unpenalised bias b, and proves
    how close to the minimum it is.

    Parameters
    ----------
    loss : {"hinge", "squared_hinge", "cross_entropy"} or Loss, default "cross_entropy"
        The loss of a sample.
    reg : float, default 1e-4
        λ > 0, the factor of ΣW² (no ½). scikit-learn's C is 1/(2·N·λ).
    delta : float, default 1.0
        The margin Δ of the hinges. It need not be searched, λ does the same.
    fit_intercept : bool, default True
        Whether to fit b.
    tol : float, default 1e-4
        Relative duality gap to reach and prove.
    max_passes : int, default 2000
        Budget of readings of X.
    scaling : {"auto", "none", "unit", "standard"}, default "auto"
        How the penalty sees the features; X itself stays untouched, and `coef_` is in its units.
        "unit" divides 8-bit pixels by 255, "standard" each feature by its standard deviation; "auto" is
        "unit" for uint8 and "none" for all else.
    class_weight : dict or "balanced", optional
        Factors on the weights of the samples of each class, as in scikit-learn.
    engine : {"auto", "cpu", "reference"}, default "auto"
        What walks over X.
    n_threads : int, optional
        Threads; the result does not depend on it.
    callback : callable, optional
        Called with each `Step` of the fit; a true return value stops it.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Labels of the classes that have a sample of positive weight.
    coef_ : ndarray of shape (C, D)
        Weights, one row a class (two rows for two classes), in units of X as given.
    intercept_ : ndarray of shape (C,)
    loss_ : Loss
    reg_, tol_ : float
        The loss, λ and tolerance of the fit, whatever the parameters have been set to since.
    value_, lower_bound_, gap_ : float
        F at the solution, what is proved to be below F everywhere, and their relative distance.
    converged_ : bool
        Whether ``gap_ <= tol_``.
    n_passes_ : int
        Readings of X.
    fit_ : Fit
        The solver's result, in preprocessed coordinates, with its history.
    preprocessing_ : Preprocessing
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (D,)
        Only if X had string column names.

    Examples
    --------
    >>> import softmargin as sm
    >>> digits = sm.load_dataset("digits")
    >>> classifier = sm.LinearClassifier("hinge", reg=1e-3).fit(digits.X, digits.y)
    >>> bool(classifier.gap_ <= 1e-4)
    True
    """

    def __init__(
        self,
        loss: str | Loss = "cross_entropy",
        *,
        reg: float = 1e-4,
        delta: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_passes: float = 2000,
        scaling: str = "auto",
        class_weight: dict[Any, float] | str | None = None,
        engine: str = "auto",
        n_threads: int | None = None,
        callback: Callback | None = None,
    ) -> None:
        self.loss = loss
        self.reg = reg
        self.delta = delta
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_passes = max_passes
        self.scaling = scaling
        self.class_weight = class_weight
        self.engine = engine
        self.n_threads = n_threads
        self.callback = callback

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike | csr_array, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit to the samples.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
            Features of any real type, read in place; sparse X is not filled in.
        y : array-like of shape (N,)
            Labels: strings or integers.
        sample_weight : array-like of shape (N,), optional
            Non-negative weights; weight k is the same as k copies.

        Returns
        -------
        LinearClassifier
            Itself.

        Raises
        ------
        DataError
            If X, y or the weights cannot be used; the message says where.
        ParameterError
            If a parameter is outside its domain.

        Warns
        -----
        ConvergenceWarning
            If the gap was not reached within ``max_passes``.
        """
        loss = make_loss(self.loss, self.delta)
        features, labels = self._validated(X, y)
        classes, codes, weights = encode_labels(labels, sample_weight, self.class_weight)
        objective = Objective(
            loss,
            features,
            codes,
            self.reg,
            weights,
            n_classes=len(classes),
            fit_intercept=self.fit_intercept,
            engine=self.engine,
            n_threads=self.n_threads,
        )
        preprocessing = preprocess(objective, self.scaling, features.dtype)
        objective = objective.replace(scale=preprocessing.scale)
        fit = minimize(objective, tol=self.tol, callback=self.callback, max_passes=self.max_passes)
        if fit.interrupted:  # a search or a pipeline around this fit should end too
            raise KeyboardInterrupt
        W, b = preprocessing.fold(fit.W, fit.b)
        # Nothing of the estimator is touched before this line: an interrupted fit leaves it as it was.
        self.classes_ = classes
        self.coef_, self.intercept_ = np.ascontiguousarray(W.T), b
        self.loss_, self.reg_, self.tol_ = loss, objective.reg, fit.tol
        self.preprocessing_: Preprocessing = preprocessing
        self.fit_: Fit = fit
        self.value_, self.lower_bound_, self.gap_ = fit.value, fit.lower_bound, fit.gap
        self.converged_, self.n_passes_ = fit.converged, fit.n_passes
        return self

    def to_model(
        self, data: Dataset, *, image_size: tuple[int, int] | None = None, choice: Choice | None = None
    ) -> Model:
        """Return the finished thing, which is saved, loaded and used without scikit-learn.

        Parameters
        ----------
        data : Dataset
            What the classifier was fitted to; its fingerprint and kind go on the record.
        image_size : tuple of int (height, width), optional
            Size that the images were brought to on reading, if they were.
        choice : Choice, optional
            How loss and λ were chosen, for the record.
        """
        check_is_fitted(self)
        return Model(
            W=np.ascontiguousarray(self.coef_.T),
            b=self.intercept_,
            classes=self.classes_,
            loss=self.loss_,
            reg=self.reg_,
            preprocessing=self.preprocessing_,
            value=self.value_,
            lower_bound=self.lower_bound_,
            gap=self.gap_,
            tol=self.tol_,
            converged=self.converged_,
            n_passes=self.n_passes_,
            seconds=self.fit_.seconds,
            n_samples=data.n_samples,
            fingerprint=data.fingerprint(),
            image_shape=data.image_shape,
            image_size=image_size,
            feature_names=data.feature_names,
            data_name=data.name,
            selection={} if choice is None else choice.record(),
        )

    def decision_function(self, X: ArrayLike | csr_array) -> Floats:
        """Return the scores: (N, C), or for two classes (N,) the second's score minus the first's.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: ArrayLike | csr_array) -> NDArray[Any]:
        """Return the label of the largest score of each sample, shape (N,).

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        best = self._scores(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    @available_if(_has_probabilities)
    def predict_proba(self, X: ArrayLike | csr_array) -> Floats:
        """Return the softmax of the scores, shape (N, C); cross-entropy only.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        return softmax(self._scores(X))

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: ArrayLike | csr_array) -> Floats:
        """Return the logarithm of the probabilities, shape (N, C); cross-entropy only.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(softmax(self._scores(X))))

    def _scores(self, X: ArrayLike | csr_array) -> Floats:
        check_is_fitted(self)
        features = self._validated(X)
        n_samples, n_classes = features.shape[0], len(self.classes_)
        walked = Samples(features, np.zeros(n_samples, np.int64), np.full(n_samples, 1.0 / n_samples), n_classes)
        engine = make_engine("auto", walked, self.n_threads)
        return engine.scores(self.coef_.T, self.intercept_, np.arange(n_samples))

    def _validated(self, X: ArrayLike | csr_array, *y: ArrayLike) -> Any:
        """Return the features, or features and labels, as scikit-learn wants them checked."""
        refuse_masked("X", X)
        labels = [check_labels(y) for y in y]
        checks: dict[str, Any] = {"accept_sparse": "csr", "dtype": "numeric", "ensure_all_finite": False}
        try:
            checked = validate_data(self, X, *labels, reset=bool(y), **checks)
        except DataError:
            raise
        except ValueError as error:  # scikit-learn's words, but our kind
            raise DataError(str(error)) from error
        check_finite(checked[0] if y else checked)
        return checked
