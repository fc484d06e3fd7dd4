"""Labels: their types, those that come as text, and those in a file of their own."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.npy_header import map_npy
from softmargin.errors import DataError
from softmargin.text import pluralize, printable

__all__ = ["as_labels", "labels_of_words", "name_labels", "plain_integers", "read_labels"]


def as_labels(array: NDArray[Any], n_rows: int, where: str, advice: str = "") -> NDArray[Any]:
    """Check labels and bring them to integers or strings, one a row of X.

    Parameters
    ----------
    array : ndarray, shape (N,) or (N, 1)
        Integers and strings stay as they are, booleans and integral floats become int64, byte strings are
        read as UTF-8.
    n_rows : int
        Rows of X.
    where : str
        Words that name the labels in messages.
    advice : str
        Last sentence of the error message for a label that is not an integer.

    Raises
    ------
    DataError
        Another shape, another number of rows, a label that is NaN or has a fraction, or another type.
    """
    # Never a memmap or a view of one: labels are small, and a mapped file may change under us.
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{where} has shape {array.shape}; labels must be ({n_rows},) or ({n_rows}, 1).")
    if len(array) != n_rows:
        raise DataError(
            f"{where} has {pluralize(len(array), 'label')} for {pluralize(n_rows, 'row')} of X; "
            f"every row needs exactly one."
        )
    kind = array.dtype.kind
    if kind == "f":
        # 2**63 itself does not fit into int64, and NaN fails every comparison.
        usable = (np.abs(array) < 2.0**63) & (array == np.floor(array))
        if not usable.all():
            row = int(np.argmin(usable))
            raise DataError(f"{where} row {row}: the label {array[row]} is not a whole number{advice}.")
        return array.astype(np.int64)
    if kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} has byte strings that are not UTF-8.") from error
    if kind == "b":
        return array.astype(np.int64)
    if kind not in "iuU":
        raise DataError(f"{where} has type {array.dtype}; labels must be integers or strings.")
    return array.astype(array.dtype.newbyteorder("="))


def name_labels(y: NDArray[Any], names: NDArray[np.str_], where: str) -> NDArray[Any]:
    """Return the names of integer labels 0, 1, …; labels that are strings stay as they are.

    Raises
    ------
    DataError
        A label has no name.
    """
    if y.dtype.kind == "U":
        return y
    outside = (y < 0) | (y >= len(names))
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(f"{where} row {row}: label {y[row]} has no name, there are {len(names)} class names.")
    named: NDArray[Any] = names[y]
    return named


def read_labels(path: Path, n_rows: int, beside: Path) -> NDArray[Any]:
    """Read the labels of another file from a ``.npy`` file, or from a ``.txt`` file with one label a line.

    Raises
    ------
    DataError
        The file is missing, damaged or of another format, or has another number of labels.
    """
    where = printable(path)
    if not path.exists():
        raise DataError(f"{where} does not exist; expected the labels of {printable(beside)}.")
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
        raise DataError(f"{printable(path)} line {line} is not UTF-8 text.") from error
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


def labels_of_words(words: list[str], where: str, advice: str = "") -> NDArray[Any]:
    """Return labels that were text: integers if all are, or numbers with a point that are whole; else words."""
    labels = plain_integers(words)
    if labels.dtype.kind == "U" and words and all(re.fullmatch(r"-?[0-9]+\.[0-9]*", word) for word in words):
        return as_labels(np.array([float(word) for word in words]), len(words), where, advice)
    return labels
