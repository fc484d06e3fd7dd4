"""The samples that a user passes to an extractor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from softmargin.arguments import brief
from softmargin.data.images.pictures import ObjectPictures
from softmargin.data.inputs import Inputs, Texts
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["as_inputs", "file_errors"]


def as_inputs(X: Any, kind: str) -> Inputs:
    """Return the pictures or texts that a user passed to an extractor.

    Raises
    ------
    DataError
        X does not hold samples of this kind, or none.
    """
    if isinstance(X, Inputs):
        if X.kind != kind:
            raise DataError(f"X must hold {kind}, got {X.kind}.")
        found = X
    else:
        items = _items(X, kind)
        found = ObjectPictures(items) if kind == "pictures" else Texts(items)
        for k, item in enumerate(items):
            if kind == "texts" and not isinstance(item, str):
                raise DataError(f"X must be a sequence of texts, got {type(item).__name__}.")
            sides: Any = item.size[::-1] if isinstance(item, Image.Image) else getattr(item, "shape", ())
            if len(sides) in (2, 3) and 0 in sides[:2]:
                raise DataError(
                    f"{found.name(k)} must have at least one pixel, got {sides[0]}x{sides[1]} (height x width)."
                )
    if len(found) == 0:
        raise DataError("X must hold at least one sample, got none.")
    return found


def _items(X: Any, kind: str) -> list[Any]:
    if isinstance(X, (str, os.PathLike)):
        return [X]
    try:
        items = iter(X)
    except TypeError:
        raise DataError(f"X must be a sequence of {kind}, got {brief(X)}.") from None
    return list(items)


@contextmanager
def file_errors() -> Iterator[None]:
    """Convert the error of a file that cannot be read to a `DataError` that names it."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise DataError(f"{printable(error.filename)} cannot be read: {error.strerror}.") from error
