"""Names of files, compressed values and messages of libraries: what several readers need."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.text import printable, truncate

__all__ = ["inflate", "largest_inflated", "left_out", "list_files", "one_line", "swap_word"]


def one_line(error: Exception) -> str:
    """Return what a library says about a damaged file, in one line of reasonable length."""
    return truncate(printable(" ".join(str(error).split())), 120)


def list_files(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files of a folder with these suffixes (in any case) that are not hidden, in natural order.

    Numbers in names are compared by value: ``shard-2`` comes before ``shard-10``. The list is empty if this is
    not a folder.
    """
    if not folder.is_dir():
        return []
    found = (file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    return sorted((file for file in found if not file.name.startswith(".")), key=_natural_order)


def _natural_order(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Return what to sort names by if numbers in them are compared by value."""
    parts = re.split(r"([0-9]+)", file.name)
    return [(int(part), "") if k % 2 else (-1, part) for k, part in enumerate(parts)], file.name


def left_out(place: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Return a note on what is left out of a file or folder; none if there is nothing."""
    listed = ", ".join(map(printable, names))
    return (f"left out of {printable(place.name)}: {listed}",) if listed else ()


def swap_word(path: Path, word: str, replacement: str) -> Path | None:
    """Replace one word of the stem, words being divided by ``_``, ``-`` or ``.``; None if it is not there."""
    stem, n_found = re.subn(rf"(?<![^_.\-]){word}(?![^_.\-])", replacement, path.stem)
    return path.with_name(stem + path.suffix) if n_found == 1 else None


def largest_inflated(n_stored: int) -> int:
    """Return the most bytes that so many compressed ones can hold: Deflate expands at most 1032 times."""
    return 1032 * n_stored + 1024


def inflate(stream: Any, n_bytes: int) -> tuple[NDArray[np.uint8], int]:
    """Read the last values of a compressed stream.

    Returns
    -------
    values : ndarray of uint8, shape (n_bytes,)
    n_found : int
        Bytes that were there: fewer than ``n_bytes`` if the stream is cut off, one more if it goes on.
    """
    values = np.empty(n_bytes, np.uint8)
    n_found = 0
    while n_found < n_bytes:  # in blocks: zipfile and gzip make a copy of what they read at once
        n_read = stream.readinto(values.data[n_found : n_found + (1 << 20)])
        if not n_read:
            return values, n_found
        n_found += n_read
    # Reaching the end is also what makes zipfile and gzip compare the checksum.
    return values, n_found + len(stream.read(1))
