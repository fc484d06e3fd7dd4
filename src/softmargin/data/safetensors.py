"""Files of named tensors, ``.safetensors``: memory-mapped, found by their usual names."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.arrays import dataset_of, has_features, where_in, with_labels
from softmargin.data.dataset import Dataset, ReadOptions, StoredFeatures
from softmargin.errors import DataError
from softmargin.io.safetensors import TYPES, Header, Tensor, read_header
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "holds_data", "read"]

FORMAT = "a .safetensors file"
OPTIONS = frozenset({"labels_file"})
_LEARNED = "extractor."
_ORIGIN = (_LEARNED, "keys_")
"""Starts of the names of tensors that tell where features come from; `softmargin embed` writes them."""

NAMES = ("classes", "class_names", "target_names", "feature_names")
"""Lists of strings, which tensors cannot hold; they may be in the metadata, as JSON."""


def accepts(path: Path) -> bool:
    """Return whether the source is a .safetensors file."""
    return path.suffix.lower() == ".safetensors" and path.is_file()


def holds_data(path: Path) -> bool:
    """Return whether a file is a valid safetensors file with features, and not a model."""
    try:
        tensors, metadata = _header(path)
    except (DataError, OSError):
        return False
    return has_features(tensors) and "softmargin" not in metadata


def read(path: Path, options: ReadOptions) -> Dataset:
    """Map the tensors of a file; their names tell their roles, see `softmargin.data.arrays`.

    X is memory-mapped read-only; bfloat16, which NumPy lacks, becomes float32 in memory. Class names and feature
    names may be in the metadata, as JSON lists.

    Raises
    ------
    DataError
        The file is damaged or a model file, or the sizes of its tensors do not match.
    """
    tensors, metadata = _header(path)
    if "softmargin" in metadata:
        raise DataError(f"{printable(path)} is a model file; expected a data file.")
    origin = {name: entry for name, entry in tensors.items() if name.startswith(_ORIGIN)}
    tensors = {name: entry for name, entry in tensors.items() if name not in origin}
    words = {
        name: _words(metadata[name], name, path) for name in NAMES if name in metadata and name not in tensors
    }

    def load(name: str) -> NDArray[Any]:
        return words[name] if name in words else _map(path, tensors[name])

    def listing() -> str:
        return ", ".join(f"{printable(name)} {entry.shape}" for name, entry in tensors.items()) or "no tensors"

    dataset = with_labels(dataset_of(path, [*tensors, *words], load, listing, options), options.labels_file, path)
    if "extractor" not in metadata:
        return dataset

    def described(part: Dataset, name: str) -> Dataset:
        """Return a part with its ids and the origin of its features."""
        ids = _words(metadata[f"ids_{name}"], f"ids_{name}", path).tolist() if f"ids_{name}" in metadata else None
        keys = _map(path, origin[f"keys_{name}"])
        return replace(
            part,
            ids=None if ids is None else tuple(ids),
            stored=StoredFeatures(record, arrays, keys),
            text=metadata.get("text"),
            label_column=metadata.get("label_column"),
        )

    try:
        record = dict(json.loads(metadata["extractor"]))
        arrays = {
            name.removeprefix(_LEARNED): np.array(_map(path, entry))
            for name, entry in origin.items()
            if name.startswith(_LEARNED)
        }
        test = None if dataset.test is None else described(dataset.test, "test")
        return replace(described(dataset, "train"), test=test)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{printable(path)} must name the extractor of its features, got another record."
        ) from error


def _header(path: Path) -> Header:
    with path.open("rb") as stream:
        return read_header(stream, printable(path))


def _map(path: Path, tensor: Tensor) -> NDArray[Any]:
    kind, shape, begin, end = tensor
    if kind not in TYPES:
        raise DataError(f"{printable(path)} has tensors of type {printable(kind)}; expected {', '.join(TYPES)}.")
    if begin == end:
        return np.empty(shape, TYPES[kind])
    values = np.memmap(path, TYPES[kind], "r", begin, shape)
    if kind != "BF16":
        return values
    wide = np.zeros((*shape, 2), "<u2")
    wide[..., 1] = values  # the upper half of a float32
    return wide.view("<f4")[..., 0]


def _words(text: str, name: str, path: Path) -> NDArray[np.str_]:
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DataError(f"{where_in(path, name)} must be a JSON list of names.")
    return np.array(words, dtype=np.str_)
