"""Images in archives, ``.zip`` and ``.tar``, compressed or not, which are never unpacked to disk."""

import gzip
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from softmargin.data.files import check_unique, largest_inflated, one_line
from softmargin.data.images.decode import Read
from softmargin.data.images.guard import COMMON_FILE, LARGEST_FILE, SUFFIXES, ImageProblem, read_entry
from softmargin.errors import DataError
from softmargin.text import printable, quoted

__all__ = ["ARCHIVES", "is_archive", "open_archive"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_OTHERS = (".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")
"""Archives that are only named in an error."""
_TABLES = (".csv", ".tsv", ".parquet", ".feather", ".arrow", ".csv.gz", ".xlsx")
_UTF8 = 0x800
_LARGEST_HEADER = 1 << 20
"""Size (bytes) of a name or of other metadata in a tar archive."""

Reader = Callable[[list[str]], Read]
"""Returns a function that reads one of these entries."""


def is_archive(path: Path) -> bool:
    """Return whether a file is named like an archive."""
    return path.name.lower().endswith((*ARCHIVES, *_OTHERS)) and path.is_file()


def open_archive(path: Path) -> tuple[list[str], Reader]:
    """Return the names of the files in an archive, and a function that makes a reader of some of them.

    Raises
    ------
    DataError
        The archive is damaged, of a format that is not read, or holds other data than images.
    """
    where, name = printable(path), path.name.lower()
    if name.endswith(_OTHERS):
        raise DataError(f"{where} must be a .zip, .tar or .tar.gz archive; unpack it into a folder, or repack it.")
    if name.endswith(".zip"):
        archive = _open_zip(path)
        stored = {_name_of(entry): entry for entry in archive.infolist() if not entry.filename.endswith("/")}
        names = [_name_of(entry) for entry in archive.infolist() if not entry.filename.endswith("/")]
        _check_names(where, names)
        return names, lambda used: _read_zip(archive, [stored[name].filename for name in used])
    names, contents = _open_tar(path, is_packed=not name.endswith(".tar"))
    _check_names(where, names)
    return names, lambda used: lambda k: (contents[used[k]](), path.stat().st_size)


def _check_names(where: str, names: list[str]) -> None:
    """Raise a `DataError` unless the names are unique plain paths, and not those of tables or arrays."""
    odd = next((name for name in names if not {"", ".", ".."}.isdisjoint(name.split("/"))), None)
    if odd is not None:
        raise DataError(f"{where} must hold only plain relative paths, got {quoted(odd)}.")
    check_unique(names, where, "entry")
    if any(name.endswith(".npy") for name in names):
        raise DataError(f"{where} contains NumPy arrays; rename it to .npz.")
    tables = [name for name in names if name.lower().endswith(_TABLES)]
    if tables and not any(os.path.splitext(name)[1].lower() in SUFFIXES for name in names):
        raise DataError(f"{where} holds tables ({printable(tables[0])}); unpack it into a folder, and give that.")


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry; without the flag of UTF-8 it is UTF-8 if it can be, else code page 437.

    The flag is bit 11 (APPNOTE 6.3, section 4.4.4); many programs write UTF-8 without it.
    """
    name = entry.filename
    if not entry.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.removeprefix("./")


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{printable(path)} is damaged or not a zip archive ({one_line(error)}).") from error


def _read_zip(archive: zipfile.ZipFile, names: list[str]) -> Read:
    lock = threading.Lock()  # zipfile is not documented to be thread-safe

    def read(k: int) -> tuple[bytes, int]:
        with lock:
            return read_entry(archive, names[k])

    return read


def _open_tar(path: Path, *, is_packed: bool) -> tuple[list[str], dict[str, Callable[[], bytes]]]:
    """Return the names of the files in a tar archive, and functions that return the contents of the images.

    Only regular files are read, never links. A compressed archive can only be read from its start, so that its
    images are kept in memory as they are stored.
    """
    where = printable(path)
    contents: dict[str, Callable[[], bytes]] = {}
    names = []
    raw = path.open("rb")
    try:
        stream = _Bounded(gzip.GzipFile(fileobj=raw) if is_packed else raw, path.stat().st_size, where)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # else tarfile keeps all of them
                if not member.isreg() or member.issparse():
                    continue
                name = member.name.removeprefix("./")
                names.append(name)
                if os.path.splitext(name)[1].lower() not in SUFFIXES:
                    continue
                start, size = member.offset_data, member.size
                if size > LARGEST_FILE:
                    raise DataError(f"{where}: {printable(name)} claims {size:,} bytes, too many for an image.")
                if is_packed:
                    data = stream.content(start, size)
                    contents[name] = lambda data=data: data  # type: ignore[misc]
                else:
                    contents[name] = _Slice(path, start, size)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is damaged or not a tar archive ({one_line(error)}).") from error
    finally:
        raw.close()
    return names, contents


class _Slice:
    """Reads some bytes of a file."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._path, self._start, self._size = path, start, size

    def __call__(self) -> bytes:
        with self._path.open("rb") as stream:
            stream.seek(self._start)
            data = stream.read(self._size)
        if len(data) < self._size:
            raise ImageProblem("is truncated in its archive")
        return data


class _Bounded:
    """A binary stream for `tarfile` that refuses metadata and totals that are too large for images."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, n_stored: int, where: str) -> None:
        self._stream, self._where = stream, where
        self._end = min(largest_inflated(n_stored), 4 * n_stored + 64 * COMMON_FILE)

    def read(self, n: int) -> bytes:
        if n > _LARGEST_HEADER:
            raise DataError(f"{self._where} claims a header of {n:,} bytes; unpack it into a folder.")
        return self.content(self._stream.tell(), n)

    def content(self, start: int, n: int) -> bytes:
        """Return some bytes, or raise a `DataError` if there are fewer."""
        self.seek(start)
        data = self._stream.read(n)
        if len(data) < n and n > tarfile.BLOCKSIZE:
            raise DataError(f"{self._where} is truncated: it ends after {start + len(data):,} bytes.")
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        if place > self._end:
            raise DataError(f"{self._where} unpacks to more than {self._end:,} bytes; unpack it into a folder.")
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
