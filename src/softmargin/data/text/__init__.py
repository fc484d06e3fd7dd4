"""Text tables, ``.csv`` and ``.tsv``: read in blocks of rows, from a file or from a stream."""

from softmargin.data.text.reader import FORMAT, OPTIONS, accepts, chunks, read, read_stream

__all__ = ["FORMAT", "OPTIONS", "accepts", "chunks", "read", "read_stream"]
