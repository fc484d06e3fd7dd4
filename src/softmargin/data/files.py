"""Helpers of several readers: names of files, compressed values and error messages of libraries."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.errors import DataError
from softmargin.text import printable, quoted, truncate

__all__ = [
    "check_unique",
    "inflate",
    "largest_inflated",
    "left_out",
    "list_files",
    "natural_order",
    "one_line",
    "swap_word",
]


def one_line(error: Exception) -> str:
    """Return the error message of a library on one line of limited length."""
    return truncate(printable(" ".join(str(error).split())), 120)


def check_unique(names: Iterable[str], where: str, what: str) -> None:
    """Raise a `DataError` if a name occurs more than once in the file that ``where`` names."""
    repeated = next((name for name, n in Counter(names).items() if n > 1), None)
    if repeated is not None:
        raise DataError(f"{where} has more than one {what} {quoted(repeated)}; names must be unique.")


def list_files(folder: Path, *suffixes: str) -> list[Path]:
    """Return the visible files of a folder with these suffixes (in any case), in natural order.

    Numbers in names are compared by value: ``shard-2`` comes before ``shard-10``. The list is empty if this is
    not a folder.
    """
    if not folder.is_dir():
        return []
    found = (file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    return sorted(
        (file for file in found if not file.name.startswith(".")), key=lambda file: natural_order(file.name)
    )


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that compares numbers in names by value."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if k % 2 else (-1, part) for k, part in enumerate(parts)], name


def left_out(place: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return a note about the unused parts of a file or folder, or no note if there are none."""
    listed = ", ".join(map(printable, names))
    return (f"left out of {printable(place.name)}: {listed}",) if listed else ()


def swap_word(path: Path, word: str, replacement: str) -> Path | None:
    """Replace a word of the stem (separated by ``_``, ``-`` or ``.``), or return None if it is missing."""
    stem, n_found = re.subn(rf"(?<![^_.\-]){word}(?![^_.\-])", replacement, path.stem)
    return path.with_name(stem + path.suffix) if n_found == 1 else None


def largest_inflated(n_stored: int) -> int:
    """Return an upper bound of the uncompressed size: Deflate expands by a factor of at most 1032."""
    return 1032 * n_stored + 1024


def inflate(stream: Any, n_bytes: int) -> tuple[NDArray[np.uint8], int]:
    """Read the remaining bytes of a compressed stream, which should be ``n_bytes``.

    Returns
    -------
    values : ndarray of uint8, shape (n_bytes,)
    n_found : int
        Number of bytes read: fewer than ``n_bytes`` if the stream is truncated, one more if it is longer.
    """
    values = np.empty(n_bytes, np.uint8)
    n_found = 0
    while n_found < n_bytes:  # in blocks, because zipfile and gzip copy each block
        n_read = stream.readinto(values.data[n_found : n_found + (1 << 20)])
        if not n_read:
            return values, n_found
        n_found += n_read
    # Only at the end of the stream do zipfile and gzip compare the checksum.
    return values, n_found + len(stream.read(1))
