"""Checks of the options of `softmargin.load_dataset`."""

import codecs
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

from softmargin.arguments import brief
from softmargin.errors import ParameterError

__all__ = ["check_columns", "check_format", "check_image_size"]

_MOST_PIXELS = 10_000_000
"""A larger image_size is certainly a typing error."""


def check_columns(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names of columns as a tuple, or None, or raise a `ParameterError`."""
    if columns is None:
        return None
    names = () if isinstance(columns, str) or not isinstance(columns, Iterable) else tuple(columns)
    if not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(f"columns must be a non-empty list of column names, got {brief(columns)}.")
    return names


def check_format(header: bool | None, decimal: str | None, encoding: str | None) -> dict[str, Any]:
    """Return the options of the format of text tables, or raise a `ParameterError`."""
    if not (header is None or isinstance(header, bool)):
        raise ParameterError(f"header must be True, False or None, got {brief(header)}.")
    if decimal not in (None, ".", ","):
        raise ParameterError(f"decimal must be '.', ',' or None, got {brief(decimal)}.")
    try:
        if encoding is not None and not codecs.lookup(encoding)._is_text_encoding:
            raise LookupError
    except (LookupError, TypeError, ValueError):
        advice = "a text encoding that Python knows, such as 'cp1252'"
        raise ParameterError(f"encoding must be {advice}, got {brief(encoding)}.") from None
    return {"header": header, "decimal": decimal, "encoding": encoding}


def check_image_size(image_size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return a size (height, width) as two integers, or None, or raise a `ParameterError`."""
    if image_size is None:
        return None
    try:
        height, width = map(index, image_size)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ParameterError(f"image_size must be (height, width), two integers ≥ 1, got {brief(image_size)}.")
    if height * width > _MOST_PIXELS:
        raise ParameterError(f"image_size must have at most {_MOST_PIXELS:,} pixels, got {height}x{width}.")
    return height, width
