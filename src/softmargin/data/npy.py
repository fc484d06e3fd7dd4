"""Feature files of NumPy, ``.npy``: memory-mapped, with labels given or found under the usual names."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import (
    Dataset,
    ReadOptions,
    as_features,
    as_labels,
    read_npy_header,
    shown,
)
from softmargin.errors import DataError

__all__ = ["FORMAT", "accepts", "read"]

FORMAT = "a .npy file"

# The word of a file's name that says "features", and what stands in its place in the name of the labels.
LABEL_WORDS = {"x": ("y",), "X": ("y", "Y"), "features": ("labels",), "embeddings": ("labels",)}


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a file whose name ends in .npy."""
    return isinstance(source, Path) and source.suffix.lower() == ".npy" and source.is_file()


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Map a .npy file of features, and read its labels and its test part if they are there.

    X stays on disk and is mapped read-only (big-endian values are converted, in memory). Labels come from
    ``options.labels``, else from a file beside it whose name differs in one word: ``X.npy`` and ``y.npy``,
    ``X_train.npy`` and ``y_train.npy``, ``NAME_X.npy`` and ``NAME_y.npy``, ``features.npy`` or
    ``embeddings.npy`` and ``labels.npy``. With a word ``train`` in the name, the files with ``test`` instead
    are the test part if both are there. What was found this way is said in the notes.

    Raises
    ------
    DataError
        A file is damaged, holds Python objects, or the parts do not fit each other.
    """
    path = Path(source)
    X, image_shape = _map_features(path)
    notes: list[str] = []
    y = None
    labels_file = options.labels
    if labels_file is None:
        labels_file = _labels_beside(path)
        if labels_file is not None:
            notes.append(f"labels read from {shown(labels_file.name)} beside {shown(path.name)}")
    if labels_file is not None:
        y = _read_labels(labels_file, len(X), beside=path)

    test = None
    test_file = _swap_word(path, "train", "test")
    test_labels_file = None if test_file is None or y is None else _labels_beside(test_file)
    if test_file is not None and test_labels_file is not None and test_file.is_file():
        X_test, test_shape = _map_features(test_file)
        if X_test.shape[1] != X.shape[1]:
            raise DataError(
                f"{shown(test_file)} has {X_test.shape[1]} features, {shown(path)} has {X.shape[1]}; "
                f"the test part must have the same."
            )
        y_test = _read_labels(test_labels_file, len(X_test), beside=test_file)
        test = Dataset(X_test, y_test, test_file.stem, image_shape=test_shape)
        notes.append(f"test part read from {shown(test_file.name)} and {shown(test_labels_file.name)}")
    return Dataset(X, y, path.stem, image_shape=image_shape, test=test, notes=tuple(notes))


def _map_features(path: Path) -> tuple[NDArray[Any], tuple[int, int, int] | None]:
    return as_features(_map(path), shown(path))


def _map(path: Path) -> NDArray[Any]:
    with path.open("rb") as stream:
        header = read_npy_header(stream, path.stat().st_size, shown(path))
        if header.n_bytes == 0:  # nothing to map, and mmap refuses a length of 0
            return np.empty(header.shape, header.dtype)
        order = "F" if header.fortran_order else "C"
        return np.memmap(stream, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload]


def _labels_beside(path: Path) -> Path | None:
    found = (
        candidate
        for word, replacements in LABEL_WORDS.items()
        for replacement in replacements
        if (candidate := _swap_word(path, word, replacement)) is not None and candidate.is_file()
    )
    return next(found, None)


def _swap_word(path: Path, word: str, replacement: str) -> Path | None:
    """Replace one word of the stem, words being divided by ``_``, ``-`` or ``.``; None if it is not there."""
    stem, n_found = re.subn(rf"(?<![^_.\-]){word}(?![^_.\-])", replacement, path.stem)
    return path.with_name(stem + path.suffix) if n_found == 1 else None


def _read_labels(path: Path, n_rows: int, beside: Path) -> NDArray[Any]:
    where = shown(path)
    if not path.exists():
        raise DataError(f"{where} does not exist; expected the labels of {shown(beside)}.")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return as_labels(_map(path), n_rows, where)
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
    if lines and all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", line) for line in lines):
        return np.array([int(line) for line in lines], dtype=np.int64)
    return np.array(lines, dtype=np.str_)
