"""Files as they were when they were opened: a later change is an error."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["StoredFile"]


@dataclass(frozen=True)
class StoredFile:
    """A file, with the size in bytes and the time of change (ns) that it had when it was opened.

    Attributes
    ----------
    name : str
        The absolute path.
    size, changed : int
    """

    name: str
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> StoredFile:
        """Return the file as it is now."""
        found = path.stat()
        return cls(os.path.abspath(path), found.st_size, found.st_mtime_ns)

    @property
    def path(self) -> Path:
        """The absolute path."""
        return Path(self.name)

    def check(self) -> None:
        """Raise a `DataError` if the file has changed, or cannot be read."""
        try:
            found = os.stat(self.name)
        except OSError as error:
            raise DataError(f"{printable(self.name)} cannot be read ({error.strerror}).") from error
        if (found.st_size, found.st_mtime_ns) != (self.size, self.changed):
            raise DataError(f"{printable(self.name)} has changed since it was opened; open the shards again.")
