"""Files of named tensors, ``.safetensors``: memory-mapped, under the names in common use."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.arrays import dataset_of, part_of, where_in, with_labels
from softmargin.data.dataset import Dataset, ReadOptions
from softmargin.errors import DataError
from softmargin.io.safetensors import TYPES, Header, Tensor, read_header
from softmargin.text import printable as shown

__all__ = ["FORMAT", "OPTIONS", "accepts", "holds_data", "read"]

FORMAT = "a .safetensors file"
OPTIONS = frozenset({"labels"})
NAMES = ("classes", "class_names", "target_names", "feature_names")
"""Lists of strings, which no tensor can hold: they may stand in the metadata, as JSON."""


def accepts(path: Path) -> bool:
    """Tell whether the source is a file whose name ends in .safetensors."""
    return path.suffix.lower() == ".safetensors" and path.is_file()


def holds_data(path: Path) -> bool:
    """Tell whether a file is a whole safetensors file with features in it, and no model."""
    try:
        tensors, metadata = _header(path)
    except (DataError, OSError):
        return False
    return part_of(tensors) and "softmargin" not in metadata


def read(path: Path, options: ReadOptions) -> Dataset:
    """Map the tensors of a file; which is what is told by its name, see `softmargin.data.arrays`.

    X stays on disk and is mapped read-only; bfloat16, which NumPy does not have, becomes float32 in memory.
    Names of classes and of features may stand in the metadata, as JSON lists.

    Raises
    ------
    DataError
        The file is damaged or a model file, or its tensors do not fit each other.
    """
    tensors, metadata = _header(path)
    if "softmargin" in metadata:
        raise DataError(f"{shown(path)} is a model file, but DATA is wanted in its place.")
    words = {
        name: _words(metadata[name], name, path) for name in NAMES if name in metadata and name not in tensors
    }

    def load(name: str) -> NDArray[Any]:
        return words[name] if name in words else _map(path, tensors[name])

    def listing() -> str:
        return ", ".join(f"{shown(name)} {entry.shape}" for name, entry in tensors.items()) or "nothing"

    dataset = dataset_of(path, [*tensors, *words], load, listing)
    return with_labels(dataset, options.labels, path)


def _header(path: Path) -> Header:
    with path.open("rb") as stream:
        return read_header(stream, shown(path))


def _map(path: Path, tensor: Tensor) -> NDArray[Any]:
    kind, shape, begin, end = tensor
    if kind not in TYPES:
        raise DataError(
            f"{shown(path)} holds tensors of type {shown(str(kind))}; expected one of {', '.join(TYPES)}."
        )
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
