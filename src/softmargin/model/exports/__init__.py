"""Exports of models for other programs: one file per format; none contains code."""

from softmargin.model.exports.formats import content
from softmargin.model.exports.sklearn import estimator

__all__ = ["content", "estimator"]
