"""Text, tables and JSON on stdout, notes and errors on stderr."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from softmargin._version import __version__
from softmargin.errors import SoftmarginError
from softmargin.text import pluralize, printable, some_of

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model
    from softmargin.selection import Comparison, FeatureComparison

__all__ = [
    "certificate_rows", "compact", "document", "failed_fits", "is_terminal", "json_text", "list_names",
    "note_unknown", "print_comparison", "print_data", "print_features", "print_json", "print_table", "say",
    "say_err", "unknown_sentence", "write",
]  # fmt: skip

_TERMINAL_COLUMNS = 80
_MOST_UNKNOWN = 20
_MOST_COLUMNS = 1_000_000
_GAP = 2
"""Spaces between two columns of a table."""

_PARAMETER = re.compile(
    r"\b[a-z_]+=(?:\([^()]*\)|\S+)? \((--[a-z][^()]*)\)"
    r"|\b(labels_file|label_column|columns|text|features|groups|groups_column|weights_column|keep_counters|header"
    r"|decimal|encoding|image_size|skip_damaged)=(?=[ ,.;])"
)
"""A parameter of a function in a message, with its option in brackets, or one whose option has the same name."""

_LEAST_ROOM = 16
"""Columns of a terminal below which the text of a table is broken anywhere."""

_LONG = 100.0
"""Seconds from which on a table shows them without decimals."""


def list_names(names: Sequence[object], most: int, show: Callable[[object], str] = repr) -> str:
    """List the first ``most`` names; by default strings are quoted, so that '3' and 3 look different."""
    return some_of(names, most, show)


def note_unknown(y: Any, classes: Any) -> None:
    """Print a note if labels of a test set are not classes of the training data."""
    unknown = sorted(set(y.tolist()) - set(classes.tolist()), key=str)
    if unknown:
        say_err(f"Note: {unknown_sentence(unknown)}")


def unknown_sentence(unknown: Sequence[object]) -> str:
    """Return what labels without a class mean for the accuracy."""
    return f"Labels that are not classes of the model count as errors: {list_names(unknown, _MOST_UNKNOWN)}."


def compact(number: float) -> str:
    """Return a tolerance in scientific notation: 1e-4, 2.5e-3."""
    mantissa, exponent = f"{number:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a stream is a terminal (a closed stream is None)."""
    return stream is not None and stream.isatty()


def write(text: str | bytes) -> bool:
    """Write to stdout, and return False once its reader has closed it, as in ``| head``.

    Any other failure becomes one sentence.
    """
    try:
        click.echo(text, nl=False)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
        if error.errno != errno.EPIPE:
            raise SoftmarginError(f"stdout could not be written: {error.strerror}.") from error
        return False
    return True


def say(text: str = "") -> None:
    """Print a paragraph to stdout."""
    write(_paragraph(text, sys.stdout))


def say_err(text: str) -> None:
    """Print a paragraph to stderr, with the options of the command line in place of parameters of functions.

    During progress `sys.stderr` is replaced, and prints above its line.
    """
    if sys.stderr is not None:
        sys.stderr.write(_paragraph(_PARAMETER.sub(_option, text), sys.stderr))


def _option(found: re.Match[str]) -> str:
    """Return the option of a parameter."""
    name = {"groups_column": "groups", "weights_column": "weights"}.get(found[2], found[2])
    return found[1] or f"--{name.replace('_', '-')}"


def document(kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the version of softmargin and the name and number of its format.

    The number increases when a field is removed or changes its meaning; ``docs/guides/json.md`` lists the fields.
    """
    return {"softmargin": __version__, "format": f"softmargin.{kind}/1", **record}


def print_json(kind: str, record: Mapping[str, Any]) -> None:
    """Print the `document` of a record as JSON to stdout."""
    write(json_text(document(kind, record), indent=2) + "\n")


def json_text(value: Any, indent: int | None = None, encoding: str | None = None) -> str:
    """Return a value as JSON, with what is printable in UTF-8 as it is and all else escaped.

    Parameters
    ----------
    value : object
    indent : int, optional
    encoding : str, optional
        That of the output, by default of stdout; unless it is UTF-8 the text is ASCII.
    """
    encoding = encoding or getattr(sys.stdout, "encoding", None) or "ascii"
    plain = encoding.lower().replace("_", "-") not in ("utf-8", "utf8")
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=plain)
    if text.isascii():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def print_table(headings: list[str], rows: list[list[str]], *, left: int = 1) -> None:
    """Print a table whose first ``left`` columns are text and whose others are numbers.

    On a terminal, text that is too long for its column is wrapped; elsewhere nothing is wrapped or cut.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[printable(cell) for cell in row] for row in rows]
    on_terminal = is_terminal(sys.stdout)
    if on_terminal:
        rows = _broken(headings, rows, left)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(
            Text(printable(heading)), justify="left" if i < left else "right", no_wrap=i >= left, overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    text = io.StringIO()
    width = _columns() if on_terminal else _MOST_COLUMNS
    Console(file=text, width=width, force_terminal=on_terminal, highlight=False).print(table)
    write("".join(line.rstrip() + "\n" for line in text.getvalue().splitlines()))


def _broken(headings: list[str], rows: list[list[str]], left: int) -> list[list[str]]:
    """Break long cells of the last column of text after separators, to the width that the others leave."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    room = _columns() - sum(widths) + widths[left - 1] - _GAP * (len(widths) - 1)
    if widths[left - 1] <= room or room < _LEAST_ROOM:
        return rows
    found = []
    for row in rows:
        lines = [""]
        for piece in re.split(r"(?<=[/\\,;:\s])", row[left - 1]):
            if cell_len(lines[-1] + piece.rstrip()) > room and lines[-1]:
                lines.append("")
            lines[-1] += piece
        found.append([*row[: left - 1], "\n".join(map(str.rstrip, lines)), *row[left:]])
    return found


def certificate_rows(model: Model) -> list[list[str]]:
    """Return the rows of a table with the objective, its certificate and the work."""
    tolerance = f"tolerance {compact(model.tol)}"
    return [
        ["objective", f"{model.value:.8g}"],
        ["lower bound", f"{model.lower_bound:.8g} (certified)"],
        ["gap", f"{model.gap:.1e} ({tolerance if model.converged else f'did not converge: {tolerance}'})"],
        ["passes", f"{model.n_passes:,} ({model.seconds:.1f} s)"],
    ]


def print_data(source: str, data: Dataset, n_classes: int) -> None:
    """Print the size of the training set and of the test set, and an empty line."""
    test = "" if data.test is None else f"; {pluralize(data.test.n_samples, 'test sample')}"
    say(
        f"{source}: {pluralize(data.n_samples, 'training sample')}, {pluralize(data.n_features, 'feature')} "
        f"({data.X.dtype}), {pluralize(n_classes, 'class', 'classes')}{test}."
    )
    say()


def print_comparison(comparison: Comparison, tests: dict[str, float] | None = None) -> None:
    """Print what was tried and selected, with the accuracies of ``tests`` if there is a test set."""
    headings = ["loss", "reg", "seconds", "training", "held-out", "ECE", *(["test"] if tests else [])]
    rows = []
    for path in comparison.paths:
        point, calibration = path.chosen, path.calibration
        error = f" ±{comparison.accuracy_error(point):.4f}" if comparison.scoring == "accuracy" else ""
        row = [
            path.loss.name,
            f"{point.reg:.3g}",
            f"{sum(p.seconds for p in path.points):.1f}",
            f"{point.training_accuracy:.4f}",
            f"{point.validation_accuracy:.4f}{error}",
            "" if calibration is None else f"{calibration.error:.4f}",
        ]
        rows.append(row + ([f"{tests[path.loss.name]:.4f}"] if tests else []))
    print_table(headings, rows)
    say()
    _say_selection([comparison], comparison)


def print_features(found: FeatureComparison, tests: Mapping[str, Mapping[str, float]] | None = None) -> None:
    """Print what was tried on each feature set, and what was selected.

    ``tests`` holds the test accuracies by feature set and by loss; it is empty if there is no test set.
    """
    tests = tests if tests and any(tests.values()) else None
    headings = ["loss", "reg", "held-out", *(["test"] if tests else []), "passes", "seconds"]
    names, rows = ["features"], [headings]
    for name, comparison in found.comparisons.items():
        for path in comparison.paths:
            point, loss = path.chosen, comparison.name_of(path.loss)
            seconds = sum(p.seconds for p in path.points)
            row = [
                loss,
                f"{point.reg:.3g}",
                f"{point.validation_accuracy:.4f} ±{comparison.accuracy_error(point):.4f}",
                *([f"{tests[name][loss]:.4f}"] if tests else []),
                f"{sum(p.n_passes for p in path.points):,}",
                f"{seconds:.1f}" if seconds < _LONG else f"{seconds:,.0f}",
            ]
            names.append(printable(name))
            rows.append(row)
    if is_terminal(sys.stdout):  # the end of a long name tells more: the file, or the name of the model
        others = sum(max(map(len, column)) + _GAP for column in zip(*rows, strict=True))
        room = max(len(names[0]), _columns() - others)
        names = [name if len(name) <= room else "…" + name[1 - room :] for name in names]
    print_table(
        [names[0], *rows[0]], [[name, *row] for name, row in zip(names[1:], rows[1:], strict=True)], left=2
    )
    say()
    _say_selection(found.comparisons.values(), found.comparison)


def _say_selection(comparisons: Collection[Comparison], selected: Comparison) -> None:
    """Print whether all fits of some comparisons converged, and the sentences of the selected one."""
    gaps, tol = _gaps(comparisons), selected.path_tol
    n_failed = sum(gap > tol for gap in gaps)
    n_passes = sum(point.n_passes for found in comparisons for path in found.paths for point in path.points)
    done = f"{len(gaps) - n_failed:,} of" if n_failed else "All"
    fits = f"{pluralize(len(gaps), 'fit')} on {_where(selected)}"
    say(f"{done} {fits} converged (gap ≤ {compact(tol)}, {n_passes:,} passes).")
    for sentence in selected.sentences():
        say(sentence)


def failed_fits(comparisons: Collection[Comparison], selected: Comparison) -> str:
    """Return a warning if fits of some comparisons did not converge, else ""."""
    gaps, tol = _gaps(comparisons), selected.path_tol
    n_failed = sum(gap > tol for gap in gaps)
    if not n_failed:
        return ""
    failed = f"{n_failed:,} of {pluralize(len(gaps), 'fit')} on {_where(selected)} did not converge"
    return f"{failed}, but not the selected one: largest gap {max(gaps):.1e} > {compact(tol)}."


def _gaps(comparisons: Collection[Comparison]) -> list[float]:
    """Return the gaps of all fits of some comparisons."""
    points = (point for found in comparisons for path in found.paths for point in path.points)
    return [fold.gap for point in points for fold in point.folds]


def _where(found: Comparison) -> str:
    return f"{len(found.folds)} folds" if len(found.folds) > 1 else "one split"


def _columns() -> int:
    return shutil.get_terminal_size((_TERMINAL_COLUMNS, 24)).columns


def _paragraph(text: str, stream: TextIO | None) -> str:
    """Escape what is not printable; on a terminal wrap between words, with the indentation of the first line."""
    text = printable(text)
    if is_terminal(stream):
        indent = text[: len(text) - len(text.lstrip(" "))]
        text = textwrap.fill(
            text, _columns(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return text + "\n"
