"""Names of files: their type, their suffix, and whether two of them are the same file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from softmargin.errors import ParameterError
from softmargin.text import printable

__all__ = ["check_path", "check_suffix", "same_file"]


def check_path(path: Any, name: str = "path") -> str:
    """Return a path as a string, or raise a `ParameterError`."""
    try:
        return os.fsdecode(path)
    except TypeError:
        from softmargin.arguments import brief  # NumPy, which the help of a command does without

        raise ParameterError(f"{name} must be a string or a path, got {brief(path)}.") from None


def check_suffix(path: str, suffixes: Sequence[str], name: str = "path") -> str:
    """Return the suffix of a path in lower case, or raise a `ParameterError` if it is not one of ``suffixes``."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in suffixes:
        *others, last = suffixes
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise ParameterError(f"{name} must end in {wanted}, got {printable(path)}.")
    return suffix


def same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Return whether two paths point to the same file, which may not exist yet."""
    if os.path.exists(path) and os.path.exists(other):
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)
