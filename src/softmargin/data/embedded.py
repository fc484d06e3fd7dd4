"""Folders of features that an extractor made shard by shard.

For each shard there are ``NAME.npy`` (the features), ``NAME_y.npy`` (the labels, if it has any) and
``NAME.keys.safetensors``, which is written last: a hash of each picture or text, and what the features were made
of. ``extractor.safetensors`` has the identity of the extractor and the names of all shards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import StoredFeatures
from softmargin.data.inputs import KEY_BYTES
from softmargin.errors import DataError
from softmargin.io.atomic import write_atomically
from softmargin.io.safetensors import TYPES, Header, encode, read_header
from softmargin.text import pluralize, printable

__all__ = [
    "Origin",
    "check_complete",
    "forget",
    "made_of",
    "read_origin",
    "stored_features",
    "write_keys",
    "write_origin",
]

_ORIGIN, _KEYS = "extractor.safetensors", ".keys.safetensors"


class Origin(NamedTuple):
    """Where the features of a folder come from.

    Attributes
    ----------
    record : dict
        The identity of the extractor.
    arrays : dict of str to ndarray
        What it learned.
    shards : list of str
        The names of all shards.
    """

    record: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    shards: list[str]


def read_origin(folder: str | os.PathLike[str]) -> Origin | None:
    """Return where the features of a folder come from, None if it does not say.

    Raises
    ------
    DataError
        The file is damaged.
    """
    path = Path(folder) / _ORIGIN
    if not path.is_file():
        return None
    header = _header(path)
    try:
        record, shards = (json.loads(header.metadata[name]) for name in ("extractor", "shards"))
        return Origin(dict(record), _tensors(path, header), list(map(str, shards)))
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"{printable(path)} must name an extractor and shards, got another record.") from error


def write_origin(folder: str | os.PathLike[str], origin: Origin) -> None:
    """Write where the features of a folder come from."""
    metadata = {"extractor": json.dumps(origin.record), "shards": json.dumps(origin.shards)}
    write_atomically(Path(folder) / _ORIGIN, encode(origin.arrays, metadata))


def write_keys(folder: str | os.PathLike[str], name: str, keys: NDArray[np.uint8], made: str) -> None:
    """Write the keys (n, 16) of a shard and what it was made of, after its features."""
    write_atomically(Path(folder) / f"{name}{_KEYS}", encode({"keys": keys}, {"made": made}))


def made_of(folder: str | os.PathLike[str], name: str) -> str | None:
    """Return what a shard was made of, None if it is not complete."""
    path = Path(folder) / f"{name}{_KEYS}"
    return _header(path).metadata.get("made") if path.is_file() else None


def forget(folder: str | os.PathLike[str], name: str) -> None:
    """Mark a shard as not complete."""
    (Path(folder) / f"{name}{_KEYS}").unlink(missing_ok=True)


def check_complete(folder: str | os.PathLike[str], origin: Origin) -> None:
    """Raise a `DataError` if the features of some shards are still missing."""
    missing = [name for name in origin.shards if not (Path(folder) / f"{name}{_KEYS}").is_file()]
    if missing:
        raise DataError(
            f"{printable(folder)} must hold {pluralize(len(origin.shards), 'shard')}, but {len(missing)} are "
            f"missing, such as {printable(missing[0])}.npy; run softmargin embed again to complete it."
        )


def stored_features(folder: Path, files: Sequence[Path]) -> StoredFeatures | None:
    """Return the origin of the features in some files of a folder, None if it does not say.

    Raises
    ------
    DataError
        A shard is missing or has no keys.
    """
    origin = read_origin(folder)
    if origin is None:
        return None
    check_complete(folder, origin)
    keys = []
    for file in files:
        path = folder / f"{file.stem}{_KEYS}"
        if not path.is_file():
            raise DataError(f"{printable(file)} must be a shard that {_ORIGIN} names; move it elsewhere.")
        found = _tensors(path, _header(path)).get("keys")
        if found is None or found.ndim != 2 or found.shape[1] != KEY_BYTES:
            raise DataError(f"{printable(path)} must hold keys of {KEY_BYTES} bytes.")
        keys.append(found)
    return StoredFeatures(origin.record, origin.arrays, np.concatenate(keys))


def _header(path: Path) -> Header:
    with path.open("rb") as stream:
        return read_header(stream, printable(path))


def _tensors(path: Path, header: Header) -> dict[str, NDArray[Any]]:
    content = path.read_bytes()
    return {
        name: np.frombuffer(content[entry.begin : entry.end], TYPES[entry.dtype]).reshape(entry.shape)
        for name, entry in header.tensors.items()
    }
