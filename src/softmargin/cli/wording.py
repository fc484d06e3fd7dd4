"""Text, tables and JSON on stdout, notes and errors on stderr."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from softmargin.errors import SoftmarginError
from softmargin.text import printable

if TYPE_CHECKING:
    from softmargin.model import Model
    from softmargin.selection import Comparison

__all__ = [
    "certificate_rows", "is_terminal", "named", "print_comparison", "print_json", "print_table", "say", "say_err",
    "write",
]  # fmt: skip

_TERMINAL_COLUMNS = 80
_MOST_COLUMNS = 1_000_000


def named(labels: Sequence[object], most: int) -> str:
    """List labels, the first ``most`` of them; strings come in quotes, so that '3' is not taken for 3."""
    more = f", … ({len(labels) - most:,} more)" if len(labels) > most else ""
    return ", ".join(repr(label) for label in labels[:most]) + more


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether somebody is looking (a closed stream is None)."""
    return stream is not None and stream.isatty()


def write(text: str | bytes) -> None:
    """Write to stdout. A reader that has gone (``| head``) is click's business, a full disk is said."""
    try:
        click.echo(text, nl=False)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
        raise SoftmarginError(f"stdout could not be written: {error.strerror}.") from error


def say(text: str = "") -> None:
    """Print a paragraph to stdout."""
    write(_paragraph(text, sys.stdout))


def say_err(text: str) -> None:
    """Print a paragraph to stderr; above the line of progress, which takes the place of `sys.stderr`."""
    if sys.stderr is not None:
        sys.stderr.write(_paragraph(text, sys.stderr))


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_table(headings: list[str], rows: list[list[str]], *, left: int = 1) -> None:
    """Print a table whose first ``left`` columns are text and whose others are numbers.

    On a terminal, text that is too long for its column goes on below; elsewhere nothing is cut.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(
            Text(printable(heading)), justify="left" if i < left else "right", no_wrap=i >= left, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    looked_at = is_terminal(sys.stdout)
    width = _columns() if looked_at else _MOST_COLUMNS
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=looked_at, highlight=False).print(table)
    write("".join(line.rstrip() + "\n" for line in text.getvalue().splitlines()))


def certificate_rows(model: Model) -> list[list[str]]:
    """Return the rows of a table that say what is proved, and what it took."""
    answer = "within" if model.converged else "NOT within"
    return [
        ["objective", f"{model.value:.8g}, proved to be nowhere below {model.lower_bound:.8g}"],
        ["gap", f"{model.gap:.1e}, {answer} the {model.tol:g} asked for"],
        ["work", f"{model.n_passes:,} passes, {model.seconds:.1f} s"],
    ]


def print_comparison(comparison: Comparison, tests: dict[str, float] | None = None) -> None:
    """Print what was tried and chosen, with the accuracies of ``tests`` if there is a test part."""
    headings = ["loss", "reg", "seconds", "training", "held out", "ECE"]
    rows = []
    for path in comparison.paths:
        point, calibration = path.chosen, path.calibration
        row = [path.loss.name, f"{point.reg:.3g}", f"{sum(p.seconds for p in path.points):.1f}"]
        row += [f"{point.training_accuracy:.4f}"]
        error = point.standard_error if comparison.scoring == "accuracy" else None
        row += [f"{point.validation_accuracy:.4f}" + ("" if error is None else f" ±{error:.4f}")]
        row += ["" if calibration is None else f"{calibration.error:.4f}"]
        rows.append(row + ([f"{tests[path.loss.name]:.4f}"] if tests else []))
    print_table([*headings, *(["test"] if tests else [])], rows)
    say()
    n_fits = sum(len(path.points) for path in comparison.paths) * len(comparison.folds)
    worst = max(point.gap for path in comparison.paths for point in path.points)
    proved = f"all proved to a gap of {worst:.0e} or less"
    if worst > comparison.path_tol:
        proved = f"of which the worst reached a gap of {worst:.0e} only"
    n_passes = sum(point.n_passes for path in comparison.paths for point in path.points)
    where = f"{len(comparison.folds)} folds" if len(comparison.folds) > 1 else "one split"
    say(f"{n_fits:,} fits on {where}, {proved}: {n_passes:,} passes.")
    for sentence in comparison.sentences():
        say(sentence)


def _columns() -> int:
    return shutil.get_terminal_size((_TERMINAL_COLUMNS, 24)).columns


def _paragraph(text: str, stream: TextIO | None) -> str:
    """Escape what is not printable, and wrap between words; where nobody is looking a line stays whole.

    What is indented goes on as far to the right.
    """
    text = printable(text)
    if is_terminal(stream):
        indent = text[: len(text) - len(text.lstrip(" "))]
        text = textwrap.fill(
            text, _columns(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return text + "\n"
