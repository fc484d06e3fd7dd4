"""The row functions of the losses, compiled by Numba: inlined into kernels, and as C functions with an address.

With C functions, the loops over X are compiled once per type of X, and the losses once per type of scores, rather
than the loops once per combination. The parameters of a loss are an argument, so another Δ needs no recompilation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeAlias

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from softmargin.engines.cpu.native import c_function, call_code, compiled_once, pointer
from softmargin.errors import CapabilityError
from softmargin.losses.base import Floats, Ints, Loss
from softmargin.losses.rows import (
    Record,
    for_each_record,
    has_form,
    row_ascent,
    row_gradient,
    row_hessian_product,
)

__all__ = ["Code", "Kernel", "ascent_code", "gradient_code", "has_code", "row_gradients"]

Code: TypeAlias = tuple[int, Floats]
"""The address of a function, and the parameters of the loss, which are its first argument."""

_TUPLE: Any = types.NamedTuple
_array: Any = numba.carray  # type: ignore[attr-defined]
_FLOATS, _INTS = pointer(np.float64), pointer(np.int64)


def _install(record: Record) -> None:
    """Make a recorded function callable from compiled code, for the matching type of its first argument.

    It is always inlined. Otherwise, the process that compiles a kernel and those that load it from disk would run
    different copies of the function, whose last bits differ if additions may be reordered.
    """

    def choose(*arguments: Any) -> Callable[..., Any] | None:
        return record.function if _is_meant(record, arguments[0]) else None

    options: Any = {"fastmath": set(record.fastmath), "error_model": "numpy", "forceinline": True}
    overload(record.called, jit_options=options, strict=False)(choose)


def _is_meant(record: Record, first: Any) -> bool:
    if record.loss_type is not None:
        # Dispatch by type works with the disk cache; a function as an argument would not.
        return (
            isinstance(first, types.BaseNamedTuple) and getattr(first, "instance_class", None) is record.loss_type
        )
    return record.single is None or record.single == (first.dtype == types.float32)


for_each_record(_install)


class Kernel:
    """A compiled function whose first arguments are losses, cached on disk only for the package's own losses.

    The index of Numba's cache contains the type of the loss. A type that another program cannot import, for
    example from a notebook, would make the whole index unreadable there.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._cached: Any = numba.njit(nogil=True, cache=True)(function)
        self._foreign: Any = numba.njit(nogil=True)(function)

    def of(self, *losses: Loss) -> Any:
        """Return the compiled function for these losses.

        Raises
        ------
        CapabilityError
            If a loss lacks a row function.
        """
        kinds: list[Any] = [type(loss) for loss in losses]
        for kind in kinds:
            _check_rows(kind)
        return self._cached if all(map(_is_ours, kinds)) else self._foreign


def _is_ours(kind: Any) -> bool:
    return kind.__module__.startswith("softmargin.")


@cache
def _check_rows(kind: Any) -> None:
    """Raise a `CapabilityError` if a loss lacks a row function; Numba's message has 2,000 characters."""
    needed: list[Any] = [row_gradient, *([row_hessian_product] if kind.smooth else [])]
    missing = [function.__name__ for function in needed if not has_form(function, kind)]
    if missing:
        raise CapabilityError(
            f"{kind.__name__} must implement {' and '.join(missing)} for engine='cpu'; "
            f"engine='reference' does not require them."
        )


def has_code(loss: Loss) -> bool:
    """Return whether the loss can be compiled to C functions: all its parameters must be floats."""
    return all(isinstance(value, float) for value in loss)  # type: ignore[attr-defined]


def gradient_code(loss: Loss, dtype: np.dtype[Any]) -> Code:
    """Return `gradient_rows` as a C function.

    Its arguments are the parameters of the loss, the scores (n, C) of the ``dtype``, n, C, the classes (int64)
    and the weights (float64) of the rows.
    """
    return _code_of(loss, dtype, _gradient_function)


def ascent_code(loss: Loss, dtype: np.dtype[Any]) -> Code:
    """Return `row_ascent` as a C function.

    Its arguments are the parameters of the loss, s (C), a (C) of the ``dtype``, C, y, q, the change (C), a buffer
    (C) and the address of the gap; it returns the loss.
    """
    return _code_of(loss, dtype, _ascent_function)


def row_gradients(loss: Loss, dtype: Any) -> Callable[[Floats, Ints, Floats], float]:
    """Return `gradient_rows` of this loss, as a function of scores of the ``dtype``, classes and weights.

    Raises
    ------
    CapabilityError
        If the loss lacks a row function.
    """
    if not has_code(loss):
        return partial(_GRADIENT_ROWS.of(loss), loss)
    return partial(_call_gradient, *_code_of(loss, dtype, _gradient_function))


@numba.njit(nogil=True, cache=True)
def _call_gradient(code: int, numbers: Floats, S: Any, y: Ints, weights: Floats) -> float:
    return call_code(code, (numbers, S, S.shape[0], S.shape[1], y, weights))


def _code_of(loss: Any, dtype: Any, function: Any) -> Code:
    kind: Any = type(loss)
    return _code(kind, tuple(loss), np.dtype(dtype), function)


@compiled_once
def _code(kind: Any, numbers: tuple[float, ...], dtype: np.dtype[Any], function: Any) -> Code:
    _check_rows(kind)
    return _compiled(kind, dtype, function).address, np.array(numbers, np.float64)


@compiled_once
def _compiled(kind: Any, dtype: np.dtype[Any], function: Any) -> Any:
    arguments = _FLOATS, *_ARGUMENTS[function](pointer(dtype))
    return c_function(function(kind), arguments, cache=_is_ours(kind))  # see `Kernel`


def _restore(typing: Any, kind: Any, numbers: Any) -> Any:
    """Return the loss of a type with these parameters, which are floats."""
    loss = _TUPLE([types.float64] * len(kind.instance_class._fields), kind.instance_class)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = [builder.gep(arguments[1], [ir.Constant(ir.IntType(64), n)]) for n in range(len(loss))]
        return context.make_tuple(builder, loss, [builder.load(place) for place in places])

    return loss(kind, numbers), emit


_restored: Any = intrinsic(_restore)


def gradient_rows(loss: Any, S: Floats, y: Ints, weights: Floats) -> float:
    """Replace scores by weighted dual rows; return the weighted sum of the losses. Compiled code only."""
    total = 0.0
    for i in range(S.shape[0]):
        total += weights[i] * row_gradient(loss, S[i], y[i])
        share = S.dtype.type(weights[i])
        for j in range(S.shape[1]):
            S[i, j] *= share
    return total


_GRADIENT_ROWS = Kernel(gradient_rows)


def _gradient_function(kind: Any) -> Any:
    def function(numbers: Any, scores: Any, n: int, n_classes: int, classes: Any, weights: Any) -> float:
        # Not a call of `gradient_rows`, which takes longer to compile.
        loss, S = _restored(kind, numbers), _array(scores, (n, n_classes))
        total = 0.0
        for i in range(n):
            total += weights[i] * row_gradient(loss, S[i], classes[i])
            share = S.dtype.type(weights[i])
            for j in range(n_classes):
                S[i, j] *= share
        return total

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
"""The further argument types of the C functions, given the type of the scores or dual rows."""
