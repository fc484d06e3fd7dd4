"""A safetensors file of float64 tensors and one card of text, with a checksum over all of it.

There is exactly one file for each content, byte for byte, and a file that is not the one that its own content
asks for is refused. The checksum covers card and tensors, the rest of the header follows from them, so no single
bit can change unnoticed. Nothing in the file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from operator import index
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin._version import __version__
from softmargin.errors import ModelFileError

__all__ = ["container_header", "damaged", "read_container", "tensor_bytes"]

Floats: TypeAlias = NDArray[np.float64]

_FORMAT = "1"


def read_container(stream: BinaryIO, where: str) -> tuple[str, dict[str, Floats]]:
    """Return the card and the tensors of an open file; no more is read or allocated than the file holds.

    Raises
    ------
    ModelFileError
        The file is damaged in as little as one bit, of another kind or of a newer format.
    """
    size = os.fstat(stream.fileno()).st_size
    if size == 0:
        raise ModelFileError(f"{where} is empty (0 bytes): copy it again, or fit the model again.")
    start = stream.read(9)
    n_header = int.from_bytes(start[:8], "little")
    stranger = ModelFileError(f"{where} is not a softmargin model: give a file that softmargin saved.")
    if len(start) == 9 and start[8:] != b"{":
        raise stranger
    if not 2 <= n_header <= size - 8:
        raise damaged(where)
    header = start + stream.read(n_header - 1)
    entries = json.loads(header[8:].decode())
    metadata = entries.pop("__metadata__", {})
    if "softmargin" not in metadata:
        raise stranger
    number = metadata["format"]
    if number != _FORMAT and number.isdecimal():
        raise ModelFileError(
            f"{where} has the format {number} of model files, but this version ({__version__}) knows only "
            f"{_FORMAT}: install a newer softmargin."
        )
    card = metadata["softmargin"]
    shapes = {name: tuple(map(index, entry["shape"])) for name, entry in entries.items()}
    if size != len(header) + 8 * sum(map(math.prod, shapes.values())):
        raise damaged(where)
    tensors = {}
    for name, shape in sorted(shapes.items()):
        data = stream.read(8 * math.prod(shape))
        tensors[name] = np.frombuffer(data, dtype="<f8").reshape(shape).astype(np.float64, copy=False)
    if header != container_header(card, tensors):
        raise damaged(where)
    return card, tensors


def container_header(card: str, tensors: dict[str, Floats]) -> bytes:
    """Return the one header for this content, which the tensors follow in the order of their names.

    (The safetensors package orders its header anew each time.)
    """
    metadata = {"format": _FORMAT, "sha256": _checksum(card, tensors), "softmargin": card}
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in sorted(tensors.items()):
        begin, end = end, end + tensor.nbytes
        entries[name] = {"dtype": "F64", "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text


def _checksum(card: str, tensors: dict[str, Floats]) -> str:
    described = [(name, "F64", tensor.shape) for name, tensor in sorted(tensors.items())]
    digest = hashlib.sha256(json.dumps([_FORMAT, card, described]).encode("ascii"))
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def tensor_bytes(tensor: Floats) -> memoryview:
    """Return the bytes of a tensor as the file holds them: little-endian, in C order."""
    return np.ascontiguousarray(tensor, dtype="<f8").reshape(-1).view(np.uint8).data


def damaged(where: str) -> ModelFileError:
    """Return the error that says so."""
    return ModelFileError(f"{where} is cut off or damaged: copy it again from its source, or fit the model again.")
