"""Text tables, ``.csv`` and ``.tsv``: read in blocks of rows, from a file or from a stream."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import Dataset, ReadOptions, join_parts, no_features
from softmargin.data.inputs import Texts
from softmargin.data.labels import Unlabelled, labels_of_words
from softmargin.data.tables import ADVICE, LABELS, Kind, Plan, plan
from softmargin.errors import DataError
from softmargin.text import pluralize, printable

__all__ = ["FORMAT", "OPTIONS", "accepts", "chunks", "read", "read_stream"]

FORMAT = "a .csv or .tsv file"
OPTIONS = frozenset({"label_column", "columns", "text"})
DELIMITERS = (",", "\t", ";")
ROWS_AT_ONCE = 4096
CELLS_AT_ONCE = 1 << 18
LONGEST_LINE = 1 << 24
BLANKS = " \t"

Rows = list[tuple[int, list[str]]]
"""Records, each with the number of its line."""


def accepts(path: Path) -> bool:
    """Return whether the source is a .csv or .tsv file."""
    return path.suffix.lower() in (".csv", ".tsv") and path.is_file()


def read(path: Path, options: ReadOptions) -> Dataset:
    """Read a table into memory: numbers become float64, labels integers if possible, else strings.

    Cells are separated by commas, tabs or semicolons, by the most frequent of them in the first line. Quotes
    follow RFC 4180, and blanks around a cell without quotes are ignored. The first line is a header unless one of
    its cells is a number (and none the usual name of a label). A column must hold only numbers or only text; if it
    mixes them, the error names the first wrong cell.

    Raises
    ------
    DataError
        A line has too few or too many cells, a cell is not a number, or the file is not UTF-8.
    """
    pairs = list(_chunks(path, options))
    where, parts = pairs[0][0], [part for _, part in pairs]
    del pairs  # so that each part is freed as soon as it is copied
    data = join_parts(parts)
    return data if data.y is None else replace(data, y=labels_of_words(data.y.tolist(), where, ADVICE))


def chunks(path: Path, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the same table in chunks of some thousand rows, with labels as text."""
    yield from (part for _, part in _chunks(path, options))


def read_stream(stream: IO[bytes], where: str, name: str, options: ReadOptions) -> Iterator[Dataset]:
    """Yield the chunks of a table from a binary stream; ``where`` is its name in messages."""
    yield from (part for _, part in _parts(stream, where, name, options, tabs=False))


def _chunks(path: Path, options: ReadOptions) -> Iterator[tuple[str, Dataset]]:
    with path.open("rb") as stream:
        yield from _parts(stream, printable(path), path.stem, options, tabs=path.suffix.lower() == ".tsv")


def _parts(
    stream: IO[bytes], where: str, name: str, options: ReadOptions, *, tabs: bool
) -> Iterator[tuple[str, Dataset]]:
    """Yield chunks of a table, each with the name of the label column for messages."""
    text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
    try:
        first = text.readline(LONGEST_LINE)
        if not first.strip():
            raise DataError(f"{where} is empty or starts with an empty line; expected a table.")
        if len(first) == LONGEST_LINE:
            raise DataError(f"{where} must have a first line of less than {LONGEST_LINE:,} characters.")
        if "\0" in first:
            raise DataError(f"{where} is not UTF-8 text: it contains null bytes.")
        delimiter = "\t" if tabs else max(DELIMITERS, key=first.count)
        rows = _records(itertools.chain([first], text), delimiter, where)
        line, head = next(rows)
        named = _are_names(head)
        if not named:
            rows = itertools.chain([(line, head)], rows)
        table = _Table(
            [cell.strip() for cell in head] if named else [str(k) for k in range(len(head))], named, where
        )
        n_rows = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // len(head)))
        block = list(itertools.islice(rows, n_rows))
        made = plan(table.names, table.kinds(block, options), where, options, named=named)
        label = where if made.label is None else f"{where} column {printable(table.names[made.label])!r}"
        yield label, table.dataset(block, made, name, made.notes)
        while block := list(itertools.islice(rows, n_rows)):
            yield label, table.dataset(block, made, name)
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text ({error.reason}).") from error
    except csv.Error as error:
        raise DataError(f"{where} is not a valid table ({error}).") from error
    finally:
        text.detach()


class _Table(NamedTuple):
    """The columns of a table."""

    names: list[str]
    named: bool
    where: str

    def dataset(self, block: Rows, made: Plan, name: str, notes: tuple[str, ...] = ()) -> Dataset:
        """Return the data set of some rows, with labels as text."""
        y = ids = names = inputs = text = None
        if made.kind == "text":
            X: NDArray[Any] = no_features(len(block))
            inputs = Texts([row[made.features[0]] for _, row in block], self.where)
            text = self.names[made.features[0]]
        else:
            X = self._numbers(block, made.features)
        if made.label is not None:
            y = np.array([row[made.label] for _, row in block], dtype=np.str_)
            if unlabelled := [line for line, row in block if not row[made.label].strip()]:
                raise Unlabelled(f"{self.where} line {unlabelled[0]} has no label (the cell is empty).")
        if made.ids is not None:
            ids = tuple(row[made.ids] for _, row in block)
        if self.named and inputs is None:
            names = tuple(self.names[k] for k in made.features)
        label = None if made.label is None else self.names[made.label]
        return Dataset(
            X, y, name, ids, feature_names=names, notes=notes, inputs=inputs, text=text, label_column=label
        )

    def kinds(self, block: Rows, options: ReadOptions) -> list[Kind]:
        """Return the content of each column: numbers if its first non-empty cell is a number, else text."""
        kinds: list[Kind] = []
        for k, name in enumerate(self.names):
            if name == options.text:
                kinds.append("text")
                continue
            first = next((row[k] for _, row in block if row[k].strip()), "0")
            is_number = _is_number(first)
            if not is_number and options.label_column != name and name.lower() not in LABELS:
                # Text in the first cell of a column of numbers must not discard the whole column.
                number = next((line for line, row in block if _is_number(row[k])), None)
                if number is not None:
                    where = f"{self.where} column {printable(name)!r}"
                    found = f"{printable(first[:40])!r} and a number on line {number}"
                    raise DataError(f"{where} must hold only numbers or only text, got {found}{ADVICE}.")
            kinds.append("number" if is_number else "text")
        return kinds

    def _numbers(self, block: Rows, features: tuple[int, ...]) -> NDArray[Any]:
        X = np.empty((len(block), len(features)))
        everything = features == tuple(range(len(self.names)))
        for i, (line, row) in enumerate(block):
            cells = row if everything else [row[k] for k in features]
            try:
                if "_" in "".join(cells):
                    raise ValueError
                X[i] = list(map(float, cells))
            except ValueError:
                k = next(k for k in features if not _is_number(row[k]))
                where = f"{self.where} line {line}, column {printable(self.names[k])!r}"
                found = repr(printable(row[k][:40])) if row[k].strip() else "an empty cell"
                raise DataError(f"{where} must hold a number, got {found}.") from None
        return X


def _records(lines: Iterable[str], delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each non-empty record, with the number of its last line."""
    raw: list[str] = []
    n_cells = 0

    def read() -> Iterator[str]:
        for line in lines:
            raw.append(line)
            yield line

    reader = csv.reader(read(), delimiter=delimiter, strict=True, skipinitialspace=True)
    for row in reader:
        text = "".join(raw)
        raw.clear()
        if row:
            n_cells = n_cells or len(row)
            if len(row) != n_cells:
                found = f"line {reader.line_num} has {pluralize(len(row), 'cell')}"
                raise DataError(f"{where} {found}; expected {n_cells} as in the first line.")
            if " " in text or (delimiter != "\t" and "\t" in text):
                row = [_bare(cell, text) for cell in row]
            yield reader.line_num, row


def _bare(cell: str, text: str) -> str:
    """Return a cell without surrounding blanks, unless it is quoted in the text of its record."""
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
