"""The header of a ``.npy`` stream, checked before anything is allocated or mapped."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["NpyHeader", "map_npy", "read_npy_header"]


@dataclass(frozen=True)
class NpyHeader:
    """The header of a .npy stream; ``offset`` is where the values begin (bytes)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int

    @property
    def n_bytes(self) -> int:
        """Bytes that the values take, as declared."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(stream: IO[bytes], size: int, where: str) -> NpyHeader:
    """Read the header of a .npy stream and check it against the size of the stream.

    Parameters
    ----------
    stream : binary file
        At its beginning; left where the values begin.
    size : int
        Bytes in the whole stream.
    where : str
        Words that name the stream in messages.

    Raises
    ------
    DataError
        Not a .npy stream, a damaged header, Python objects, or fewer bytes than the header asks for.
    """
    if size == 0:
        raise DataError(f"{where} is empty (0 bytes), expected a NumPy array.")
    if stream.read(6) != b"\x93NUMPY":
        raise DataError(f"{where} does not begin with the mark of a NumPy array, it is of another format.")
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files from Python 2 are read, and need no remark
            version = np.lib.format.read_magic(stream)
            # Version 3 differs from 2 only in how the names of structured arrays are written.
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = read(stream)
    except Exception as error:
        raise DataError(f"{where} has a damaged NumPy header.") from error
    if dtype.hasobject:
        raise DataError(
            f"{where} holds Python objects, which are never loaded; save it as numbers or fixed strings."
        )
    header = NpyHeader(tuple(shape), dtype, fortran_order, stream.tell())
    if any(length < 0 for length in header.shape):
        raise DataError(f"{where} has a damaged NumPy header: shape {header.shape}.")
    if header.n_bytes > size - header.offset:
        raise DataError(
            f"{where} is cut off: its header asks for {header.n_bytes:,} bytes of values "
            f"(shape {header.shape}, {dtype}), found {size - header.offset:,}."
        )
    return header


def map_npy(path: Path) -> NDArray[Any]:
    """Map a .npy file read-only; only its header is read.

    Raises
    ------
    DataError
        As `read_npy_header`.
    """
    with path.open("rb") as stream:
        header = read_npy_header(stream, path.stat().st_size, printable(path))
        if header.n_bytes == 0:  # nothing to map, and mmap refuses a length of 0
            return np.empty(header.shape, header.dtype)
        order = "F" if header.fortran_order else "C"
        return np.memmap(stream, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload]
