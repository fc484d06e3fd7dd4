"""Numbers for each sample and class as NumPy arrays: the `RowState` of engines for X in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import RowState
from softmargin.losses.base import Floats

__all__ = ["ArrayRows", "array_of", "sum_in_order"]


@dataclass(frozen=True)
class ArrayRows:
    """A `RowState` that is a NumPy array (N, C)."""

    array: NDArray[Any]

    def scaled(self, factor: float) -> ArrayRows:
        """Return them times a factor."""
        return ArrayRows(factor * self.array)

    def moved(self, target: RowState, step: float, low: float, high: float) -> ArrayRows:
        """Return them moved towards a target, and clipped."""
        assert isinstance(target, ArrayRows)
        return ArrayRows(np.clip(self.array + step * (target.array - self.array), low, high))

    def non_negative(self) -> ArrayRows:
        """Return them with 0 in place of what is negative, in float32."""
        return ArrayRows(np.maximum(self.array, 0.0, dtype=np.float32))

    def save(self) -> NDArray[Any]:
        """Return the array."""
        return self.array


def array_of(rows: RowState | None) -> Any:
    """Return the array (N, C) behind rows, or None."""
    assert rows is None or isinstance(rows, ArrayRows)
    return None if rows is None else rows.array


def sum_in_order(parts: list[Floats]) -> Floats:
    """Return the sum of the parts, added from the first to the last."""
    total = parts[0].copy(order="K")
    for part in parts[1:]:
        total += part
    return total
