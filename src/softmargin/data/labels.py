"""Labels: their dtypes, labels in text, labels in a separate file, and labels as a model knows them."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.npy_header import map_npy
from softmargin.errors import DataError
from softmargin.text import pluralize, printable, quoted

__all__ = [
    "UNKNOWN", "Unlabelled", "as_labels", "check_words", "is_missing", "labels_like", "labels_of_words",
    "name_labels", "nfc", "read_labels", "written_twice",
]  # fmt: skip


class Unlabelled(DataError):
    """A sample has no label; a test part is left out then."""


_FIRST_MARK = 0x300
"""The first combining mark: text of smaller code points only is in the form NFC."""

BLANKS = " \t"
LABELS = ("label", "labels", "target", "targets", "y", "class", "classes", "category")
"""The usual names (in lower case) of a column of labels."""
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
"""A number without leading zeros: ``007`` is a word."""

MISSING = frozenset(("", "nan", "NaN", "NAN", "null", "NULL", "<NA>", "NaT", "#N/A"))
"""What programs write for a missing value, and hardly the name of a class."""

UNKNOWN = frozenset(("", "na", "n/a", "#n/a", "<na>", "null", "none", "?", "-", "--", ".", "missing"))
"""What is written (in lower case) where a number is missing; ``nan`` is a number.

As a label such a word may be the name of a class, such as the code of Namibia.
"""


def is_missing(word: str) -> bool:
    """Return whether a word may stand for a missing value, also ``nan``."""
    return word.strip(BLANKS).lower() in UNKNOWN | {"nan", "nat"}


def nfc(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in the Unicode form NFC, so that texts that look equal are equal; integers are kept.

    Parameters
    ----------
    labels : ndarray, shape (N,)

    Returns
    -------
    ndarray, shape (N,)
        The same array if nothing has to change.
    """
    if labels.dtype.kind != "U" or labels.ndim != 1 or labels.nbytes == 0:
        return labels
    native = np.ascontiguousarray(labels, labels.dtype.newbyteorder("="))
    if native.view(np.uint32).max() < _FIRST_MARK:
        return labels
    words, places = np.unique(native, return_inverse=True)
    forms = np.array([unicodedata.normalize("NFC", word) for word in words.tolist()], dtype=np.str_)
    return labels if np.array_equal(forms, words) else forms[places]


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
            looks = ", which looks like the target of a regression" if np.isfinite(array[row]) else ""
            raise DataError(
                f"{where} row {row}: labels must be integers or strings, got {array[row]}{looks}{advice}."
            )
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
        return as_labels(_lines(path, n_rows), n_rows, where)
    raise DataError(f"{where} has an unknown format of labels; expected .npy, or .txt with one label per line.")


def _lines(path: Path, n_rows: int) -> NDArray[Any]:
    """Read one label per line, as integers if possible (see `labels_of_words`); empty lines may follow."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{printable(path)} line {line} is not UTF-8 text.") from error
    # Not splitlines(), because a label may contain U+2028 or a form feed.
    lines = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")] if text else []
    if len(lines) == n_rows + 1 and lines[0].strip().lower() in LABELS:
        raise DataError(
            f"{printable(path)} must have one label per row of X, got a first line {quoted(lines[0])} like "
            f"the header of a column; remove it."
        )
    check_words(lines, lambda k: f"{printable(path)} line {k + 1}")
    return labels_of_words(lines, printable(path))


def check_words(words: Sequence[str], place: Callable[[int], str]) -> tuple[str, ...]:
    """Raise an error for the first missing label, and return notes about words that may be missing labels.

    Parameters
    ----------
    words : sequence of str
        Labels as they are in a file.
    place : callable
        ``place(k)`` is the place of label k in messages.

    Raises
    ------
    DataError
        A label is empty or a word that programs write for a missing value, such as ``NaN`` or ``null``.
    """
    distinct = dict.fromkeys(words)
    missing = {word for word in distinct if word.strip(BLANKS) in MISSING}
    if missing:
        k = next(k for k, word in enumerate(words) if word in missing)
        found = "the cell is empty"
        if words[k].strip(BLANKS):
            found = f"{quoted(words[k])} is a missing value; leave such rows out or rename the class"
        raise Unlabelled(f"{place(k)} has no label ({found}).")
    signs = {"-"} if "+" in distinct else set[str]()  # two classes, as in the files of UCI
    doubtful = [word for word in distinct if is_missing(word) and word not in signs]
    return tuple(f"the label {quoted(word)} is a class of its own, not a missing value" for word in doubtful)


def labels_of_words(words: list[str], where: str, advice: str = "") -> NDArray[Any]:
    """Return labels read from text: integers if all are, else the words.

    ``1``, ``1.0``, ``1e+00`` and ``+1`` are the same integer; ``007`` is a word. If all words are ``true`` or
    ``false``, in any case, they become 1 and 0 like the booleans of other formats.

    Raises
    ------
    DataError
        All labels are numbers, and one has a fraction or does not fit into int64.
    """
    distinct = dict.fromkeys(words)
    if distinct and all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", word) for word in distinct):
        return np.array(list(map(int, words)), dtype=np.int64)
    if distinct and all(word.lower() in ("true", "false") for word in distinct):
        return np.array([word.lower() == "true" for word in words], dtype=np.int64)
    if distinct and all(map(_NUMBER.fullmatch, distinct)) and any(set(word) & set(".eE+") for word in distinct):
        values = {word: _whole(word) for word in distinct}
        if None not in values.values():
            return np.array([values[word] for word in words], dtype=np.int64)
        return as_labels(np.array(list(map(float, words))), len(words), where, advice)
    return np.array(words, dtype=np.str_)


def written_twice(y: NDArray[Any]) -> tuple[str, ...]:
    """Return a note if labels that are words write an integer in two ways, such as ``1`` and ``01``."""
    if y.dtype.kind != "U":
        return ()
    values: dict[int, str] = {}
    for word in np.unique(y).tolist():
        value = _whole(word) if word[-1:].isdigit() else None
        if value is not None and values.setdefault(value, word) != word:
            return (f"the labels {quoted(values[value])} and {quoted(word)} are two classes",)
    return ()


def labels_like(y: NDArray[Any], classes: NDArray[Any], where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels as the classes of a model: 1, ``1``, ``1.0`` and (as a boolean) ``True`` are one label.

    Parameters
    ----------
    y, classes : ndarray, shape (N,) and (C,)
        Integers or strings.
    where : str
        The name of the labels in messages.

    Returns
    -------
    y : ndarray, shape (N,)
        Of the kind of the classes. A label that is not a class keeps its value.
    notes : tuple of str
        A message for the user if labels are written in another way than the classes.

    Raises
    ------
    DataError
        The classes are integers, and a label cannot be read as an integer.
    """
    are_words = classes.dtype.kind not in "biu"
    if not are_words and y.dtype.kind in "biu":
        return y, ()
    y = nfc(y)
    given, places = np.unique(y, return_inverse=True)
    if are_words:
        known: dict[Any, Any] = {unicodedata.normalize("NFC", str(name)): str(name) for name in classes.tolist()}
        values: dict[int | None, list[str]] = {}
        for name in known:
            values.setdefault(_whole(name), []).append(name)
        values.pop(None, None)
        unique = {value: known[names[0]] for value, names in values.items() if len(names) == 1}
        read = [known.get(str(label), unique.get(_whole(str(label)), str(label))) for label in given.tolist()]
        if y.dtype.kind == "U" and read == given.tolist():
            return y, ()
    else:
        read = [_whole(label) for label in given.tolist()]
        if None in read:
            is_wrong = np.array([value is None for value in read])[places]
            row, n = int(np.argmax(is_wrong)), int(is_wrong.sum())
            wrong = y[row]
            raise DataError(
                f"{where} row {row}: labels must be integers like the classes of the model, got "
                f"{quoted(str(wrong)[:40])} (in {pluralize(n, 'row')})."
            )
    pairs = [(str(a), str(b)) for a, b in zip(given.tolist(), read, strict=True) if str(a) != str(b)]
    notes = tuple(
        f"labels are read as the classes of the model ({quoted(a)} as {quoted(b)})" for a, b in pairs[:1]
    )
    return np.array(read, dtype=np.str_ if are_words else np.int64)[places], notes


def _whole(word: str) -> int | None:
    """Return the integer that a word stands for, also as ``1.0``, ``1e0`` or ``True``, or None."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", word):
        return int(word)
    if re.fullmatch(r"[+-]?[0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?", word) and abs(float(word)) < 2.0**63:
        value = Decimal(word)
        return int(value) if value == value.to_integral_value() else None
    return {"true": 1, "false": 0}.get(word.strip().lower())
