"""The safetensors format: a header of JSON, then the bytes of the tensors.

`read_header` reads the header of any such file. Files that softmargin writes (models, checkpoints) also hold a
record in the metadata and a checksum of record and tensors: `encode_record` and `read_record`. Equal content gives
equal bytes, so that any changed bit is detected. Nothing in a file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin._version import __version__
from softmargin.errors import DataError, ModelFileError
from softmargin.text import pluralize, printable

__all__ = ["TYPES", "Header", "Tensor", "damaged", "encode", "encode_record", "read_header", "read_record"]

TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
"""NumPy's names of the types; bfloat16, which NumPy lacks, is read as the upper half of a float32."""

_KINDS = {np.dtype(name).newbyteorder("=").str: kind for kind, name in TYPES.items() if kind != "BF16"}

_LARGEST_HEADER = 100_000_000
_FORMAT = "1"


class Tensor(NamedTuple):
    """The entry of a tensor in the header; ``begin`` and ``end`` are bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """The header of a file: its tensors by name, and its metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_header(stream: BinaryIO, where: str) -> Header:
    """Read the header of an open file and check it against the size of the file.

    Parameters
    ----------
    stream : binary file
        At its start; afterwards, at the end of the header.
    where : str
        The name of the file in messages.

    Raises
    ------
    DataError
        The header is damaged, or a tensor does not fit into the file.
    """
    size = os.fstat(stream.fileno()).st_size
    length = int.from_bytes(stream.read(8), "little")
    if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        raise DataError(f"{where} is truncated or not a safetensors file: its header has an invalid length.")
    start = 8 + length
    try:
        entries = json.loads(stream.read(length).decode())
        metadata = entries.pop("__metadata__", {})
        if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
            raise ValueError("metadata must be strings")
        tensors = {name: _tensor(entry, start) for name, entry in entries.items()}
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise DataError(f"{where} has a damaged safetensors header.") from error
    for name, tensor in tensors.items():
        what = f"{where}[{printable(name)}]"
        n_bytes = tensor.end - tensor.begin
        if n_bytes < 0 or tensor.end > size:
            raise DataError(f"{what} is truncated: it ends at byte {tensor.end - start:,} of {size - start:,}.")
        if tensor.dtype in TYPES and math.prod(tensor.shape) * np.dtype(TYPES[tensor.dtype]).itemsize != n_bytes:
            raise DataError(f"{what} has shape {tensor.shape}, which does not match its {n_bytes:,} bytes.")
    rest = size - max((tensor.end for tensor in tensors.values()), default=start)
    if rest:
        raise DataError(f"{where} has {pluralize(rest, 'byte')} after its last tensor; expected none.")
    return Header(tensors, metadata)


def _tensor(entry: dict[str, Any], start: int) -> Tensor:
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(length) is int and length >= 0 for length in (*shape, begin, end)):
        raise ValueError("sizes must be integers ≥ 0")
    return Tensor(entry["dtype"], shape, start + begin, start + end)


def encode(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """Return a file of tensors in pieces: the header, then the tensors in the order of their names.

    Equal input gives equal bytes, which the safetensors package does not guarantee.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in sorted(tensors.items()):
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": _KINDS[tensor.dtype.str], "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8 bytes
    return [len(text).to_bytes(8, "little") + text, *(_bytes_of(tensor) for _, tensor in sorted(tensors.items()))]


def encode_record(record: str, tensors: Mapping[str, NDArray[Any]]) -> list[bytes | memoryview]:
    """Return the file of a record and its tensors, with a checksum of both, in pieces."""
    described = [(name, _KINDS[tensor.dtype.str], tensor.shape) for name, tensor in sorted(tensors.items())]
    digest = hashlib.sha256(json.dumps([_FORMAT, record, described]).encode("ascii"))
    for _, tensor in sorted(tensors.items()):
        digest.update(_bytes_of(tensor))
    return encode(tensors, {"format": _FORMAT, "sha256": digest.hexdigest(), "softmargin": record})


def read_record(stream: BinaryIO, where: str) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the record and the tensors of an open file; no more is read or allocated than the file holds.

    Raises
    ------
    ModelFileError
        The file is damaged (even by one bit), of another kind or of a newer format.
    """
    size = os.fstat(stream.fileno()).st_size
    if size == 0:
        raise ModelFileError(f"{where} is empty (0 bytes); copy it again, or fit the model again.")
    foreign = ModelFileError(f"{where} is not a softmargin model; expected a file saved by softmargin.")
    if stream.read(9)[8:] not in (b"{", b""):
        raise foreign
    stream.seek(0)
    try:
        found, metadata = read_header(stream, where)
    except DataError as error:
        raise damaged(where) from error
    if "softmargin" not in metadata:
        raise foreign
    number = metadata.get("format", "")
    if number != _FORMAT and number.isdecimal():
        supported = f"softmargin {__version__} supports only format {_FORMAT}; install a newer softmargin"
        raise ModelFileError(f"{where} has model file format {number}, but {supported}.")
    lengths = [tensor.end - tensor.begin for tensor in found.values() if tensor.dtype in _KINDS.values()]
    if len(lengths) < len(found) or sum(lengths) != size - stream.tell():
        raise damaged(where)
    tensors = {}
    for name, tensor in found.items():
        stream.seek(tensor.begin)
        values = np.frombuffer(stream.read(tensor.end - tensor.begin), TYPES[tensor.dtype]).reshape(tensor.shape)
        tensors[name] = values.astype(values.dtype.newbyteorder("="), copy=False)
    header = encode_record(metadata["softmargin"], tensors)[0]
    stream.seek(0)
    if stream.read(len(header)) != header:
        raise damaged(where)
    return metadata["softmargin"], tensors


def damaged(where: str) -> ModelFileError:
    """Return the error for a damaged file."""
    return ModelFileError(
        f"{where} is truncated or damaged; copy it again from its source, or fit the model again."
    )


def _bytes_of(tensor: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
