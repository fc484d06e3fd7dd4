"""Sparse text in the format of SVMlight and LIBSVM: ``label index:value index:value … # comment``."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.data.labels import labels_of_words
from softmargin.errors import DataError
from softmargin.text import pluralize, printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "chunks", "read"]

FORMAT = "a .svm, .libsvm or .svmlight file"
OPTIONS = frozenset({"n_features"})
SUFFIXES = (".svm", ".libsvm", ".svmlight")
BLOCK_BYTES = 1 << 20
LARGEST_INDEX = 2**31 - 1

NUMBER = rb"[+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
LABEL = rb"[^\S\n]*+[+-]?[0-9.]++"
LINES = re.compile(rb"(?:(?:" + LABEL + rb"(?:[^\S\n]++[0-9]{1,10}+:" + NUMBER + rb")*)?+[^\S\n]*+(?:\n|\Z))*+")
"""A block of valid lines. Entries are not repeated possessively: Python 3.11.2 would accept "1 2:"."""


class _Rows(NamedTuple):
    labels: list[bytes]
    lengths: NDArray[np.int64]
    indices: NDArray[np.int64]
    values: NDArray[np.float64]


def accepts(path: Path) -> bool:
    """Return whether the source is a .svm, .libsvm or .svmlight file."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read a file into a sparse matrix of float64; empty lines, comments and ``qid:`` are ignored.

    Indices start at 1 and may be in any order, but must be unique within a line. D is ``options.n_features``, by
    default the largest index; entries with larger indices are left out, with a note. Labels are integers.

    Raises
    ------
    DataError
        A line is invalid; the message names the line and the problem.
    """
    parts = list(_parts(path))
    labels = [label for part in parts for label in part.labels]
    arrays = (np.concatenate(arrays) for arrays in list(zip(*parts, strict=True))[1:])
    rows, notes = _cut(path, _Rows(labels, *arrays), options.n_features)
    return replace(_dataset(path, rows, options.n_features), notes=notes)


def chunks(path: Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the same rows in chunks of about 1 MB; ``options.n_features`` is required."""
    is_told = False
    for part in _parts(path):
        if part.labels:
            rows, notes = _cut(path, part, options.n_features)
            yield replace(_dataset(path, rows, options.n_features), notes=() if is_told else notes)
            is_told = is_told or bool(notes)


def _cut(path: Path, rows: _Rows, n_features: int | None) -> tuple[_Rows, tuple[str, ...]]:
    """Return the rows without the features that training did not have, and a note about them."""
    if n_features is None or not (rows.indices > n_features).any():
        return rows, ()
    kept = rows.indices <= n_features
    ends = np.concatenate([[0], np.cumsum(kept)])[np.concatenate([[0], np.cumsum(rows.lengths)])]
    n_cut = len(np.unique(rows.indices[~kept]))
    note = (
        f"{pluralize(n_cut, 'feature')} of {printable(path.name)} beyond the {n_features:,} of the training data "
    )
    note += f"{'is' if n_cut == 1 else 'are'} ignored (the first is {rows.indices[~kept].min()})"
    return _Rows(rows.labels, np.diff(ends), rows.indices[kept], rows.values[kept]), (note,)


def _dataset(path: Path, rows: _Rows, n_features: int | None) -> Dataset:
    largest = int(rows.indices.max()) if rows.indices.size else 0
    if largest == 0 and n_features is None:
        raise DataError(f"{printable(path)} must have at least one feature, got no index:value pairs.")
    indptr = np.concatenate([[0], np.cumsum(rows.lengths)])
    narrow = np.int32 if max(largest, len(rows.indices)) <= LARGEST_INDEX else np.int64
    shape = (len(rows.labels), largest if n_features is None else n_features)
    X = scipy.sparse.csr_array(
        (rows.values, (rows.indices - 1).astype(narrow), indptr.astype(narrow)), shape=shape
    )
    X.sort_indices()
    y = labels_of_words([label.decode().removeprefix("+") for label in rows.labels], printable(path))
    if y.dtype.kind == "U" and y.size:
        row = next(k for k, label in enumerate(y.tolist()) if not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", label))
        raise DataError(f"{printable(path)} row {row}: labels must be integers, got {printable(y[row])}.")
    return Dataset(X, y.astype(np.int64), path.stem)


def _parts(path: Path) -> Iterator[_Rows]:
    with path.open("rb") as stream:
        n_read = 0
        while lines := stream.readlines(BLOCK_BYTES):
            yield _parse(b"".join(lines), path, n_read + 1)
            n_read += len(lines)


def _parse(block: bytes, path: Path, line: int) -> _Rows:
    if b"#" in block or b"qid:" in block:
        block = re.sub(rb"#[^\n]*", b"", block)
        block = re.sub(rb"(?m)^([^\S\n]*\S+[^\S\n]+)qid:[0-9]+(?=\s|\Z)", rb"\1", block)
    lines = block.split(b"\n")
    if LINES.fullmatch(block) is None:
        for k, text in enumerate(lines, line):
            _check_line(text, f"{printable(path)} line {k}")
    used = [k for k, text in enumerate(lines) if text.strip()]
    labels = [lines[k].split(None, 1)[0] for k in used]
    lengths = np.array([lines[k].count(b":") for k in used], dtype=np.int64)
    entries = re.sub(rb"(?m)^" + LABEL, b"", block).replace(b":", b" ")
    # An index has at most ten digits, so float64 represents it exactly.
    numbers = np.fromstring(entries, sep=" ") if lengths.any() else np.empty(0)
    indices, values = numbers[::2].astype(np.int64), numbers[1::2]
    _check_entries(indices, values, lengths, line + np.array(used, dtype=np.int64), path)
    return _Rows(labels, lengths, indices, values)


def _check_line(text: bytes, where: str) -> None:
    """Raise a `DataError` if a line is invalid."""
    label, *entries = text.split() or [b"0"]
    if re.fullmatch(LABEL, label) is None:
        raise DataError(f"{where} starts with {_short(label)}; expected an integer label.")
    for entry in entries:
        index, _, value = entry.partition(b":")
        if re.fullmatch(rb"[0-9]{1,10}", index) is None or re.fullmatch(NUMBER, value) is None:
            raise DataError(
                f"{where} has the entry {_short(entry)}; expected index:value, an integer and a number."
            )


def _short(word: bytes) -> str:
    return printable(word[:40].decode("ascii", "backslashreplace"))


def _check_entries(
    indices: NDArray[np.int64],
    values: NDArray[np.float64],
    lengths: NDArray[np.int64],
    lines: NDArray[np.int64],
    path: Path,
) -> None:
    """Raise a `DataError` for index 0, duplicate indices in a line, and indices or values that are too large."""

    def where(entry: int) -> str:
        row = int(np.searchsorted(np.cumsum(lengths), entry, side="right"))
        return f"{printable(path)} line {lines[row]}"

    if (zero := np.flatnonzero(indices == 0)).size:
        advice = "in scikit-learn, use dump_svmlight_file(…, zero_based=False)"
        raise DataError(f"{where(zero[0])} has index 0, but indices must start at 1; {advice}.")
    if (large := np.flatnonzero(indices > LARGEST_INDEX)).size:
        index = indices[large[0]]
        raise DataError(f"{where(large[0])} has index {index}, but the largest allowed is {LARGEST_INDEX}.")
    if (infinite := np.flatnonzero(~np.isfinite(values))).size:
        index = indices[infinite[0]]
        raise DataError(f"{where(infinite[0])} has a value outside the range of float64 at index {index}.")
    rows = np.repeat(np.arange(len(lengths)), lengths)
    if not ((np.diff(rows) == 0) & (np.diff(indices) <= 0)).any():
        return  # sorted, as usual
    order = np.lexsort((indices, rows))
    same = (np.diff(rows[order]) == 0) & (np.diff(indices[order]) == 0)
    if same.any():
        entry = int(order[1:][same].min())
        raise DataError(f"{where(entry)} has index {indices[entry]} twice; expected unique indices per line.")
