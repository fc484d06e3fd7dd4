"""The state of a ``torch.nn.Linear(D, C)``, as a safetensors file: PyTorch is not needed to write it."""

from __future__ import annotations

import json

import numpy as np

from softmargin.exports.base import Parts

__all__ = ["SUFFIX", "content"]

SUFFIX = ".safetensors"


def content(parts: Parts) -> bytes:
    """Return the file: ``weight`` (C, D) and ``bias`` (C,) in float64, and the classes as JSON in the metadata."""
    tensors = {"bias": parts.b, "weight": parts.W.T}
    metadata = {"classes": json.dumps(parts.classes.tolist()), "unit_rows": json.dumps(parts.unit_rows)}
    if parts.feature_names is not None:
        metadata["feature_names"] = json.dumps(parts.feature_names)
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F64", "shape": tensor.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8 bytes
    values = [np.ascontiguousarray(tensor, dtype="<f8").tobytes() for tensor in tensors.values()]
    return b"".join([len(text).to_bytes(8, "little"), text, *values])
