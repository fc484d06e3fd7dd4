"""Models for other programs: one file a format, none of which holds code."""

from __future__ import annotations

import os
from pathlib import Path

from softmargin.errors import ParameterError
from softmargin.exports import npz, onnx, torch
from softmargin.exports.base import Parts
from softmargin.exports.sklearn import estimator

__all__ = ["SUFFIXES", "Parts", "content", "estimator"]

WRITERS = (onnx, torch, npz)
SUFFIXES = tuple(writer.SUFFIX for writer in WRITERS)


def content(path: str | os.PathLike[str], parts: Parts) -> bytes:
    """Return the file of a model in the format that the name of a path ends in.

    Raises
    ------
    ParameterError
        There is no such format.
    """
    suffix = Path(os.fsdecode(path)).suffix.lower()
    for writer in WRITERS:
        if suffix == writer.SUFFIX:
            return writer.content(parts)
    raise ParameterError(
        f"The name of an export must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, but this ends in "
        f"{suffix!r}."
    )
