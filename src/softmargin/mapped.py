"""Arrays that lie in a mapped file: one that is cut short or written to under us is an error.

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
    """The file behind an array, as it is now; nothing to ask where the array lies in memory.

    Parameters
    ----------
    array : ndarray or sparse array
    """

    def __init__(self, array: object) -> None:
        self._map: mmap.mmap | None = None
        self._path: str | None = None
        while isinstance(array, np.ndarray):
            if isinstance(array, np.memmap) and array.mode == "r" and array.filename is not None:
                self._path = os.fspath(array.filename)
            array = array.base
        if isinstance(array, mmap.mmap):
            self._map = array
        self._stamp = self._look()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the map behind: where this arrives, the array is a copy."""
        return {"_map": None, "_path": None, "_stamp": None}

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path) if self._path else None
        except OSError:  # taken away or replaced: what is mapped is still whole
            return None
        return found and (found.st_dev, found.st_ino, found.st_mtime_ns)

    def change(self) -> str | None:
        """Return a sentence if the file is shorter than what is mapped, or was written to; else None."""
        if self._map is None:
            return None
        name = self._path or "the file that X is mapped from"
        name = name if name.isprintable() else repr(name)
        size, mapped = self._map.size(), len(self._map)
        if size < mapped:
            return f"{name} was cut short while it was in use: {mapped:,} bytes are needed, found {size:,}."
        now = self._look()
        if now and self._stamp and now != self._stamp and now[:2] == self._stamp[:2]:
            return f"{name} was written to while it was in use: work on a copy that nobody changes."
        return None
