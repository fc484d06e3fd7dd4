"""The row functions of a loss as functions of the language C, which any compiled loop can call by their address.

So the loops over X are compiled once for each type of X, and the losses once for each type of scores, instead of
the loops once for each of both. The numbers of a loss are an argument, so that another Δ is not another function.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numba
import numpy as np
from numba import types
from numba.extending import overload, register_jitable
from numba.np.unsafe.ndarray import to_fixed_tuple

from softmargin.losses.base import Floats, Ints, Loss, row_ascent, row_gradient

__all__ = ["Code", "ascent_code", "gradient_code", "gradient_rows", "has_code"]

Code: TypeAlias = tuple[int, Floats]
"""The address of a function, and the numbers of the loss: the first argument of every function here."""

_POINTER: Any = types.CPointer
_array: Any = numba.carray  # type: ignore[attr-defined]
_tuple_of: Any = to_fixed_tuple
_FLOATS, _INTS = _POINTER(types.float64), _POINTER(types.int64)


def has_code(loss: Loss) -> bool:
    """Return whether there are such functions: all parameters of the loss are floats."""
    return all(isinstance(value, float) for value in _numbers(loss))


def _numbers(loss: Any) -> list[Any]:
    return list(loss)  # a loss is a named tuple


def gradient_code(loss: Loss, dtype: np.dtype[Any]) -> Code:
    """Return `gradient_rows` as a function.

    Its arguments are the numbers of the loss, the scores (n, C) of the ``dtype``, n, C, the classes (int64)
    and the weights (float64) of the rows.
    """
    kind: Any = type(loss)
    return _code(kind, tuple(_numbers(loss)), np.dtype(dtype).name, _gradient_function)


def ascent_code(loss: Loss, dtype: np.dtype[Any]) -> Code:
    """Return `row_ascent` as a function.

    Its arguments are the numbers of the loss, s (C), a (C) of the ``dtype``, C, y, q, the change (C), scratch
    (C) and where to write the gap; it returns the loss.
    """
    kind: Any = type(loss)
    return _code(kind, tuple(_numbers(loss)), np.dtype(dtype).name, _ascent_function)


@cache  # to name the types anew takes longer than a small pass
def _code(kind: Any, numbers: tuple[float, ...], dtype: str, function: Any) -> Code:
    given = _POINTER(getattr(types, dtype))
    compiled = _compiled(kind, function, types.float64(_FLOATS, *_ARGUMENTS[function](given)))
    return compiled.address, np.array(numbers, np.float64)


@cache
def _compiled(kind: Any, function: Any, signature: Any) -> Any:
    # Of the losses of others the cache on disk must know nothing, see `softmargin.engines.base.Kernel`.
    ours = kind.__module__.startswith("softmargin.")
    return numba.cfunc(signature, cache=ours)(function(kind))


def _restored(kind: Any, numbers: Any) -> Any:
    """Return the loss of this kind with these numbers. Compiled code only."""
    raise NotImplementedError


@overload(_restored, jit_options={"forceinline": True})
def _restoring(kind: Any, numbers: Any) -> Any:
    n = len(kind.instance_class._fields)

    def without_numbers(kind: Any, numbers: Any) -> Any:
        return kind()

    def with_numbers(kind: Any, numbers: Any) -> Any:
        return kind(*_tuple_of(_array(numbers, (n,)), n))

    return with_numbers if n > 0 else without_numbers


@register_jitable(forceinline=True)
def gradient_rows(loss: Any, S: Floats, y: Ints, weights: Floats) -> float:
    """Turn scores into weighted dual rows in place; return the weighted sum of the losses. Compiled code only."""
    total = 0.0
    for i in range(S.shape[0]):
        total += weights[i] * row_gradient(loss, S[i], y[i])
        share = S.dtype.type(weights[i])
        for j in range(S.shape[1]):
            S[i, j] *= share
    return total


def _gradient_function(kind: Any) -> Any:
    def function(numbers: Any, scores: Any, n: int, n_classes: int, classes: Any, weights: Any) -> float:
        loss, S = _restored(kind, numbers), _array(scores, (n, n_classes))
        return gradient_rows(loss, S, _array(classes, (n,)), _array(weights, (n,)))

    return function


def _ascent_function(kind: Any) -> Any:
    def function(
        numbers: Any, s: Any, a: Any, n: int, y: int, q: float, change: Any, work: Any, gap: Any
    ) -> float:
        loss, row, dual = _restored(kind, numbers), _array(s, (n,)), _array(a, (n,))
        value, gap[0] = row_ascent(loss, row, dual, y, q, _array(change, (n,)), _array(work, (n,)))
        return value

    return function


_ARGUMENTS: dict[Any, Callable[[Any], tuple[Any, ...]]] = {
    _gradient_function: lambda scores: (scores, types.intp, types.intp, _INTS, _FLOATS),
    _ascent_function: lambda dual: (
        _FLOATS, dual, types.intp, types.int64, types.float64, _FLOATS, _FLOATS, _FLOATS,
    ),
}  # fmt: skip
"""What follows the numbers of a loss, by the type of scores or dual rows."""
