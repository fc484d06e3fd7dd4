"""What files of named arrays share (``.npz``, safetensors): which array is what, by the names in common use."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, as_features
from softmargin.data.files import left_out
from softmargin.data.labels import as_labels, name_labels, read_labels
from softmargin.errors import DataError, ParameterError
from softmargin.text import printable

__all__ = ["FEATURES", "dataset_of", "part_of", "where_in", "with_labels"]

FEATURES = ("x", "features", "embeddings", "data", "images")
LABELS = ("y", "labels", "label", "targets", "target")
CLASSES = ("classes", "class_names", "target_names")
FEATURE_NAMES = "feature_names"


def dataset_of(
    path: Path, names: Iterable[str], load: Callable[[str], NDArray[Any]], listing: Callable[[], str]
) -> Dataset:
    """Make the data set of a file of arrays; only the arrays that belong to it are loaded.

    Names count in any case. Features are called ``X``, ``features``, ``embeddings``, ``data`` or ``images``,
    labels ``y``, ``label(s)`` or ``target(s)``; either all plain, or with ``train`` and ``test`` before or
    after (``X_train``, ``train_labels``). ``classes``, ``class_names`` or ``target_names`` turn integer
    labels into these names; ``feature_names`` are kept. Arrays that were left out are named in the notes.

    Parameters
    ----------
    path : Path
    names : iterable of str
        The arrays that are there.
    load : callable
        Returns the array of a name.
    listing : callable
        Says what is there, for the message that nothing is recognised.

    Raises
    ------
    DataError
        No array, or more than one, is recognised as the features, or the parts do not fit each other.
    """
    entries: dict[str, str] = {}
    for name in names:
        if name.lower() in entries:
            raise DataError(
                f"{printable(path)} holds {printable(name)} twice, upper and lower case counting the same."
            )
        entries[name.lower()] = name
    plain = _one_of(entries, FEATURES, path)
    train = _one_of(entries, _with_part(FEATURES, "train"), path)
    if plain and train:
        raise DataError(f"{printable(path)} holds both {plain} and {train}; expected one array of features.")
    if not plain and not train:
        raise DataError(
            f"{printable(path)} holds no array known as features; expected X or X_train "
            f"(or {', '.join(FEATURES[1:])}), found {listing()}."
        )
    used = set()

    def array(key: str) -> NDArray[Any]:
        used.add(key)
        return load(entries[key])

    classes_key = _one_of(entries, CLASSES, path)
    classes = _names(array(classes_key), where_in(path, classes_key)) if classes_key else None

    def part(features_key: str, labels_key: str | None, name: str, **more: Any) -> Dataset:
        X, image_shape = as_features(array(features_key), where_in(path, features_key))
        y = None
        if labels_key:
            where = where_in(path, labels_key)
            y = as_labels(array(labels_key), len(X), where)
            y = y if classes is None else name_labels(y, classes, where)
        return Dataset(X, y, name, image_shape=image_shape, **more)

    test = None
    test_key = _one_of(entries, _with_part(FEATURES, "test"), path)
    test_labels_key = _one_of(entries, _with_part(LABELS, "test"), path)
    labels_key = _one_of(entries, LABELS if plain else _with_part(LABELS, "train"), path)
    if test_key and test_labels_key and labels_key:
        test = part(test_key, test_labels_key, f"{path.stem} (test)")
    feature_names = None
    if FEATURE_NAMES in entries:
        feature_names = tuple(map(str, _names(array(FEATURE_NAMES), where_in(path, FEATURE_NAMES))))
    features_key = plain or train
    assert features_key is not None
    used.update(key for key in (features_key, labels_key) if key)
    notes = left_out(path, [key for key in entries if key not in used])
    return part(features_key, labels_key, path.stem, test=test, feature_names=feature_names, notes=notes)


def with_labels(dataset: Dataset, labels: Path | None, path: Path) -> Dataset:
    """Add the labels of another file, if one is given, to a data set that has none."""
    if labels is None:
        return dataset
    if dataset.y is not None:
        raise ParameterError(f"labels= is for a file without labels, but {printable(path)} holds its own.")
    return replace(dataset, y=read_labels(labels, dataset.n_samples, beside=path))


def part_of(names: Iterable[str]) -> bool:
    """Tell whether one of these is the name of features."""
    known = {*FEATURES, *_with_part(FEATURES, "train")}
    return any(name.lower() in known for name in names)


def where_in(path: Path, name: str) -> str:
    """Name an array of a file in messages."""
    return f"{printable(path)}[{printable(name)}]"


def _with_part(words: tuple[str, ...], part: str) -> tuple[str, ...]:
    return tuple(name for word in words for name in (f"{word}_{part}", f"{part}_{word}"))


def _one_of(entries: dict[str, str], names: tuple[str, ...], path: Path) -> str | None:
    found = [name for name in names if name in entries]
    if len(found) > 1:
        raise DataError(f"{printable(path)} holds both {found[0]} and {found[1]}; expected one of them.")
    return found[0] if found else None


def _names(array: NDArray[Any], where: str) -> NDArray[np.str_]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise DataError(f"{where} must be a list of names, found {array.dtype} of shape {array.shape}.")
    return as_labels(array, len(array), where)
