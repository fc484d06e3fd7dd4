"""The first line of a text table: the names of its columns, or a sample."""

import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import ReadOptions
from softmargin.data.tables import LABELS
from softmargin.data.text.cells import is_boolean, is_number, is_unknown, looks_numeric
from softmargin.data.text.dialect import Record

__all__ = ["Header", "read_header"]

FEWEST_ROWS = 10
"""Number of rows from which their values are evidence for what a line of numbers is."""
READ_AS_NAMES = "the first line is read as the names of the columns; --no-header reads it as a sample"
READ_AS_SAMPLE = "the first line is read as a sample; --header reads it as the names of the columns"


class Header(NamedTuple):
    """The names of the columns, whether they are from the file, and the rows below them."""

    names: list[str]
    named: bool
    rows: list[Record]
    notes: tuple[str, ...]


def read_header(block: list[Record], comment: list[str] | None, options: ReadOptions) -> Header:
    """Return the header of the first rows of a table.

    Parameters
    ----------
    block : list of Record
        The first records of the file, at least one.
    comment : list of str or None
        The cells of the last comment above the table. They are the names if there is one for each column and the
        first line is a sample.
    options : ReadOptions
        ``header`` decides; ``columns``, ``label_column`` and ``text`` are looked for in the first line.

    Notes
    -----
    The first line holds names if the rows below differ in kind in any column, or if it has no number. See
    `_are_names` and `_numbers_are_names`.
    """
    head, body = block[0], block[1:]
    head, body, notes = _same_widths(head, body, may_be_names=options.header is not False)
    cells = [cell.strip() for cell in head.cells]
    named, note = (options.header, None) if options.header is not None else _are_names(cells, body, options)
    if not named and options.header is None and comment is not None and len(comment) == len(cells) > 1:
        names = [cell.strip() for cell in comment]
        if not any(map(is_number, names)) and len({*names}) == len(names):
            return Header(names, True, [head, *body], (*notes, "the comment above the table is read as the names"))
    if note is not None:
        notes = (*notes, note)
    if named:
        return Header(cells, True, body, notes)
    return Header([str(k) for k in range(len(cells))], False, [head, *body], notes)


def _same_widths(
    head: Record, body: list[Record], *, may_be_names: bool
) -> tuple[Record, list[Record], tuple[str, ...]]:
    """Add or remove cells where the first line and all others differ in their number of cells.

    Empty cells at the end of the first line, or at the end of all others, are removed. If the first line has one
    cell less, as in the files of R's ``write.table``, the first column has the empty name.
    """
    n_head, widths = len(head.cells), {len(row.cells) for row in body}
    longest = max(widths, default=n_head)
    if n_head > longest and not any(cell.strip() for cell in head.cells[longest:]):
        return Record(head.line, head.cells[:longest]), body, ()
    if n_head < longest and not any(cell.strip() for row in body for cell in row.cells[n_head:]):
        return head, [Record(row.line, row.cells[:n_head]) for row in body], ()
    first = [row.cells[0] for row in body]
    if may_be_names and widths == {n_head + 1} and len(body) > 1 and len({*first}) == len(first):
        note = "the first line has one cell less than the others, so the first column is read as names of the rows"
        return Record(head.line, ["", *head.cells]), body, (note,)
    return head, body, ()


def _are_names(cells: list[str], body: list[Record], options: ReadOptions) -> tuple[bool, str | None]:
    """Return whether the cells of the first line are names, and a note if that was not obvious.

    1. They are if all requested columns are among them.
    2. They are if there is a word above a column of numbers.
    3. They are not if one of them is a value of its column.
    4. They are if they are all words, or one is a usual name of labels.
    5. Numbers may be names, too; see `_numbers_are_names`.
    """
    wanted = {name for name in (*(options.columns or ()), options.text) if name is not None}
    label = None if options.only_features else options.label_column  # new samples need no label
    if label is not None and not re.fullmatch(r"-?[0-9]+", str(label)):
        wanted.add(label)
    if wanted and wanted <= {*cells}:
        return True, None
    columns = [
        [cell for row in body if k < len(row.cells) and (cell := row.cells[k].strip())] for k in range(len(cells))
    ]
    words = [k for k, cell in enumerate(cells) if cell and not looks_numeric(cell)]
    has_numbers = any(cell and looks_numeric(cell) for cell in cells)
    above = (columns[k] for k in words if not is_unknown(cells[k]) and not is_boolean(cells[k]))
    if any(column and all(map(looks_numeric, column)) for column in above):
        return True, READ_AS_NAMES if has_numbers else None
    if any(cells[k] in columns[k] for k in words):
        return False, None if has_numbers else READ_AS_SAMPLE
    if not has_numbers or any(cells[k].lower() in LABELS for k in words):
        return True, None
    if _numbers_are_names(cells, columns, body):
        return True, READ_AS_NAMES
    return False, READ_AS_SAMPLE if words else None


def _numbers_are_names(cells: list[str], columns: list[list[str]], body: list[Record]) -> bool:
    """Return whether a line with numbers, none of its words a value of its column, holds names.

    The numbers must rise or fall throughout, as years, wavelengths and numbers of pixels do. In addition, one of
    these must hold.

    1. There is a word above a column whose words all occur at least twice, and there are at least five numbers or
       most of them are outside the range of their columns.
    2. The numbers are whole, and all numbers below have decimals.
    3. They have equal steps (three whole numbers from 0 or 1, or at least four), and no row below has.
    """
    places = [k for k, cell in enumerate(cells) if cell and is_number(cell)]
    values = np.array([float(cells[k]) for k in places])
    steps = _steps(values)
    if not body or not len(places) or not (np.all(steps > 0) or np.all(steps < 0)):
        return False
    below = [columns[k] for k in places]
    outside = sum(map(_is_outside, values, below))
    words = [columns[k] for k, cell in enumerate(cells) if cell and not looks_numeric(cell)]
    is_new = any(len(column) >= FEWEST_ROWS and min(Counter(column).values()) > 1 for column in words)
    if is_new and (len(places) >= 5 or 2 * outside > len(places)):
        return True
    whole = all(re.fullmatch(r"-?[0-9]+", cells[k]) for k in places)
    have_decimals = all(column and all("." in cell for cell in column) for column in below)
    if whole and have_decimals and len(body) >= FEWEST_ROWS and len(places) > 1:
        return True
    few = 3 if whole and values[0] in (0.0, 1.0) and np.all(steps == 1.0) else 4
    return _has_equal_steps(values, few) and not any(
        _has_equal_steps([row.cells[k] for k in places if k < len(row.cells)], few) for row in body[:FEWEST_ROWS]
    )


def _is_outside(value: float, column: list[str]) -> bool:
    """Return whether a number is smaller or larger than all cells of a column."""
    numbers = [float(cell) for cell in column if is_number(cell)]
    return bool(numbers) and not min(numbers) <= value <= max(numbers)


def _has_equal_steps(values: Any, few: int) -> bool:
    if not all(is_number(str(value)) for value in values):
        return False
    steps = _steps([float(value) for value in values])
    return len(steps) + 1 >= few and steps[0] != 0 and bool(np.allclose(steps, steps[0], rtol=1e-6, atol=0))


def _steps(values: Any) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # of infinite values
        return np.diff(np.array(values, dtype=np.float64))
