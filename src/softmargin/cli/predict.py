"""``softmargin predict``: labels for new data, in chunks of rows if the format allows it."""

from __future__ import annotations

import csv
import itertools
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import click

from softmargin.cli import cluster, files, options
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
from softmargin.cli.wording import is_terminal, json_text, list_names, print_json, say, say_err, write
from softmargin.errors import DataError, ModelFileError, ParameterError
from softmargin.text import pluralize, printable

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.model import Model
    from softmargin.shards import Part

__all__ = ["predict", "write_predictions"]

_ROWS_AT_ONCE = 8192
_STREAM = "-"
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
_MOST_COLUMNS = 6
_TYPES = {"U": "string", "i": "int64", "u": "uint64", "b": "bool", "f": "double"}
"""Parquet types of labels, by their NumPy kind."""

_Block: TypeAlias = tuple[Sequence[int | str], list[Any], Any]
"""Ids, labels and numbers (n, k) of n samples."""


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
        _predict_shards(model, data, output, kind, reading, where, as_json, quiet)
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
        counted = _Counted(_blocks(loaded, _parts(loaded, data, progress, part, reading), kind, data))
        rows = iter(counted)
        if suffix in (".jsonl", ".ndjson"):
            blocks: Iterable[bytes] = map(_encoded, _json_blocks(loaded, rows, kind, output and "utf-8"))
        elif suffix == ".parquet":
            blocks = _parquet_blocks(loaded, rows, kind)
        else:
            blocks = map(_encoded, _csv_blocks(loaded, rows, kind, printable if on_screen else str))
        if output is None:
            for block in blocks:
                if is_terminal(sys.stderr) and not _is_file(sys.stdout):
                    shown.close()  # what reads the rows may print them on this terminal: end the line of progress
                if not write(block):
                    return
            return
        files.save(output, blocks)
    columns = ["id", "label", *_headings(loaded, kind)]
    if as_json:
        print_json("predict", {"output": output, "n_samples": counted.n_samples, "columns": columns})
    else:
        tell = say if os.path.isfile(output) else say_err  # the rows may have gone to stdout, as /dev/stdout
        tell(f"{output}: {pluralize(counted.n_samples, 'row')} of {list_names(columns, _MOST_COLUMNS, str)}.")


def _predict_shards(
    path: str, source: str, folder: str | None, kind: str | None, reading: Reading, where: str, as_json: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Write the predictions for each shard to a file ``NAME.csv`` of a folder; the workers do so, atomically."""
    from softmargin.data.shards import open_for_model, output_names

    if folder in (None, _STREAM) or reading != Reading():
        raise ParameterError("--cluster needs -o FOLDER, and DATA as it is: shards without further options.")
    assert folder is not None
    model = read_model(path)
    shards = open_for_model(source, model.feature_names, model.label_column)
    if kind == "proba":
        model.predict_proba([[0.0] * model.n_features])  # raises an error if the loss has no probabilities
    if model.extractor is not None or shards.n_features != model.n_features:
        raise DataError(
            f"{source} must hold the {model.n_features} features of the model, got {shards.n_features} per row."
        )
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{folder} must be a folder, which cannot be created: {error.strerror}.") from error
    targets = [os.path.join(os.path.abspath(folder), f"{name}.csv") for name in output_names(shards)]
    with reporter(quiet) as progress:
        progress("predicting")
        models, kinds = [model] * len(targets), [kind] * len(targets)
        n_rows = sum(cluster.on_parts(where, shards, write_predictions, targets, models, kinds))
    columns = ["id", "label", *_headings(model, kind)]
    if as_json:
        print_json("predict", {"output": folder, "n_samples": n_rows, "columns": columns})
    else:
        written = f"{pluralize(len(targets), 'file')} with {pluralize(n_rows, 'row')}"
        say(f"{folder}: {written} of {list_names(columns, _MOST_COLUMNS, str)}.")


def write_predictions(part: Part, target: str, model: Model, kind: str | None) -> int:
    """Write the predictions for a part to a CSV file, on a worker; return the number of its rows."""
    from softmargin.data import Dataset

    data = Dataset(part.features(slice(0, part.n_rows)), None, part.name)
    blocks = _blocks(model, [data], kind, part.name)
    files.save(target, map(_encoded, _csv_blocks(model, blocks, kind, str)))
    return part.n_rows


class _Counted:
    """Blocks, and the number of their samples so far."""

    def __init__(self, blocks: Iterable[_Block]) -> None:
        self._blocks, self.n_samples = blocks, 0

    def __iter__(self) -> Iterator[_Block]:
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


def _blocks(model: Model, parts: Iterable[Dataset], kind: str | None, source: str) -> Iterator[_Block]:
    """Yield ids, labels and numbers ("score", "proba", "margin" or None) of one chunk of samples after another."""
    import numpy as np

    from softmargin.losses import softmax

    n_done = 0
    for data in parts:
        for start in range(0, data.n_samples, _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            with naming(source):
                numbers = model.scores(data.X[rows], first_row=n_done)
            labels = model.classes[numbers.argmax(axis=1)].tolist()
            ids = range(n_done, n_done + len(labels)) if data.ids is None else data.ids[rows]
            n_done += len(labels)
            if kind is None:
                numbers = numbers[:, :0]
            elif kind == "proba":
                numbers = softmax(numbers / (model.temperature or 1.0))
            elif kind == "margin":
                numbers = np.diff(np.partition(numbers, -2, axis=1)[:, -2:])
            yield ids, labels, numbers


def _headings(model: Model, kind: str | None) -> list[str]:
    if kind == "margin":
        return ["margin"]
    return [f"{kind}_{label}" for label in model.classes.tolist()] if kind else []


def _parquet_blocks(model: Model, blocks: Iterator[_Block], kind: str | None) -> Iterator[bytes]:
    from softmargin.data.arrow import ParquetPieces

    first = next(blocks, None)
    ids = "string" if first and isinstance(first[0][0], str) else "int64"
    names = map(_text, _headings(model, kind))
    columns = {"id": ids, "label": _TYPES[model.classes.dtype.kind], **dict.fromkeys(names, "double")}
    all_blocks = itertools.chain([first] if first else [], blocks)
    yield from ParquetPieces(columns).pieces(
        [[*map(_text, ids)], [*map(_text, labels)], *numbers.T.tolist()] for ids, labels, numbers in all_blocks
    )


def _text(value: Any) -> Any:
    """Return a string with valid UTF-8, and any other value unchanged."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _csv_blocks(
    model: Model, blocks: Iterable[_Block], kind: str | None, name: Callable[[object], str]
) -> Iterator[str]:
    headings = _csv([["id", "label", *map(name, _headings(model, kind))]])
    for block in blocks:  # nothing is printed before the first chunk is valid
        rows = zip(*block[:2], block[2].tolist(), strict=True)
        yield headings + _csv([[name(i), name(label), *numbers] for i, label, numbers in rows])
        headings = ""
    yield headings


def _json_blocks(model: Model, blocks: Iterable[_Block], kind: str | None, encoding: str | None) -> Iterator[str]:
    classes = list(map(str, model.classes.tolist()))
    for block in blocks:
        lines = []
        for i, label, numbers in zip(*block[:2], block[2].tolist(), strict=True):
            record = {"id": i, "label": label}
            if kind is not None:
                record[kind] = numbers[0] if kind == "margin" else dict(zip(classes, numbers, strict=True))
            lines.append(json_text(record, encoding=encoding) + "\n")
        yield "".join(lines)


def _csv(rows: list[list[Any]]) -> str:
    lines: list[str] = []
    # With lineterminator="\n" the writer would not quote a CR in a name.
    csv.writer(SimpleNamespace(write=lines.append)).writerows(rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def _encoded(text: str) -> bytes:
    """Return UTF-8; file names keep their bytes on disk."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, possible only in a label
        return text.encode("utf-8", "backslashreplace")
