"""Feature files of NumPy, ``.npy``: memory-mapped, with labels from another file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ImageShape, ReadOptions, as_features
from softmargin.data.embedded import stored_features
from softmargin.data.files import left_out, list_files, swap_word
from softmargin.data.labels import read_labels
from softmargin.data.npy_header import map_npy
from softmargin.errors import DataError
from softmargin.text import pluralize, printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "beside", "labels_beside", "read", "shard_files"]

FORMAT = "a .npy file (or a folder of .npy shards)"
OPTIONS = frozenset({"labels_file"})

# Words for features in the name of a file, and their replacements in the name of the file of labels.
LABEL_WORDS = (("x", "y"), ("X", "y"), ("X", "Y"), ("features", "labels"), ("embeddings", "labels"))


def accepts(path: Path) -> bool:
    """Return whether the source is a .npy file or a folder with such files."""
    return bool(list_files(path, ".npy")) or (path.suffix.lower() == ".npy" and path.is_file())


def read(path: Path, options: ReadOptions) -> Dataset:
    """Map a .npy file of features, and read its labels and its test set if they exist.

    X is memory-mapped read-only (big-endian values are converted in memory). Labels, unless only features are
    read, come from ``options.labels_file``, else from a file beside it whose name differs in one word: ``X.npy``
    and ``y.npy``, ``X_train.npy`` and ``y_train.npy``, ``NAME_X.npy`` or ``NAME.npy`` and ``NAME_y.npy``,
    ``features.npy`` or ``embeddings.npy`` and ``labels.npy``. The labels may also be a ``.txt`` file, and those of
    ``X.npy`` may be called ``labels``. If the name has the word ``train``, the files with ``test`` instead are the
    test set if both exist. The notes name the files that were found.

    Raises
    ------
    DataError
        A file is damaged or holds Python objects, or the sizes of the parts do not match.
    """
    if path.is_dir():
        return _read_shards(path, options)
    X, image_shape = _map_features(path)
    notes: list[str] = []
    labels_file = options.labels_file
    if labels_file is None and not options.only_features and (labels_file := labels_beside(path)) is not None:
        notes.append(f"labels read from {printable(labels_file.name)} beside {printable(path.name)}")
    y = None if labels_file is None else read_labels(labels_file, len(X), beside=path)

    test = None
    test_file = swap_word(path, "train", "test")
    if test_file is not None and test_file.is_file() and (y is not None or options.only_features):
        test_labels_file = None if options.only_features else labels_beside(test_file)
        if test_labels_file is not None or options.only_features:
            X_test, test_shape = _map_features(test_file)
            y_test, source = None, printable(test_file.name)
            if test_labels_file is not None:
                y_test = read_labels(test_labels_file, len(X_test), beside=test_file)
                source += f" and {printable(test_labels_file.name)}"
            test = Dataset(X_test, y_test, test_file.stem, image_shape=test_shape)
            notes.append(f"test set read from {source}")
    return Dataset(X, y, path.stem, image_shape=image_shape, test=test, notes=tuple(notes))


def beside(path: Path) -> list[Path]:
    """Return the files beside a .npy file that may be read with it: labels and test set."""
    test = swap_word(path, "train", "test")
    tests = [] if test is None else [test, labels_beside(test)]
    return [file for file in (labels_beside(path), *tests) if file is not None]


def _read_shards(folder: Path, options: ReadOptions) -> Dataset:
    """Concatenate the .npy files of a folder, in the order of their names (2 before 10), in memory.

    Labels come from ``options.labels_file`` (for all rows), else from a file beside each shard as for a single
    file. Files with the word ``test`` in their name are the test set of those with ``train``.
    """
    main, test, others = shard_files(folder)
    several = f"{pluralize(len(main), 'shard')} of {printable(folder.name)} joined in the order of their names"
    notes = [several] if len(main) > 1 else []
    notes += left_out(folder, [file.name for file in others])
    X, y, image_shape = _join(main, options.labels_file)
    held, stored = None, stored_features(folder, main)
    if test:
        X_test, y_test, test_shape = _join(test, None)
        if y_test is not None or options.only_features:
            origin = stored_features(folder, test)
            held = Dataset(X_test, y_test, f"{folder.name} (test)", image_shape=test_shape, stored=origin)
    return Dataset(X, y, folder.name, image_shape=image_shape, test=held, notes=tuple(notes), stored=stored)


def shard_files(folder: Path, suffix: str = ".npy") -> tuple[list[Path], list[Path], list[Path]]:
    """Return the shards of a folder, those of its test set if it has one, and files left out for its sake."""
    files = list_files(folder, suffix)
    labels = {labels_beside(file.with_suffix(".npy")) for file in files}
    shards = [file for file in files if file not in labels]
    train = [file for file in shards if swap_word(file, "train", "train")]
    test = [file for file in shards if swap_word(file, "test", "test") and file not in train]
    if not (train and test):
        return shards, [], []
    return train, test, [file for file in shards if file not in train and file not in test]


def _join(
    shards: list[Path], labels_file: Path | None
) -> tuple[NDArray[Any], NDArray[Any] | None, ImageShape | None]:
    mapped = [_map_shard(shard, n_shards=len(shards)) for shard in shards]
    first, image_shape = mapped[0]
    for shard, (X, shape) in zip(shards, mapped, strict=True):
        if (X.shape[1], X.dtype, shape) != (first.shape[1], first.dtype, image_shape):
            expected = f"{first.shape[1]} features of type {first.dtype} like {printable(shards[0])}"
            raise DataError(
                f"{printable(shard)} must have {expected}, got {X.shape[1]} of type {X.dtype} (.npy files "
                f"of a folder are read as shards)."
            )
    joined = np.concatenate([X for X, _ in mapped])
    folder = shards[0].parent
    if labels_file is not None:
        return joined, read_labels(labels_file, len(joined), beside=folder), image_shape
    found = [(shard, len(X), labels_beside(shard)) for shard, (X, _) in zip(shards, mapped, strict=True)]
    labels = [read_labels(file, n, shard) for shard, n, file in found if file is not None]
    if not labels:
        return joined, None, image_shape
    missing = next((shard for shard, _, file in found if file is None), None)
    if missing is not None:
        raise DataError(f"{printable(missing)} must have a file of labels beside it, as other shards have.")
    if len({part.dtype.kind for part in labels}) > 1:
        raise DataError(f"{printable(folder)}: the labels of all shards must have the same type.")
    return joined, np.concatenate(labels), image_shape


def _map_shard(path: Path, n_shards: int) -> tuple[NDArray[Any], ImageShape | None]:
    """Map one of several files, or raise an error that says why it is read."""
    array = map_npy(path)
    if n_shards > 1 and (array.ndim < 2 or array.dtype.kind not in "biuf"):
        raise DataError(
            f"{printable(path.parent)} must hold .npy files of features, which are read as shards, got "
            f"{array.dtype} of shape {array.shape} in {printable(path.name)}; give one file as the data."
        )
    return as_features(array, printable(path))


def _map_features(path: Path) -> tuple[NDArray[Any], ImageShape | None]:
    return as_features(map_npy(path), printable(path))


def labels_beside(path: Path) -> Path | None:
    """Return the file with the labels of a file of features, if there is one."""
    found = (swap_word(path, word, replacement) for word, replacement in LABEL_WORDS)
    files = [file for file in found if file is not None]
    files += [file.with_suffix(".txt") for file in files]
    files.append(path.with_name(f"{path.stem}_y.npy"))
    if path.stem.lower() == "x":
        files += [path.with_name(f"labels{suffix}") for suffix in (".npy", ".txt")]
    return next((file for file in files if file.is_file()), None)
