"""Types of Arrow columns, as pyarrow, pandas, polars, DuckDB and `datasets` write them, and their values."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.arrow import pyarrow
from softmargin.data.dataset import ImageShape
from softmargin.data.tables import Kind

__all__ = [
    "RowProblem", "dtype_of", "is_binary", "is_text", "kind_of", "numbers_of", "plain", "rows_of", "words_of",
]  # fmt: skip

_LISTS = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view")
_NUMBERS = ("integer", "floating", "boolean", "decimal")


_by_type = lru_cache(maxsize=1024)
"""Columns are many, and their types are few."""


class RowProblem(Exception):
    """A row cannot be used: its number in the batch and the reason."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.reason = row, reason


def _is(kind: Any, names: tuple[str, ...]) -> bool:
    """Return whether a type is one of these; older versions of pyarrow lack some."""
    types = pyarrow("Reading tables").types
    return any(hasattr(types, f"is_{name}") and getattr(types, f"is_{name}")(kind) for name in names)


@_by_type
def is_text(kind: Any) -> bool:
    """Return whether a type is text, of any encoding of its lengths."""
    return _is(_storage(kind), _TEXTS)


@_by_type
def is_binary(kind: Any) -> bool:
    """Return whether a type is bytes of any length."""
    return _is(_storage(kind), _BYTES)


@_by_type
def kind_of(kind: Any) -> Kind:
    """Return what a column of a type holds, as `softmargin.data.tables.plan` takes it; bytes are "other"."""
    kind = _storage(kind)
    if _is(kind, _NUMBERS):
        return "number"
    if _is(kind, _TEXTS):
        return "text"
    if _is(kind, _LISTS):
        while _is(kind, _LISTS):
            kind = _storage(kind.value_type)
        return "list" if _is(kind, _NUMBERS) else "other"
    if _is(kind, ("null",)):
        return "empty"
    if _is(kind, ("struct",)) and "bytes" in {kind.field(k).name for k in range(kind.num_fields)}:
        return "image"
    return "other"


@_by_type
def dtype_of(kind: Any) -> np.dtype[Any]:
    """Return the dtype of the numbers in a column, of numbers or of lists, as `numbers_of` reads it."""
    kind = _storage(kind)
    while _is(kind, _LISTS):
        kind = _storage(kind.value_type)
    return np.dtype(np.float64 if _is(kind, ("decimal",)) else kind.to_pandas_dtype())


def _storage(kind: Any) -> Any:
    """Return the type of the values of an extension, a dictionary or a run-end encoding."""
    while True:
        if isinstance(kind, pyarrow("Reading tables").BaseExtensionType):
            kind = kind.storage_type
        elif _is(kind, ("dictionary", "run_end_encoded")):
            kind = kind.value_type
        else:
            return kind


def plain(column: Any) -> Any:
    """Return an array without extension types, dictionaries and run-end encodings."""
    pa = pyarrow("Reading tables")
    while True:
        if isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        elif _is(column.type, ("dictionary",)):
            words = column.dictionary
            for view, stored in ((("string_view",), pa.string()), (("binary_view",), pa.binary())):
                if _is(words.type, view):  # pyarrow cannot decode these
                    words = words.cast(stored)
            column = pa.DictionaryArray.from_arrays(column.indices, words).dictionary_decode()
        elif _is(column.type, ("run_end_encoded",)):
            column = pa.compute.run_end_decode(column)
        else:
            return column


def numbers_of(column: Any, *, whole: bool = False) -> NDArray[Any]:
    """Return a plain array of numbers; decimals become float64, or int64 if ``whole`` and none has a fraction."""
    pa = pyarrow("Reading tables")
    if _is(column.type, ("decimal",)):
        try:
            return numbers_of(column.cast(pa.int64())) if whole else numbers_of(column.cast(pa.float64()))
        except pa.ArrowInvalid:  # a fraction, or beyond int64
            return numbers_of(column.cast(pa.float64()))
    return np.asarray(column.to_numpy(zero_copy_only=False))


def rows_of(column: Any, start: int = 0) -> tuple[NDArray[Any], ImageShape | None]:
    """Return a plain array of lists, nested or not, as rows.

    Parameters
    ----------
    column : pyarrow.Array
        Lists of equal length in each level.
    start : int
        Number of the first row, for messages.

    Returns
    -------
    X : ndarray, shape (N, D)
    image_shape : tuple of int (height, width, channels), or None
        Of lists of lists of 8-bit numbers (and of one or three channels).

    Raises
    ------
    RowProblem
        A list or a number is missing, or lengths differ.
    """
    shape: list[int] = []
    while _is(column.type, _LISTS):
        _check_nulls(column, math.prod(shape), "a list")
        if _is(column.type, ("fixed_size_list",)):
            length = column.type.list_size
        else:
            lengths = pyarrow("Reading tables").compute.list_value_length(column).to_numpy(zero_copy_only=False)
            length = int(lengths[0]) if len(lengths) else 0
            wrong = np.flatnonzero(lengths != length)
            if wrong.size:
                found = f"got {lengths[wrong[0]]} numbers, but {length} in row {start}; expected equal lengths"
                raise RowProblem(int(wrong[0]) // math.prod(shape), found)
        shape.append(length)
        column = plain(column.flatten())
    _check_nulls(column, math.prod(shape), "number")
    values = numbers_of(column)
    is_image = values.dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))
    image_shape = (shape[0], shape[1], shape[2] if len(shape) == 3 else 1) if is_image and all(shape) else None
    return values.reshape(-1, math.prod(shape)), image_shape


def _check_nulls(column: Any, per_row: int, what: str) -> None:
    if column.null_count:
        row, place = divmod(int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))), max(1, per_row))
        raise RowProblem(row, f"{what} {place} is missing (null)")


def words_of(column: Any) -> list[str]:
    """Return the texts of a plain array; bytes are decoded as UTF-8.

    Raises
    ------
    RowProblem
        Bytes are not UTF-8.
    """
    values = column.to_pylist()
    words = []
    for row, value in enumerate(values):
        try:
            words.append(value.decode() if isinstance(value, bytes) else value)
        except UnicodeDecodeError:
            raise RowProblem(row, "the bytes are not UTF-8 text") from None
    return words
