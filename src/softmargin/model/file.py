"""The file of a model: read whole or refused, written in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.errors import ModelFileError
from softmargin.io.atomic import write_atomically
from softmargin.io.safetensors import read_record
from softmargin.model.checks import brief
from softmargin.text import printable

__all__ = ["check_names", "read_file", "write_file"]


def write_file(path: str | os.PathLike[str], pieces: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a file in one step, or raise a `ModelFileError` that names it."""
    try:
        write_atomically(path, pieces)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(
            f"{printable(os.fsdecode(path))} could not be saved ({reason}); if there was a file of this name "
            f"before, it is unchanged."
        ) from error


def read_file(path: str | os.PathLike[str]) -> tuple[Any, dict[str, NDArray[np.float64]]]:
    """Return the card and the tensors of a model file, or raise a `ModelFileError`."""
    where = printable(os.fsdecode(path))
    if not os.path.exists(path):
        raise ModelFileError(f"{where} does not exist: check the name of the model file.")
    if not os.path.isfile(path):
        raise ModelFileError(f"{where} is a folder or a device: give the name of a model file.")
    try:
        with open(path, "rb") as stream:
            card, tensors = read_record(stream, where)
    except OSError as error:
        raise ModelFileError(f"{where} could not be read ({error.strerror}): check the file and disk.") from error
    return json.loads(card), tensors


def check_names(found: Any, expected: Iterable[str], where: str, kind: str) -> None:
    """Raise a `ModelFileError` unless a part of a file holds just these names."""
    if not isinstance(found, dict):
        raise ModelFileError(f"{where} is {brief(found)}, and no table of {kind} names.")
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing:
        raise ModelFileError(f"{where} has no {kind} {missing[0]!r}, without which it is no model.")
    if unknown:
        raise ModelFileError(f"{where} has the {kind} {brief(unknown[0])}, of which this version knows nothing.")
