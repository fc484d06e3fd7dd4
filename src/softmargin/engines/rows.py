"""The `RowState` of engines for X in memory: a NumPy array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softmargin.engines.base import RowState
from softmargin.losses.base import Floats

__all__ = ["ArrayRows", "OptionalRows", "aligned", "array_of", "sum_in_order"]

OptionalRows: TypeAlias = NDArray[Any] | None
"""An array (N, C), if there is one."""


@dataclass(frozen=True)
class ArrayRows:
    """A `RowState` that is a NumPy array (N, C)."""

    array: NDArray[Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Align the array, which may come from another process at any address."""
        object.__setattr__(self, "array", aligned(state["array"]))

    def scaled(self, factor: float) -> ArrayRows:
        """Return the rows times a factor."""
        return ArrayRows(factor * self.array)

    def moved(self, target: RowState, step: float, low: float, high: float) -> ArrayRows:
        """Return the rows moved towards a target, and clipped."""
        assert isinstance(target, ArrayRows)
        return ArrayRows(np.clip(self.array + step * (target.array - self.array), low, high))

    def non_negative(self) -> ArrayRows:
        """Return max(rows, 0) in float32."""
        return ArrayRows(np.maximum(self.array, 0.0, dtype=np.float32))

    def save(self) -> NDArray[Any]:
        """Return the array."""
        return self.array


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or a copy of it, contiguous, aligned and writeable, as compiled code reads it fastest."""
    return np.require(array, requirements=["C", "A", "W"])


def array_of(rows: RowState | None) -> Any:
    """Return the array (N, C) of a `RowState`, or None."""
    assert rows is None or isinstance(rows, ArrayRows)
    return None if rows is None else rows.array


def sum_in_order(parts: list[Floats]) -> Floats:
    """Return the sum of the parts, added in order."""
    total = parts[0].copy(order="K")
    for part in parts[1:]:
        total += part
    return total
