"""The dialect of a text table: what separates its cells, and its records."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from softmargin.data.text.cells import BLANKS, is_number, is_number_with_comma, is_thousands, looks_numeric

__all__ = ["Record", "Records", "decimal_mark", "guess_delimiter"]

DELIMITERS = (",", "\t", ";", "|")
BLANK = " "
"""The delimiter that stands for any number of blanks and tabs."""
ENOUGH = 0.9
"""The share of lines with the same number of cells, from which blanks are a delimiter."""


class Record(NamedTuple):
    """The cells of a record, and the number of its last line."""

    line: int
    cells: list[str]


class Records:
    """The records of a table that have content, one after another.

    Quotes follow RFC 4180. Blanks around a cell without quotes are ignored.

    Parameters
    ----------
    lines : iterable of str
    delimiter : str
    n_above : int
        Number of lines above the table.

    Attributes
    ----------
    empty : int or None
        The number of the first line whose cells are all empty, which is passed over like a completely empty line.
    """

    def __init__(self, lines: Iterable[str], delimiter: str, n_above: int = 0) -> None:
        self.empty: int | None = None
        self._lines = (line.replace("\t", " ").rstrip() + "\n" for line in lines) if delimiter == BLANK else lines
        self._delimiter, self._n_above = delimiter, n_above
        self._records = self._read()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def __next__(self) -> Record:
        return next(self._records)

    def _read(self) -> Iterator[Record]:
        raw: list[str] = []

        def lines() -> Iterator[str]:
            for line in self._lines:
                raw.append(line)
                yield line

        delimiter, above = self._delimiter, self._n_above
        reader = csv.reader(lines(), delimiter=delimiter, strict=True, skipinitialspace=True)
        for row in reader:
            text = "".join(raw)
            raw.clear()
            if row:
                if " " in text or (delimiter != "\t" and "\t" in text):
                    row = [_bare(cell, text) for cell in row]
                if any(row):
                    yield Record(reader.line_num + above, row)
                elif self.empty is None:
                    self.empty = reader.line_num + above


def guess_delimiter(lines: Sequence[str], *, texts: bool = False) -> str:
    """Return the delimiter of the first lines of a table.

    It is the one of comma, tab, semicolon and ``|`` that gives most lines the same number of cells, more than one;
    of several, the one with the largest share of numbers, then the most cells. It is any number of blanks if they
    suit better than all of them, some cells are numbers and the table does not hold ``texts``. It is the comma if
    none suits.
    """
    found = {delimiter: _fit(lines, delimiter) for delimiter in (*DELIMITERS, BLANK)}
    blank = found.pop(BLANK)
    best = max(found, key=lambda delimiter: found[delimiter])
    is_aligned = blank.share >= ENOUGH and blank.numbers > 0 and not texts
    return BLANK if is_aligned and blank[:2] > found[best][:2] else best


def decimal_mark(columns: Iterable[Sequence[str]], delimiter: str) -> str:
    """Return "," if numbers have decimal commas, else ".".

    Parameters
    ----------
    columns : iterable of sequences of str
        The cells of each column that are not empty.
    delimiter : str

    Notes
    -----
    At least one column must hold only numbers with decimal commas and whole numbers, and no column numbers with
    decimal points. In tables that are not separated by semicolons, one of the commas must not be a possible
    separator of thousands as in ``1,234``.
    """
    if delimiter == ",":
        return "."
    commas: list[str] = []
    for cells in columns:
        if any("." in cell for cell in cells) and all(map(is_number, cells)):
            return "."
        if any("," in cell for cell in cells) and all(map(is_number_with_comma, cells)):
            commas += [cell for cell in cells if "," in cell]
    is_sure = delimiter == ";" or not all(map(is_thousands, commas))
    return "," if commas and is_sure else "."


class _Fit(NamedTuple):
    """How well a delimiter suits: the larger, the better."""

    share: float
    numbers: float
    n_cells: int


def _fit(lines: Sequence[str], delimiter: str) -> _Fit:
    if delimiter == BLANK:
        lines = [line.replace("\t", " ").strip() + "\n" for line in lines]
    elif not any(delimiter in line for line in lines):
        return _Fit(0.0, 0.0, 0)
    rows = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        records = [row for row in rows if any(cell.strip() for cell in row)]
    except csv.Error:  # a field of more than 128 KB
        return _Fit(0.0, 0.0, 0)
    if len(records) > 2:
        records.pop()  # its end may be missing
    sizes = Counter(len(_trimmed(row)) for row in records)
    n_cells, n_rows = max(sizes.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    if n_cells < 2:
        return _Fit(0.0, 0.0, 0)
    cells = [cell for row in records if len(_trimmed(row)) == n_cells for cell in row]
    return _Fit(n_rows / len(records), sum(map(looks_numeric, cells)) / len(cells), n_cells)


def _trimmed(row: list[str]) -> list[str]:
    """Return a row without the empty cells at its end."""
    end = len(row)
    while end and not row[end - 1].strip():
        end -= 1
    return row[:end]


def _bare(cell: str, text: str) -> str:
    """Return a cell without surrounding blanks, unless it is quoted in the text of its record."""
    bare = cell.strip(BLANKS)
    if bare == cell or ('"' in text and '"{}"'.format(cell.replace('"', '""')) in text):
        return cell
    return bare
