"""Reports: what a model learned, how accurate it is and where it fails.

`fill_report` computes everything into a `Report`, a record of plain data; `page`, `summary` and `draw_figures`
draw it.
"""

from softmargin.report.curve import curve_page
from softmargin.report.figures import draw_figures
from softmargin.report.fill import fill_report
from softmargin.report.html import page
from softmargin.report.records import Report
from softmargin.report.refit import refit
from softmargin.report.text import summary

__all__ = ["Report", "curve_page", "draw_figures", "fill_report", "page", "refit", "summary"]
