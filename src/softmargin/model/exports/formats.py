"""The export formats by file extension."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from softmargin.errors import ParameterError
from softmargin.io.paths import check_path, check_suffix
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
    suffix = check_suffix(check_path(path), tuple(WRITERS))
    if backbone is None:
        return WRITERS[suffix](parts)
    if suffix != ".onnx":
        raise ParameterError(f"path must end in .onnx for a file with the backbone, got {suffix!r}.")
    from softmargin.model.exports import onnx_backbone  # imports scikit-learn, which other exports do not need

    return onnx_backbone.content(parts, backbone)
