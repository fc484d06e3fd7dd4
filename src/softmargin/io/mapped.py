"""Arrays that lie in a mapped file: one that is cut short under us is an error.

The operating system ends a process that reads a mapped page whose file no longer reaches so far. Whoever walks
over such an array asks first. What happens during the walk itself is not seen in time.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

__all__ = ["MappedFile"]


class MappedFile:
    """The file behind an array; there is nothing to ask where the array lies in memory.

    Parameters
    ----------
    array : object
        An ndarray; whatever else it is counts as memory.
    """

    def __init__(self, array: object) -> None:
        self._map: mmap.mmap | None = None
        self._path: str | None = None
        while isinstance(array, (np.ndarray, memoryview)):
            if isinstance(array, np.memmap) and array.filename is not None:
                self._path = os.fspath(array.filename)
            array = array.base if isinstance(array, np.ndarray) else array.obj
        # Memory that processes share has no size, a device one of 0.
        if isinstance(array, mmap.mmap) and _size(array) >= (0 if self._path else 1):
            self._map = array

    def __getstate__(self) -> dict[str, Any]:
        """Leave the map behind: where this arrives, the array is a copy."""
        return {"_map": None, "_path": None}

    def check(self, error: type[Exception]) -> None:
        """Raise this error, with a sentence, if the file is shorter than what is mapped."""
        if self._map is None:
            return
        size, needed = _size(self._map), len(self._map)
        if size >= needed:
            return
        name = self._path or "the file that X is mapped from"
        name = name if name.isprintable() else repr(name)
        raise error(f"{name} was cut short while it was in use: {needed:,} bytes are needed, found {size:,}.")


def _size(mapped: mmap.mmap) -> int:
    """Return the present size of the file behind a map, or -1 if there is none."""
    try:
        return mapped.size()
    except (OSError, ValueError):
        return -1
