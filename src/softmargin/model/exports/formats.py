"""The export formats by file extension."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from softmargin.errors import ParameterError
from softmargin.io.paths import check_path
from softmargin.model.exports import npz, onnx, torch
from softmargin.model.parts import Parts

if TYPE_CHECKING:
    from softmargin.features import FeatureExtractor

__all__ = ["content"]

WRITERS = {".onnx": onnx.content, ".safetensors": torch.content, ".npz": npz.content}


def content(path: str | os.PathLike[str], parts: Parts, backbone: FeatureExtractor | None = None) -> bytes:
    """Return the file of a model in the format given by the extension of a path.

    Parameters
    ----------
    path : str or path
    parts : Parts
    backbone : FeatureExtractor, optional
        Only for ONNX: the backbone to join.

    Raises
    ------
    ParameterError
        If the extension is unknown, or a backbone cannot be joined in this format.
    """
    suffix = Path(check_path(path)).suffix.lower()
    if suffix not in WRITERS:
        raise ParameterError(f"The extension of an export must be one of {', '.join(WRITERS)}, got {suffix!r}.")
    if backbone is None:
        return WRITERS[suffix](parts)
    if suffix != ".onnx":
        raise ParameterError(f"A file with the backbone must have the extension .onnx, got {suffix!r}.")
    from softmargin.model.exports import onnx_backbone  # imports scikit-learn, which other exports do not need

    return onnx_backbone.content(parts, backbone)
