"""The optional dependency pyarrow, imported only when it is needed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from softmargin.errors import missing_package

__all__ = ["ParquetPieces", "pyarrow", "release_memory"]


def pyarrow(what: str) -> Any:
    """Return the module pyarrow with its submodules parquet and ipc.

    Parameters
    ----------
    what : str
        What needs it: the start of the error message.

    Raises
    ------
    CapabilityError
        If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise missing_package(what, "pyarrow", "frames") from error
    return pa


def release_memory() -> None:
    """Return memory of pyarrow that is not in use to the system."""
    pyarrow("Reading tables").default_memory_pool().release_unused()


class ParquetPieces:
    """A writer of a parquet file that returns its bytes piece by piece.

    Parameters
    ----------
    columns : dict of str to str
        Names of the columns and their Arrow types ("int64", "string", "double", …).
    """

    def __init__(self, columns: dict[str, str]) -> None:
        self._pa = pyarrow("Writing parquet")
        self._schema = self._pa.schema([(name, self._pa.type_for_alias(kind)) for name, kind in columns.items()])

    def pieces(self, blocks: Iterable[list[Any]]) -> Iterator[bytes]:
        """Yield the bytes of a file that holds these blocks, each a list of columns."""
        buffer = io.BytesIO()
        with self._pa.parquet.ParquetWriter(self._pa.PythonFile(buffer, mode="w"), self._schema) as writer:
            for block in blocks:
                arrays = [self._pa.array(c, type=kind) for c, kind in zip(block, self._schema.types, strict=True)]
                writer.write_table(self._pa.table(arrays, schema=self._schema))
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue()
