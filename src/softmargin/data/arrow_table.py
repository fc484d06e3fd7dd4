"""From Arrow batches to a data set, for parquet, Feather and folders saved by `datasets`."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.arrow import pyarrow
from softmargin.data.counters import without_counters
from softmargin.data.dataset import Dataset, ReadOptions, join_parts, no_features
from softmargin.data.files import one_line
from softmargin.data.images import FilePictures, pixels_of
from softmargin.data.inputs import Texts
from softmargin.data.labels import as_labels, name_labels
from softmargin.data.tables import ADVICE, Kind, Plan, plan
from softmargin.errors import DataError, SoftmarginError
from softmargin.text import printable

__all__ = ["Table", "arrow_errors"]


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
        self._types = pyarrow(f"Reading {where}").types
        self.schema, self.where, self.options, self.class_names = schema, where, options, names
        kinds = [self._kind(field.type) for field in schema]
        self.plan: Plan = plan(schema.names, kinds, where, options)
        made = self.plan
        used = [*made.features, *(k for k in (made.label, made.ids) if k is not None)]
        self.columns = [schema.names[k] for k in sorted(set(used))]

    def dataset(self, batches: Iterable[Any], name: str) -> Dataset:
        """Return the data set of all rows of some batches."""
        parts = list(self.chunks(batches, name))
        if not parts:
            raise DataError(f"{self.where} has no rows.")
        first, *others = dict.fromkeys(part.image_shape or part.n_features for part in parts)
        if others:
            raise DataError(f"{self.where} must have rows of equal size, got {first} and {others[0]} features.")
        data = join_parts(parts)
        return data if data.feature_names is None else without_counters(data, data.feature_names, self.options)

    def chunks(self, batches: Iterable[Any], name: str) -> Iterator[Dataset]:
        """Yield one data set per batch that has rows."""
        start = 0
        for batch in batches:
            if batch.num_rows:
                yield self._part(batch, name, start)
                start += batch.num_rows

    def _part(self, batch: Any, name: str, start: int) -> Dataset:
        made = self.plan
        names = [self.schema.names[k] for k in made.features]
        X: NDArray[Any]
        image_shape = inputs = None
        text = names[0] if made.kind == "text" else None
        if text is not None or (made.kind == "image" and self.options.raw):
            read = self._pictures if text is None else self._texts
            X, inputs = no_features(batch.num_rows), read(batch, names[0], start)
        elif made.kind == "number":
            X = np.stack([self._numbers(batch, column, start) for column in names], axis=1)
        elif made.kind == "list":
            X = self._lists(batch, names[0], start)
        else:
            options = replace(self.options, progress=None)
            X, image_shape = pixels_of(self._pictures(batch, names[0], start), options)
        feature_names = tuple(names) if made.kind == "number" else None
        y = None if made.label is None else self._labels(batch, self.schema.names[made.label], start)
        ids = None
        if made.ids is not None:
            ids = tuple(map(str, batch.column(self.schema.names[made.ids]).to_pylist()))
        return Dataset(
            X, y, name, ids, image_shape, feature_names, None, () if start else made.notes, inputs, text=text
        )

    def _kind(self, kind: Any) -> Kind:
        t = self._types
        if t.is_dictionary(kind):
            kind = kind.value_type
        if t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind):
            return "number"
        if t.is_string(kind) or t.is_large_string(kind):
            return "text"
        if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
            return "list" if self._kind(kind.value_type) == "number" else "other"
        if t.is_struct(kind) and "bytes" in {kind.field(k).name for k in range(kind.num_fields)}:
            return "image"
        return "other"

    def _error(self, name: str, row: int, text: str) -> DataError:
        return DataError(f"{self.where} row {row}, column {printable(name)!r}: {text}.")

    def _column(self, batch: Any, name: str, start: int) -> Any:
        """Return a column without missing values."""
        column = batch.column(name)
        if self._types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise self._error(name, start + row, "the value is missing (null)")
        return column

    def _numbers(self, batch: Any, name: str, start: int) -> NDArray[Any]:
        column = self._column(batch, name, start)
        if self._kind(column.type) != "number":
            raise DataError(f"{self.where} column {printable(name)!r} must hold numbers, got type {column.type}.")
        return np.asarray(column.to_numpy(zero_copy_only=False))

    def _lists(self, batch: Any, name: str, start: int) -> NDArray[Any]:
        column = self._column(batch, name, start)
        if self._types.is_fixed_size_list(column.type):
            length = column.type.list_size
        else:
            lengths = column.value_lengths().to_numpy(zero_copy_only=False)
            length = int(lengths[0])
            wrong = np.flatnonzero(lengths != length)
            if wrong.size:
                text = f"got {lengths[wrong[0]]} numbers, but {length} in row {start}; expected equal lengths"
                raise self._error(name, start + wrong[0], text)
        values = column.flatten()
        if values.null_count:
            entry = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            row, column_number = divmod(entry, length)
            raise self._error(name, start + row, f"number {column_number} is missing (null)")
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(batch.num_rows, length)

    def _texts(self, batch: Any, name: str, start: int) -> Texts:
        column = self._column(batch, name, start)
        if self._kind(column.type) != "text":
            raise DataError(f"{self.where} column {printable(name)!r} must hold text, got type {column.type}.")
        return Texts(column.to_pylist(), self.where)

    def _pictures(self, batch: Any, name: str, start: int) -> FilePictures:
        files = self._column(batch, name, start).field("bytes").to_pylist()
        where = [f"{self.where} row {start + row}" for row in range(len(files))]
        missing = next((row for row, file in enumerate(files, start) if not isinstance(file, bytes)), None)
        if missing is not None:
            raise self._error(name, missing, "no image is stored (at most its path)")
        return FilePictures(lambda k: (files[k], len(files[k])), where, "{}: the image")

    def _labels(self, batch: Any, name: str, start: int) -> NDArray[Any]:
        column = self._column(batch, name, start)
        where = f"{self.where} column {printable(name)!r}"
        if self._kind(column.type) == "text":
            return np.array(column.to_pylist(), dtype=np.str_)
        y = as_labels(self._numbers(batch, name, start), batch.num_rows, where, ADVICE)
        names = self.class_names.get(name)
        return y if names is None else name_labels(y, np.array(names, dtype=np.str_), where)


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
        raise DataError(f"{where} is damaged, truncated or of another format ({one_line(error)}).") from error
