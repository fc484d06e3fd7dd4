"""What both estimators share: they predict, and become models, alike."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from softmargin.data import Dataset
from softmargin.engines import Samples, canonical_csr, make_engine
from softmargin.errors import DataError, ParameterError
from softmargin.losses import LOSSES, Loss, softmax
from softmargin.losses.base import Floats, Ints, first_unusable
from softmargin.model import Model
from softmargin.objective import Objective
from softmargin.preprocessing import Preprocessing, unit_rows
from softmargin.selection import Comparison, preprocess
from softmargin.solvers import Callback, Fit, minimize
from softmargin.validation import (
    as_table,
    check_features,
    check_finite,
    check_labels,
    check_length,
    check_weights,
    overflowing,
)

__all__ = ["FittedClassifier", "make_loss"]


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


def _has_probabilities(classifier: FittedClassifier) -> bool:
    try:
        return classifier._gives_probabilities()
    except ParameterError as error:
        raise AttributeError(str(error)) from error


def _labels(y: ArrayLike, n_samples: int) -> NDArray[Any]:
    """Return labels, one for each row of X; a column of them with scikit-learn's warning."""
    labels = check_labels(y)
    try:
        return check_length(column_or_1d(labels, warn=True), n_samples)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from error


class FittedClassifier(ClassifierMixin, BaseEstimator):
    """A linear classifier once it is fitted; how it is fitted is a subclass's business."""

    classes_: NDArray[Any]
    coef_: Floats
    intercept_: Floats
    loss_: Loss
    reg_: float
    n_threads: int | None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _fit_one(
        self,
        loss: Loss,
        reg: float,
        X: Any,
        classes: NDArray[Any],
        codes: Ints,
        weights: Floats,
        *,
        tol: float,
        max_passes: float,
        scaling: str,
        rows: str = "none",
        checkpoint: str | os.PathLike[str] | None = None,
        callback: Callback | None = None,
        **options: Any,
    ) -> None:
        """Fit one loss with one λ to checked samples; an interrupted fit leaves the estimator as it was.

        ``rows`` says what was done to the rows of X already; the other options are those of `Objective`.
        """
        objective = Objective(loss, X, codes, reg, weights, n_classes=len(classes), **options)
        preprocessing = preprocess(objective, scaling, X.dtype)._replace(rows=rows)
        objective = objective.replace(scale=preprocessing.scale)
        fit = minimize(objective, tol=tol, callback=callback, max_passes=max_passes, checkpoint=checkpoint)
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

    def _gives_probabilities(self) -> bool:
        """Return whether there are probabilities, or raise an `AttributeError` that says why not."""
        raise NotImplementedError

    def _temperature(self) -> float:
        """Return what scores are divided by before they become probabilities."""
        return 1.0

    def _own_choice(self) -> Comparison | None:
        """Return how loss and λ were chosen, if the estimator did that."""
        return None

    def to_model(
        self, data: Dataset, *, image_size: tuple[int, int] | None = None, choice: Comparison | None = None
    ) -> Model:
        """Return the finished thing, which is saved, loaded and used without scikit-learn.

        Parameters
        ----------
        data : Dataset
            What the classifier was fitted to; its fingerprint and kind go on the record.
        image_size : tuple of int (height, width), optional
            Size that the images were brought to on reading, if they were.
        choice : Comparison, optional
            How loss and λ were chosen, for the record. By default the search's own, if this is one.
        """
        check_is_fitted(self)
        choice = self._own_choice() if choice is None else choice
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
            history=self.fit_.record(),
        )

    def decision_function(self, X: ArrayLike | csr_array) -> Floats:
        """Return the scores: (N, C), or for two classes (N,) the second's score minus the first's.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)

        Raises
        ------
        DataError
            If X cannot be used, or a row is so large that its scores overflow; so in all that follows.
        """
        scores = self._scores(X)
        if scores.shape[1] != 2:
            return scores
        with np.errstate(over="ignore"):  # infinite is as near as a number comes
            return np.asarray(scores[:, 1] - scores[:, 0])

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
        """Return the probabilities of the classes, shape (N, C).

        For cross-entropy they are the softmax of the scores; a hinge has them only if they were calibrated.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        return softmax(self._logits(X))

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: ArrayLike | csr_array) -> Floats:
        """Return the logarithm of the probabilities, shape (N, C).

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        logits = self._logits(X)
        return np.asarray(logits - logsumexp(logits, axis=1, keepdims=True))

    def score(self, X: ArrayLike | csr_array, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of the samples whose label is predicted.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        y : array-like of shape (N,)
        sample_weight : array-like of shape (N,), optional

        Raises
        ------
        DataError
            If X, y or the weights cannot be used, or there is no sample.
        """
        predicted = self.predict(X)
        if not len(predicted):
            raise DataError("X holds no sample to score.")
        labels = _labels(y, len(predicted))
        weights = check_weights(sample_weight, len(predicted))
        if (labels.dtype.kind in "UO") != (self.classes_.dtype.kind in "UO"):
            kinds = ("numbers", "words") if labels.dtype.kind in "UO" else ("words", "numbers")
            raise DataError(f"The classes of this fit are {kinds[0]}, but the labels in y are {kinds[1]}.")
        return float(weights @ (labels == predicted) / weights.sum())

    def sample_losses(self, X: ArrayLike | csr_array, y: ArrayLike) -> Floats:
        """Return the loss of each sample, without weights and penalty, shape (N,).

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        y : array-like of shape (N,)
            Labels; each must be one of ``classes_``.

        Raises
        ------
        DataError
            If a label is of no known class, or X is refused as in `decision_function`.
        """
        check_is_fitted(self)
        scores = self._scores(X)
        labels = check_length(check_labels(y), len(scores))
        places = {label: k for k, label in enumerate(self.classes_.tolist())}
        unknown = [i for i, label in enumerate(labels.tolist()) if label not in places]
        if unknown:
            raise DataError(f"y[{unknown[0]}] is {labels.tolist()[unknown[0]]!r}, which is no class of this fit.")
        return self.loss_.values(scores, np.array([places[label] for label in labels.tolist()], np.int64))

    def _logits(self, X: ArrayLike | csr_array) -> Floats:
        """Return that of which the softmax are the probabilities."""
        check_is_fitted(self)
        return self._scores(X, self._temperature())

    def _scores(self, X: ArrayLike | csr_array, temperature: float = 1.0) -> Floats:
        """Return the scores, divided by the temperature, or raise a `DataError` for those that overflow."""
        check_is_fitted(self)
        features = self._validated(X)
        if self.preprocessing_.rows == "unit":
            features = unit_rows(features)
        n_samples, n_classes = features.shape[0], len(self.classes_)
        if n_samples == 0:
            return np.zeros((0, n_classes))
        walked = Samples(features, np.zeros(n_samples, np.int64), np.full(n_samples, 1.0 / n_samples), n_classes)
        engine = make_engine("auto", walked, self.n_threads)
        with np.errstate(over="ignore", invalid="ignore"):
            scores = engine.scores(self.coef_.T, self.intercept_, np.arange(n_samples))
            if temperature != 1.0:
                scores /= temperature
        row = first_unusable(scores)
        if row is not None:
            raise overflowing(row)
        return scores

    def _validated(self, X: ArrayLike | csr_array, *y: ArrayLike) -> Any:
        """Return the features, or features and labels, checked; number and names of the columns as in the fit."""
        table = check_features(X) if y else as_table(X)
        if issparse(table):
            table = canonical_csr(table)
        if not y:
            self._check_columns(X, table.shape[1])
        names = list(getattr(X, "columns", ()))
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"X has more than one column named {twice!r}.")
        check_finite(table)
        labels = [_labels(one, table.shape[0]) for one in y]
        try:
            validate_data(self, X, reset=bool(y), skip_check_array=True)
        except (TypeError, ValueError) as error:  # scikit-learn's words; what follows the first sentence is advice
            raise DataError(str(error).splitlines()[0].partition(". ")[0].rstrip(".") + ".") from error
        return (table, *labels) if y else table

    def _check_columns(self, X: Any, n_features: int) -> None:
        """Raise a `DataError` if the columns of X are not those of the fit, by their number or by their names."""
        if n_features != self.n_features_in_:
            # scikit-learn looks for these words.
            raise DataError(
                f"X has {n_features} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                f"features as input."
            )
        names = getattr(X, "columns", ()), getattr(self, "feature_names_in_", ())
        for k, (found, expected) in enumerate(zip(*names, strict=False)):
            if isinstance(found, str) and found != expected:
                raise DataError(
                    f"X must have the feature names of the fit in their order, but column {k} is {found!r} "
                    f"and not {expected!r}."
                )
