"""Models for other programs: one file per format, none of which holds code."""

from softmargin.model.exports.formats import content
from softmargin.model.exports.sklearn import estimator

__all__ = ["content", "estimator"]
