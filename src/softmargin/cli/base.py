"""What the verbs share: reading data, saying things, progress on stderr and errors in one sentence."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from softmargin.errors import DataError, ParameterError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = [
    "data_argument", "data_options", "json_option", "labels_of", "parse_size", "print_json", "print_table",
    "quiet_option", "read_data", "read_for_model", "reporter", "say", "say_err", "showable",
]  # fmt: skip

data_argument = click.argument("data", metavar="DATA", type=str)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of text.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
Report = Callable[[str, int, int], None]
"""``report(what, done, total)``; a total of 0 means that nobody knows."""


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how DATA is read."""
    labels = click.option(
        "--labels", type=click.Path(), metavar="FILE", help="Labels of a .npy file: .npy, or .txt with one a line."
    )
    return labels(command)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) from "HxW"."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[x×](\d+)", text.strip().lower())
    if match is None:
        raise ParameterError(f"--image-size must look like 32x32 (height x width), but it is {text!r}.")
    return int(match[1]), int(match[2])


@contextmanager
def reporter(quiet: bool) -> Iterator[Report]:
    """Show one line of progress on stderr while work goes on, if stderr is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda what, done, total: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        yield report


def read_data(
    source: str, report: Report, *, labels: str | None = None, image_size: tuple[int, int] | None = None
) -> Dataset:
    """Read DATA, with progress, and say aloud what was decided on the user's behalf."""
    from softmargin.data import load_dataset

    data = load_dataset(
        source,
        labels=labels,
        image_size=image_size,
        progress=lambda done, total, what: report(what, done, total),
    )
    for note in data.notes:
        say_err(note)
    return data


def read_for_model(
    source: str, model: Model, report: Report, labels: str | None, part: str
) -> Dataset:
    """Read DATA as the model needs it, and take the part that was set aside for testing if there is one."""
    data = read_data(source, report, labels=labels, image_size=model.image_size)
    if part == "test" and data.test is None:
        raise ParameterError(f"{showable(data.name)} has no part set aside for testing: leave out --part test.")
    if part == "train" or data.test is None:
        return data
    if part == "auto":
        say_err(f"Using the {data.test.n_samples:,} samples of {showable(data.name)} set aside for testing.")
    return data.test


def labels_of(data: Dataset) -> Any:
    """Return the labels, or raise an error that says how to give them."""
    if data.y is None:
        raise DataError(
            f"{showable(data.name)} has no labels: give them with --labels (for a .npy file), as y in a .npz file "
            f"or as one folder for each class of images."
        )
    return data.y


def showable(value: object) -> str:
    """Return text that is safe in a terminal: control characters and broken bytes are escaped."""
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def say(text: str = "") -> None:
    """Print to stdout, wrapped to the width of the terminal."""
    Console(highlight=False).print(Text(text))


def say_err(text: str) -> None:
    """Print to stderr, wrapped to the width of the terminal."""
    Console(stderr=True, highlight=False).print(Text(text))


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_table(headings: list[str], rows: list[list[str]], *, left: int = 1) -> None:
    """Print a table whose first ``left`` columns are text and whose others are numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < left else "right", no_wrap=i >= left)
    for row in rows:
        table.add_row(*(Text(showable(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 100
    Console(highlight=False, width=width).print(table)
