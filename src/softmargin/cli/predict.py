"""``softmargin predict``: labels for new data."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from softmargin.cli.base import (
    check_output,
    data_argument,
    is_terminal,
    json_option,
    model_argument,
    part_option,
    quiet_option,
    read_for_model,
    read_model,
    reporter,
    showable,
    write,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["predict"]

_ROWS_AT_ONCE = 8192
_Row: TypeAlias = tuple[int | str, Any, list[float]]


@click.command(short_help="Predict the label of every sample of DATA.")
@model_argument
@data_argument
@click.option("-o", "--output", metavar="FILE", help="Write there instead of to stdout.")
@click.option("--scores", is_flag=True, help="Add the score of each class: columns score_CLASS.")
@click.option("--proba", is_flag=True, help="Add the probability of each class: columns proba_CLASS.")
@part_option
@json_option
@quiet_option
def predict(
    model: str, data: str, output: str | None, scores: bool, proba: bool, part: str, as_json: bool, quiet: bool
) -> None:
    """Predict the label of every sample of DATA with MODEL.

    Prints CSV in UTF-8: the id of the sample (for images the path, else the row, counted from 0), its label
    and what was asked for besides; with --json one JSON object a line.
    """
    import numpy as np

    from softmargin.atomic import write_atomically
    from softmargin.errors import ModelFileError, ParameterError

    if scores and proba:
        raise ParameterError("--scores and --proba exclude each other: ask for one of them.")
    loaded = read_model(model)
    if proba:
        loaded.predict_proba(np.empty((0, loaded.n_features)))  # refuses losses without probabilities
    if output is not None:
        check_output(output, model, data)
    with reporter(quiet) as report:
        dataset = read_for_model(data, loaded, report, None, part)
        report("predicting", 0, 0)
        labels = loaded.predict(dataset.X)  # of all rows, so that a bad one is found before the first line
    kind = "score" if scores else "proba" if proba else None
    if as_json:
        blocks = _json_blocks(loaded, dataset, labels, kind)
    else:
        name = showable if output is None and is_terminal(sys.stdout) else str
        blocks = _csv_blocks(loaded, dataset, labels, kind, name)
    if output is None:
        for block in blocks:
            write(_encoded(block))
        return
    try:
        write_atomically(output, map(_encoded, blocks))
    except OSError as error:
        raise ModelFileError(f"{output} could not be written: {error.strerror}.") from error


def _blocks(model: Model, data: Dataset, labels: NDArray[Any], kind: str | None) -> Iterator[list[_Row]]:
    """Yield id, label and numbers ("score", "proba" or None) of each sample, many samples at a time."""
    for start in range(0, data.n_samples, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        X, predicted = data.X[rows], labels[rows].tolist()
        ids = range(start, start + len(X)) if data.ids is None else data.ids[rows]
        numbers: list[list[float]] = [[]] * len(X)
        if kind:
            numbers = (model.scores(X) if kind == "score" else model.predict_proba(X)).tolist()
        yield list(zip(ids, predicted, numbers, strict=True))


def _csv_blocks(
    model: Model, data: Dataset, labels: NDArray[Any], kind: str | None, name: Callable[[object], str]
) -> Iterator[str]:
    classes = [name(f"{kind}_{label}") for label in model.classes.tolist()] if kind else []
    yield _csv([["id", "label", *classes]])
    for block in _blocks(model, data, labels, kind):
        yield _csv([[name(i), name(label), *numbers] for i, label, numbers in block])


def _json_blocks(model: Model, data: Dataset, labels: NDArray[Any], kind: str | None) -> Iterator[str]:
    classes = list(map(str, model.classes.tolist()))
    for block in _blocks(model, data, labels, kind):
        records = [
            {"id": i, "label": label, **({kind: dict(zip(classes, numbers, strict=True))} if kind else {})}
            for i, label, numbers in block
        ]
        yield "".join(json.dumps(record) + "\n" for record in records)


class _Lines(list[str]):
    """Takes rows from `csv.writer` and ends them with LF.

    The writer is left to its CR LF: told to end with LF it would put no quotes around a CR in a name.
    """

    def write(self, row: str) -> None:
        """Add one row."""
        self.append(row.removesuffix("\r\n") + "\n")


def _csv(rows: list[list[Any]]) -> str:
    lines = _Lines()
    csv.writer(lines).writerows(rows)
    return "".join(lines)


def _encoded(text: str) -> bytes:
    """Return UTF-8 in which file names have the bytes that they have on disk."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which only a label can hold
        return text.encode("utf-8", "backslashreplace")
