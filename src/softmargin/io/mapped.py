"""Memory-mapped arrays: detect a file that was truncated after it was mapped.

The operating system kills a process (SIGBUS) that reads a mapped page beyond the end of its file. Therefore the
file is checked before each pass over such an array; a file truncated during the pass is not detected in time.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

from softmargin.text import printable

__all__ = ["MappedFile"]


class MappedFile:
    """The file that an array is mapped from, if any.

    Parameters
    ----------
    array : object
        An ndarray; any other object counts as not mapped.
    """

    def __init__(self, array: object) -> None:
        self._map: mmap.mmap | None = None
        self._path: str | None = None
        while isinstance(array, (np.ndarray, memoryview)):
            if isinstance(array, np.memmap) and array.filename is not None:
                self._path = os.fspath(array.filename)
            array = array.base if isinstance(array, np.ndarray) else array.obj
        # Shared memory has no size, and a device has size 0.
        if isinstance(array, mmap.mmap) and _size(array) >= (0 if self._path else 1):
            self._map = array

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the map, because a pickled array is a copy in memory."""
        return {"_map": None, "_path": None}

    def check(self, error: type[Exception]) -> None:
        """Raise this error if the file is shorter than its map."""
        if self._map is not None and (size := _size(self._map)) < len(self._map):
            name = printable(self._path or "The file that X is mapped from")
            raise error(f"{name} was truncated while in use: expected {len(self._map):,} bytes, got {size:,}.")


def _size(mapped: mmap.mmap) -> int:
    """Return the current size of a mapped file, or -1 if there is none."""
    try:
        return mapped.size()
    except (OSError, ValueError):
        return -1
