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
    """The header of a .npy stream; the values start at byte ``offset``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int

    @property
    def n_bytes(self) -> int:
        """Size of the values in bytes, as declared."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(stream: IO[bytes], size: int, where: str) -> NpyHeader:
    """Read the header of a .npy stream and check it against the size of the stream.

    Parameters
    ----------
    stream : binary file
        At its start; afterwards, at the start of the values.
    size : int
        Size of the whole stream in bytes.
    where : str
        The name of the stream in messages.

    Raises
    ------
    DataError
        Not a .npy stream, a damaged header, Python objects, or fewer bytes than the header declares.
    """
    if size == 0:
        raise DataError(f"{where} is empty (0 bytes); expected a NumPy array.")
    if stream.read(6) != b"\x93NUMPY":
        raise DataError(f"{where} is not a NumPy array: it does not start with the .npy signature.")
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files from Python 2
            version = np.lib.format.read_magic(stream)
            # Version 3 differs from 2 only in the encoding of the names of structured arrays.
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, fortran_order, dtype = read(stream)
    except Exception as error:
        raise DataError(f"{where} has a damaged NumPy header.") from error
    if dtype.hasobject:
        raise DataError(f"{where} contains Python objects, which are never loaded; save numbers or strings.")
    header = NpyHeader(tuple(shape), dtype, fortran_order, stream.tell())
    if any(length < 0 for length in header.shape):
        raise DataError(f"{where} has a damaged NumPy header: shape {header.shape}.")
    if header.n_bytes > size - header.offset:
        raise DataError(
            f"{where} is truncated: its header declares {header.n_bytes:,} bytes of values "
            f"(shape {header.shape}, {dtype}), got {size - header.offset:,}."
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
        if header.n_bytes == 0:  # mmap requires a length > 0
            return np.empty(header.shape, header.dtype)
        order = "F" if header.fortran_order else "C"
        return np.memmap(stream, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload]
