"""Labels that come as text, or in a file of their own."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import as_labels, map_npy, shown
from softmargin.errors import DataError

__all__ = ["plain_integers", "read_labels"]


def read_labels(path: Path, n_rows: int, beside: Path) -> NDArray[Any]:
    """Read the labels of another file from a ``.npy`` file, or from a ``.txt`` file with one label a line.

    Raises
    ------
    DataError
        The file is missing, damaged or of another format, or has another number of labels.
    """
    where = shown(path)
    if not path.exists():
        raise DataError(f"{where} does not exist; expected the labels of {shown(beside)}.")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return as_labels(map_npy(path), n_rows, where)
    if suffix == ".txt":
        return as_labels(_lines(path), n_rows, where)
    raise DataError(f"{where} is of no known format for labels; expected .npy, or .txt with one label a line.")


def _lines(path: Path) -> NDArray[Any]:
    """Read one label a line; integers if every line is one in its plain form (``007`` stays a string)."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{shown(path)} line {line} is not UTF-8 text.") from error
    # Not splitlines(): a label may hold U+2028 or a form feed.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    return plain_integers(lines)


def plain_integers(words: list[str]) -> NDArray[Any]:
    """Return integers if every word is one in its plain form (``007`` stays a string), else the words.

    Words that are all ``true`` or ``false``, in any case, become 1 and 0, as the booleans of other formats do.
    """
    if words and all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", word) for word in words):
        return np.array([int(word) for word in words], dtype=np.int64)
    if words and all(word.lower() in ("true", "false") for word in words):
        return np.array([word.lower() == "true" for word in words], dtype=np.int64)
    return np.array(words, dtype=np.str_)
