"""Operations on arrays (N, C) of any library that follows the array API standard.

Some of them have a separate form for NumPy, since the standard's form takes several times as long.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from softmargin.vectors import namespace

__all__ = [
    "Array",
    "at_least",
    "at_most",
    "at_target",
    "clipped",
    "filled",
    "is_target",
    "number",
    "row_maxima",
    "row_sums",
    "sums_by_class",
    "target_set",
    "with_target",
]

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""


def is_target(rows: Array, y: Array) -> Array:
    """Return a mask (N, C) that is true at the target of each row."""
    xp = namespace(rows)
    classes = xp.arange(rows.shape[1], dtype=y.dtype, device=device(rows))
    return classes[None, :] == y[:, None]


def at_target(rows: Array, y: Array) -> Array:
    """Return the target's entry of each row, (N, 1)."""
    if isinstance(rows, np.ndarray):
        return rows[_row_numbers(len(y)), y][:, None]
    return namespace(rows).take_along_axis(rows, y[:, None], axis=1)


def number(value: float, like: Array) -> Array:
    """Return a number as an operand for functions of two arrays, with the type and device of ``like``."""
    if isinstance(like, np.ndarray):
        return value
    return namespace(like).asarray(value, dtype=like.dtype, device=device(like))


def filled(rows: Array, mask: Array, value: float) -> Array:
    """Return a copy of the rows with ``value`` where the mask is true."""
    return namespace(rows).where(mask, number(value, rows), rows)


def at_least(rows: Array, value: float) -> Array:
    """Return the maximum of each entry and a number; NaN propagates."""
    return namespace(rows).maximum(rows, number(value, rows))


def at_most(rows: Array, value: float) -> Array:
    """Return the minimum of each entry and a number; NaN propagates."""
    return namespace(rows).minimum(rows, number(value, rows))


def clipped(rows: Array, low: float, high: float) -> Array:
    """Return each entry, or the nearer bound if it lies outside; NaN propagates."""
    return np.clip(rows, low, high) if isinstance(rows, np.ndarray) else at_most(at_least(rows, low), high)


def sums_by_class(rows: Array, y: Array) -> Array:
    """Return the sum of the rows of each class, (C, C)."""
    xp, n_classes = namespace(rows), rows.shape[1]
    order = xp.argsort(y)
    ordered = xp.take(rows, order, axis=0)
    classes = xp.arange(n_classes, dtype=y.dtype, device=device(rows))
    starts = xp.searchsorted(xp.take(y, order), classes)
    if isinstance(rows, np.ndarray):
        sums, present = np.zeros((n_classes, n_classes), rows.dtype), np.unique(y)
        sums[present] = np.add.reduceat(ordered, starts[present])
        return sums
    stops = [*map(int, starts[1:]), y.shape[0]]
    return xp.stack([xp.sum(ordered[start:stop, :], axis=0) for start, stop in zip(starts, stops, strict=True)])


def target_set(rows: Array, y: Array, values: Array | float) -> Array:
    """Return the rows with the targets' entries set to a number or to values (N,).

    NumPy arrays are modified in place.
    """
    if isinstance(rows, np.ndarray):
        rows[_row_numbers(len(y)), y] = values
        return rows
    xp = namespace(rows)
    values = number(values, rows) if isinstance(values, float) else values[:, None]
    return xp.where(is_target(rows, y), values, rows)


def with_target(rows: Array, y: Array) -> Array:
    """Return the rows with the target's entry set to minus the sum of the others, in place for NumPy."""
    rows = target_set(rows, y, 0.0)
    return target_set(rows, y, -row_sums(rows))


def row_sums(rows: Array) -> Array:
    """Return the sum of each row, (N,)."""
    return np.add.reduce(rows, 1) if isinstance(rows, np.ndarray) else namespace(rows).sum(rows, axis=1)


def row_maxima(rows: Array) -> Array:
    """Return the largest entry of each row, (N,)."""
    return np.maximum.reduce(rows, 1) if isinstance(rows, np.ndarray) else namespace(rows).max(rows, axis=1)


@lru_cache(maxsize=4)
def _row_numbers(n_rows: int) -> NDArray[np.int64]:
    return np.arange(n_rows)
