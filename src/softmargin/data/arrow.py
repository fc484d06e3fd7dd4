"""The one door to pyarrow, which is an optional extra: imported when it is needed, and missed in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from softmargin.errors import CapabilityError

__all__ = ["ParquetPieces", "pyarrow"]


def pyarrow(what: str) -> Any:
    """Return the module pyarrow with its submodules parquet and ipc.

    Parameters
    ----------
    what : str
        What it is needed for, to begin a sentence.

    Raises
    ------
    CapabilityError
        If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise CapabilityError(f'{what} needs pyarrow: python -m pip install "softmargin[frames]".') from error
    return pa


class ParquetPieces:
    """A parquet file that is written piece by piece, and handed on as bytes.

    Parameters
    ----------
    columns : dict of str to str
        Names of the columns and their Arrow types ("int64", "string", "double", …).
    """

    def __init__(self, columns: dict[str, str]) -> None:
        self._pa = pyarrow("Writing parquet")
        self._schema = self._pa.schema([(name, self._pa.type_for_alias(kind)) for name, kind in columns.items()])
        self._written: list[bytes] = []

    closed = False

    def write(self, data: Any) -> int:
        """Take bytes from the writer."""
        self._written.append(bytes(data))
        return len(self._written[-1])

    def flush(self) -> None:
        """Do nothing: what is written is handed on at once."""

    def pieces(self, blocks: Iterable[list[Any]]) -> Iterator[bytes]:
        """Yield the bytes of a file that holds these blocks, each a list of columns."""
        sink = self._pa.PythonFile(self, mode="w")
        with self._pa.parquet.ParquetWriter(sink, self._schema) as writer:
            for block in blocks:
                arrays = [self._pa.array(c, type=kind) for c, kind in zip(block, self._schema.types, strict=True)]
                writer.write_table(self._pa.table(arrays, schema=self._schema))
                yield self._taken()
        yield self._taken()

    def _taken(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken
