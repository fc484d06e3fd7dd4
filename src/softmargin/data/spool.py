"""A folder of a worker for decoded data: ``.npy`` files that are written once and then mapped."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.npy_header import map_npy
from softmargin.errors import DataError
from softmargin.io.atomic import write_atomically
from softmargin.io.lock import locked
from softmargin.text import printable

__all__ = ["npy_pieces", "spooled"]


def spooled(folder: str, key: tuple[Any, ...], pieces: Callable[[], Iterable[bytes | memoryview]]) -> NDArray[Any]:
    """Return the mapped array of a ``.npy`` file in a folder, which is first written if it is missing.

    The name of the file is a hash of the ``key``. Threads and processes that need the same file wait for the first
    of them. A file is complete, or it is missing.

    Parameters
    ----------
    folder : str
        It is created if it is missing.
    key : tuple
        What the content depends on; its ``repr`` is hashed.
    pieces : callable
        Returns the bytes of the file.

    Raises
    ------
    DataError
        If the folder cannot be written, such as when the disk is full, or as ``pieces`` does.
    """
    path = Path(folder) / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:40]}.npy"
    try:
        if not path.is_file():
            os.makedirs(folder, exist_ok=True)
            with locked(path.with_suffix(".lock")):
                if not path.is_file():
                    write_atomically(path, pieces())
    except OSError as error:
        raise DataError(
            f"{printable(folder)} must be a folder with space for the decoded data, but it cannot be written "
            f"({error.strerror or error}); set another spool=."
        ) from error
    return map_npy(path)


def npy_pieces(
    shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]]
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a ``.npy`` file whose rows come in blocks."""
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    yield header.getvalue()
    for block in blocks:
        yield np.ascontiguousarray(block, dtype).reshape(-1).view(np.uint8).data
