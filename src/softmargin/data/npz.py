"""Archives of NumPy, ``.npz``: features, labels and test part under the names in common use."""

import zipfile
import zlib
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

FORMAT = "a .npz file"
FEATURES = ("x", "features", "embeddings", "data", "images")
LABELS = ("y", "labels", "label", "targets", "target")
CLASSES = ("classes", "class_names", "target_names")

# Deflate cannot expand more than 1032 times, so a size declared beyond that is not true.
LARGEST_EXPANSION = 1032


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a file whose name ends in .npz."""
    return isinstance(source, Path) and source.suffix.lower() == ".npz" and source.is_file()


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Read an archive of arrays into memory.

    Names count in any case. Features are called ``X``, ``features``, ``embeddings``, ``data`` or ``images``,
    labels ``y``, ``label(s)`` or ``target(s)``; either all plain, or with ``train`` and ``test`` before or
    after (``X_train``, ``train_labels``). ``classes``, ``class_names`` or ``target_names`` turn integer
    labels into these names; ``feature_names`` are kept. Arrays that were left out are named in the notes.

    Raises
    ------
    DataError
        The archive is damaged or cut off, holds Python objects or a size that cannot be true, or no array, or
        more than one, is recognised as the features.
    """
    path = Path(source)
    if path.stat().st_size == 0:
        raise DataError(f"{shown(path)} is empty (0 bytes), expected an archive of NumPy arrays.")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError is how zipfile says that a password is needed, NotImplementedError an unknown
        # compression.
        raise DataError(f"{shown(path)} is damaged or not a .npz archive ({error}).") from error


def _read_archive(archive: zipfile.ZipFile, path: Path) -> Dataset:
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        if entry.filename.endswith(".npy"):
            key = entry.filename.removesuffix(".npy")
            if key.lower() in entries:
                raise DataError(f"{shown(path)} holds {shown(key)} twice, upper and lower case counting the same.")
            entries[key.lower()] = entry
    plain = _one_of(entries, FEATURES, path)
    train = _one_of(entries, _with_part(FEATURES, "train"), path)
    if plain and train:
        raise DataError(f"{shown(path)} holds both {plain} and {train}; expected one array of features.")
    if not plain and not train:
        raise DataError(
            f"{shown(path)} holds no array known as features; expected X or X_train "
            f"(or {', '.join(FEATURES[1:])}), "
            f"found {_listing(archive, entries, path)}."
        )
    used = set()

    def array(key: str) -> NDArray[Any]:
        used.add(key)
        return _read_entry(archive, entries[key], path)

    classes_key = _one_of(entries, CLASSES, path)
    classes = _names(array(classes_key), _where(path, classes_key)) if classes_key else None

    def part(features_key: str, labels_key: str | None, name: str, **more: Any) -> Dataset:
        X, image_shape = as_features(array(features_key), _where(path, features_key))
        y = None
        if labels_key:
            y = as_labels(array(labels_key), len(X), _where(path, labels_key))
            y = y if classes is None else _named(y, classes, _where(path, labels_key))
        return Dataset(X, y, name, image_shape=image_shape, **more)

    test = None
    test_key = _one_of(entries, _with_part(FEATURES, "test"), path)
    test_labels_key = _one_of(entries, _with_part(LABELS, "test"), path)
    labels_key = _one_of(entries, LABELS if plain else _with_part(LABELS, "train"), path)
    if test_key and test_labels_key and labels_key:
        test = part(test_key, test_labels_key, f"{path.stem} (test)")
    feature_names = None
    if "feature_names" in entries:
        feature_names = tuple(map(str, _names(array("feature_names"), _where(path, "feature_names"))))
    features_key = plain or train
    assert features_key is not None
    used.update(key for key in (features_key, labels_key) if key)
    left_out = [key for key in entries if key not in used]
    notes = (f"left out of {shown(path.name)}: {', '.join(map(shown, left_out))}",) if left_out else ()
    return part(features_key, labels_key, path.stem, test=test, feature_names=feature_names, notes=notes)


def _with_part(words: tuple[str, ...], part: str) -> tuple[str, ...]:
    return tuple(name for word in words for name in (f"{word}_{part}", f"{part}_{word}"))


def _one_of(entries: dict[str, zipfile.ZipInfo], names: tuple[str, ...], path: Path) -> str | None:
    found = [name for name in names if name in entries]
    if len(found) > 1:
        raise DataError(f"{shown(path)} holds both {found[0]} and {found[1]}; expected one of them.")
    return found[0] if found else None


def _where(path: Path, key: str) -> str:
    return f"{shown(path)}[{shown(key)}]"


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    where = _where(path, entry.filename.removesuffix(".npy"))
    n_stored = min(entry.compress_size, path.stat().st_size)
    if entry.file_size > LARGEST_EXPANSION * n_stored + 1024:
        raise DataError(
            f"{where} claims {entry.file_size:,} bytes, but its {n_stored:,} compressed bytes "
            f"cannot hold that many."
        )
    with archive.open(entry) as stream:
        header = read_npy_header(stream, entry.file_size, where)
        if header.n_bytes == 0:
            return np.empty(header.shape, header.dtype)
        values = np.empty(header.n_bytes, np.uint8)
        filled, view = 0, values.data
        while filled < len(values):
            n_read = stream.readinto(view[filled : filled + (1 << 20)])  # type: ignore[attr-defined]
            if not n_read:
                raise DataError(f"{where} is cut off after {filled:,} of {len(values):,} bytes of values.")
            filled += n_read
        stream.read(1)  # reaching the end is what makes zipfile compare the checksum
    return values.view(header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")


def _listing(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], path: Path) -> str:
    listed = []
    for entry in entries.values():
        key = entry.filename.removesuffix(".npy")
        with archive.open(entry) as stream:
            try:
                listed.append(f"{shown(key)} {read_npy_header(stream, entry.file_size, key).shape}")
            except DataError:
                listed.append(f"{shown(key)} (unreadable)")
    return ", ".join(listed) or "no array at all"


def _names(array: NDArray[Any], where: str) -> NDArray[np.str_]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise DataError(f"{where} must be a list of names, found {array.dtype} of shape {array.shape}.")
    return as_labels(array, len(array), where)


def _named(y: NDArray[Any], classes: NDArray[np.str_], where: str) -> NDArray[Any]:
    if y.dtype.kind == "U":
        return y
    outside = (y < 0) | (y >= len(classes))
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(f"{where} row {row}: label {y[row]} has no name, there are {len(classes)} class names.")
    named: NDArray[Any] = classes[y]
    return named
