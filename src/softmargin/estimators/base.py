"""The base class of the estimators: prediction, scoring and conversion to a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from softmargin.arguments import brief, check_flag
from softmargin.data import Dataset
from softmargin.errors import CapabilityError, DataError
from softmargin.labels import labels_of_rows
from softmargin.losses import Loss, softmax
from softmargin.losses.base import Floats
from softmargin.model import Model
from softmargin.model.parts import Parts
from softmargin.model.predict import class_numbers, fill_from_scores
from softmargin.samples import Labelled, Samples, as_features, column_names
from softmargin.selection import Comparison
from softmargin.shards import Shards
from softmargin.solvers import Callback
from softmargin.training import Trained, train_on
from softmargin.weights import ClassWeight, check_weights

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["FittedClassifier"]


class FittedClassifier(ClassifierMixin, BaseEstimator):
    """Base class of linear classifiers; subclasses define how they are fitted."""

    fit_intercept: bool
    tol: float
    max_passes: float
    scaling: str
    normalize_rows: bool
    class_weight: ClassWeight
    engine: str
    n_threads: int | None
    callback: Callback | None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @property
    def _options(self) -> dict[str, Any]:
        """Arguments of `Objective`."""
        return {"fit_intercept": self.fit_intercept, "engine": self.engine, "n_threads": self.n_threads}

    def _fit_one(
        self,
        loss: Loss,
        reg: float,
        samples: Samples | Shards,
        labelled: Labelled | None,
        scaling: str,
        checkpoint: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        """Fit one loss with one λ to the ``samples`` that were made from ``labelled``, or to shards.

        The ``options`` are arguments of `Objective` that replace those of the estimator.
        """
        found = train_on(
            samples, labelled, loss, reg, scaling,
            tol=self.tol, max_passes=self.max_passes, checkpoint=checkpoint, callback=self.callback,
            **(self._options | options),
        )  # fmt: skip
        # No attribute is set before this line, so that an interrupted fit leaves the estimator unchanged.
        fit, self.classes_ = found.fit, found.classes
        self.coef_, self.intercept_ = found.W.T, found.b
        self.loss_, self.reg_, self.tol_ = loss, found.reg, fit.tol
        self.preprocessing_, self.fit_ = found.preprocessing, fit
        self.value_, self.lower_bound_, self.gap_ = fit.value, fit.lower_bound, fit.gap
        self.converged_, self.n_passes_ = fit.converged, fit.n_passes

    def _has_probabilities(self) -> bool:
        """Return True if there are probabilities, or raise an `AttributeError` that gives the reason."""
        raise NotImplementedError

    def to_model(
        self,
        data: Dataset | Shards,
        *,
        image_size: tuple[int, int] | None = None,
        choice: Comparison | None = None,
    ) -> Model:
        """Return a `Model`, which can be saved, loaded and used without scikit-learn.

        Parameters
        ----------
        data : Dataset or Shards
            The training data; the model records their fingerprint and kind. Shards are read for it, by ``engine``.
        image_size : tuple of int (height, width), optional
            Size to which the images were resized when they were read, if they were.
        choice : Comparison, optional
            How loss and λ were selected, for the record; by default ``path_`` of a `LinearClassifierCV`.
        """
        check_is_fitted(self)
        choice = getattr(self, "path_", None) if choice is None else choice
        found = Trained(
            self.coef_.T, self.intercept_, self.classes_, self.loss_, self.reg_, self.preprocessing_, self.fit_
        )
        return found.to_model(data, image_size=image_size, choice=choice, engine=self.engine)

    def decision_function(self, X: ArrayLike | csr_array) -> Floats:
        """Return the scores, shape (N, C); for two classes the second score minus the first, shape (N,).

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)

        Raises
        ------
        DataError
            If X is invalid, or if a row is so large that its scores overflow.
        """
        scores = self._scores(X)
        if scores.shape[1] != 2:
            return scores
        with np.errstate(over="ignore"):  # an infinite difference has the right sign
            return np.asarray(scores[:, 1] - scores[:, 0])

    def predict(self, X: ArrayLike | csr_array) -> NDArray[Any]:
        """Return the label with the largest score per sample, shape (N,).

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        best = self._scores(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    @available_if(lambda self: self._has_probabilities())
    def predict_proba(self, X: ArrayLike | csr_array) -> Floats:
        """Return the class probabilities, shape (N, C).

        For cross-entropy they are the softmax of the scores. For a hinge loss they are available only if
        `LinearClassifierCV` calibrated them.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        return softmax(self._logits(X))

    @available_if(lambda self: self._has_probabilities())
    def predict_log_proba(self, X: ArrayLike | csr_array) -> Floats:
        """Return the logarithm of the class probabilities, shape (N, C).

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        """
        logits = self._logits(X)  # not log_softmax of SciPy, which rounds tiny losses to zero
        largest = logits.argmax(axis=1)[:, np.newaxis]
        logits = logits - np.take_along_axis(logits, largest, axis=1)
        others = np.exp(logits)
        np.put_along_axis(others, largest, 0.0, axis=1)
        return np.asarray(logits - np.log1p(others.sum(axis=1, keepdims=True)))

    def score(self, X: ArrayLike | csr_array, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy: the weighted fraction of the samples that are classified correctly.

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        y : array-like of shape (N,)
        sample_weight : array-like of shape (N,), optional

        Raises
        ------
        DataError
            If X, y or the weights are invalid, or if X is empty.
        """
        predicted = self.predict(X)
        if not len(predicted):
            raise DataError("X must contain at least one sample to score, got none.")
        labels = labels_of_rows(y, len(predicted))
        weights = check_weights(sample_weight, len(predicted))
        if (labels.dtype.kind in "UO") != (self.classes_.dtype.kind in "UO"):
            expected, given = ("numbers", "strings") if labels.dtype.kind in "UO" else ("strings", "numbers")
            raise DataError(f"y must contain {expected}, like the classes of the fit, got {given}.")
        return float(weights @ (labels == predicted) / weights.sum())

    def sample_losses(self, X: ArrayLike | csr_array, y: ArrayLike) -> Floats:
        """Return the loss per sample, without weights and penalty, shape (N,).

        Parameters
        ----------
        X : array-like or sparse array of shape (N, D)
        y : array-like of shape (N,)
            Labels; each must be one of ``classes_``.

        Raises
        ------
        DataError
            If X is invalid, or if a label is not one of ``classes_``.
        """
        check_is_fitted(self)
        scores = self._scores(X)
        labels = labels_of_rows(y, len(scores))
        codes = class_numbers(self.classes_, labels)
        if (codes < 0).any():
            row = int(codes.argmin())
            raise DataError(f"y[{row}] must be a class of the fit, got {brief(labels.tolist()[row])}.")
        return self.loss_.values(scores, codes)

    def _logits(self, X: ArrayLike | csr_array) -> Floats:
        """Return the logarithms of the probabilities, up to a constant per sample."""
        calibration = getattr(self, "calibration_", None)
        return self._scores(X, 1.0 if calibration is None else calibration.temperature)

    def _scores(self, X: ArrayLike | csr_array, temperature: float = 1.0) -> Floats:
        """Return the scores divided by the temperature, or raise a `DataError` if they are not finite."""
        check_is_fitted(self)
        features = as_features(X)
        self._check_columns(X, features.shape[1])
        self._note_columns(X, reset=False)
        W, unit = self.coef_.T, self.preprocessing_.rows == "l2"
        parts = Parts(W, self.intercept_, self.classes_, self.loss_.probabilistic, unit, None)
        scores = np.zeros((features.shape[0], len(self.classes_)))
        return fill_from_scores(parts, features, scores, lambda block: block / temperature, self.n_threads)

    def _labelled(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> Labelled:
        """Return the checked samples of a fit, and store the number and names of the columns of X."""
        normalize = check_flag("normalize_rows", self.normalize_rows)
        names = column_names(X)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"X must have unique column names, got more than one column named {brief(twice)}.")
        labelled = Labelled.check(X, y, sample_weight).of_classes(self.class_weight)
        self._note_columns(labelled.X if labelled is X else X, reset=True)
        return labelled.with_unit_rows() if normalize else labelled

    def _weighted(self, shards: Shards) -> Shards:
        """Return shards with the class weights, and store the number and names of their columns."""
        if self.normalize_rows:
            raise CapabilityError("Shards do not support normalize_rows; prepare their files.")
        self._note_columns(shards, reset=True)
        if shards.feature_names is not None:
            self.feature_names_in_ = np.array(shards.feature_names, dtype=object)
        return shards.weighted(self.class_weight)

    def _note_columns(self, X: Any, reset: bool) -> None:
        """Store the number and names of the columns, or check that they are those of the fit."""
        try:
            validate_data(self, X, reset=reset, skip_check_array=True)
        except (TypeError, ValueError) as error:  # keep the first sentence; the others are advice
            raise DataError(str(error).splitlines()[0].partition(". ")[0].rstrip(".") + ".") from error

    def _check_columns(self, X: Any, n_features: int) -> None:
        """Raise a `DataError` if the number or the names of the columns of X are not those of the fit."""
        if n_features != self.n_features_in_:
            # The estimator checks of scikit-learn require this wording.
            raise DataError(
                f"X has {n_features} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                f"features as input."
            )
        names = column_names(X), getattr(self, "feature_names_in_", ())
        for k, (found, expected) in enumerate(zip(*names, strict=False)):
            if isinstance(found, str) and found != expected:
                raise DataError(
                    f"X must have the feature names of the fit, in the same order: expected {expected!r} in "
                    f"column {k}, got {found!r}."
                )
