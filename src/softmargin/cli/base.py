"""What the verbs share: reading models and data, saying things, and progress on stderr."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from softmargin.errors import DataError, ModelFileError, ParameterError, SoftmarginError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.losses import Loss
    from softmargin.model import Model
    from softmargin.report import Report as Record
    from softmargin.selection import Comparison
    from softmargin.solvers import Step

__all__ = [
    "LOSS_NAMES",
    "Report",
    "certificate_rows",
    "check_data_for",
    "check_output",
    "columns_option",
    "data_argument",
    "data_options",
    "default_output",
    "is_terminal",
    "json_option",
    "label_option",
    "labels_of",
    "labels_option",
    "losses_option",
    "model_argument",
    "named",
    "normalize_option",
    "parse_size",
    "part_option",
    "positive",
    "print_comparison",
    "print_json",
    "print_table",
    "quiet_option",
    "read_data",
    "read_for_model",
    "read_model",
    "reporter",
    "said_options",
    "say",
    "say_err",
    "scaling_option",
    "showable",
    "size_option",
    "stage",
    "threads_option",
    "write",
    "write_report",
]  # fmt: skip

Report = Callable[[str, int, int], None]
"""``report(what, done, total)``; a total of 0 means that nobody knows."""

model_argument = click.argument("model", metavar="MODEL")
data_argument = click.argument("data", metavar="DATA")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of text.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
labels_option = click.option(
    "--labels", metavar="FILE", help="Labels of features without any: .npy, or .txt with one label a line."
)
label_option = click.option(
    "--label", metavar="COLUMN", help="Column of a table that holds the labels.  [default: guessed where obvious]"
)
columns_option = click.option(
    "--columns", metavar="NAMES", help="Columns of a table to take as features, divided by commas."
)

LOSS_NAMES = ("cross_entropy", "squared_hinge", "hinge")
"""Spelled out: the registry would load Numba. Of equal accuracies the first wins: the one with probabilities is
the most useful, then the quicker one."""


def losses_option(what: str) -> Any:
    """Return ``--loss``, which may be repeated; ``what`` says what is done with it."""
    return click.option(
        "--loss",
        "names",
        type=click.Choice(LOSS_NAMES),
        metavar="LOSS",
        multiple=True,
        help=f"{what} may be repeated. {', '.join(LOSS_NAMES)}.  [default: all]",
    )


scaling_option = click.option(
    "--scaling",
    type=click.Choice(("auto", "none", "unit", "standard")),
    metavar="HOW",
    default="auto",
    help="none; unit: pixels / 255; standard: each feature by its standard deviation; auto: unit for 8-bit data, "
    "else none.  [default: auto]",
)
normalize_option = click.option(
    "--normalize-rows", is_flag=True, help="Divide each row by its length, as is usual for embeddings."
)
size_option = click.option("--image-size", metavar="HxW", help="Bring every image to this height and width.")
threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads; results do not depend on it.  [default: all cores]",
)
part_option = click.option(
    "--part",
    type=click.Choice(("auto", "train", "test")),
    default="auto",
    show_default=True,
    help="Part of DATA to use; auto: what is set aside for testing, if anything is.",
)


def data_options(command: Any) -> Any:
    """Add the options that say how DATA is to be read."""
    return labels_option(label_option(columns_option(command)))


def said_options(**options: str | None) -> list[str]:
    """Return the options among these that were given, as they stand on the command line."""
    return [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]


_TERMINAL_COLUMNS = 80
_MOST_COLUMNS = 1_000_000
_FIGURES = ("png", "svg")


def positive(below: float = math.inf) -> Callable[[Any], float]:
    """Return the type of an option: a number above 0 and below a limit, neither NaN nor infinite."""

    def number(value: Any) -> float:
        with suppress(ValueError):
            if 0.0 < float(value) < below:
                return float(value)
        limit = f"below {below:g}" if below < math.inf else "finite"
        raise click.BadParameter(f"{value} is not a number above 0 and {limit}.")

    return number


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) from "HxW"."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})[x×]([1-9]\d{0,4})", text.strip().lower())
    if match is None:
        raise ParameterError(f"--image-size must look like 32x32 (height x width), but it is {text!r}.")
    return int(match[1]), int(match[2])


# -- reading -----------------------------------------------------------------------------------------------


def read_model(source: str) -> Model:
    """Read MODEL; to have DATA in its place is the usual slip."""
    from softmargin.model import load_model

    if source == "digits" or Path(source).suffix in (".npy", ".npz") or os.path.isdir(source):
        raise ModelFileError(f"{source} is not a model file: MODEL comes first, then DATA.")
    return load_model(source)


def read_data(source: str, report: Report, **options: Any) -> Dataset:
    """Read DATA, with progress, and say aloud what was decided on the user's behalf.

    Parameters
    ----------
    source : str
    report : Report
    **options
        As `softmargin.load_dataset` has them; ``columns`` may be names divided by commas.
    """
    from softmargin.data import load_dataset

    report("reading", 0, 0)
    if isinstance(options.get("columns"), str):
        options["columns"] = [name.strip() for name in options["columns"].split(",")]
    data = load_dataset(source, progress=lambda done, total, what: report(what, done, total), **options)
    for note in data.notes:
        say_err(f"Note: {note}.")
    return data


def read_for_model(source: str, model: Model, report: Report, part: str = "auto", **options: Any) -> Dataset:
    """Read DATA as the model needs it, and take the part that was set aside for testing if there is one."""
    from softmargin.data import options_of

    own = options_of(source)
    if "image_size" in own:
        options["image_size"] = model.image_size
    if "image_channels" in own and model.image_shape is not None:
        options["image_channels"] = model.image_shape[2]
    if "n_features" in own:
        options["n_features"] = model.n_features
    if "columns" in own and options.get("columns") is None:
        options["columns"] = model.feature_names
    data = read_data(source, report, **options)
    check_data_for(model, data, source)
    if part == "test" and data.test is None:
        raise ParameterError(f"{source} has no part set aside for testing: leave out --part test.")
    if part == "train" or data.test is None:
        return data
    if part == "auto":
        say_err(f"Note: using the {data.test.n_samples:,} samples of {source} that are set aside for testing.")
    return data.test


def check_data_for(model: Model, data: Dataset, source: str) -> None:
    """Raise an error unless images have the model's size and features its names, where both have them."""
    if model.image_shape is not None and data.image_shape not in (None, model.image_shape):
        found, wanted = ("x".join(map(str, shape)) for shape in (data.image_shape or (), model.image_shape))
        raise DataError(
            f"{source} has images of {found} (height x width x channels), but this model was trained on {wanted}; "
            f"a model that was trained with --image-size brings them to its size itself."
        )
    if model.feature_names is None or data.feature_names in (None, model.feature_names):
        return
    names = data.feature_names or ()
    pairs = zip(names, model.feature_names, strict=False)
    if len(names) == model.n_features:
        k, (found, wanted) = next((k, pair) for k, pair in enumerate(pairs) if pair[0] != pair[1])
        raise DataError(f"{source} has {found!r} as its feature {k}, where this model was trained on {wanted!r}.")


def labels_of(data: Dataset, source: str) -> Any:
    """Return the labels, of which there must be some; else raise an error that says how to give them."""
    if data.y is None:
        raise DataError(
            f"{source} has no labels: give them with --labels FILE (for features) or --label COLUMN (for a "
            f"table), as y in a .npz file, or as one folder for each class of images."
        )
    if len(data.y) == 0:
        raise DataError(f"{source} holds no samples.")
    return data.y


def default_output(name: str, source: str) -> str:
    """Return the name of a model file for data of this name, which is never that of the data."""
    path = f"{name}.safetensors"
    taken = os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source)
    return f"{name}.model.safetensors" if taken else path


def check_output(path: str, *inputs: str | None, written: Sequence[str | None] = ()) -> None:
    """Raise an error now, not after minutes of work, if no file can be saved there or another would be lost.

    What is read, ``inputs``, is more than is named: labels beside a file, all files of a folder. ``written``
    are the other outputs, which need not be there yet.
    """
    from softmargin.data import belongs_to

    folder = os.path.dirname(os.path.realpath(path))
    try:
        exists = bool(os.stat(path))
    except FileNotFoundError:
        exists = False
    except OSError as error:
        raise ModelFileError(f"{path} cannot be written: {error.strerror}.") from error
    if os.path.isdir(path):
        problem = "is a folder, where a file is wanted"
    elif not os.path.isdir(folder):
        problem = f"cannot be written: the folder {folder} does not exist"
    elif exists and not os.path.isfile(path):
        return  # a pipe or a device: nothing is lost
    elif any(source and _is_same(path, source) for source in inputs):
        problem = "is read here, so it cannot be written too"
    elif any(source and belongs_to(path, source) for source in inputs):
        problem = "is part of the data that are read here, or would be, so it cannot be written"
    elif any(other and _is_same(path, other) for other in written):
        problem = "would be written twice: give each output a name of its own"
    elif not os.access(path if exists else folder, os.W_OK):
        problem = "may not be written: permission is denied"
    else:
        return
    raise ModelFileError(f"{path} {problem}.")


def _is_same(path: str, other: str) -> bool:
    """Tell whether two names lead to one file, there already or not."""
    if os.path.exists(path) and os.path.exists(other):
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)


def write_report(record: Record, output: str, figures: str | None = None) -> None:
    """Write the page, and the figures if they are asked for, each file whole or not at all."""
    from softmargin.atomic import write_atomically
    from softmargin.report import draw_figures, page, summary

    try:
        write_atomically(output, page(record, summary(record)))
        if figures is not None:
            os.makedirs(figures, exist_ok=True)
            for name, content in draw_figures(record, _FIGURES):
                write_atomically(os.path.join(figures, name), content)
    except OSError as error:
        place = error.filename or output
        raise SoftmarginError(f"{place} could not be written: {error.strerror}.") from error


# -- saying ------------------------------------------------------------------------------------------------


def showable(value: object) -> str:
    """Return text that is safe in a terminal: control characters and broken bytes are escaped."""
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


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
            Text(showable(heading)), justify="left" if i < left else "right", no_wrap=i >= left, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(showable(cell)) for cell in row))
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


def stage(loss: Loss, reg: float, step: Step, fold: int = 0, n_folds: int = 1) -> str:
    """Say in a line of progress what is being fitted."""
    where = f", fold {fold + 1} of {n_folds}" if n_folds > 1 else ""
    gap = f", gap about {step.estimate:.0e}" if step.estimate < 1.0 else ""
    return f"{loss.name}, reg {reg:.2g}{where}: pass {step.n_passes:.0f}{gap}"


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
    text = showable(text)
    if is_terminal(stream):
        indent = text[: len(text) - len(text.lstrip(" "))]
        text = textwrap.fill(
            text, _columns(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return text + "\n"


@contextmanager
def reporter(quiet: bool) -> Iterator[Report]:
    """Show one line of progress on stderr while work goes on, if stderr is a terminal."""
    if quiet or not is_terminal(sys.stderr):
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = Console(stderr=True)
    # Rich would send stdout to this console too, and `predict … > FILE` would find nothing in the file.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda what, done, total: progress.update(
            task, description=f"{what}: {done:,} of {total:,}" if total else what
        )
