"""Data sets in several parts that are never joined: rows stay where they are until a task reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from softmargin.arguments import Floats
from softmargin.sparse import ALL_COLUMNS, Columns

__all__ = ["Part", "Shards"]


class Part(Protocol):
    """Consecutive rows that are stored together, such as a file. It is pickled as a description, without its rows.

    Attributes
    ----------
    name : str
        Its name in messages.
    n_rows : int
    row_bytes : int
        Mean size of a row of X in bytes, as stored.
    mapped : bool
        Whether rows are mapped from a file, and so need no memory of their own.
    """

    @property
    def name(self) -> str: ...

    @property
    def n_rows(self) -> int: ...

    @property
    def row_bytes(self) -> int: ...

    @property
    def mapped(self) -> bool: ...

    def features(self, rows: slice) -> Any:
        """Return some rows of X: an array, or a canonical CSR array.

        Raises
        ------
        DataError
            If the file has changed since it was opened, or cannot be read.
        """

    def labels(self, rows: slice) -> NDArray[Any]:
        """Return the labels of some rows; raise as `features` does."""

    def weights(self, rows: slice) -> Floats:
        """Return the weights of some rows, non-negative."""

    def check(self) -> None:
        """Raise a `DataError` if the file has changed since it was opened."""


@dataclass(frozen=True)
class Shards:
    """The parts of a data set, in the order of its rows.

    Attributes
    ----------
    parts : sequence of Part
    n_features : int
        D.
    dtype : dtype
        The type of X.
    """

    parts: Sequence[Part]
    n_features: int
    dtype: np.dtype[Any]
    columns: ClassVar[Columns] = ALL_COLUMNS

    @property
    def n_samples(self) -> int:
        """Number of rows of all parts."""
        return sum(part.n_rows for part in self.parts)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        return self.n_samples, self.n_features

    @property
    def is_sparse(self) -> bool:
        """Whether X is sparse, which it never is."""
        return False

    def widened(self) -> Shards:
        """Return the data set with all columns, which it already has."""
        return self
