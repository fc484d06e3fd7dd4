"""The columns of a text table: what they hold, and their cells as features, labels and ids."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.column_names import is_index, place_name
from softmargin.data.dataset import Dataset, ReadOptions, no_features
from softmargin.data.inputs import Texts
from softmargin.data.labels import check_words, is_missing
from softmargin.data.tables import ADVICE, LABELS, Kind, Plan, plan, some
from softmargin.data.text.cells import (
    TRUTH,
    ambiguous,
    clue,
    is_boolean,
    is_number,
    is_number_with_comma,
    is_unknown,
    looks_numeric,
)
from softmargin.data.text.dialect import Record, decimal_mark
from softmargin.data.text.header import Header
from softmargin.errors import DataError
from softmargin.text import pluralize, quoted

__all__ = ["Columns"]

_WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0*)?")
CHOOSE = "; or choose the features with columns= (--columns)"


@dataclass(frozen=True)
class Columns:
    """The columns of a table and their roles, decided from its first rows.

    Attributes
    ----------
    names : tuple of str
    named : bool
        Whether the names are from the file.
    where : str
        The name of the file in messages.
    kinds : tuple of Kind
    booleans : frozenset of int
        The columns of numbers that are written as ``true`` and ``false``.
    comma : bool
        Whether numbers have decimal commas.
    plan : Plan
    """

    names: tuple[str, ...]
    named: bool
    where: str
    kinds: tuple[Kind, ...]
    booleans: frozenset[int]
    comma: bool
    plan: Plan

    @classmethod
    def of(cls, header: Header, delimiter: str, where: str, options: ReadOptions) -> "Columns":
        """Decide the content and the role of each column of some rows.

        Raises
        ------
        DataError
            A column that is not used looks like numbers, or the roles are ambiguous.
        """
        n_columns = len(header.names)
        cells = [
            [row for row in header.rows if k < len(row.cells) and row.cells[k].strip()] for k in range(n_columns)
        ]
        words = [[row.cells[k].strip() for row in column] for k, column in enumerate(cells)]
        names = _with_places(header.names, words, options.columns or ()) if header.named else tuple(header.names)
        unnamed = [name for name, given in zip(names, header.names, strict=True) if name != given]
        mark = options.decimal or decimal_mark(words, delimiter)
        is_valid = _is_decimal if mark == "," else is_number
        kinds: list[Kind] = []
        booleans = set()
        first = header.names if header.named else [cell.strip() for cell in header.rows[0].cells]
        for k, (name, column) in enumerate(zip(names, words, strict=True)):
            if not column:
                kinds.append("empty" if any(len(row.cells) > k for row in header.rows) else "number")
            elif name == options.text:
                kinds.append("text")
            elif all(map(is_boolean, column)):
                kinds.append("number")
                booleans.add(k)
            elif is_valid(column[0]) and (options.raw != "texts" or all(map(is_valid, column))):
                kinds.append("number")
            else:
                kinds.append("text")
                if _may_be_feature(name, k, header.named, options):
                    below = cells[k][not header.named :]
                    again = next((row for row in below if _is_header(row.cells, first)), None)
                    if again is not None and any(map(is_valid, column)):
                        raise _repeated(where, again.line)
                    _check_text(cells[k], k, name, where, mark)
        made = plan(
            names,
            kinds,
            where,
            options,
            named=header.named,
            distinct=lambda k: len({*words[k]}) == len(header.rows),
        )
        if options.decimal is None:
            for k in (*made.features, *(() if made.weights is None else (made.weights,))):
                _check_marks(words[k], f"{where} column {quoted(names[k])}", mark)
        notes = (*header.notes, *made.notes)
        if unnamed and not options.columns:
            notes = (f"columns without a name are called by their position: {some(unnamed)}", *notes)
        if mark == "," and options.decimal is None:
            decimals = (column for column in words if all(map(is_number_with_comma, column)))
            used = next(word for column in decimals for word in column if "," in word)
            notes = (f"the comma is read as the decimal mark (as in {quoted(used)})", *notes)
        return cls(
            names, header.named, where, tuple(kinds), frozenset(booleans), mark == ",", replace(made, notes=notes)
        )

    @property
    def label(self) -> str:
        """The name of the label column in messages."""
        made = self.plan
        return self.where if made.label is None else f"{self.where} column {quoted(self.names[made.label])}"

    def dataset(self, block: Sequence[Record], name: str, notes: tuple[str, ...] = ()) -> Dataset:
        """Return the data set of some rows, with labels as text."""
        made = self.plan
        rows = self._of_equal_width(block)
        y = ids = names = inputs = text = None
        if made.kind == "text":
            X: NDArray[Any] = no_features(len(rows))
            inputs = Texts([row.cells[made.features[0]] for row in rows], self.where)
            text = self.names[made.features[0]]
        else:
            X = self._numbers(rows)
        if made.label is not None:
            labels = [row.cells[made.label] for row in rows]
            notes += check_words(labels, lambda k: f"{self.where} line {rows[k].line}")
            if self.comma and self.kinds[made.label] == "number":
                labels = [label.replace(",", ".") for label in labels]
            y = np.array(labels, dtype=np.str_)
        if made.ids is not None:
            ids = tuple(row.cells[made.ids] for row in rows)
        if inputs is None:
            names = made.feature_names(self.names, named=self.named)
        label = None if made.label is None else self.names[made.label]
        roles: dict[str, Any] = {
            "groups": self._groups(rows),
            "weights": self._weights(rows),
            "label_column": label,
        }
        return Dataset(X, y, name, ids, feature_names=names, notes=notes, inputs=inputs, text=text, **roles)

    def _groups(self, rows: Sequence[Record]) -> NDArray[np.str_] | None:
        """Return the groups of the samples as text, or None if there is no column of groups."""
        k = self.plan.groups
        if k is None:
            return None
        groups = [row.cells[k].strip() for row in rows]
        lost = {group for group in groups if is_missing(group)}
        if lost:
            row = next(i for i, group in enumerate(groups) if group in lost)
            where = f"{self.where} line {rows[row].line}, column {quoted(self.names[k])}"
            found = f"{quoted(groups[row])}, a missing value" if groups[row] else "an empty cell"
            raise DataError(f"{where} must hold a group, got {found}.")
        return np.array(groups, dtype=np.str_)

    def _weights(self, rows: Sequence[Record]) -> NDArray[np.float64] | None:
        """Return the weights of the samples, or None if there is no column of weights."""
        k = self.plan.weights
        return None if k is None else self._table_of(rows, (k,))[:, 0]

    def _of_equal_width(self, block: Sequence[Record]) -> list[Record]:
        """Return rows with a cell in each column; only empty cells are added or removed."""
        width = len(self.names)
        empty = [k for k, kind in enumerate(self.kinds) if kind == "empty"]
        if not empty and all(len(row.cells) == width for row in block):
            return list(block)
        rows = []
        for line, cells in block:
            missing, more = range(len(cells), width), cells[width:]
            if any(self.kinds[k] != "empty" for k in missing) or any(cell.strip() for cell in more):
                found = f"line {line} has {pluralize(len(cells), 'cell')}"
                raise DataError(f"{self.where} {found}; expected {width} as in the first line.")
            cells = [*cells[:width], *[""] * len(missing)]
            wrong = next((k for k in empty if cells[k].strip()), None)
            if wrong is not None:
                found = f"{quoted(cells[wrong][:40])} on line {line}"
                raise DataError(
                    f"{self.where} column {quoted(self.names[wrong])} must be empty as in the first rows, "
                    f"got {found}{CHOOSE}."
                )
            rows.append(Record(line, cells))
        return rows

    def _numbers(self, block: Sequence[Record]) -> NDArray[Any]:
        return self._table_of(block, self.plan.features)

    def _table_of(self, block: Sequence[Record], features: tuple[int, ...]) -> NDArray[Any]:
        """Return some columns of numbers, or raise a `DataError` that names the first wrong cell."""
        X = np.empty((len(block), len(features)))
        everything = features == tuple(range(len(self.names)))
        truths = [j for j, k in enumerate(features) if k in self.booleans]
        for i, (line, row) in enumerate(block):
            cells = row if everything else [row[k] for k in features]
            try:
                if truths:
                    cells = list(cells)
                    for j in truths:
                        cells[j] = TRUTH[cells[j].strip().lower()]
                if self.comma:
                    if any("." in cell for cell in cells):
                        raise ValueError
                    cells = [cell.replace(",", ".") for cell in cells]
                if "_" in "".join(cells):
                    raise ValueError
                X[i] = list(map(float, cells))
            except (ValueError, KeyError):
                raise self._not_a_number(line, row, features) from None
        return X

    def _not_a_number(self, line: int, row: list[str], features: tuple[int, ...]) -> DataError:
        k = next(k for k in features if not self._is_valid(k, row[k]))
        where = f"{self.where} line {line}, column {quoted(self.names[k])}"
        if self.named and _is_header(row, self.names):
            raise _repeated(self.where, line)
        found = quoted(row[k][:40]) if row[k].strip() else "an empty cell"
        wanted = "true or false" if k in self.booleans else "a number"
        hint = "" if k in self.booleans else clue(row[k], "," if self.comma else ".")
        return DataError(f"{where} must hold {wanted}, got {found}{hint}.")

    def _is_valid(self, k: int, cell: str) -> bool:
        if k in self.booleans:
            return is_boolean(cell)
        return _is_decimal(cell) if self.comma else is_number(cell)


def _is_decimal(cell: str) -> bool:
    """Return whether a cell is a number with a decimal comma or without decimals."""
    return "." not in cell and is_number(cell.replace(",", "."))


def _is_header(row: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a row holds the names of the columns."""
    return [cell.strip() for cell in row] == [*names]


def _repeated(where: str, line: int) -> DataError:
    return DataError(f"{where} line {line} repeats the names of the columns; remove such lines.")


def _with_places(names: Sequence[str], words: list[list[str]], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns; one without a name that is not an index is called by its position.

    An index holds distinct whole numbers or distinct text; as the first column it may repeat them.
    """
    found = list(names)
    for k, cells in enumerate(words):
        if names[k] or not cells:
            continue
        is_first = not any(names[:k])
        is_like = all(map(_WHOLE.fullmatch, cells)) or not any(map(looks_numeric, cells))
        is_index = is_like and (is_first or len({*cells}) == len(cells))
        if place_name(k) in columns or not is_index:
            found[k] = place_name(k)
    return tuple(found)


def _check_marks(cells: list[str], where: str, mark: str) -> None:
    """Raise an error if the marks of a column may separate thousands."""
    found = ambiguous(cells, mark)
    if found is not None:
        value, plain = (quoted(cell[:40]) for cell in found)
        name = "point" if mark == "." else "comma"
        raise DataError(
            f"{where} must have clear decimal marks, but the {name} of {value} beside {plain} may separate "
            f'thousands; write numbers without separators, or give decimal="{mark}" (--decimal {mark}).'
        )


def _may_be_feature(name: str, k: int, named: bool, options: ReadOptions) -> bool:
    """Return whether a column of text would be a feature if it held numbers."""
    if options.columns is not None or options.text is not None or options.raw == "texts":
        return False
    others = (options.label_column, options.groups_column, options.weights_column)
    is_label = name.lower() in LABELS or (name if named else str(k)) in map(str, others)
    return not is_label and not (named and is_index(name))


def _check_text(column: list[Record], k: int, name: str, where: str, mark: str) -> None:
    """Raise an error if a column of text holds numbers, or only words that look like numbers."""
    cells = [row.cells[k].strip() for row in column]
    is_valid = _is_decimal if mark == "," else is_number
    numbers = [row.line for row, cell in zip(column, cells, strict=True) if is_valid(cell)]
    look = [looks_numeric(cell) for cell in cells]
    known = [is_like for cell, is_like in zip(cells, look, strict=True) if is_like or not is_unknown(cell)]
    if not numbers and not (known and all(known)):
        return
    wrong = next(i for i, cell in enumerate(cells) if not is_valid(cell))
    place = f"{where} line {column[wrong].line}, column {quoted(name)}"
    found = quoted(cells[wrong][:40])
    if numbers:
        found += f" and a number on line {numbers[0]}"
        raise DataError(
            f"{place} must hold only numbers or only text, got {found}{clue(cells[wrong], mark)}{ADVICE}."
        )
    raise DataError(f"{place} must hold a number, got {found}{clue(cells[wrong], mark)}{CHOOSE}.")
