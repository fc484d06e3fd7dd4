"""The classifiers, as scikit-learn estimators."""

from softmargin.estimators.cross_validated import LinearClassifierCV
from softmargin.estimators.linear import LinearClassifier

__all__ = ["LinearClassifier", "LinearClassifierCV"]
