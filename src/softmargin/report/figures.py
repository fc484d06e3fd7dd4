"""The figures of a report for papers, drawn by matplotlib (an optional dependency)."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from softmargin.report.records import Report
from softmargin.text import truncate

__all__ = ["draw_figures"]

_COLORS = {"cross_entropy": "#2563d6", "hinge": "#cf5a14", "squared_hinge": "#16855f"}
_MOST_LABELS = 40
_MOST_PICTURES = 100
_LONGEST_NAME = 30
_DPI = 200


def draw_figures(report: Report, kinds: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the file name and content of each figure, in each kind ("png", "svg").

    A figure whose panel is not in the report is left out.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # No date in SVG and a fixed salt: the same report gives the same files.
    with matplotlib.rc_context({"svg.hashsalt": "softmargin", "font.size": 9}):
        for draw in _FIGURES:
            figure = Figure(layout="constrained")
            if not draw(figure, report):
                continue
            for kind in kinds:
                stream = io.BytesIO()
                metadata = {"Date": None} if kind == "svg" else {}
                figure.savefig(stream, format=kind, dpi=_DPI, metadata=metadata)
                yield f"{draw.__name__[1:].replace('_', '-')}.{kind}", stream.getvalue()


def _axes(figure: Any, width: float, height: float, xlabel: str, ylabel: str = "", grid: str = "") -> Any:
    """Return the axes of a figure of this size (inches)."""
    figure.set_size_inches(width, height)
    axes = figure.subplots()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if grid:
        axes.grid(axis=grid, alpha=0.3)
    return axes


def _recall(figure: Any, report: Report) -> bool:
    shares = [
        (report.classes[k], share) for k, share in enumerate(report.headline.recalls) if share.value is not None
    ]
    shares.sort(key=lambda item: item[1].value or 0.0, reverse=True)
    label = "recall on the training data" if report.headline.on_training else "recall (95 % confidence interval)"
    axes = _axes(figure, 5.0, 0.8 + 0.2 * len(shares), label, grid="x")
    places = np.arange(len(shares))
    values = np.array([share.value for _, share in shares], dtype=float)
    ends = np.array([(share.low, share.high) for _, share in shares], dtype=float)
    whiskers = None if report.headline.on_training else [values - ends[:, 0], ends[:, 1] - values]
    axes.errorbar(values, places, xerr=whiskers, fmt="o", ms=3.5, color="#2563d6")
    axes.set_yticks(places, [truncate(name, _LONGEST_NAME) for name, _ in shares], parse_math=False)
    return True


def _path(figure: Any, report: Report) -> bool:
    if report.path is None:
        return False
    axes = _axes(figure, 5.0, 3.2, "λ", "held-out accuracy", grid="both")
    for curve in report.path.curves:
        color = _COLORS.get(curve.loss, "#555555")
        axes.semilogx(curve.reg, curve.validation_accuracy, "o-", ms=3, color=color, label=curve.loss)
        axes.fill_between(curve.reg, curve.low, curve.high, color=color, alpha=0.15, lw=0)
        axes.plot(curve.reg[curve.best], curve.validation_accuracy[curve.best], "o", ms=8, mfc="none", color=color)
    axes.invert_xaxis()
    axes.legend(frameon=False)
    return True


def _convergence(figure: Any, report: Report) -> bool:
    found = report.convergence
    steps = [] if found is None else [(n, gap) for n, gap in zip(found.n_passes, found.gap, strict=True) if gap]
    if not steps:
        return False
    axes = _axes(figure, 5.0, 3.0, "passes over the training data", "certified duality gap", grid="both")
    axes.semilogy(*zip(*steps, strict=True), "o-", ms=3, color="#2563d6")
    return True


def _weights(figure: Any, report: Report) -> bool:
    panel = report.weights
    if not panel.pictures or len(report.classes) > _MOST_PICTURES:
        return False
    assert panel.height is not None
    assert panel.width is not None
    values = np.frombuffer(base64.b64decode(panel.pictures), dtype="<f4")
    pictures = values.reshape(len(report.classes), panel.height, panel.width, -1)
    columns = min(5, len(pictures))
    n_rows = -(-len(pictures) // columns)
    figure.set_size_inches(1.4 * columns, 1.6 * n_rows)
    for axes, picture, name in zip(
        figure.subplots(n_rows, columns, squeeze=False).flat, pictures, report.classes, strict=False
    ):
        most = float(np.quantile(np.abs(picture), 0.995)) or 1.0
        if picture.shape[2] == 1:
            axes.imshow(picture[:, :, 0], cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
        else:
            axes.imshow(np.clip(0.5 + 0.5 * picture / most, 0.0, 1.0), interpolation="nearest")
        axes.set_title(truncate(name, _LONGEST_NAME), fontsize=8, parse_math=False)  # names are not formulas
    for axes in figure.axes:
        axes.axis("off")
    return True


def _confusion(figure: Any, report: Report) -> bool:
    found = report.confusion
    counts = np.array(found.counts, dtype=float)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    side = min(9.0, 2.5 + 0.22 * len(counts))
    axes = _axes(figure, side + 0.8, side, "predicted class", "true class")
    image = axes.imshow(rates, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, shrink=0.8, label="fraction of the true class")
    if len(counts) <= _MOST_LABELS:
        names = [truncate(report.classes[k], _LONGEST_NAME) for k in found.shown]
        axes.set_xticks(
            range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", parse_math=False
        )
        axes.set_yticks(range(len(names)), names, parse_math=False)
    return True


def _margins(figure: Any, report: Report) -> bool:
    found = report.margins
    axes = _axes(figure, 5.0, 3.0, "", "samples")
    edges = np.array(found.edges)
    axes.bar(edges[:-1], np.sum(found.counts, axis=0), width=np.diff(edges), align="edge", color="#2563d6")
    for place in {0.0, found.delta or 0.0}:
        axes.axvline(place, color="#333333", ls="--", lw=1)
    axes.set_xlabel("margin $s_y - \\max_{j\\neq y} s_j$")
    return True


def _reliability(figure: Any, report: Report) -> bool:
    axes = _axes(figure, 3.6, 3.4, "confidence", "accuracy")
    axes.plot([0, 1], [0, 1], ":", color="#777777")
    trust = report.calibration
    names = ("uncalibrated", "temperature scaling")
    if trust.temperature is not None and not trust.probabilistic:
        names = ("temperature from cross-validation", "temperature of these samples")
    for name, found, style in zip(names, (trust.before, trust.after), ("o-", "s--"), strict=True):
        points = [(b.confidence, b.accuracy) for b in found.bins]
        axes.plot(*zip(*points, strict=True), style, ms=3.5, label=f"{name}: ECE {100 * found.ece:.1f} %")
    axes.legend(frameon=False)
    return True


def _risk_coverage(figure: Any, report: Report) -> bool:
    axes = _axes(figure, 4.4, 3.0, "coverage", "error rate", grid="both")
    axes.plot(report.calibration.coverage, report.calibration.risk, color="#2563d6")
    return True


_FIGURES: tuple[Callable[[Any, Report], bool], ...] = (
    _recall, _path, _convergence, _weights, _confusion, _margins, _reliability, _risk_coverage,
)  # fmt: skip
