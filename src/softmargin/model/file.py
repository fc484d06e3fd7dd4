"""Model files: written atomically; a damaged file is not loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from softmargin.arguments import brief
from softmargin.errors import DataError, ModelFileError
from softmargin.io.atomic import write_atomically
from softmargin.io.paths import check_path
from softmargin.io.safetensors import read_record
from softmargin.text import printable

__all__ = ["check_names", "read_file", "write_file"]


def write_file(path: str | os.PathLike[str], pieces: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a file atomically, or raise a `ModelFileError` that names it."""
    where = check_path(path)
    try:
        write_atomically(path, pieces)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(
            f"{printable(where)} could not be saved ({reason}); an existing file is unchanged."
        ) from error


def read_file(path: str | os.PathLike[str]) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return the metadata and the tensors of a model file, or raise a `ModelFileError`."""
    where = printable(check_path(path))
    if not os.path.exists(path):
        raise ModelFileError(f"{where} does not exist; check the name of the model file.")
    if not os.path.isfile(path):
        raise ModelFileError(f"{where} is a folder or a device; give the name of a model file.")
    try:
        with open(path, "rb") as stream:
            metadata, tensors = read_record(stream, where)
    except OSError as error:
        raise ModelFileError(f"{where} could not be read ({error.strerror}); check the file and disk.") from error
    return json.loads(metadata), tensors


def check_names(found: Any, expected: Iterable[str], kind: str) -> None:
    """Raise a `DataError` unless a part of a file has exactly these names."""
    if not isinstance(found, dict):
        raise DataError(f"expected an object with {kind} names, got {brief(found)}.")
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing:
        raise DataError(f"the {kind} {missing[0]!r} is missing.")
    if unknown:
        raise DataError(f"unknown {kind} {brief(unknown[0])}.")
