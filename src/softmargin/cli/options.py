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
    "LOSS_NAMES", "as_json", "columns", "data", "gathered", "image_size", "losses", "model", "normalize_rows",
    "part", "positive", "quiet", "reading", "scaling", "threads",
]  # fmt: skip

LOSS_NAMES = ("cross_entropy", "squared_hinge", "hinge")
"""Spelled out: the registry would load Numba. Of equal accuracies the first wins: the one with probabilities is
the most useful, then the quicker one."""


def gathered(kind: type[Any], name: str) -> Callable[[Any], Any]:
    """Return a decorator that passes the options which are fields of a dataclass as one record, by this name."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(**values: Any) -> Any:
            record = kind(**{f.name: values.pop(f.name) for f in fields(kind)})
            return command(**values, **{name: record})

        return call

    return decorate


def losses(what: str) -> Any:
    """Return ``--loss``, which may be repeated; ``what`` says what is done with it."""
    return click.option(
        "--loss",
        "names",
        type=click.Choice(LOSS_NAMES),
        metavar="LOSS",
        multiple=True,
        help=f"{what} may be repeated. {', '.join(LOSS_NAMES)}.  [default: all]",
    )


def positive(below: float = math.inf) -> Callable[[Any], float]:
    """Return the type of an option: a number above 0 and below a limit, neither NaN nor infinite."""

    def number(value: Any) -> float:
        with suppress(ValueError):
            if 0.0 < float(value) < below:
                return float(value)
        limit = f"below {below:g}" if below < math.inf else "finite"
        raise click.BadParameter(f"{value} is not a number above 0 and {limit}.")

    return number


def _size(context: Any, option: Any, text: str | None) -> tuple[int, int] | None:
    """Return (height, width) from "HxW"."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})[x×]([1-9]\d{0,4})", text.strip().lower())
    if match is None:
        raise ParameterError(f"--image-size must look like 32x32 (height x width), but it is {text!r}.")
    return int(match[1]), int(match[2])


model = click.argument("model", metavar="MODEL")
data = click.argument("data", metavar="DATA")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines instead of text.")
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
columns = click.option(
    "--columns", metavar="NAMES", help="Columns of a table to take as features, divided by commas."
)
scaling = click.option(
    "--scaling",
    type=click.Choice(("auto", "none", "pixel", "standard")),
    metavar="HOW",
    default="auto",
    help="none; pixel: / 255; standard: each feature by its standard deviation; auto: pixel for 8-bit data, "
    "else none.  [default: auto]",
)
normalize_rows = click.option(
    "--normalize-rows", is_flag=True, help="Divide each row by its length, as is usual for embeddings."
)
image_size = click.option(
    "--image-size", metavar="HxW", callback=_size, help="Bring every image to this height and width."
)
threads = click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads; results do not depend on it.  [default: all cores]",
)
part = click.option(
    "--part",
    type=click.Choice(("auto", "train", "test")),
    default="auto",
    show_default=True,
    help="Part of DATA to use; auto: what is set aside for testing, if anything is.",
)


def reading(command: Any) -> Any:
    """Add the options that say how DATA is to be read, the fields of `softmargin.cli.reading.Reading`."""
    labels = "Labels of features without any: .npy, or .txt with one label a line."
    label = "Column of a table that holds the labels.  [default: guessed where obvious]"
    added = columns(command)
    added = click.option("--label", metavar="COLUMN", help=label)(added)
    return click.option("--labels", metavar="FILE", help=labels)(added)
