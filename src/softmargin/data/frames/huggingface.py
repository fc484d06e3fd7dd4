"""Folders that ``save_to_disk`` of Hugging Face's `datasets` wrote: Arrow streams and their description."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from softmargin.data.arrow import pyarrow
from softmargin.data.base import Dataset, ReadOptions, shown
from softmargin.data.frames.base import Table, class_names, guarded
from softmargin.errors import DataError

__all__ = ["is_saved", "read"]

STATE, INFO, PARTS = "state.json", "dataset_info.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Tell whether a folder is one of a saved data set, or of several that belong together."""
    return (folder / PARTS).is_file() or ((folder / STATE).is_file() and (folder / INFO).is_file())


def read(folder: Path, options: ReadOptions) -> Dataset:
    """Read a saved data set; of a folder of several, ``train``, with ``test`` as the test part."""
    if not (folder / PARTS).is_file():
        with guarded(shown(folder)):
            return _read(folder, folder.name, options)
    splits = _json(folder / PARTS).get("splits")
    if not isinstance(splits, list) or not all(isinstance(s, str) and s and "/" not in s for s in splits):
        raise DataError(f"{shown(folder / PARTS)} is damaged: it names no splits.")
    main = "train" if "train" in splits else splits[0] if len(splits) == 1 else None
    if main is None:
        raise DataError(
            f"{shown(folder)} holds no split train, only {', '.join(map(shown, splits))}: give one of them."
        )
    held = None
    with guarded(shown(folder)):
        data = _read(folder / main, folder.name, options)
        if main == "train" and "test" in splits:
            held = _read(folder / "test", f"{folder.name} (test)", options)
            held = None if held.y is None else held
    rest = [split for split in splits if split != main and not (held and split == "test")]
    notes = (
        (*data.notes, f"left out of {shown(folder.name)}: {', '.join(map(shown, rest))}") if rest else data.notes
    )
    return Dataset(data.X, data.y, data.name, data.ids, data.image_shape, data.feature_names, held, notes)


def _read(folder: Path, name: str, options: ReadOptions) -> Dataset:
    pa = pyarrow(f"Reading {shown(folder)}")
    state = _json(folder / STATE)
    if state.get("_indices_data_files"):
        raise DataError(f"{shown(folder)} selects rows by an index, which is not followed: save it flattened.")
    named = state.get("_data_files")
    found = [e.get("filename") if isinstance(e, dict) else None for e in named] if isinstance(named, list) else []
    files = [file for file in found if isinstance(file, str) and Path(file).name == file]
    if not files or len(files) < len(found):
        raise DataError(f"{shown(folder / STATE)} is damaged: it names no files of data in this folder.")
    names = class_names(_json(folder / INFO).get("features"))
    with ExitStack() as opened:
        readers = []
        for file in files:
            stream = opened.enter_context(pa.memory_map(str(folder / file)))
            readers.append(opened.enter_context(pa.ipc.open_stream(stream)))
        table = Table(readers[0].schema, shown(folder), options, names)

        def batches() -> Iterator[Any]:
            for reader in readers:
                if reader.schema.names != table.schema.names:
                    raise DataError(f"{shown(folder)} has files with different columns.")
                for batch in reader:
                    batch.validate(full=True)  # offsets beyond the buffers would be read as they are
                    yield batch

        return table.dataset(batches(), name)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{shown(path)} does not exist; expected a folder that datasets saved whole.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)} is damaged: it is no JSON.") from error
    if not isinstance(found, dict):
        raise DataError(f"{shown(path)} is damaged: it holds no table of names.")
    return found
