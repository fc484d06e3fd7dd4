"""Tables of Arrow: parquet, Feather, Arrow files, folders of shards, and what `datasets` saved to disk."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from softmargin.data.arrow import pyarrow
from softmargin.data.arrow_table import Table, arrow_errors
from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.files import left_out, list_files
from softmargin.errors import DataError
from softmargin.text import pluralize, printable

__all__ = ["FORMAT", "OPTIONS", "SUFFIXES", "accepts", "chunks", "read"]

FORMAT = "a .parquet, .feather or .arrow file (or a folder of them, or one that datasets saved)"
OPTIONS = frozenset({"label", "columns", "image_size", "image_channels"})
PARQUET = (".parquet", ".pq")
SUFFIXES = (*PARQUET, ".feather", ".arrow", ".ipc")
STATE, INFO, PARTS = "state.json", "dataset_info.json", "dataset_dict.json"
"""Files that describe a folder that ``save_to_disk`` of `datasets` wrote."""
ROWS_AT_ONCE = 16384


class _Part(NamedTuple):
    """Files that are read as one table, what messages call them, and names of classes from elsewhere."""

    files: list[Path]
    where: str
    class_names: dict[str, list[str]] | None = None


def accepts(path: Path) -> bool:
    """Tell whether the source is such a file or folder."""
    if path.is_dir():
        return _is_saved(path) or bool(list_files(path, *SUFFIXES))
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read a table: columns of numbers, or one column of lists (embeddings) or of images.

    A single column of lists in a single uncompressed batch of an Arrow file stays mapped; all else is read into
    memory, in the type that it is stored in (the common type of several columns). The files of a folder are read
    in the order of their names, as one table; where names begin with ``train`` and ``test``, the latter are the
    test part, as is the split ``test`` beside ``train`` in a folder that `datasets` saved.

    Raises
    ------
    CapabilityError
        pyarrow is not installed.
    DataError
        The file is damaged, holds missing values or no features are recognised.
    """
    with arrow_errors(printable(path)):
        if not path.is_dir():
            return _read(_Part([path], printable(path)), path.stem, options)
        saved = _is_saved(path)
        main, test, rest = _splits(path) if saved else _shards(path)
        data = _read(main, path.name, options)
        held = None if test is None else _read(test, f"{path.name} (test)", options)
    if saved and held is not None and held.y is None:
        held, rest = None, [*rest, "test"]
    notes = data.notes
    if not saved and len(main.files) > 1:
        n_shards = pluralize(len(main.files), "shard")
        notes = (f"{n_shards} of {printable(path.name)} joined in the order of their names", *notes)
    return replace(data, test=held, notes=notes + left_out(path, rest))


def chunks(path: Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the rows of a single file in parts."""
    with arrow_errors(printable(path)), ExitStack() as opened:
        schema, batches = _open(path, opened)
        table = Table(schema, printable(path), options, _class_names_of(schema))
        yield from table.chunks(batches(table.columns), path.stem)


def _shards(folder: Path) -> tuple[_Part, _Part | None, list[str]]:
    """Return the main part and the test part of a folder of files, and the names of those left out."""
    files = list_files(folder, *SUFFIXES)
    train, test = (
        [f for f in files if re.match(rf"{word}(?![a-z0-9])", f.name.lower())] for word in ("train", "test")
    )
    main = train or files
    used = [*main, *test] if train else main
    held = _Part(test, printable(test[0])) if train and test else None
    return _Part(main, printable(main[0])), held, [file.name for file in files if file not in used]


def _is_saved(folder: Path) -> bool:
    """Tell whether a folder is one of a saved data set, or of several that belong together."""
    return (folder / PARTS).is_file() or ((folder / STATE).is_file() and (folder / INFO).is_file())


def _splits(folder: Path) -> tuple[_Part, _Part | None, list[str]]:
    """Return the main part and the test part of a saved data set, and the names of splits left out."""
    if not (folder / PARTS).is_file():
        return _saved(folder), None, []
    splits = _json(folder / PARTS).get("splits")
    if not isinstance(splits, list) or not all(isinstance(s, str) and s and "/" not in s for s in splits):
        raise DataError(f"{printable(folder / PARTS)} is damaged: it names no splits.")
    main = "train" if "train" in splits else splits[0] if len(splits) == 1 else None
    if main is None:
        raise DataError(
            f"{printable(folder)} holds no split train, only {', '.join(map(printable, splits))}: "
            f"give one of them."
        )
    held = _saved(folder / "test") if main == "train" and "test" in splits else None
    return _saved(folder / main), held, [s for s in splits if s != main and not (held and s == "test")]


def _saved(folder: Path) -> _Part:
    """Return the files of one split: streams of Arrow."""
    state = _json(folder / STATE)
    if state.get("_indices_data_files"):
        raise DataError(f"{printable(folder)} selects rows by an index, which is not followed: save it flattened.")
    listed = state.get("_data_files")
    found = (
        [e.get("filename") if isinstance(e, dict) else None for e in listed] if isinstance(listed, list) else []
    )
    files = [folder / file for file in found if isinstance(file, str) and Path(file).name == file]
    if not files or len(files) < len(found):
        raise DataError(f"{printable(folder / STATE)} is damaged: it names no files of data in this folder.")
    return _Part(files, printable(folder), _class_names(_json(folder / INFO).get("features")))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{printable(path)} does not exist; expected a folder that datasets saved whole."
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{printable(path)} is damaged: it is no JSON.") from error
    if not isinstance(found, dict):
        raise DataError(f"{printable(path)} is damaged: it holds no table of names.")
    return found


def _read(part: _Part, name: str, options: ReadOptions) -> Dataset:
    with ExitStack() as opened:
        tables = [_open(file, opened) for file in part.files]
        first = tables[0][0]
        for file, (schema, _) in zip(part.files, tables, strict=True):
            if (schema.names, schema.types) != (first.names, first.types):
                raise DataError(
                    f"{printable(file)} has other columns than {printable(part.files[0])}; "
                    f"all shards must have the same."
                )
        class_names = _class_names_of(first) if part.class_names is None else part.class_names
        table = Table(first, part.where, options, class_names)
        return table.dataset((batch for _, batches in tables for batch in batches(table.columns)), name)


def _open(path: Path, opened: ExitStack) -> tuple[Any, Callable[[list[str]], Iterator[Any]]]:
    """Return the schema of a file, and what yields its batches with at least the columns that are asked for."""
    pa = pyarrow(f"Reading {printable(path)}")
    if path.stat().st_size == 0:
        raise DataError(f"{printable(path)} is empty (0 bytes), expected a table.")
    if path.suffix.lower() in PARQUET:
        file = opened.enter_context(pa.parquet.ParquetFile(path, memory_map=False, pre_buffer=False))
        return file.schema_arrow, lambda used: file.iter_batches(ROWS_AT_ONCE, columns=used, use_threads=False)
    stream = opened.enter_context(pa.memory_map(str(path)))
    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    reader = opened.enter_context((pa.ipc.open_file if is_file else pa.ipc.open_stream)(stream))
    batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
    return reader.schema, lambda _: map(_valid, batches)


def _valid(batch: Any) -> Any:
    batch.validate(full=True)  # offsets beyond the buffers would be read as they are
    return batch


def _class_names_of(schema: Any) -> dict[str, list[str]]:
    """Return the names of classes that `datasets` leaves in the metadata."""
    try:
        return _class_names(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return {}  # a description that is not there, or cannot be read, takes nothing from the data


def _class_names(features: Any) -> dict[str, list[str]]:
    """Return the names of classes from a description of features as `datasets` writes it."""
    entries = features.items() if isinstance(features, dict) else ()
    classes = {k: e.get("names") for k, e in entries if isinstance(e, dict) and e.get("_type") == "ClassLabel"}
    return {
        column: names
        for column, names in classes.items()
        if isinstance(names, list) and names and all(isinstance(word, str) for word in names)
    }
