"""The export formats by file extension."""

from __future__ import annotations

import os
from pathlib import Path

from softmargin.errors import ParameterError
from softmargin.io.paths import check_path
from softmargin.model.exports import npz, onnx, torch
from softmargin.model.parts import Parts

__all__ = ["content"]

WRITERS = {".onnx": onnx.content, ".safetensors": torch.content, ".npz": npz.content}


def content(path: str | os.PathLike[str], parts: Parts) -> bytes:
    """Return the file of a model in the format given by the extension of a path.

    Raises
    ------
    ParameterError
        If the extension is unknown.
    """
    suffix = Path(check_path(path)).suffix.lower()
    if suffix not in WRITERS:
        raise ParameterError(f"The extension of an export must be one of {', '.join(WRITERS)}, got {suffix!r}.")
    return WRITERS[suffix](parts)
