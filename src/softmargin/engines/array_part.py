"""Samples in memory as the only part of `Shards`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from softmargin.losses.base import Floats
from softmargin.samples import Samples
from softmargin.shards import Shards

__all__ = ["ArrayPart", "shards_of"]


@dataclass(frozen=True)
class ArrayPart:
    """`Samples` in memory, as a `Part`."""

    samples: Samples
    name: str = "X"
    mapped: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.samples.y)

    @property
    def row_bytes(self) -> int:
        """Mean size of a row of X in bytes."""
        X = self.samples.X
        n_bytes = X.data.nbytes + X.indices.nbytes if self.samples.is_sparse else X.nbytes
        return max(1, n_bytes // self.n_rows)

    def features(self, rows: slice) -> Any:
        """Return some rows of X, a view if X is dense."""
        return self.samples.X[rows]

    def labels(self, rows: slice) -> NDArray[Any]:
        """Return the class numbers of some rows."""
        return self.samples.y[rows]

    def weights(self, rows: slice) -> Floats:
        """Return the weights of some rows."""
        return self.samples.weights[rows]

    def check(self) -> None:
        """Do nothing: `Samples` do not change."""


def shards_of(samples: Samples) -> Shards:
    """Return samples in memory as a single part, whose labels are the class numbers."""
    return Shards([ArrayPart(samples)], samples.X.shape[1], samples.dtype, samples.is_sparse)
