"""The formats of exports, by the ending of a file name."""

from __future__ import annotations

import os
from pathlib import Path

from softmargin.errors import ParameterError
from softmargin.model.exports import npz, onnx, torch
from softmargin.model.parts import Parts

__all__ = ["content"]

WRITERS = {".onnx": onnx.content, ".safetensors": torch.content, ".npz": npz.content}


def content(path: str | os.PathLike[str], parts: Parts) -> bytes:
    """Return the file of a model in the format that the name of a path ends in.

    Raises
    ------
    ParameterError
        There is no such format.
    """
    suffix = Path(os.fsdecode(path)).suffix.lower()
    if suffix not in WRITERS:
        *most, last = WRITERS
        raise ParameterError(
            f"The name of an export must end in {', '.join(most)} or {last}, but this ends in {suffix!r}."
        )
    return WRITERS[suffix](parts)
