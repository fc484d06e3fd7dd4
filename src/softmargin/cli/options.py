"""Arguments and options that several commands have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import wraps
from typing import Any

import click

from softmargin.errors import ParameterError

__all__ = [
    "LOSS_NAMES",
    "Command",
    "applying",
    "as_json",
    "columns",
    "data",
    "embedding",
    "evaluation",
    "extraction",
    "gathered",
    "groups",
    "image_size",
    "job",
    "language",
    "language_of",
    "losses",
    "model",
    "part",
    "positive",
    "quiet",
    "reading",
    "search",
    "skip_damaged",
    "table_format",
    "threads",
]  # fmt: skip

LOSS_NAMES = ("cross_entropy", "squared_hinge", "hinge")
"""Listed here because importing the registry would load Numba. Of equal accuracies the first one is selected."""


def gathered(kind: type[Any], name: str) -> Callable[[Any], Any]:
    """Return a decorator that passes the options that are fields of a dataclass as one record of this name."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(**values: Any) -> Any:
            record = kind(**{f.name: values.pop(f.name) for f in fields(kind) if f.name in values})
            return command(**values, **{name: record})

        return call

    return decorate


def combined(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return one decorator for several options, listed in this order by ``--help``."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def positive(below: float = math.inf) -> Callable[[Any], float]:
    """Return the type of an option: a finite number above 0 and below a limit."""

    def number(value: Any) -> float:
        with suppress(ValueError):
            if 0.0 < float(value) < below:
                return float(value)
        wanted = f"a number > 0 and < {below:g}" if below < math.inf else "a finite number > 0"
        raise click.BadParameter(f"must be {wanted}, got {value}.")

    return number


def language_of(language: str | None, page: str | None) -> str:
    """Return the language of a page, by default English; raise an error if a language is given without a page."""
    if language is not None and page is None:
        raise ParameterError("--lang is the language of the HTML report; give its file with --report FILE.html.")
    return language or "en"


def _regs(context: Any, option: Any, text: str | None) -> tuple[float, ...] | None:
    """Return the λ of a list such as 1e-4,1e-3."""
    if text is None:
        return None
    try:
        found = tuple(map(float, text.split(",")))
    except ValueError:
        found = ()
    if not found or not all(0.0 < reg < math.inf for reg in found):
        raise ParameterError(f"--regs must be numbers > 0 separated by commas, such as 1e-4,1e-3, got {text!r}.")
    return found


def _size(context: Any, option: Any, text: str | None) -> tuple[int, int] | None:
    """Return (height, width) from "HxW"."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})[x×]([1-9]\d{0,4})", text.strip().lower())
    if match is None:
        raise ParameterError(f"--image-size must be HEIGHTxWIDTH in pixels, such as 32x32, got {text!r}.")
    return int(match[1]), int(match[2])


_SECTIONS = {
    "Output": ("output", "page", "language", "checkpoint", "out_of_fold", "as_json", "quiet", "help"),
    "Losses and λ": ("names", "delta", "reg", "regs", "rule", "scoring"),
    "Folds and weights": ("folds", "quick", "groups", "group_by", "class_weight", "weights", "limit", "seed"),
    "Fit": ("tol", "max_passes", "scaling", "normalize_rows", "threads", "where", "mixed"),
}
"""Headings of the help, with the parameters below each; all others are below "Data and features"."""


class Command(click.Command):
    """A command whose ``--help`` lists the options below headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options below the headings of `_SECTIONS`."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in (*_SECTIONS, "Data and features")}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            names = (title for title, listed in _SECTIONS.items() if param.name in listed)
            if record is not None and isinstance(param, click.Option):
                sections[next(names, "Data and features")].append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


model = click.argument("model", metavar="MODEL")
data = click.argument("data", metavar="DATA")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
language = click.option(
    "--lang",
    "language",
    type=click.Choice(("en", "zh")),
    help="Language of the HTML report: English or Chinese.  [default: en]",
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress on stderr.")
columns = click.option(
    "--columns", metavar="NAMES", help="Columns of a table to use as features, separated by commas."
)
text = click.option(
    "--text", metavar="COLUMN", help="Column of texts in a table, from which features are computed."
)
no_cache = click.option(
    "--no-cache", is_flag=True, help="Compute all features again, and do not add them to the cache."
)
threads = click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Number of threads; results do not depend on it.  [default: all cores]",
)
part = click.option(
    "--part",
    type=click.Choice(("auto", "train", "test")),
    default="auto",
    show_default=True,
    help="Part of DATA to use; auto: the test set if there is one.",
)
skip_damaged = click.option(
    "--skip-damaged", is_flag=True, help="Leave out images that cannot be decoded, and list them in a note."
)
table_format = combined(
    click.option(
        "--header/--no-header",
        default=None,
        help="Whether the first line of a text table holds names.  [default: found out]",
    ),
    click.option(
        "--decimal",
        type=click.Choice((".", ",")),
        metavar="MARK",
        help="Decimal mark of a text table: . or ,  [default: found out]",
    ),
    click.option("--encoding", metavar="NAME", help="Encoding of a text table, such as cp1252.  [default: UTF-8]"),
)
"""How a text table is written: fields of `softmargin.cli.reading.Reading`."""


def _reading(label: str) -> Callable[[Any], Any]:
    """Return the options that say how to read DATA, with the default of the label column."""
    return combined(
        click.option(
            "--labels-file",
            metavar="FILE",
            help="File of labels if DATA has none: .npy, or .txt with one label per line.",
        ),
        click.option("--label-column", metavar="COLUMN", help=f"Label column of a table.  [default: {label}]"),
        columns,
        skip_damaged,
        click.option(
            "--keep-counters", is_flag=True, help="Keep columns of a table that number its rows as features."
        ),
        table_format,
    )


reading = _reading("guessed")
"""How to read DATA: the fields of `softmargin.cli.reading.Reading`."""
_HOW = (
    "Features of images or texts: pixels, hog, kmeans[:K], kmeans:K:plain, FILE.onnx (a backbone) or st:NAME (a "
    "sentence encoder)."
)
features = click.option(
    "--features",
    "specs",
    metavar="HOW",
    multiple=True,
    help=f"{_HOW} May be repeated.  [default: DATA as it is]",
)
needed_features = click.option("--features", "specs", metavar="HOW", multiple=True, required=True, help=_HOW)
image_size = click.option(
    "--image-size", metavar="HxW", callback=_size, help="Resize all images to this height and width."
)
_extraction = combined(
    click.option(
        "--pool",
        type=click.Choice(("auto", "cls", "mean", "max")),
        help="How the outputs of a backbone become one row.  [default: auto]",
    ),
    image_size,
    text,
    no_cache,
)
extraction = combined(features, _extraction)
"""How to compute features: fields of `softmargin.cli.job.Job`."""
embedding = combined(needed_features, _extraction)
"""The same for `embed`, which needs an extractor."""

backbone = click.option(
    "--features", "backbone", metavar="FILE.onnx", help="The backbone of MODEL, if it was moved to another folder."
)
applying = combined(backbone, text, no_cache)
"""How to compute the features that MODEL needs: fields of `softmargin.cli.reading.Reading`."""

evaluation = combined(model, data, applying, _reading("that of MODEL, else guessed"), part, as_json, quiet)
"""Of commands that evaluate MODEL on DATA."""


def losses(default: str = "all") -> Callable[[Any], Any]:
    """Return the options for what to fit, with the loss that is tried by default."""
    return combined(
        click.option(
            "--loss",
            "names",
            type=click.Choice(LOSS_NAMES),
            metavar="LOSS",
            multiple=True,
            help=f"Loss to try; may be repeated: {', '.join(LOSS_NAMES)}.  [default: {default}]",
        ),
        click.option("--delta", type=positive(), metavar="Δ", help="Margin of the hinge losses.  [default: 1]"),
    )


groups = combined(
    click.option(
        "--groups",
        metavar="COLUMN|FILE",
        help="Groups, such as patients, that are never on both sides of a fold. A column of the table, or a .npy, "
        ".txt or .csv file with one group per training sample.",
    ),
    click.option(
        "--group-by",
        metavar="REGEX",
        help="Groups from the names of the samples: the first group of the regular expression, else its match.",
    ),
)
"""Which samples belong together: fields of `softmargin.cli.job.Job`."""

search = combined(
    losses(),
    click.option(
        "--reg",
        type=positive(),
        metavar="λ",
        help="Regularization strength λ, the factor of ΣW².  [default: selected]",
    ),
    click.option("--regs", metavar="LIST", callback=_regs, help="λ to select from, such as 1e-4,1e-3."),
    click.option(
        "--folds", type=click.IntRange(2), metavar="N", help="Number of cross-validation folds.  [default: 5]"
    ),
    click.option("--quick", is_flag=True, help="Select on a single held-out fifth instead of cross-validation."),
    groups,
    click.option(
        "--rule",
        type=click.Choice(("best", "one_se")),
        default="best",
        show_default=True,
        help="Select the best λ, or the largest λ within one standard error of it.",
    ),
    click.option(
        "--scoring",
        type=click.Choice(("accuracy", "loss")),
        default="accuracy",
        show_default=True,
        help="Select λ by the held-out accuracy or by the held-out loss.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0),
        metavar="N",
        default=0,
        help="Random seed of the folds and of --limit.  [default: 0]",
    ),
    click.option(
        "--class-weight",
        metavar="balanced|FILE",
        help="Weights of the classes in training: balanced, or a .json file of factors by label.",
    ),
    click.option("--weights", metavar="COLUMN", help="Column of a table that holds weights of the samples."),
    click.option(
        "--limit", type=click.IntRange(2), metavar="N", help="Use only N training samples, stratified by class."
    ),
    click.option(
        "--tol",
        type=positive(below=1.0),
        metavar="GAP",
        default=1e-4,
        help="Tolerance for the relative duality gap of the final fit.  [default: 1e-4]",
    ),
    click.option(
        "--max-passes",
        type=click.IntRange(1),
        metavar="N",
        help="Maximum number of passes over X per fit.  [default: 2000, in the search 1000]",
    ),
)
"""What to try, on which samples, and how exactly: fields of `softmargin.cli.job.Job`."""

job = combined(
    click.option(
        "--scaling",
        type=click.Choice(("auto", "none", "pixel", "standard")),
        metavar="HOW",
        default="auto",
        help="none; pixel: divide by 255; standard: divide each feature by its standard deviation; auto: pixel "
        "for 8-bit data, standard for hog, kmeans and columns of very different size, else none.  [default: auto]",
    ),
    click.option(
        "--normalize-rows", is_flag=True, help="Divide each row by its Euclidean norm, as is usual for embeddings."
    ),
    extraction,
    reading,
    threads,
    as_json,
    quiet,
)
"""The remaining options that `fit` and `compare` have."""
