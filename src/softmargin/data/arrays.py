"""Files of named arrays (``.npz``, safetensors): find features and labels by their usual names."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ReadOptions, as_features
from softmargin.data.files import check_unique, left_out
from softmargin.data.labels import as_labels, name_labels, read_labels
from softmargin.data.parts import marks_unlabelled
from softmargin.errors import DataError, ParameterError
from softmargin.text import printable

__all__ = ["FEATURES", "dataset_of", "has_features", "where_in", "with_labels"]

FEATURES = ("x", "features", "embeddings", "data", "images")
LABELS = ("y", "labels", "label", "targets", "target")
CLASSES = ("classes", "class_names", "target_names")
FEATURE_NAMES = "feature_names"


def dataset_of(
    path: Path,
    names: Iterable[str],
    load: Callable[[str], NDArray[Any]],
    listing: Callable[[], str],
    options: ReadOptions,
) -> Dataset:
    """Return the data set of a file of arrays; only the arrays that it uses are loaded.

    Names are case-insensitive. Features are called ``X``, ``features``, ``embeddings``, ``data`` or ``images``,
    labels ``y``, ``label(s)`` or ``target(s)``; either all plain, or with ``train`` and ``test`` before or
    after (``X_train``, ``train_labels``). ``classes``, ``class_names`` or ``target_names`` replace integer
    labels by these names; ``feature_names`` are kept. The notes list the arrays that are not used.

    Parameters
    ----------
    path : Path
    names : iterable of str
        Names of the arrays.
    load : callable
        Returns the array of a name.
    listing : callable
        Describes the arrays, for the message that none is recognised.
    options : ReadOptions
        With ``only_features``, the test set needs no labels.

    Raises
    ------
    DataError
        No array, or more than one, is recognised as the features, or the parts do not match.
    """
    names = list(names)
    check_unique((name.lower() for name in names), printable(path), "array")
    entries = {name.lower(): name for name in names}
    plain = _one_of(entries, FEATURES, path)
    features_key = _one_of(entries, ([plain] if plain else []) + _with_part(FEATURES, "train"), path)
    if features_key is None:
        expected = f"expected X or X_train (or {', '.join(FEATURES[1:])})"
        raise DataError(f"{printable(path)} has no array of features; {expected}, got {listing()}.")
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
    if test_key and ((test_labels_key and labels_key) or options.only_features):
        test = part(test_key, test_labels_key, f"{path.stem} (test)")
    unlabelled = not options.only_features and test is not None and test.y is not None and marks_unlabelled(test.y)
    if unlabelled:
        test = None
    feature_names = None
    if FEATURE_NAMES in entries:
        feature_names = tuple(map(str, _names(array(FEATURE_NAMES), where_in(path, FEATURE_NAMES))))
    data = part(features_key, labels_key, path.stem, test=test, feature_names=feature_names)
    unused = [key for key in entries if key not in used]
    unused += [f"{test_key} (no labels: all are -1)"] if unlabelled else []
    return replace(data, notes=left_out(path, unused))


def with_labels(dataset: Dataset, labels: Path | None, path: Path) -> Dataset:
    """Add the labels of another file, if given, to a data set without labels."""
    if labels is None:
        return dataset
    if dataset.y is not None:
        raise ParameterError(f"labels_file= is only for a file without labels, but {printable(path)} has labels.")
    return replace(dataset, y=read_labels(labels, dataset.n_samples, beside=path))


def has_features(names: Iterable[str]) -> bool:
    """Return whether one of these is a name of features."""
    return not {*FEATURES, *_with_part(FEATURES, "train")}.isdisjoint(name.lower() for name in names)


def where_in(path: Path, name: str) -> str:
    """Return the name of an array in a file, for messages."""
    return f"{printable(path)}[{printable(name)}]"


def _with_part(words: Iterable[str], part: str) -> list[str]:
    return [name for word in words for name in (f"{word}_{part}", f"{part}_{word}")]


def _one_of(entries: dict[str, str], names: Iterable[str], path: Path) -> str | None:
    found = [name for name in names if name in entries]
    if len(found) > 1:
        raise DataError(f"{printable(path)} has both {found[0]} and {found[1]}; expected only one of them.")
    return found[0] if found else None


def _names(array: NDArray[Any], where: str) -> NDArray[np.str_]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise DataError(f"{where} must be a list of names, got {array.dtype} of shape {array.shape}.")
    return as_labels(array, len(array), where)
