"""Feature files of NumPy, ``.npy``: memory-mapped, with labels given or found under the usual names."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import (
    Dataset,
    ReadOptions,
    as_features,
    counted,
    in_natural_order,
    listed,
    map_npy,
    shown,
    swap_word,
)
from softmargin.data.labels import read_labels
from softmargin.errors import DataError

__all__ = ["FORMAT", "OPTIONS", "accepts", "beside", "read"]

FORMAT = "a .npy file (or a folder of .npy shards)"
OPTIONS = frozenset({"labels"})

# The word of a file's name that says "features", and what stands in its place in the name of the labels.
LABEL_WORDS = {"x": ("y",), "X": ("y", "Y"), "features": ("labels",), "embeddings": ("labels",)}


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a file whose name ends in .npy, or a folder with such files in it."""
    if not isinstance(source, Path):
        return False
    return bool(listed(source, ".npy")) or (source.suffix.lower() == ".npy" and source.is_file())


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
    if path.is_dir():
        return _read_shards(path, options)
    X, image_shape = _map_features(path)
    notes: list[str] = []
    y = None
    labels_file = options.labels
    if labels_file is None:
        labels_file = _labels_beside(path)
        if labels_file is not None:
            notes.append(f"labels read from {shown(labels_file.name)} beside {shown(path.name)}")
    if labels_file is not None:
        y = read_labels(labels_file, len(X), beside=path)

    test = None
    test_file = swap_word(path, "train", "test")
    test_labels_file = None if test_file is None or y is None else _labels_beside(test_file)
    if test_file is not None and test_labels_file is not None and test_file.is_file():
        X_test, test_shape = _map_features(test_file)
        if X_test.shape[1] != X.shape[1]:
            raise DataError(
                f"{shown(test_file)} has {X_test.shape[1]} features, {shown(path)} has {X.shape[1]}; "
                f"the test part must have the same."
            )
        y_test = read_labels(test_labels_file, len(X_test), beside=test_file)
        test = Dataset(X_test, y_test, test_file.stem, image_shape=test_shape)
        notes.append(f"test part read from {shown(test_file.name)} and {shown(test_labels_file.name)}")
    return Dataset(X, y, path.stem, image_shape=image_shape, test=test, notes=tuple(notes))


def beside(path: Path) -> list[Path]:
    """Return the files beside a .npy file that may be read with it: labels and the test part."""
    test = swap_word(path, "train", "test")
    tests = [] if test is None else [test, _labels_beside(test)]
    return [file for file in (_labels_beside(path), *tests) if file is not None]


def _read_shards(folder: Path, options: ReadOptions) -> Dataset:
    """Join the .npy files of a folder, in the order of their names (2 before 10), into one array in memory.

    Labels come from ``options.labels`` (for all rows), else from a file beside each shard as for a single file.
    Files with the word ``test`` in their name are the test part of those with ``train``.
    """
    files = in_natural_order(listed(folder, ".npy"))
    labels = {_labels_beside(file) for file in files} - {None}
    shards = [file for file in files if file not in labels]
    parts: dict[str, list[Path]] = {"train": [], "test": [], "": []}
    for file in shards:
        parts[next(word for word in parts if not word or swap_word(file, word, word) is not None)].append(file)
    main = parts["train"] if parts["train"] and parts["test"] else []
    aside = parts["test"] if main else []
    left_out = parts[""] if main else []
    main = main or shards
    notes = [f"{counted(len(main), 'shard')} of {shown(folder.name)} joined in the order of their names"]
    if left_out:
        notes.append(f"left out of {shown(folder.name)}: {', '.join(shown(file.name) for file in left_out)}")
    X, y, image_shape = _joined(main, options.labels)
    test = None
    if aside:
        X_test, y_test, test_shape = _joined(aside, None)
        if y_test is not None:
            test = Dataset(X_test, y_test, f"{folder.name} (test)", image_shape=test_shape)
    return Dataset(X, y, folder.name, image_shape=image_shape, test=test, notes=tuple(notes))


def _joined(
    shards: list[Path], labels_file: Path | None
) -> tuple[NDArray[Any], NDArray[Any] | None, tuple[int, int, int] | None]:
    mapped = [_map_features(shard) for shard in shards]
    first, image_shape = mapped[0]
    for shard, (X, shape) in zip(shards, mapped, strict=True):
        if (X.shape[1], X.dtype, shape) != (first.shape[1], first.dtype, image_shape):
            raise DataError(
                f"{shown(shard)} has {X.shape[1]} features of type {X.dtype}, {shown(shards[0])} has "
                f"{first.shape[1]} of type {first.dtype}; all shards must have the same."
            )
    joined = np.concatenate([X for X, _ in mapped])
    if labels_file is not None:
        return joined, read_labels(labels_file, len(joined), beside=shards[0].parent), image_shape
    beside = {shard: _labels_beside(shard) for shard in shards}
    found = [file for file in beside.values() if file is not None]
    if not found:
        return joined, None, image_shape
    missing = [shard for shard, file in beside.items() if file is None]
    if missing:
        raise DataError(f"{shown(missing[0])} has no labels beside it, but other shards have; all or none must.")
    labels = [read_labels(beside[s], len(X), s) for s, (X, _) in zip(shards, mapped, strict=True)]  # type: ignore[arg-type]
    if len({part.dtype.kind for part in labels}) > 1:
        raise DataError(f"{shown(shards[0].parent)} has labels of different types in its shards; expected one.")
    return joined, np.concatenate(labels), image_shape


def _map_features(path: Path) -> tuple[NDArray[Any], tuple[int, int, int] | None]:
    return as_features(map_npy(path), shown(path))


def _labels_beside(path: Path) -> Path | None:
    found = (
        candidate
        for word, replacements in LABEL_WORDS.items()
        for replacement in replacements
        if (candidate := swap_word(path, word, replacement)) is not None and candidate.is_file()
    )
    return next(found, None)
