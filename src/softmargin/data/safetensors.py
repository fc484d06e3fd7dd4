"""Files of named tensors, ``.safetensors``: memory-mapped, under the names in common use."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.arrays import dataset_of, part_of, where_in
from softmargin.data.base import Dataset, ReadOptions, counted, shown
from softmargin.data.labels import read_labels
from softmargin.errors import DataError, ParameterError

__all__ = ["FORMAT", "OPTIONS", "accepts", "holds_data", "read"]

FORMAT = "a .safetensors file"
OPTIONS = frozenset({"labels"})
TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
LARGEST_HEADER = 100_000_000
NAMES = ("classes", "class_names", "target_names", "feature_names")
"""Lists of strings, which no tensor can hold: they may stand in the metadata, as JSON."""


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a file whose name ends in .safetensors."""
    return isinstance(source, Path) and source.suffix.lower() == ".safetensors" and source.is_file()


def holds_data(path: Path) -> bool:
    """Tell whether a file is a whole safetensors file with features in it, and no model."""
    try:
        tensors, metadata, _ = _header(path)
    except (DataError, OSError):
        return False
    return part_of(tensors) and "softmargin" not in metadata


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Map the tensors of a file; which is what is told by its name, see `softmargin.data.arrays`.

    X stays on disk and is mapped read-only; bfloat16, which NumPy does not have, becomes float32 in memory.
    Names of classes and of features may stand in the metadata, as JSON lists.

    Raises
    ------
    DataError
        The file is damaged or a model file, or its tensors do not fit each other.
    """
    path = Path(source)
    tensors, metadata, start = _header(path)
    if "softmargin" in metadata:
        raise DataError(f"{shown(path)} is a model file, but DATA is wanted in its place.")
    words = {
        name: _words(metadata[name], name, path) for name in NAMES if name in metadata and name not in tensors
    }

    def load(name: str) -> NDArray[Any]:
        return words[name] if name in words else _map(path, tensors[name], start)

    def listing() -> str:
        return ", ".join(f"{shown(name)} {tuple(entry['shape'])}" for name, entry in tensors.items()) or "nothing"

    dataset = dataset_of(path, [*tensors, *words], load, listing)
    if options.labels is None:
        return dataset
    if dataset.y is not None:
        raise ParameterError(f"labels= is for a file without labels, but {shown(path)} holds its own.")
    y = read_labels(options.labels, dataset.n_samples, beside=path)
    return Dataset(
        dataset.X, y, dataset.name, None, dataset.image_shape, dataset.feature_names, None, dataset.notes
    )


def _header(path: Path) -> tuple[dict[str, Any], dict[str, str], int]:
    """Return the entries of the tensors, the metadata and where the bytes of the tensors begin."""
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{shown(path)} is empty (0 bytes), expected a safetensors file.")
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(size - 8, LARGEST_HEADER):
            raise DataError(f"{shown(path)} is cut off, or no safetensors file: its header has no true length.")
        text = stream.read(length)
    try:
        tensors = json.loads(text.decode())
        metadata = tensors.pop("__metadata__", {})
        if not all(isinstance(word, str) for pair in metadata.items() for word in pair):
            raise ValueError("its metadata are not words")
        for name, entry in tensors.items():
            _check_entry(path, name, entry, size - 8 - length)
        end = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        if end != size:
            raise DataError(
                f"{shown(path)} has {counted(size - end, 'byte')} after its last tensor; expected none."
            )
    except DataError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise DataError(f"{shown(path)} has a damaged safetensors header.") from error
    return tensors, metadata, 8 + length


def _check_entry(path: Path, name: str, entry: Any, n_bytes: int) -> None:
    """Raise an error unless a tensor lies where the file has room for it and its size is that of its shape."""
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    if not all(type(length) is int and length >= 0 for length in (*shape, begin, end)):
        raise ValueError("sizes are whole numbers")
    where = where_in(path, name)
    if not begin <= end <= n_bytes:
        raise DataError(f"{where} is cut off: it ends at byte {end:,} of {n_bytes:,}.")
    if entry["dtype"] in TYPES and math.prod(shape) * np.dtype(TYPES[entry["dtype"]]).itemsize != end - begin:
        raise DataError(f"{where} has shape {tuple(shape)}, which does not fit its {end - begin:,} bytes.")


def _map(path: Path, entry: dict[str, Any], start: int) -> NDArray[Any]:
    kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if kind not in TYPES:
        raise DataError(
            f"{shown(path)} holds tensors of type {shown(str(kind))}; expected one of {', '.join(TYPES)}."
        )
    if begin == end:
        return np.empty(shape, TYPES[kind])
    values = np.memmap(path, TYPES[kind], "r", start + begin, shape)
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
