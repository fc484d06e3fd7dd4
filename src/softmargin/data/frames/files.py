"""Parquet, Feather and Arrow files, and folders of parquet shards."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from softmargin.data.arrow import pyarrow
from softmargin.data.base import Dataset, ReadOptions, counted, in_natural_order, listed, shown
from softmargin.data.frames.base import ROWS_AT_ONCE, Table, class_names, guarded
from softmargin.errors import DataError

__all__ = ["SUFFIXES", "chunks", "is_shards", "read"]

PARQUET = (".parquet", ".pq")
ARROW = (".feather", ".arrow", ".ipc")
SUFFIXES = (*PARQUET, *ARROW)


def is_shards(folder: Path) -> bool:
    """Tell whether a folder holds such files."""
    return bool(listed(folder, *SUFFIXES))


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read a file, or the files of a folder in the order of their names, as one table.

    Where names begin with ``train`` and ``test``, the latter are the test part.
    """
    if not path.is_dir():
        with guarded(shown(path)):
            return _read([path], path.stem, options)
    files = in_natural_order(listed(path, *SUFFIXES))
    train, test = (
        [f for f in files if re.match(rf"{word}(?![a-z0-9])", f.name.lower())] for word in ("train", "test")
    )
    main = train if train else files
    held = None
    with guarded(shown(path)):
        data = _read(main, path.name, options)
        if train and test:
            held = _read(test, f"{path.name} (test)", options)
    notes = data.notes
    if len(main) > 1:
        notes = (f"{counted(len(main), 'shard')} of {shown(path.name)} joined in the order of their names", *notes)
    rest = [shown(file.name) for file in files if file not in main and not (held and file in test)]
    if rest:
        notes = (*notes, f"left out of {shown(path.name)}: {', '.join(rest)}")
    return Dataset(data.X, data.y, data.name, data.ids, data.image_shape, data.feature_names, held, notes)


def chunks(path: Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the rows of one file in parts."""
    with guarded(shown(path)), ExitStack() as opened:
        table, batches = _open(path, options, opened)
        yield from table.chunks(batches(), path.stem)


def _read(files: list[Path], name: str, options: ReadOptions) -> Dataset:
    with ExitStack() as opened:
        tables = [_open(file, options, opened) for file in files]
        first = tables[0][0]
        for file, (table, _) in zip(files, tables, strict=True):
            if (table.schema.names, table.schema.types) != (first.schema.names, first.schema.types):
                raise DataError(
                    f"{shown(file)} has other columns than {shown(files[0])}; all shards must have the same."
                )
        return first.dataset((batch for _, batches in tables for batch in batches()), name)


def _open(path: Path, options: ReadOptions, opened: ExitStack) -> tuple[Table, Callable[[], Iterator[Any]]]:
    """Return the table of a file, and what yields its batches."""
    pa = pyarrow(f"Reading {shown(path)}")
    if path.stat().st_size == 0:
        raise DataError(f"{shown(path)} is empty (0 bytes), expected a table.")
    if path.suffix.lower() in PARQUET:
        file = opened.enter_context(pa.parquet.ParquetFile(path, memory_map=False, pre_buffer=False))
        schema = file.schema_arrow
        table = Table(schema, shown(path), options, _names(schema))
        return table, lambda: file.iter_batches(ROWS_AT_ONCE, columns=table.columns, use_threads=False)
    stream = opened.enter_context(pa.memory_map(str(path)))
    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    if is_file:
        reader = opened.enter_context(pa.ipc.open_file(stream))
        table = Table(reader.schema, shown(path), options, _names(reader.schema))
        return table, lambda: (_valid(reader.get_batch(k)) for k in range(reader.num_record_batches))
    reader = opened.enter_context(pa.ipc.open_stream(stream))
    table = Table(reader.schema, shown(path), options, _names(reader.schema))
    return table, lambda: map(_valid, reader)


def _valid(batch: Any) -> Any:
    batch.validate(full=True)  # offsets beyond the buffers would be read as they are
    return batch


def _names(schema: Any) -> dict[str, list[str]]:
    """Return the names of classes that `datasets` leaves in the metadata."""
    described = (schema.metadata or {}).get(b"huggingface")
    if described is None:
        return {}
    found: dict[str, list[str]] = class_names(_inner(described))
    return found


def _inner(described: bytes) -> Any:
    import json

    try:
        return json.loads(described)["info"]["features"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return {}
