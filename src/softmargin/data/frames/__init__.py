"""Tables of Arrow: parquet, Feather, Arrow files, folders of shards, and what `datasets` saved to disk."""

from collections.abc import Iterator
from pathlib import Path

from softmargin.data.base import Dataset, ReadOptions
from softmargin.data.frames import files, huggingface

__all__ = ["FORMAT", "OPTIONS", "SUFFIXES", "accepts", "chunks", "read"]

FORMAT = "a .parquet, .feather or .arrow file (or a folder of them, or one that datasets saved)"
OPTIONS = frozenset({"label", "columns", "image_size", "image_channels"})

SUFFIXES = files.SUFFIXES


def accepts(source: str | Path) -> bool:
    """Tell whether the source is such a file or folder."""
    if not isinstance(source, Path):
        return False
    if source.is_dir():
        return huggingface.is_saved(source) or files.is_shards(source)
    return source.suffix.lower() in files.SUFFIXES and source.is_file()


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Read a table: columns of numbers, or one column of lists (embeddings) or of images.

    A single column of lists in a single uncompressed batch of an Arrow file stays mapped; all else is read into
    memory, in the type that it is stored in (the common type of several columns).

    Raises
    ------
    CapabilityError
        pyarrow is not installed.
    DataError
        The file is damaged, holds missing values or nothing that is recognised as features.
    """
    path = Path(source)
    if path.is_dir() and huggingface.is_saved(path):
        return huggingface.read(path, options)
    return files.read(path, options)


def chunks(source: str | Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the rows of a single file in parts."""
    yield from files.chunks(Path(source), options)
