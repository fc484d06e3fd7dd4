"""``softmargin predict``: labels for new data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli.base import (
    data_argument,
    json_option,
    quiet_option,
    read_for_model,
    reporter,
)

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["predict"]

_ROWS_AT_ONCE = 8192


@click.command()
@click.argument("model", metavar="MODEL")
@data_argument
@click.option("-o", "--output", metavar="FILE", help="Write there instead of to stdout.")
@click.option("--scores", is_flag=True, help="Add a column for each class with its score.")
@click.option("--proba", is_flag=True, help="Add a column for each class with its probability.")
@click.option(
    "--part",
    type=click.Choice(("auto", "train", "test")),
    default="auto",
    show_default=True,
    help="Part of DATA to use; auto: what is set aside for testing, if anything is.",
)
@json_option
@quiet_option
def predict(
    model: str, data: str, output: str | None, scores: bool, proba: bool, part: str, as_json: bool, quiet: bool
) -> int:
    """Predict the label of every sample of DATA with MODEL.

    Prints CSV: the sample's id (for images its path, else its number), the label and what was asked for
    besides; with --json one JSON object a line.
    """
    from softmargin.atomic import write_atomically
    from softmargin.errors import ModelFileError, ParameterError
    from softmargin.model import load_model

    if scores and proba:
        raise ParameterError("--scores and --proba exclude each other: ask for one of them.")
    loaded = load_model(model)
    with reporter(quiet) as report:
        dataset = read_for_model(data, loaded, report, None, part)
        numbers = "scores" if scores else "proba" if proba else None
        lines = _lines(loaded, dataset, numbers, as_json)
        if output is None:
            for block in lines:
                click.echo(block, nl=False)
        else:
            try:
                write_atomically(output, (block.encode("utf-8", "surrogateescape") for block in lines))
            except OSError as error:
                raise ModelFileError(f"{output} could not be written: {error.strerror}.") from error
    return 0


def _lines(model: Model, data: Dataset, numbers: str | None, as_json: bool) -> Iterator[str]:
    classes = [str(label) for label in model.classes]
    if not as_json:
        yield _csv([["id", "label", *(classes if numbers else [])]])
    for start in range(0, data.n_samples, _ROWS_AT_ONCE):
        X = data.X[start : start + _ROWS_AT_ONCE]
        labels = model.predict(X).tolist()
        ids: list[Any] = list(range(start, start + len(X)))
        if data.ids is not None:
            ids = list(data.ids[start : start + len(X)])
        columns = [[]] * len(X)
        if numbers:
            columns = (model.scores(X) if numbers == "scores" else model.predict_proba(X)).tolist()
        if as_json:
            rows = (
                {"id": i, "label": label, **({numbers: dict(zip(classes, row, strict=True))} if numbers else {})}
                for i, label, row in zip(ids, labels, columns, strict=True)
            )
            yield "".join(json.dumps(row) + "\n" for row in rows)
        else:
            yield _csv([[i, label, *row] for i, label, row in zip(ids, labels, columns, strict=True)])


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
