"""Labels: their dtypes, labels in text, and labels in a separate file."""

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
    """Check labels, one per row of X, and convert them to integers or strings.

    Parameters
    ----------
    array : ndarray, shape (N,) or (N, 1)
        Integers and strings are kept, booleans and integral floats become int64, byte strings are decoded as
        UTF-8.
    n_rows : int
        Number of rows of X.
    where : str
        The name of the labels in messages.
    advice : str
        End of the error message for a label that is not an integer.

    Raises
    ------
    DataError
        The shape or the number of labels is wrong, a label is NaN or has a fraction, or the dtype is another.
    """
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{where}: labels must have shape ({n_rows},) or ({n_rows}, 1), got {array.shape}.")
    if len(array) != n_rows:
        found = f"{pluralize(len(array), 'label')} for {pluralize(n_rows, 'row')}"
        raise DataError(f"{where} has {found} of X; expected one label per row.")
    kind = array.dtype.kind
    if kind == "f":
        # 2**63 itself does not fit into int64, and NaN fails every comparison.
        usable = (np.abs(array) < 2.0**63) & (array == np.floor(array))
        if not usable.all():
            row = int(np.argmin(usable))
            raise DataError(f"{where} row {row}: labels must be integers or strings, got {array[row]}{advice}.")
    elif kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} contains byte strings that are not UTF-8.") from error
    elif kind not in "biuU":
        raise DataError(f"{where}: labels must be integers or strings, got dtype {array.dtype}.")
    # Always a copy: labels are small, and a mapped file may change.
    return array.astype(np.int64 if kind in "fb" else array.dtype.newbyteorder("="))


def name_labels(y: NDArray[Any], names: NDArray[np.str_], where: str) -> NDArray[Any]:
    """Return the names of integer labels 0, 1, …; labels that are strings are kept.

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
        raise DataError(f"{where} row {row}: label {y[row]} is not an index of the {len(names)} class names.")
    return np.asarray(names[y])


def read_labels(path: Path, n_rows: int, beside: Path) -> NDArray[Any]:
    """Read labels from a ``.npy`` file, or from a ``.txt`` file with one label per line.

    Raises
    ------
    DataError
        The file is missing, damaged or of another format, or has the wrong number of labels.
    """
    where = printable(path)
    if not path.exists():
        raise DataError(f"{where} does not exist; expected the labels of {printable(beside)}.")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return as_labels(map_npy(path), n_rows, where)
    if suffix == ".txt":
        return as_labels(_lines(path), n_rows, where)
    raise DataError(f"{where} has an unknown format of labels; expected .npy, or .txt with one label per line.")


def _lines(path: Path) -> NDArray[Any]:
    """Read one label per line, as integers if possible (see `plain_integers`)."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{printable(path)} line {line} is not UTF-8 text.") from error
    # Not splitlines(), because a label may contain U+2028 or a form feed.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    return plain_integers(lines)


def plain_integers(words: list[str]) -> NDArray[Any]:
    """Return integers if each word is an integer in its usual form (``007`` is not), else the words.

    If all words are ``true`` or ``false``, in any case, they become 1 and 0 like the booleans of other formats.
    """
    if words and all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", word) for word in words):
        return np.array([int(word) for word in words], dtype=np.int64)
    if words and all(word.lower() in ("true", "false") for word in words):
        return np.array([word.lower() == "true" for word in words], dtype=np.int64)
    return np.array(words, dtype=np.str_)


def labels_of_words(words: list[str], where: str, advice: str = "") -> NDArray[Any]:
    """Return labels read from text: integers if all words are integers (also as ``1.0``), else the words."""
    labels = plain_integers(words)
    if labels.dtype.kind == "U" and words and all(re.fullmatch(r"-?[0-9]+\.[0-9]*", word) for word in words):
        return as_labels(np.array([float(word) for word in words]), len(words), where, advice)
    return labels
