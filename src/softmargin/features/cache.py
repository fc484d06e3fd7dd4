"""The cache of features: rows of samples on disk, by the identity of the extractor and the content of the sample.

Each file holds the keys and rows of some samples, is written atomically and never changed, and has a name that
follows from its content. Several processes may therefore write at the same time, and a killed one loses only the
rows that it had not written yet. A file that is damaged is removed, and its rows are computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.data.inputs import KEY_BYTES
from softmargin.errors import DataError, ParameterError
from softmargin.io.atomic import write_atomically
from softmargin.io.safetensors import TYPES, encode, read_header
from softmargin.text import printable

__all__ = [
    "CachedExtractor", "FeatureCache", "cache_bytes", "cache_folder", "cached_extractors", "load_learned",
    "save_learned",
]  # fmt: skip

LIMIT = 10_000_000_000
"""Size in bytes above which the files that were used least recently are removed."""

VARIABLE = "SOFTMARGIN_CACHE_DIR"
_DAY = 86_400.0
"""Age in seconds of a temporary file that a killed process must have left."""

_FEATURES, _LEARNED, _SUFFIX = "features", "learned", ".safetensors"


def cache_folder() -> Path:
    """Return the folder of the cache: the environment variable SOFTMARGIN_CACHE_DIR, else that of the user.

    Raises
    ------
    ParameterError
        If the variable names a file.
    """
    given = os.environ.get(VARIABLE)
    if given:
        if os.path.exists(given) and not os.path.isdir(given):
            raise ParameterError(f"{VARIABLE} must be a folder, got the file {printable(given)}.")
        return Path(given).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("softmargin", appauthor=False)


class CachedExtractor(NamedTuple):
    """The cached features of one extractor: its record, the number of rows and their size in bytes."""

    record: dict[str, Any]
    n_rows: int
    n_bytes: int


class FeatureCache:
    """The cached rows of one extractor.

    Parameters
    ----------
    identity : str
        Hash of all that the features depend on besides the sample.
    record : dict
        Description of the extractor, for people.

    Attributes
    ----------
    notes : tuple of str
        Why the cache could not be used, as messages for the user.
    """

    def __init__(self, identity: str, record: Mapping[str, Any]) -> None:
        self._folder = cache_folder() / _FEATURES / identity
        self._record = json.dumps(record, sort_keys=True)
        self._began = time.time()
        self.notes: tuple[str, ...] = ()

    def find(self, wanted: Mapping[bytes, int]) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield cached rows as pairs of numbers (n,) and rows (n, D), for a number per key."""
        n_missing = len(wanted)
        seen: set[int] = set()
        for path in _files(self._folder):
            if n_missing == 0:
                return
            pairs = [
                (number, row)
                for row, key in enumerate(_keys(path))
                if (number := wanted.get(key)) is not None and number not in seen
            ]
            rows = _rows(path) if pairs else None
            if rows is not None:
                numbers, places = map(np.array, zip(*pairs, strict=True))
                seen.update(numbers.tolist())
                n_missing -= len(numbers)
                yield numbers, rows[places]
                with suppress(OSError):
                    os.utime(path)

    def add(self, keys: Sequence[bytes], rows: Sequence[NDArray[Any]]) -> None:
        """Write rows (D,) to the cache; a cache that cannot be written becomes a note."""
        for dtype in (np.float16, np.float32):
            chosen = [k for k, row in enumerate(rows) if row.dtype == dtype]
            if not chosen or self.notes:
                continue
            all_keys = np.frombuffer(b"".join(keys[k] for k in chosen), np.uint8).reshape(-1, KEY_BYTES)
            tensors = {"keys": all_keys, "rows": np.stack([rows[k] for k in chosen])}
            digest = _checksum(tensors)
            pieces = encode(tensors, {"checksum": digest, "extractor": self._record})
            self._write(self._folder / f"{digest[:32]}{_SUFFIX}", pieces)

    def trim(self) -> None:
        """Remove the files that were used least recently until the cache has at most `LIMIT` bytes."""
        for path in cache_folder().rglob(".*.tmp"):
            with suppress(OSError):
                if self._began - path.stat().st_mtime > _DAY:
                    path.unlink()
        found = []
        for path in _files(cache_folder()):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in found) - LIMIT
        for used, size, path in sorted(found):
            if excess <= 0 or used >= self._began:
                return
            with suppress(OSError):
                path.unlink()
                excess -= size

    def _write(self, path: Path, pieces: Sequence[Any]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, pieces)
        except OSError as error:
            self.notes = (f"features are not cached: {printable(path.parent)}: {error.strerror or error}",)


def load_learned(place: str) -> dict[str, NDArray[Any]] | None:
    """Return the arrays that an extractor learned from these training samples earlier, or None."""
    path = cache_folder() / _LEARNED / f"{place}{_SUFFIX}"
    arrays = _tensors(path)
    if arrays is not None:
        with suppress(OSError):
            os.utime(path)
    return arrays


def save_learned(place: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Store learned arrays, if the cache can be written."""
    path = cache_folder() / _LEARNED / f"{place}{_SUFFIX}"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encode(arrays, {"checksum": _checksum(arrays)}))


def cached_extractors() -> list[CachedExtractor]:
    """Return what the cache holds, by extractor."""
    found = []
    for folder in sorted(path for path in _listed(cache_folder() / _FEATURES) if path.is_dir()):
        record: dict[str, Any] = {}
        n_rows = n_bytes = 0
        for path in _files(folder):
            with suppress(OSError, DataError, ValueError, LookupError, RecursionError), path.open("rb") as stream:
                header = read_header(stream, path.name)
                found_record = json.loads(header.metadata["extractor"])
                if _is_record(found_record):
                    n_rows += header.tensors["keys"].shape[0]
                    n_bytes += path.stat().st_size
                    record = found_record
        if n_rows:
            found.append(CachedExtractor(record, n_rows, n_bytes))
    return found


def cache_bytes() -> int:
    """Return the size of all files of the cache: of features, and of what extractors learned."""
    n_bytes = 0
    for path in _files(cache_folder()):
        with suppress(OSError):  # another process removed it
            n_bytes += path.stat().st_size
    return n_bytes


def _is_record(record: Any) -> bool:
    """Return whether a value from a file describes an extractor."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("name"), str)
        and isinstance(record.get("settings"), dict)
    )


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # it does not exist yet
        return []


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder at any level, in a fixed order."""
    return sorted(path for path in folder.rglob(f"*{_SUFFIX}") if not path.name.startswith("."))


def _keys(path: Path) -> list[bytes]:
    """Return the keys in a file, or none if it cannot be read."""
    try:
        with path.open("rb") as stream:
            entry = read_header(stream, path.name).tensors["keys"]
            stream.seek(entry.begin)
            data = stream.read(entry.end - entry.begin)
    except (OSError, DataError, LookupError):
        return []
    return [data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES)]


def _rows(path: Path) -> NDArray[Any] | None:
    tensors = _tensors(path)
    return None if tensors is None else tensors.get("rows")


def _tensors(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the tensors of a file, memory-mapped; None if there is no such file. A damaged one is removed."""
    try:
        with path.open("rb") as stream:
            entries, metadata = read_header(stream, path.name)
        found: dict[str, NDArray[Any]] = {
            name: np.memmap(path, TYPES[entry.dtype], "r", entry.begin, entry.shape)
            for name, entry in entries.items()
        }
        if metadata.get("checksum") == _checksum(found):
            return found
    except OSError:
        return None
    except (DataError, LookupError, ValueError):
        pass
    with suppress(OSError):
        path.unlink()
    return None


def _checksum(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=32)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
