"""Shards that are parquet files, or row groups of large ones: decoded by the task that needs the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin._version import __version__
from softmargin.arguments import Floats
from softmargin.data.arrow import release_memory
from softmargin.data.arrow_table import Table, arrow_errors
from softmargin.data.arrow_types import dtype_of
from softmargin.data.column_names import is_index, may_identify
from softmargin.data.dataset import ReadOptions
from softmargin.data.frames import ROWS_AT_ONCE, class_names_of, parquet_file
from softmargin.data.spool import npy_pieces, spooled
from softmargin.data.stored import StoredFile
from softmargin.errors import DataError
from softmargin.shards import Shards
from softmargin.text import printable, quoted

__all__ = ["ParquetPart", "parquet_shards"]

_PART_BYTES = 1 << 30
"""A file that is larger than this when decoded is divided into parts of whole row groups, of at most this size."""

_COLUMNS_AT_ONCE = 64
"""Number of columns that are decoded together: pyarrow needs memory for a page and a dictionary of each."""

_SMALLEST, _LARGEST = 1e-100, 1e100
"""Bounds of positive weights, whose squares are added."""

_CHOOSE = "; choose the features with columns= (--columns)"


@dataclass(frozen=True)
class ParquetPart:
    """Some row groups of a parquet file, as a `Part` of `Shards`.

    Attributes
    ----------
    file : StoredFile
    options : ReadOptions
        Which columns are features, labels and weights.
    n_features : int
    dtype : str
        The type of X.
    row_groups : tuple of int
        Number of the first, and of the one after the last.
    first_row, n_rows : int
        The rows of the file.
    is_whole : bool
        Whether these are all rows of the file.
    spool : str, optional
        Folder for decoded rows.
    mapped : bool
        Whether decoded rows are mapped from that folder.
    """

    file: StoredFile
    options: ReadOptions
    n_features: int
    dtype: str
    row_groups: tuple[int, int]
    first_row: int
    n_rows: int
    is_whole: bool
    spool: str | None
    mapped: bool

    @property
    def name(self) -> str:
        """The path, with the rows if they are not all of the file."""
        rows = "" if self.is_whole else f" (rows {self.first_row} to {self.first_row + self.n_rows - 1})"
        return self.file.name + rows

    @property
    def row_bytes(self) -> int:
        """Size of a decoded row of X in bytes."""
        return self.n_features * np.dtype(self.dtype).itemsize

    def features(self, rows: slice) -> NDArray[Any]:
        """Return some rows of X (n, D), decoded or mapped from the spool folder."""
        if self.spool is None:
            with _opened(self.file, self.options) as (file, table):
                return self._decoded(file, table, rows)
        found = self._spooled("X", self._pieces)[rows]
        return found if self.mapped else np.array(found)

    def labels(self, rows: slice) -> NDArray[Any]:
        """Return the labels of some rows."""
        if self.options.only_features:
            raise DataError(f"{printable(self.name)} was opened without labels.")
        return self._vector("y", rows, lambda table: table.label, Table.labels)

    def weights(self, rows: slice) -> Floats:
        """Return the weights of some rows, which are 1 without a column of weights."""
        column = self.options.weights_column
        if column is None:
            return np.ones(rows.stop - rows.start)
        found = self._vector("weights", rows, lambda _: column, Table.weights)
        wrong = np.flatnonzero(~((found == 0.0) | ((found >= _SMALLEST) & (found <= _LARGEST))))
        if wrong.size:
            raise DataError(
                f"{printable(self.file.name)} row {self.first_row + rows.start + wrong[0]}, column "
                f"{quoted(column)}: a weight must be 0 or lie in {_SMALLEST:g} … {_LARGEST:g}, got "
                f"{found[wrong[0]]}."
            )
        return found

    def check(self) -> None:
        """Raise a `DataError` if the file has changed since it was opened, or cannot be read."""
        self.file.check()

    def _vector(
        self,
        what: str,
        rows: slice,
        column: Callable[[Table], str | None],
        read: Callable[[Table, Any, int], NDArray[Any]],
    ) -> NDArray[Any]:
        """Return some rows of the column of labels or of weights."""

        def decoded(rows: slice) -> NDArray[Any]:
            with _opened(self.file, self.options) as (file, table):
                batches = self._batches(file, rows, [str(column(table))])
                return np.concatenate([read(table, batch, first) for batch, first in batches])

        def pieces() -> Iterator[bytes | memoryview]:
            found = decoded(slice(0, self.n_rows))
            return npy_pieces(found.shape, found.dtype, [found])

        return decoded(rows) if self.spool is None else np.array(self._spooled(what, pieces)[rows])

    def _spooled(self, what: str, pieces: Callable[[], Iterator[bytes | memoryview]]) -> NDArray[Any]:
        assert self.spool is not None, "there is a folder"
        self.check()
        return spooled(self.spool, (what, __version__, replace(self, spool=None, mapped=False)), pieces)

    def _pieces(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes of a ``.npy`` file of X, of which one row group at a time is in memory."""
        with _opened(self.file, self.options) as (file, table):
            borders = [0, *accumulate(file.metadata.row_group(k).num_rows for k in range(*self.row_groups))]
            blocks = (self._decoded(file, table, slice(*limits)) for limits in pairwise(borders))
            yield from npy_pieces((self.n_rows, self.n_features), np.dtype(self.dtype), blocks)

    def _decoded(self, file: Any, table: Table, rows: slice) -> NDArray[Any]:
        """Return some rows of X, decoded by a few columns at a time."""
        X = np.empty((rows.stop - rows.start, self.n_features), self.dtype)
        names, low = table.feature_names, self.first_row + rows.start
        for k in range(0, len(names), _COLUMNS_AT_ONCE):
            some = names[k : k + _COLUMNS_AT_ONCE]
            for batch, first in self._batches(file, rows, some):
                found = table.features(batch, first, some)
                n_expected = self.n_features if table.plan.kind == "list" else len(some)
                if found.shape[1] != n_expected:
                    raise DataError(
                        f"{table.where} must have {n_expected} numbers in each list, got {found.shape[1]}."
                    )
                X[first - low : first - low + len(found), k : k + n_expected] = found
        return X

    def _batches(self, file: Any, rows: slice, columns: list[str]) -> Iterator[tuple[Any, int]]:
        """Yield some rows of some columns in batches, each with the number of its first row in the file."""
        low, high, start = self.first_row + rows.start, self.first_row + rows.stop, self.first_row
        picked: list[tuple[int, int]] = []
        for k in range(*self.row_groups):
            end = start + file.metadata.row_group(k).num_rows
            if start < high and low < end:
                picked.append((k, start))
            start = end
        groups, start = [k for k, _ in picked], picked[0][1] if picked else start
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns, use_threads=False):
            first, last = max(low, start), min(high, start + batch.num_rows)
            if first < last:
                yield batch.slice(first - start, last - first), first
            start += batch.num_rows


@contextmanager
def _opened(stored: StoredFile, options: ReadOptions) -> Iterator[tuple[Any, Table]]:
    """Open a file, with the roles of its columns; raise a `DataError` if it changes meanwhile."""
    where = printable(stored.name)
    stored.check()
    try:
        with arrow_errors(where), ExitStack() as opened:
            file = parquet_file(stored.path, opened)
            yield file, Table(file.schema_arrow, where, options, class_names_of(file.schema_arrow))
        release_memory()
    except OSError as error:
        raise DataError(f"{where} cannot be read ({error.strerror or error}).") from error
    stored.check()


def parquet_shards(files: list[Path], options: ReadOptions, *, mapped: bool, spool: str | None) -> Shards:
    """Open parquet files, of which only metadata are read.

    Raises
    ------
    CapabilityError
        pyarrow is not installed.
    DataError
        If a file is damaged, or lacks a column, or a column does not hold numbers, or files differ in the number
        or the type of their features.
    ParameterError
        If the column of labels or of weights is missing.
    """
    parts: list[ParquetPart] = []
    first: _Columns | None = None
    for path in files:
        stored = StoredFile.of(path)
        with _opened(stored, options) as (file, table):
            found = _Columns.of(file, table)
            n_rows = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
        if first is None or first.n_features == 0:
            first, first_path = found, path
        _compare(found, printable(path), first, printable(first_path))
        same_order = found.features == first.features
        own = options if same_order else replace(options, columns=first.features)
        largest = max(1, _PART_BYTES // max(1, found.row_bytes))
        for groups, start, n in _divided(n_rows, largest):
            is_whole = groups == (0, len(n_rows))
            parts.append(
                ParquetPart(
                    stored, own, first.n_features, str(first.dtype), groups, start, n, is_whole, spool,
                    mapped and spool is not None,
                )
            )  # fmt: skip
    assert first is not None, "there are files"
    names = None if first.is_list else first.features
    return Shards(
        tuple(parts), first.n_features, first.dtype, feature_names=names, label_column=first.label,
        weights_column=options.weights_column,
    )  # fmt: skip


@dataclass(frozen=True)
class _Columns:
    """The roles of the columns of a file."""

    features: tuple[str, ...]
    label: str | None
    is_list: bool
    n_features: int
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        return self.n_features * self.dtype.itemsize

    @classmethod
    def of(cls, file: Any, table: Table) -> _Columns:
        """Return the columns of an open file; raise a `DataError` if one cannot be used."""
        _check_columns(table)
        names, is_list = tuple(table.feature_names), table.plan.kind == "list"
        dtype = np.result_type(*(dtype_of(table.schema.field(name).type) for name in names))
        n_features = _list_length(file.metadata, names[0], table.where) if is_list else len(names)
        return cls(names, table.label, is_list, n_features, dtype)


def _check_columns(table: Table) -> None:
    """Raise a `DataError` for a column that has no role, or whose type does not fit to its role."""
    kinds, where, options = dict(zip(table.names, table.kinds, strict=True)), table.where, table.options

    def refuse(name: str, what: str, advice: str = "") -> DataError:
        return DataError(
            f"{where} column {quoted(name)} must hold {what} in shards, got type "
            f"{table.schema.field(name).type}{advice}."
        )

    wanted = "list" if table.plan.kind == "list" else "number"
    for name in table.feature_names:
        if kinds[name] != wanted:
            raise refuse(name, "numbers", _CHOOSE)
        if options.columns is None and may_identify(name):
            raise DataError(f"{where} column {quoted(name)} is named like an identifier{_CHOOSE}.")
    if options.weights_column is not None and kinds[options.weights_column] != "number":
        raise refuse(options.weights_column, "numbers")
    if options.only_features:
        return
    if table.label is None:
        raise DataError(f"{where} must have a column of labels; name it with label_column= (--label-column).")
    if kinds[table.label] not in ("number", "text"):
        raise refuse(table.label, "labels, strings or integers,")
    used = {*table.feature_names, *table.ids, table.label, options.weights_column}
    for name in table.names:
        if options.columns is None and name not in used and not is_index(name):
            raise refuse(name, "numbers", _CHOOSE)


def _list_length(metadata: Any, name: str, where: str) -> int:
    """Return the length of the lists of a column, 0 if the file has no rows."""
    if not metadata.num_rows:
        return 0
    columns = range(metadata.num_columns)
    place = next(k for k in columns if metadata.schema.column(k).path.startswith(f"{name}."))
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    n_values = sum(group.column(place).num_values for group in groups if group.num_rows)
    if n_values % metadata.num_rows:
        raise DataError(f"{where} column {quoted(name)} must hold lists of equal length.")
    return int(n_values // metadata.num_rows)


def _compare(found: _Columns, where: str, first: _Columns, first_where: str) -> None:
    """Raise a `DataError` if a file differs from the first one."""
    missing = [name for name in first.features if name not in found.features]
    others = [name for name in found.features if name not in first.features]
    if missing or others:
        what = f"lacks the feature {quoted(missing[0])}" if missing else f"also has {quoted(others[0])}"
        raise DataError(f"{where} must have the features of {first_where}, but it {what}.")
    if found.label != first.label:
        raise DataError(
            f"{where} must have its labels in the column {quoted(str(first.label))} like {first_where}, got "
            f"{quoted(str(found.label))}; name it with label_column= (--label-column)."
        )
    if found.n_features not in (0, first.n_features) or found.dtype != first.dtype:
        raise DataError(
            f"{where} must have {first.n_features} features of type {first.dtype} like {first_where}, got "
            f"{found.n_features} of type {found.dtype}."
        )


def _divided(n_rows: list[int], largest: int) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Yield row groups with at most a number of rows: the first and the end, the first row, the number of rows."""
    begin = start = n = 0
    for k, more in enumerate(n_rows):
        if n and n + more > largest:
            yield (begin, k), start, n
            begin, start, n = k, start + n, 0
        n += more
    yield (begin, len(n_rows)), start, n
