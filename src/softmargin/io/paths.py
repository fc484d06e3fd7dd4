"""Comparison of file names."""

from __future__ import annotations

import os
from typing import Any

from softmargin.errors import ParameterError

__all__ = ["check_path", "same_file"]


def check_path(path: Any, name: str = "path") -> str:
    """Return a path as a string, or raise a `ParameterError`."""
    try:
        return os.fsdecode(path)
    except TypeError:
        from softmargin.arguments import brief  # NumPy, which the help of a command does without

        raise ParameterError(f"{name} must be a string or a path, got {brief(path)}.") from None


def same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Return whether two paths point to the same file, which may not exist yet."""
    if os.path.exists(path) and os.path.exists(other):
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)
