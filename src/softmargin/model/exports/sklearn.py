"""A scikit-learn estimator with the weights of a model, for use in pipelines and other tools."""

from __future__ import annotations

from typing import Any

import numpy as np

from softmargin.model.parts import Parts

__all__ = ["estimator"]


def estimator(parts: Parts) -> Any:
    """Return a fitted ``LogisticRegression`` (``LinearSVC`` for a model without probabilities).

    For two classes scikit-learn has one row of weights: the difference of the two rows. If rows are divided by
    their length, the estimator is the last step of a pipeline after a ``Normalizer``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer
    from sklearn.svm import LinearSVC

    coef, intercept = np.ascontiguousarray(parts.W.T), parts.b.copy()
    if len(intercept) == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    made: Any = LogisticRegression() if parts.has_probabilities else LinearSVC()
    made.coef_, made.intercept_, made.classes_ = coef, intercept, parts.classes.copy()
    made.n_features_in_ = coef.shape[1]
    made.n_iter_ = np.array([0], dtype=np.int32) if parts.has_probabilities else 0
    if parts.feature_names is not None:
        made.feature_names_in_ = np.array(parts.feature_names, dtype=object)
    return make_pipeline(Normalizer(), made) if parts.unit_rows else made
