"""``softmargin predict``: labels for new data, in chunks of rows if the format allows it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO

import click

from softmargin.cli import cluster, files, options
from softmargin.cli.on_cluster import predict_shards
from softmargin.cli.predictions import Block, as_csv, as_json_lines, as_parquet, columns_of, encoded, predicted
from softmargin.cli.progress import Progress, reporter
from softmargin.cli.reading import (
    Reading,
    check_data_for,
    extractor_for,
    files_of,
    naming,
    part_of,
    read_for_model,
    read_model,
)
from softmargin.cli.wording import is_terminal, list_names, print_json, say, say_err, write
from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.text import pluralize, printable

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model

__all__ = ["predict"]

_STREAM = "-"
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
_MOST_COLUMNS = 6


@click.command(short_help="Predict the label of every sample of DATA.")
@options.model
@options.data
@click.option("-o", "--output", metavar="FILE", help="File to write: .csv, .jsonl or .parquet; - is stdout.")
@click.option("--scores", is_flag=True, help="Add the score of each class (columns score_CLASS).")
@click.option(
    "--proba",
    is_flag=True,
    help="Add the probability of each class (columns proba_CLASS); for a hinge loss only if the model was "
    "calibrated.",
)
@click.option("--margin", is_flag=True, help="Add the difference of the two largest scores.")
@options.applying
@options.columns
@options.skip_damaged
@options.table_format
@options.part
@options.as_json
@options.quiet
@cluster.option
@options.gathered(Reading, "reading")
def predict(
    model: str,
    data: str,
    output: str | None,
    scores: bool,
    proba: bool,
    margin: bool,
    reading: Reading,
    part: str,
    as_json: bool,
    quiet: bool,
    where: str | None,
) -> None:
    """Predict the label of every sample of DATA with MODEL, or of its test set if it has one.

    Prints CSV in UTF-8: the id of the sample, its label, and the columns of --scores, --proba or --margin. The id
    is the path of an image, the id column of a table, or the row, counted from 0. With --json each line is a JSON
    object; with -o and --json, the summary is JSON. DATA may be - for a table on stdin. Tables and sparse text
    are processed in chunks and may be larger than memory. With --cluster, DATA is a folder of shards, and -o is
    a folder, in which each shard gets a CSV file of its own.
    """
    if scores + proba + margin > 1:
        raise ParameterError("--scores, --proba and --margin are mutually exclusive; give only one of them.")
    kind = "score" if scores else "proba" if proba else "margin" if margin else None
    if where is not None:
        predict_shards(where, model, data, output, kind, reading, part, as_json, quiet)
        return
    output = None if output == _STREAM else output
    suffix = files.check_name(output, _SUFFIXES) if output is not None else ".jsonl" if as_json else ".csv"
    loaded = read_model(model)
    if proba:
        loaded.predict_proba([[0.0] * loaded.n_features])  # raises an error if the loss has no probabilities
    if data == _STREAM and sys.stdin is None:
        raise DataError("stdin is closed; give a file as DATA.")
    if output is not None:
        files.check_output(
            output, model, None if data == _STREAM else data, *files_of(extractor_for(loaded, reading))
        )
        if data == _STREAM and _is_stdin(output):
            raise ModelFileError(f"{output} is an input of this command (stdin) and cannot be its output.")
    on_screen = output is None and is_terminal(sys.stdout)  # progress would appear between the rows
    with ExitStack() as shown:
        progress = shown.enter_context(reporter(quiet or on_screen))
        counted = _Counted(predicted(loaded, _parts(loaded, data, progress, part, reading), kind, data))
        rows = iter(counted)
        if suffix in (".jsonl", ".ndjson"):
            blocks: Iterable[bytes] = map(encoded, as_json_lines(loaded, rows, kind, output and "utf-8"))
        elif suffix == ".parquet":
            blocks = as_parquet(loaded, rows, kind)
        else:
            blocks = map(encoded, as_csv(loaded, rows, kind, printable if on_screen else str))
        if output is None:
            for block in blocks:
                if is_terminal(sys.stderr) and not _is_file(sys.stdout):
                    shown.close()  # what reads the rows may print them on this terminal: end the line of progress
                if not write(block):
                    return
            return
        files.save(output, blocks)
    columns = ["id", "label", *columns_of(loaded, kind)]
    if as_json:
        print_json("predict", {"output": output, "n_samples": counted.n_samples, "columns": columns})
    else:
        tell = say if os.path.isfile(output) else say_err  # the rows may have gone to stdout, as /dev/stdout
        tell(f"{output}: {pluralize(counted.n_samples, 'row')} of {list_names(columns, _MOST_COLUMNS, str)}.")


class _Counted:
    """Blocks, and the number of their samples so far."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks, self.n_samples = blocks, 0

    def __iter__(self) -> Iterator[Block]:
        for block in self._blocks:
            self.n_samples += len(block[1])
            yield block


def _is_file(stream: TextIO | None) -> bool:
    """Tell whether a stream goes to a file, and not to a pipe or device."""
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # closed, or not a stream of the system
        return False


def _is_stdin(path: str) -> bool:
    """Tell whether stdin is this file."""
    try:
        found = os.fstat(sys.stdin.fileno())
        return stat.S_ISREG(found.st_mode) and os.path.samestat(found, os.stat(path))
    except (OSError, ValueError):  # the file does not exist yet, or there is no stdin
        return False


def _parts(model: Model, source: str, progress: Progress, part: str, reading: Reading) -> Iterator[Dataset]:
    """Yield DATA in parts that fit in memory; formats that cannot be streamed are one part."""
    from softmargin.data import holds_arrays, stream_dataset

    chosen = reading.columns is not None
    extractor = extractor_for(model, reading)
    stream = stream_dataset(
        sys.stdin.buffer if source == _STREAM else source,
        label_column=reading.label_column or model.label_column,
        columns=reading.options()["columns"] if chosen else model.feature_names,
        n_features=model.n_features,
        text=None if extractor is None else reading.text or model.text,
        features=None if source != _STREAM and holds_arrays(source) else extractor,
        cache=not reading.no_cache,
        skip_damaged=reading.skip_damaged,
        **reading.format(),
    )
    if stream is None or (chosen and source != _STREAM):
        whole = part_of(read_for_model(source, model, reading, progress, labelled=False), source, part)
        progress("predicting")
        with naming(source):
            model.predict(whole.X)  # all rows: an invalid one is found before the first line is printed
        yield whole
        return
    n_done = 0
    for dataset in stream:
        for note in dataset.notes:
            say_err(f"Note: {note}.")
        check_data_for(model, dataset, source)
        yield dataset
        n_done += dataset.n_samples
        progress("predicting", n_done)
