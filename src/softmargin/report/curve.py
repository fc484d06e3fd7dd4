"""A learning curve as one self-contained HTML page, without scripts."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from html import escape

from softmargin.report.html import FOOTER, style
from softmargin.report.language import LANGUAGES, dictionary, say
from softmargin.report.wording import loss_name, percent
from softmargin.selection import CurvePoint, LearningCurve
from softmargin.text import Phrase, pluralize, printable

__all__ = ["curve_page"]

_SIZES = {"wide": (760.0, 420.0), "narrow": (320.0, 280.0)}
"""Width and height of the plot, for large and small screens: the page shows one of them."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 34.0, 14.0, 52.0
_MOST_TICKS = 6
_COLORS = 4
_Translate = Callable[[str], str]
_LETTER, _LABEL_GAP = 7.0, 8.0
"""Width of a letter of the labels of the x axis, and least space between two labels."""


def curve_page(found: LearningCurve, data_name: str, language: str = "en") -> Iterator[bytes]:
    """Yield the page in pieces.

    Parameters
    ----------
    found : LearningCurve
    data_name : str
        Name of the data.
    language : {"en", "zh"}
        Of all texts but names.
    """
    tr: _Translate = partial(say, words=dictionary(language))
    styles = style("curve.css")
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = escape(tr(Phrase("Learning curve of {0}", printable(data_name))))
    n_test = pluralize(found.n_test, "sample")
    where = Phrase("evaluated on {0} of the test set", n_test)
    if found.held_out:
        where = Phrase("evaluated on {0} held out of all subsets", n_test)
        if found.n_groups is not None:
            where = Phrase("{0}, as whole groups", where)
    sizes = pluralize(found.n_training, "training sample"), pluralize(found.n_classes, "class", "classes")
    subtitle = Phrase("{0}; {1}", Phrase.joined(", ", sizes), where)
    yield (
        f'<!doctype html>\n<html lang="{LANGUAGES[language]}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{title}</title>\n'
        f"<style>{styles}</style>\n</head>\n<body>\n<header><h1>{title}</h1>\n"
        f"<p>{tr(subtitle)}</p></header>\n<main>\n"
    ).encode()
    heading = tr(Phrase("Accuracy by training samples per class"))
    yield f'<section class="panel">\n<h2>{heading}</h2>\n{_lead(found, tr)}\n'.encode()
    plots = "".join(_plot(found, size, name, tr) for name, size in _SIZES.items())
    yield (
        _legend(found, tr) + f"<figure>{plots}</figure>\n" + _table(found, tr) + "</section>\n</main>\n"
    ).encode()
    yield f"<footer>{tr(FOOTER)}</footer>\n</body>\n</html>\n".encode()


def _lead(found: LearningCurve, tr: _Translate) -> str:
    chosen = Phrase("λ is fixed.")
    if found.selected:
        chosen = Phrase("λ was selected on the whole training set; all subsets have the same C = 1/(2nλ).")
    words = Phrase(
        "Mean over {0} of the training set, for each number of samples per class. The band reaches from the 10 % "
        "to the 90 % quantile of the subsets.",
        pluralize(found.repeats, "random subset"),
    )
    lead = f'<p class="lead">{tr(Phrase.joined(" ", [words, chosen]))}</p>'
    if not found.n_not_converged:
        return lead
    failed = Phrase("{0} of the points contain a fit that did not converge.", str(found.n_not_converged))
    return f'{lead}<p class="warning">{tr(failed)}</p>'


def _legend(found: LearningCurve, tr: _Translate) -> str:
    if len(found.curves) < 2:
        return ""
    names = "".join(
        f'<span class="k{k % _COLORS + 1}">{escape(tr(loss_name(curve.loss)))}</span>'
        for k, curve in enumerate(found.curves)
    )
    return f'<p class="legend">{names}</p>\n'


def _plot(found: LearningCurve, size: tuple[float, float], name: str, tr: _Translate) -> str:
    """Return the curves as SVG of this width and height, over the logarithm of the mean samples per class."""
    width, height = size
    points = found.curves[0].points
    values = [end for curve in found.curves for point in curve.points for end in (*point.band, point.mean)]
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], max(ticks[-1], *values)
    first, last = (math.log(_shots(point, found)) for point in (points[0], points[-1]))

    def x(point: CurvePoint) -> float:
        share = (math.log(_shots(point, found)) - first) / (last - first) if last > first else 0.5
        return _LEFT + share * (width - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (height - _TOP - _BOTTOM)

    def path(places: list[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)

    parts = []
    for tick in ticks:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{100 * tick:g} %</text>'
        )
    base, right = height - _BOTTOM, math.inf
    for point in reversed(points):  # the last one, "all", is never left out
        label = point.name
        if point.shots is None:
            label = tr(Phrase("{0} ({1})", _name(point), f"{_shots(point, found):,.0f}"))
        half = 0.5 * _LETTER * len(label)
        if x(point) + half + _LABEL_GAP <= right:
            at, right = f"{x(point):.1f}", x(point) - half
            parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{base}" y2="{base + 5}"/>')
            parts.append(f'<text class="tick" x="{at}" y="{base + 20}" text-anchor="middle">{label}</text>')
    middle = 0.5 * (_LEFT + width - _RIGHT)
    axis = tr(Phrase("training samples per class"))
    parts.append(f'<text class="axis" x="{middle}" y="{height - 8}" text-anchor="middle">{axis}</text>')
    for k, curve in enumerate(found.curves):
        upper = [(x(point), y(point.band[1])) for point in curve.points]
        lower = [(x(point), y(point.band[0])) for point in curve.points]
        line = [(x(point), y(point.mean)) for point in curve.points]
        loss, dots = loss_name(curve.loss), ""
        for (a, b), point in zip(line, curve.points, strict=True):
            about = Phrase("{0}, {1}: {2}", loss, _name(point), percent(point.mean, 2))
            tip = f"<title>{escape(tr(about))}</title>"
            dots += f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="4">{tip}</circle>'
        parts.append(
            f'<g class="k{k % _COLORS + 1}"><path class="band" d="{path(upper + lower[::-1])}Z"/>'
            f'<path class="line" d="{path(line)}"/>{dots}</g>'
        )
    words = tr(Phrase("Accuracy by training samples per class; the table below has the numbers."))
    return (
        f'<svg class="plot {name}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{words}">{"".join(parts)}</svg>\n'
    )


def _name(point: CurvePoint) -> str:
    """Return the number of samples per class as text."""
    return Phrase("all") if point.shots is None else point.name


def _shots(point: CurvePoint, found: LearningCurve) -> float:
    """Return the mean number of samples per class of a point: of a rare class there may be fewer than wanted."""
    return point.n_samples / found.n_classes


def _ticks(low: float, high: float) -> list[float]:
    """Return round values that enclose ``low`` and ``high``, up to 1."""
    rough = max(high - low, 1e-3) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough)
    ends = math.floor(low / step + 1e-9), math.ceil(min(1.0, high) / step - 1e-9)
    return [round(k * step, 10) for k in range(ends[0], max(ends) + 1) if k * step <= 1.0 + 1e-9]


def _table(found: LearningCurve, tr: _Translate) -> str:
    rows = []
    for curve in found.curves:
        for point in curve.points:
            low, high = point.band
            single = len(point.accuracies) == 1
            error = "" if single else f" ± {percent(point.standard_error, 2)}"
            band = "" if single else f"{percent(low, 2)} – {percent(high, 2)}"
            cells = [f"{point.n_samples:,}", f"{point.reg:.3g}", percent(point.mean, 2) + error, band]
            numbers = "".join(f"<td>{cell}</td>" for cell in cells)
            rows.append(
                f'<tr><th scope="row">{escape(tr(loss_name(curve.loss)))}</th>'
                f"<td>{tr(_name(point))}</td>{numbers}</tr>"
            )
    heads = (
        Phrase("loss"),
        Phrase("per class"),
        Phrase("samples"),
        "λ",
        Phrase("accuracy ± standard error"),
        "10 % – 90 %",
    )
    head = "".join(f'<th scope="col">{tr(text)}</th>' for text in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>\n'
    )
