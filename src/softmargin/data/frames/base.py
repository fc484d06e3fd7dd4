"""From batches of Arrow to a data set: what parquet, Feather and the folders of `datasets` have in common."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.data.arrow import pyarrow
from softmargin.data.base import Dataset, ReadOptions, as_labels, brief, named_labels, shown
from softmargin.data.tables import ADVICE, Kind, Plan, plan
from softmargin.errors import DataError, SoftmarginError

__all__ = ["ROWS_AT_ONCE", "Table", "class_names", "guarded"]

ROWS_AT_ONCE = 16384


class Table:
    """The schema of a table and which of its columns is what.

    Parameters
    ----------
    schema : pyarrow.Schema
    where : str
        Words that name the file in messages.
    options : ReadOptions
    names : dict of str to list of str
        Names of the classes of integer columns.
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
        if len(parts) == 1:
            return parts[0]
        if not parts:
            raise DataError(f"{self.where} holds no rows.")
        first = parts[0]
        for part in parts:
            if part.n_features != first.n_features:
                raise DataError(
                    f"{self.where} has rows of {first.n_features} and of {part.n_features} features; "
                    f"all must have the same."
                )
        ids = None if first.ids is None else tuple(i for part in parts for i in part.ids or ())
        y = None if first.y is None else np.concatenate([part.y for part in parts if part.y is not None])
        X = np.concatenate([part.X for part in parts])
        return Dataset(X, y, name, ids, first.image_shape, first.feature_names, None, self.plan.notes)

    def chunks(self, batches: Iterable[Any], name: str) -> Iterator[Dataset]:
        """Yield one data set a batch that has rows."""
        start = 0
        for batch in batches:
            if batch.num_rows:
                yield self._part(batch, name, start)
                start += batch.num_rows

    def _part(self, batch: Any, name: str, start: int) -> Dataset:
        made, names, image_shape = self.plan, self.schema.names, None
        if made.kind == "number":
            columns = [self._numbers(batch, names[k], start) for k in made.features]
            X = columns[0][:, None] if len(columns) == 1 else np.stack(columns, axis=1)
            feature_names: tuple[str, ...] | None = tuple(names[k] for k in made.features)
        elif made.kind == "list":
            X, feature_names = self._lists(batch, names[made.features[0]], start), None
        else:
            X, image_shape = self._images(batch, names[made.features[0]], start)
            feature_names = None
        y = None if made.label is None else self._labels(batch, names[made.label], start)
        ids = None
        if made.ids is not None:
            ids = tuple(map(str, batch.column(names[made.ids]).to_pylist()))
        notes = self.plan.notes if start == 0 else ()
        return Dataset(X, y, name, ids, image_shape, feature_names, None, notes)

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

    def _column(self, batch: Any, name: str, start: int) -> Any:
        """Return a column without missing values."""
        column = batch.column(name)
        if self._types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise DataError(f"{self.where} row {start + row}, column {shown(name)!r}: there is no value (null).")
        return column

    def _numbers(self, batch: Any, name: str, start: int) -> NDArray[Any]:
        column = self._column(batch, name, start)
        if self._kind(column.type) != "number":
            raise DataError(f"{self.where} column {shown(name)!r} is of type {column.type}, and not of numbers.")
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
                raise DataError(
                    f"{self.where} row {start + wrong[0]}, column {shown(name)!r}: {lengths[wrong[0]]} numbers, "
                    f"but {length} in row {start}; all rows must have the same."
                )
        values = column.flatten()
        if values.null_count:
            entry = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            row, column_number = divmod(entry, length)
            raise DataError(
                f"{self.where} row {start + row}, column {shown(name)!r}: number {column_number} is null."
            )
        return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(batch.num_rows, length)

    def _images(self, batch: Any, name: str, start: int) -> tuple[NDArray[Any], tuple[int, int, int] | None]:
        files = self._column(batch, name, start).field("bytes").to_pylist()
        where = [f"{self.where} row {start + row}" for row in range(len(files))]
        missing = [place for place, file in zip(where, files, strict=True) if not isinstance(file, bytes)]
        decode = self.options.decode_images
        if missing or decode is None:
            raise DataError(
                f"{missing[0] if missing else self.where}, column {shown(name)!r}: there is no image in it, "
                f"only the path of one at most."
            )
        return decode(files, where, self.options)

    def _labels(self, batch: Any, name: str, start: int) -> NDArray[Any]:
        column = self._column(batch, name, start)
        where = f"{self.where} column {shown(name)!r}"
        if self._kind(column.type) == "text":
            return np.array(column.to_pylist(), dtype=np.str_)
        y = as_labels(self._numbers(batch, name, start), batch.num_rows, where, ADVICE)
        names = self.class_names.get(name)
        return y if names is None else named_labels(y, np.array(names, dtype=np.str_), where)


def class_names(features: Any) -> dict[str, list[str]]:
    """Return the names of classes from a description of features as `datasets` writes it (JSON or parsed)."""
    try:
        described = json.loads(features) if isinstance(features, (str, bytes)) else features
        found = {
            name: entry["names"]
            for name, entry in described.items()
            if isinstance(entry, dict) and entry.get("_type") == "ClassLabel"
        }
        return {
            name: names
            for name, names in found.items()
            if isinstance(names, list) and names and all(isinstance(word, str) for word in names)
        }
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}  # a description that cannot be read takes nothing from the data


@contextmanager
def guarded(where: str) -> Iterator[None]:
    """Turn what pyarrow raises on damaged files into one sentence."""
    pa = pyarrow(f"Reading {where}")
    try:
        yield
    except SoftmarginError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{where} is damaged, cut off or of another format ({brief(error)}).") from error
