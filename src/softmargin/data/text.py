"""Tables of text, ``.csv`` and ``.tsv``: read in blocks of rows, from a file or from a stream."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import Dataset, ReadOptions, counted, shown
from softmargin.data.tables import ADVICE, LABELS, Kind, Plan, labels_of_words, plan
from softmargin.errors import DataError

__all__ = ["FORMAT", "OPTIONS", "accepts", "chunks", "read", "read_stream"]

FORMAT = "a .csv or .tsv file"
OPTIONS = frozenset({"label", "columns"})
DELIMITERS = (",", "\t", ";")
ROWS_AT_ONCE = 4096
CELLS_AT_ONCE = 1 << 18
LONGEST_LINE = 1 << 24
BLANKS = " \t"

Rows = list[tuple[int, list[str]]]
"""Cells of records, each with the number of its line."""


def accepts(source: str | Path) -> bool:
    """Tell whether the source is a file whose name ends in .csv or .tsv."""
    return isinstance(source, Path) and source.suffix.lower() in (".csv", ".tsv") and source.is_file()


def read(source: str | Path, options: ReadOptions) -> Dataset:
    """Read a table into memory: numbers become float64, labels integers if all of them are, else strings.

    Cells are divided by commas, tabs or semicolons, whichever the first line has most of; quotes are those of
    RFC 4180; blanks around a cell do not count unless it is in quotes. The first line holds names unless one of
    its cells is a number (and none the usual name of a label). A column is one of numbers if every cell is a
    number, and of words if none is; where both occur the first cell that does not fit is named.

    Raises
    ------
    DataError
        A line has too few or too many cells, a cell is not a number, or the file is not UTF-8.
    """
    pairs = list(_chunks(Path(source), options))
    table, parts = pairs[0][0], [part for _, part in pairs]
    del pairs
    first = parts[0]
    ids = None if first.ids is None else tuple(itertools.chain.from_iterable(part.ids or () for part in parts))
    y = None
    if first.y is not None:
        y = labels_of_words([word for part in parts for word in _words(part)], table.label_where(), ADVICE)
    X = np.empty((sum(part.n_samples for part in parts), first.n_features))
    end = 0
    while parts:  # each part goes as soon as it is copied
        part = parts.pop(0)
        begin, end = end, end + part.n_samples
        X[begin:end] = part.X
    return Dataset(X, y, first.name, ids, None, first.feature_names, None, first.notes)


def _words(part: Dataset) -> list[str]:
    return [] if part.y is None else list(part.y.tolist())


def chunks(source: str | Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the same table in parts of some thousand rows, with labels as the words that they are."""
    yield from (part for _, part in _chunks(Path(source), options))


def read_stream(stream: IO[bytes], where: str, name: str, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the parts of a table that comes from a binary stream; ``where`` names it in messages."""
    yield from (part for _, part in _parts(stream, where, name, options, tabs=False))


def _chunks(path: Path, options: ReadOptions) -> Iterator[tuple["_Table", Dataset]]:
    with path.open("rb") as stream:
        yield from _parts(stream, shown(path), path.stem, options, tabs=path.suffix.lower() == ".tsv")


def _parts(
    stream: IO[bytes], where: str, name: str, options: ReadOptions, *, tabs: bool
) -> Iterator[tuple["_Table", Dataset]]:
    text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
    try:
        first = text.readline(LONGEST_LINE)
        if not first.strip():
            raise DataError(f"{where} is empty, or begins with an empty line; expected a table.")
        if len(first) == LONGEST_LINE:
            raise DataError(f"{where} has a first line of more than {LONGEST_LINE:,} characters.")
        if "\0" in first:
            raise DataError(f"{where} holds bytes of 0: it is no text in UTF-8.")
        delimiter = "\t" if tabs else max(DELIMITERS, key=first.count)
        records = _records(itertools.chain([first], text), delimiter, where)
        line, head = next(records)
        named = _are_names(head)
        rows: Iterator[tuple[int, list[str]]] = records if named else itertools.chain([(line, head)], records)
        names = [cell.strip() for cell in head] if named else [str(k) for k in range(len(head))]
        table = _Table(names, named, where, name, options)
        n_rows = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // len(names)))
        n_done = 0
        while (block := list(itertools.islice(rows, n_rows))) or n_done == 0:
            yield table, table.dataset(block, n_done)
            n_done += max(1, len(block))
            if not block:
                return
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not text in UTF-8 ({error.reason}).") from error
    except csv.Error as error:
        raise DataError(f"{where} is no table that can be read ({error}).") from error
    finally:
        text.detach()


class _Table:
    """What is known of a table after its first block: which column is what."""

    def __init__(self, names: list[str], named: bool, where: str, name: str, options: ReadOptions) -> None:
        self.names, self.named, self.where, self.name, self.options = names, named, where, name, options
        self.plan: Plan | None = None

    def dataset(self, block: Rows, start: int) -> Dataset:
        """Return the data set of some rows."""
        n_columns = len(self.names)
        for line, row in block:
            if len(row) != n_columns:
                raise DataError(
                    f"{self.where} line {line} has {counted(len(row), 'cell')}, but the first has {n_columns}."
                )
        if self.plan is None:
            first: tuple[str, ...] = ()
            kinds = self._kinds(block)
            self.plan = plan(self.names, kinds, self.where, self.options, named=self.named)
            first = self.plan.notes
        else:
            first = ()
        made = self.plan
        X = self._numbers(block, made.features)
        y = ids = None
        if made.label is not None:
            y = np.array([self._label(line, row[made.label]) for line, row in block], dtype=np.str_)
        if made.ids is not None:
            ids = tuple(row[made.ids] for _, row in block)
        names = tuple(self.names[k] for k in made.features) if self.named else None
        return Dataset(X, y, self.name, ids, None, names, None, first)

    def label_where(self) -> str:
        """Return the words that name the column of labels in messages."""
        label = None if self.plan is None else self.plan.label
        return self.where if label is None else f"{self.where} column {shown(self.names[label])!r}"

    def _kinds(self, block: Rows) -> list[Kind]:
        """Return what each column holds: words if its first cell that is not empty is none of a number."""
        kinds: list[Kind] = []
        for k in range(len(self.names)):
            cells = (row[k] for _, row in block)
            first = next((cell for cell in cells if cell.strip()), "0")
            is_number = _is_number(first)
            if not is_number and self.options.label != self.names[k] and self.names[k].lower() not in LABELS:
                # A stray word at the top of a column of numbers must not lose the whole column.
                number = next((line for line, row in block if _is_number(row[k])), None)
                if number is not None:
                    raise DataError(
                        f"{self.where} column {shown(self.names[k])!r} holds words such as {shown(first[:40])!r} "
                        f"and, on line {number}, a number: make it one of the two, or name the label with "
                        f"label=, or --label."
                    )
            kinds.append("number" if is_number else "text")
        return kinds

    def _numbers(self, block: Rows, features: tuple[int, ...]) -> NDArray[Any]:
        X = np.empty((len(block), len(features)))
        everything = features == tuple(range(len(self.names)))
        try:
            for i, (_, row) in enumerate(block):
                cells = row if everything else [row[k] for k in features]
                if "_" in "".join(cells):
                    raise ValueError
                X[i] = [float(cell) for cell in cells]
        except ValueError:
            for line, row in block:
                for k in features:
                    if not _is_number(row[k]):
                        found = f"{shown(row[k][:40])!r} is not a number" if row[k].strip() else "is empty"
                        raise DataError(
                            f"{self.where} line {line}, column {shown(self.names[k])!r}: {found}."
                        ) from None
            raise
        return X

    def _label(self, line: int, cell: str) -> str:
        if not cell.strip():
            raise DataError(f"{self.where} line {line} has no label: its cell is empty.")
        return cell


def _records(lines: Iterable[str], delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each record that is not an empty line, with the number of its last line."""
    raw: list[str] = []

    def read() -> Iterator[str]:
        for line in lines:
            raw.append(line)
            yield line

    reader = csv.reader(read(), delimiter=delimiter, strict=True, skipinitialspace=True)
    for row in reader:
        text = "".join(raw)
        raw.clear()
        if row:
            if " " in text or (delimiter != "\t" and "\t" in text):
                row = [_bare(cell, text) for cell in row]
            yield reader.line_num, row


def _bare(cell: str, text: str) -> str:
    """Return a cell without the blanks around it, unless it stands in quotes in the text of its record."""
    bare = cell.strip(BLANKS)
    if bare == cell or ('"' in text and '"{}"'.format(cell.replace('"', '""')) in text):
        return cell
    return bare


def _are_names(head: list[str]) -> bool:
    cells = [cell.strip() for cell in head]
    return any(cell.lower() in LABELS for cell in cells) or not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
