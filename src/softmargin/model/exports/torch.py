"""PyTorch: the state of a ``torch.nn.Linear(D, C)`` as a safetensors file, written without PyTorch."""

from __future__ import annotations

import json

from softmargin.io.safetensors import encode
from softmargin.model.parts import Parts

__all__ = ["content"]


def content(parts: Parts) -> bytes:
    """Return the file: ``weight`` (C, D) and ``bias`` (C,) in float64, and the classes as JSON in the metadata."""
    metadata = {"classes": json.dumps(parts.classes.tolist()), "unit_rows": json.dumps(parts.unit_rows)}
    if parts.feature_names is not None:
        metadata["feature_names"] = json.dumps(parts.feature_names)
    return b"".join(encode({"bias": parts.b, "weight": parts.W.T}, metadata))
