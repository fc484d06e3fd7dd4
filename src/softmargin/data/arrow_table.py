"""From Arrow batches to a data set, for parquet, Feather and folders saved by `datasets`."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.arrow import pyarrow
from softmargin.data.arrow_types import (
    RowProblem,
    is_binary,
    is_text,
    kind_of,
    numbers_of,
    plain,
    rows_of,
    words_of,
)
from softmargin.data.column_names import is_index
from softmargin.data.counters import without_counters
from softmargin.data.dataset import Dataset, ImageShape, ReadOptions, join_parts, no_features
from softmargin.data.files import check_unique, one_line
from softmargin.data.images import SKIP, FilePictures, pixels_of, undamaged
from softmargin.data.inputs import Inputs, Texts
from softmargin.data.labels import Unlabelled, as_labels, is_missing, name_labels, nfc
from softmargin.data.tables import ADVICE, LABELS, Kind, Plan, plan
from softmargin.errors import DataError, SoftmarginError
from softmargin.text import quoted

__all__ = ["Table", "arrow_errors"]

_PICTURES = ("image", "img", "picture", "image_bytes", "image_data", "bytes", "jpg", "jpeg", "png")
"""Names of columns of bytes that hold image files."""


class Table:
    """The schema of a table and the roles of its columns.

    Parameters
    ----------
    schema : pyarrow.Schema
    where : str
        The name of the file in messages.
    options : ReadOptions
    names : dict of str to list of str
        Class names of integer columns.
    """

    def __init__(self, schema: Any, where: str, options: ReadOptions, names: dict[str, list[str]]) -> None:
        self.schema, self.where, self.options, self.class_names = schema, where, options, names
        check_unique(schema.names, where, "column")  # before columns are found by their names
        index = self._index()
        self.names = [name for name in schema.names if name not in index]
        kinds = self.kinds = [self._kind(schema.field(name)) for name in self.names]
        self.plan: Plan = plan(self.names, kinds, where, options)
        made = self.plan
        self.ids = index if made.ids is None else [self.names[made.ids]]
        roles = (k for k in (made.label, made.groups, made.weights) if k is not None)
        used = {self.names[k] for k in (*made.features, *roles)}
        self.columns = [name for name in schema.names if name in {*used, *self.ids}]
        self.notes = self._notes(kinds, index)

    @property
    def label(self) -> str | None:
        """The name of the label column, if there is one."""
        return None if self.plan.label is None else self.names[self.plan.label]

    @property
    def feature_names(self) -> list[str]:
        """The names of the feature columns."""
        return [self.names[k] for k in self.plan.features]

    def dataset(self, batches: Iterable[Any], name: str) -> Dataset:
        """Return the data set of all rows of some batches."""
        parts = list(self.chunks(batches, name))
        if not parts:
            raise DataError(f"{self.where} has no rows.")
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        first, *others = dict.fromkeys(part.image_shape or part.n_features for part in parts)
        if others:
            raise DataError(f"{self.where} must have rows of equal size, got {first} and {others[0]} features.")
        data = replace(join_parts(parts), notes=notes)
        return data if data.feature_names is None else without_counters(data, data.feature_names, self.options)

    def chunks(self, batches: Iterable[Any], name: str) -> Iterator[Dataset]:
        """Yield one data set per batch that has rows; a column of repeated values gives no ids."""
        start = 0
        for batch in batches:
            if start == 0 and self.plan.ids is not None and not is_index(self.names[self.plan.ids]):
                column = plain(batch.column(self.ids[0]))
                self.ids = self.ids if len(column.unique()) == len(column) else []
            if batch.num_rows:
                with self._located(start):
                    part = self._part(batch, name, start)
                yield part
                start += batch.num_rows

    def features(self, batch: Any, start: int, names: list[str]) -> NDArray[Any]:
        """Return some columns of features, (n, D), of a batch whose first row has the number ``start``."""
        with self._located(start):
            return self._rows(batch, start, names)[0]

    def labels(self, batch: Any, start: int) -> NDArray[Any]:
        """Return the labels of a batch whose first row has the number ``start``."""
        assert self.label is not None, "the table has labels"
        with self._located(start):
            return nfc(self._labels(batch, self.label, start))

    def weights(self, batch: Any, start: int) -> NDArray[np.float64]:
        """Return the weights of a batch whose first row has the number ``start``; they are not checked."""
        assert self.plan.weights is not None, "the table has weights"
        with self._located(start):
            return self._numbers(batch, self.names[self.plan.weights]).astype(np.float64)

    @contextmanager
    def _located(self, start: int) -> Iterator[None]:
        """Raise a `_ColumnProblem` as the error that names the row of the file."""
        try:
            yield
        except _ColumnProblem as problem:
            raise self._error(problem.column, start + problem.row, problem.reason) from problem

    def _rows(self, batch: Any, start: int, names: list[str]) -> tuple[NDArray[Any], ImageShape | None]:
        """Return columns of numbers or of lists as rows, and the shape of pictures."""
        if self.plan.kind == "number":
            return np.stack([self._numbers(batch, column) for column in names], axis=1), None
        with _problems_of(names[0]):
            return rows_of(self._column(batch, names[0]), start)

    def _part(self, batch: Any, name: str, start: int) -> Dataset:
        made = self.plan
        names = self.feature_names
        X: NDArray[Any]
        image_shape = None
        inputs: Inputs | None = None
        notes = () if start else self.notes
        numbers: NDArray[np.int64] = np.arange(batch.num_rows)
        text = names[0] if made.kind == "text" else None
        if text is not None:
            X, inputs = no_features(batch.num_rows), Texts(self._words(batch, text), self.where)
        elif made.kind in ("number", "list"):
            X, image_shape = self._rows(batch, start, names)
        else:
            pictures: Inputs = self._pictures(batch, names[0], start)
            options = replace(self.options, progress=None)
            if options.skip_damaged:
                numbers, more = undamaged(pictures, options)
                pictures, notes = pictures.take(numbers), notes + more
            if options.raw:
                X, inputs = no_features(len(pictures)), pictures
            else:
                X, image_shape = pixels_of(pictures, options)
        feature_names = tuple(names) if made.kind == "number" else None
        y = None if self.label is None else self._labels(batch, self.label, start)
        ids = tuple("/".join(map(str, row)) for row in self._ids(batch)) if self.ids else None
        if len(X) < batch.num_rows:  # damaged pictures were left out
            y = None if y is None else y[numbers]
            ids = None if ids is None else tuple(ids[k] for k in numbers)
        return Dataset(
            X, y, name, ids, image_shape, feature_names, None, notes, inputs, text=text, label_column=self.label,
            **{role: cells[numbers] for role, cells in self._roles(batch).items()},
        )  # fmt: skip

    def _roles(self, batch: Any) -> dict[str, Any]:
        """Return the groups as text and the weights, if they were requested."""
        made, found = self.plan, dict[str, Any]()
        if made.groups is not None:
            cells = self._column(batch, self.names[made.groups]).to_pylist()
            lost = next((k for k, cell in enumerate(cells) if is_missing(str(cell))), None)
            if lost is not None:
                reason = f"the group must not be missing, got {str(cells[lost])!r}"
                raise _ColumnProblem(self.names[made.groups], lost, reason)
            found["groups"] = np.array(list(map(str, cells)), dtype=np.str_)
        if made.weights is not None:
            found["weights"] = self._numbers(batch, self.names[made.weights]).astype(np.float64)
        return found

    def _index(self) -> list[str]:
        """Return the columns that are the index of a pandas frame, unless they are requested or labels by name."""
        try:
            found = (self.schema.pandas_metadata or {})["index_columns"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return []  # the metadata are optional
        options = self.options
        wanted = {options.label_column, options.text, *(options.columns or ())}
        names = [name for name in found if isinstance(name, str) and name in self.schema.names]
        return [name for name in names if name not in wanted and name.lower() not in LABELS]

    def _notes(self, kinds: list[Kind], index: list[str]) -> tuple[str, ...]:
        """Return the notes of the plan, and what becomes of the index."""
        notes = list(self.plan.notes)
        if index:
            listed = ", ".join(quoted(name) for name in index)
            use = "is used as the sample ids" if self.ids == index else "is left out"
            notes.append(f"the index of the pandas frame ({listed}) {use}")
        return tuple(notes)

    def _kind(self, field: Any) -> Kind:
        name = field.name
        if is_binary(field.type):
            if name.lower() in _PICTURES:
                return "image"
            wanted = (self.options.label_column, self.options.text)
            return "text" if name in wanted or name.lower() in LABELS or is_index(name) else "other"
        return kind_of(field.type)

    def _error(self, name: str, row: int, text: str) -> DataError:
        kind = Unlabelled if name == self.label and name not in self.feature_names else DataError
        return kind(f"{self.where} row {row}, column {quoted(name)}: {text}.")

    def _column(self, batch: Any, name: str) -> Any:
        """Return a column as a plain array without missing values."""
        column = plain(batch.column(name))
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise _ColumnProblem(name, row, "the value is missing (null)")
        return column

    def _numbers(self, batch: Any, name: str, *, whole: bool = False) -> NDArray[Any]:
        column = self._column(batch, name)
        if kind_of(column.type) != "number":
            raise DataError(f"{self.where} column {quoted(name)} must hold numbers, got type {column.type}.")
        return numbers_of(column, whole=whole)

    def _words(self, batch: Any, name: str) -> list[str]:
        column = self._column(batch, name)
        if not (is_text(column.type) or is_binary(column.type)):
            raise DataError(f"{self.where} column {quoted(name)} must hold text, got type {column.type}.")
        with _problems_of(name):
            return words_of(column)

    def _ids(self, batch: Any) -> Iterator[tuple[Any, ...]]:
        columns = [plain(batch.column(name)) for name in self.ids]
        texts = (is_text(column.type) or is_binary(column.type) for column in columns)
        with _problems_of(self.ids[0]):
            values = [words_of(c) if is_word else c.to_pylist() for c, is_word in zip(columns, texts, strict=True)]
        return zip(*values, strict=True)

    def _pictures(self, batch: Any, name: str, start: int) -> FilePictures:
        column = self._column(batch, name)
        files = (column if is_binary(column.type) else column.field("bytes")).to_pylist()
        where = [f"{self.where} row {start + row}" for row in range(len(files))]
        missing = next((row for row, file in enumerate(files) if not isinstance(file, bytes)), None)
        if missing is not None:
            raise _ColumnProblem(name, missing, "no image is stored (at most its path)")
        return FilePictures(lambda k: (files[k], len(files[k])), where, "{}: the image", SKIP)

    def _labels(self, batch: Any, name: str, start: int) -> NDArray[Any]:
        column = self._column(batch, name)
        where = f"{self.where} column {quoted(name)}"
        if is_text(column.type) or is_binary(column.type):
            return np.array(self._words(batch, name), dtype=np.str_)
        y = as_labels(self._numbers(batch, name, whole=True), batch.num_rows, where, ADVICE)
        names = self.class_names.get(name)
        if names is None:
            return y
        if (unlabelled := np.flatnonzero(y == -1)).size:
            row = start + int(unlabelled[0])
            text = f"label -1 is not an index of the {len(names)} class names and stands for no label"
            raise Unlabelled(f"{where} row {row}: {text}.")
        return name_labels(y, np.array(names, dtype=np.str_), where)


class _ColumnProblem(Exception):
    """A row of a column cannot be used: its number in the batch and the reason."""

    def __init__(self, column: str, row: int, reason: str) -> None:
        super().__init__(reason)
        self.column, self.row, self.reason = column, row, reason


@contextmanager
def _problems_of(column: str) -> Iterator[None]:
    """Add the name of the column to a `RowProblem`."""
    try:
        yield
    except RowProblem as problem:
        raise _ColumnProblem(column, problem.row, problem.reason) from problem


@contextmanager
def arrow_errors(where: str) -> Iterator[None]:
    """Convert the errors that pyarrow raises for damaged files to a `DataError`."""
    pa = pyarrow(f"Reading {where}")
    try:
        yield
    except SoftmarginError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if isinstance(error, pa.ArrowNotImplementedError):
            raise DataError(
                f"{where} must hold types that pyarrow can read ({one_line(error)}); convert them to double."
            ) from error
        raise DataError(f"{where} is damaged, truncated or of another format ({one_line(error)}).") from error
