"""Fills the record of a report from a model and the data to evaluate it on."""

from softmargin.report.fill.report import fill_report

__all__ = ["fill_report"]
