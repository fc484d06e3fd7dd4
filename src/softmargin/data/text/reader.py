"""Text tables: read in blocks of rows, from a file or from a stream."""

import csv
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from softmargin.data.column_names import place_name
from softmargin.data.counters import without_counters
from softmargin.data.dataset import Dataset, ReadOptions, join_parts
from softmargin.data.labels import labels_of_words, written_twice
from softmargin.data.tables import ADVICE, ROLES
from softmargin.data.text.columns import Columns
from softmargin.data.text.dialect import Record, Records, guess_delimiter
from softmargin.data.text.header import read_header
from softmargin.data.text.source import decoded, read_top, rest_of
from softmargin.errors import DataError
from softmargin.text import printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "chunks", "read", "read_stream"]

FORMAT = "a .csv, .tsv, .txt or .data file (or .gz of one)"
OPTIONS = frozenset({"label_column", "columns", "text", "header", "decimal", "encoding", "keep_counters"}) | ROLES
SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".tab")
ROWS_AT_ONCE = 4096
CELLS_AT_ONCE = 1 << 18


def accepts(path: Path) -> bool:
    """Return whether the source is a text table by its name, also if it is compressed by gzip."""
    return _plain(path).suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read a table into memory: numbers become float64, labels integers if possible, else strings.

    The encoding is UTF-8, or UTF-16 with a byte order mark. Empty lines, comments with ``#`` and a line ``sep=;``
    may stand above the table. Cells are separated by commas, tabs, semicolons, ``|`` or blanks; see
    `softmargin.data.text.dialect`. Quotes follow RFC 4180, and blanks around a cell without quotes are ignored.
    Whether the first line holds names is decided as in `softmargin.data.text.header`.

    A column must hold only numbers or only text. Columns of ``true`` and ``false`` are numbers. Numbers have
    decimal points, or in tables that are not separated by commas also decimal commas. Rows and columns without
    content are passed over. Columns that number the rows are left out; see `softmargin.data.counters`.

    All of this but the last is decided from the first rows: 4,096, or fewer with more than 64 columns.

    Raises
    ------
    DataError
        A line has too few or too many cells, a cell is not a number, or the file has another encoding.
    """
    pairs = list(_chunks(path, options))
    columns, parts = pairs[0][0], [part for _, part in pairs]
    del pairs  # so that each part is freed as soon as it is copied
    data = join_parts(parts)
    if data.n_samples == 0:
        raise DataError(f"{printable(path)} has no rows below the names of its columns.")
    if data.inputs is None:
        names = [columns.names[k] if columns.named else place_name(k) for k in columns.plan.features]
        data = without_counters(data, names, options)
    if data.y is None or (options.classes is not None and options.classes.dtype.kind not in "biu"):
        return data  # labels stay words where the classes are words
    y = labels_of_words(data.y.tolist(), columns.label, ADVICE)
    return replace(data, y=y, notes=(*data.notes, *written_twice(y)))


def chunks(path: Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the same table in chunks of some thousand rows, with labels as text and all columns of numbers."""
    yield from (part for _, part in _chunks(path, options))


def read_stream(stream: IO[bytes], where: str, name: str, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the chunks of a table from a binary stream; ``where`` is its name in messages."""
    yield from (part for _, part in _parts(stream, where, name, options))


def _plain(path: Path) -> Path:
    """Return the name without ``.gz``."""
    return path.with_suffix("") if path.suffix.lower() == ".gz" else path


def _chunks(path: Path, options: ReadOptions) -> Iterator[tuple[Columns, Dataset]]:
    plain = _plain(path)
    with path.open("rb") as stream:
        tabs, packed = plain.suffix.lower() in (".tsv", ".tab"), plain != path
        yield from _parts(stream, printable(path), plain.stem, options, tabs=tabs, packed=packed)


def _parts(
    stream: IO[bytes], where: str, name: str, options: ReadOptions, *, tabs: bool = False, packed: bool = False
) -> Iterator[tuple[Columns, Dataset]]:
    """Yield chunks of a table, each with its columns; the first chunk has the notes."""
    with decoded(stream, where, options.encoding, packed=packed) as text:
        try:
            top = read_top(text, where)
            tabs = tabs and "\t" in top.lines[0]
            texts = options.raw == "texts" or options.text is not None
            delimiter = top.delimiter or ("\t" if tabs else guess_delimiter(top.lines, texts=texts))
            records = Records(rest_of(top, text, packed=packed), delimiter, top.n_skipped)
            first = next(records, None)
            if first is None:
                raise DataError(f"{where} holds only empty rows; expected a table.")
            n_rows = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // len(first.cells)))
            block: list[Record] = [first, *itertools.islice(records, n_rows)]
            header = read_header(block, _cells(top.comment, delimiter), options)
            columns = Columns.of(header, delimiter, where, options)
            notes, block = (*top.notes, *columns.plan.notes), header.rows
            is_told = False
            while True:
                if records.empty is not None and not is_told:
                    is_told = True
                    notes += (f"rows of empty cells are passed over (the first is line {records.empty})",)
                yield columns, columns.dataset(block, name, notes)
                notes = ()
                block = list(itertools.islice(records, n_rows))
                if not block:
                    break
        except csv.Error as error:
            raise DataError(f"{where} is not a valid table ({error}).") from error


def _cells(comment: str | None, delimiter: str) -> list[str] | None:
    """Return the cells of a comment, which need not be a record."""
    with suppress(csv.Error):
        found = None if comment is None else next(Records([comment], delimiter), None)
        return None if found is None else found.cells
    return None
