"""Arrow tables: parquet, Feather and Arrow files, and folders saved by `datasets`."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from softmargin.data.arrow import pyarrow
from softmargin.data.arrow_table import Table, arrow_errors
from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.files import left_out
from softmargin.data.parts import TRAIN, Candidate, choose_test, part_of_name
from softmargin.data.tables import ROLES
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = [
    "FORMAT", "OPTIONS", "PARQUET", "ROWS_AT_ONCE", "SUFFIXES", "accepts", "chunks", "class_names_of",
    "parquet_file", "read", "read_shards",
]  # fmt: skip

FORMAT = "a .parquet, .feather or .arrow file (or a folder saved by datasets)"
OPTIONS = (
    frozenset({"label_column", "columns", "image_size", "image_channels", "text", "skip_damaged", "keep_counters"})
    | ROLES
)
PARQUET = (".parquet", ".pq")
SUFFIXES = (*PARQUET, ".feather", ".arrow", ".ipc")
STATE, INFO, PARTS = "state.json", "dataset_info.json", "dataset_dict.json"
"""Files that describe a folder written by ``save_to_disk`` of `datasets`."""
ROWS_AT_ONCE = 16384
_BUFFER_BYTES = 1 << 16
"""Compressed bytes of a column that are in memory at a time, instead of those of a row group."""


class _Part(NamedTuple):
    """Files that are read as one table, their name in messages, and class names from another file."""

    files: list[Path]
    where: str
    class_names: dict[str, list[str]] | None = None


def accepts(path: Path) -> bool:
    """Return whether the source is such a file, or a folder saved by `datasets`."""
    if path.is_dir():
        return (path / PARTS).is_file() or ((path / STATE).is_file() and (path / INFO).is_file())
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read a table: columns of numbers, or one column of lists (embeddings) or of images.

    A single column of lists in a single uncompressed batch of an Arrow file stays mapped. All other data are read
    into memory in their stored dtype (the common dtype of several columns). The split ``test`` beside ``train`` in
    a folder saved by `datasets` is the test set, or ``validation`` if there is no labelled test split.

    Raises
    ------
    CapabilityError
        pyarrow is not installed.
    DataError
        The file is damaged, has missing values or no recognizable features.
    """
    with arrow_errors(printable(path)):
        if not path.is_dir():
            return _read(_Part([path], printable(path)), path.stem, options)
        if not (path / PARTS).is_file():
            return _read(_saved(path), path.name, options)
        main, candidates, rest = _splits(path)
        data = _read(_saved(path / main), path.name, options)
        held = replace(options, label_column=data.label_column or options.label_column)
        if data.feature_names is not None:
            held = replace(held, columns=data.feature_names)

        def test(split: str) -> Dataset | None:
            part = _saved(path / split)
            return _read(part, f"{path.name} (test)", held) if _has_column(part, data.label_column) else None

        found = [Candidate(part, split, lambda split=split: test(split)) for split, part in candidates.items()]  # type: ignore[misc]
        held_out, notes, unused = choose_test(data, found, labelled=not options.only_features)
    return replace(data, test=held_out, notes=(*data.notes, *notes, *left_out(path, [*unused, *rest])))


def read_shards(files: list[Path], name: str, options: ReadOptions) -> Dataset:
    """Read several files with the same columns as one table."""
    with arrow_errors(printable(files[0])):
        return _read(_Part(files, printable(files[0])), name, options)


def chunks(path: Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the rows of a single file in chunks."""
    with arrow_errors(printable(path)), ExitStack() as opened:
        schema, batches = _open(path, opened)
        table = Table(schema, printable(path), options, class_names_of(schema))
        yield from table.chunks(batches(table.columns), path.stem)


def _splits(folder: Path) -> tuple[str, dict[str, str], list[str]]:
    """Return the training split, the splits that may be the test set with their parts, and the others."""
    splits = _json(folder / PARTS).get("splits")
    if not isinstance(splits, list) or not all(isinstance(s, str) and s and "/" not in s for s in splits):
        raise DataError(f"{printable(folder / PARTS)} is damaged: it lists no splits.")
    parts = {split: part_of_name(split) for split in splits}
    training = [split for split in splits if parts[split] == TRAIN]
    main = "train" if "train" in splits else training[0] if len(training) == 1 else None
    main = splits[0] if len(splits) == 1 else main
    if main is None:
        found = ", ".join(map(printable, splits))
        raise DataError(f"{printable(folder)} must have a split train, got {found}; load one of these folders.")
    others = [split for split in splits if split != main]
    held = {split: part for split in others if (part := parts[split]) is not None and part != TRAIN}
    return main, held, [split for split in others if split not in held]


def _has_column(part: _Part, name: str | None) -> bool:
    """Return whether the first file of a part has a column."""
    with ExitStack() as opened:
        return name is None or name in _open(part.files[0], opened)[0].names


def _saved(folder: Path) -> _Part:
    """Return the files of one split, which are Arrow streams."""
    state = _json(folder / STATE)
    if state.get("_indices_data_files"):
        raise DataError(f"{printable(folder)} must not select rows by an index; save it after flatten_indices().")
    listed = state.get("_data_files")
    listed = listed if isinstance(listed, list) else []
    found = [entry.get("filename") for entry in listed if isinstance(entry, dict)]
    files = [folder / file for file in found if isinstance(file, str) and Path(file).name == file]
    if not files or len(files) < len(listed):
        raise DataError(f"{printable(folder / STATE)} is damaged: it lists no data files in this folder.")
    return _Part(files, printable(folder), _class_names(_json(folder / INFO).get("features")))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{printable(path)} does not exist; expected a folder saved by datasets.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{printable(path)} is damaged: it is not valid JSON.") from error
    if not isinstance(found, dict):
        raise DataError(f"{printable(path)} is damaged: it is not a JSON object.")
    return found


def _read(part: _Part, name: str, options: ReadOptions) -> Dataset:
    with ExitStack() as opened:
        tables = [_open(file, opened) for file in part.files]
        first = tables[0][0]
        for file, (schema, _) in zip(part.files, tables, strict=True):
            if (schema.names, schema.types) != (first.names, first.types):
                raise DataError(f"{printable(file)} must have the same columns as {printable(part.files[0])}.")
        class_names = class_names_of(first) if part.class_names is None else part.class_names
        table = Table(first, part.where, options, class_names)
        return table.dataset((batch for _, batches in tables for batch in batches(table.columns)), name)


def _open(path: Path, opened: ExitStack) -> tuple[Any, Callable[[list[str]], Iterator[Any]]]:
    """Return the schema of a file, and a function that yields its batches with at least the given columns."""
    pa = pyarrow(f"Reading {printable(path)}")
    if path.suffix.lower() in PARQUET:
        file = parquet_file(path, opened)
        return file.schema_arrow, lambda used: file.iter_batches(ROWS_AT_ONCE, columns=used, use_threads=False)
    stream = opened.enter_context(pa.memory_map(str(path)))
    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    reader = opened.enter_context((pa.ipc.open_file if is_file else pa.ipc.open_stream)(stream))
    batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
    return reader.schema, lambda _: map(_valid, batches)


def parquet_file(path: Path, opened: ExitStack) -> Any:
    """Return an open parquet file of pyarrow."""
    parquet = pyarrow(f"Reading {printable(path)}").parquet
    return opened.enter_context(
        parquet.ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    )


def _valid(batch: Any) -> Any:
    batch.validate(full=True)  # pyarrow does not check offsets when it reads a batch
    return batch


def class_names_of(schema: Any) -> dict[str, list[str]]:
    """Return the class names that `datasets` stores in the metadata."""
    try:
        return _class_names(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return {}  # the metadata are optional


def _class_names(features: Any) -> dict[str, list[str]]:
    """Return the class names from a description of features by `datasets`."""
    entries = features.items() if isinstance(features, dict) else ()
    classes = {k: e.get("names") for k, e in entries if isinstance(e, dict) and e.get("_type") == "ClassLabel"}
    return {
        column: names
        for column, names in classes.items()
        if isinstance(names, list) and names and all(isinstance(word, str) for word in names)
    }
