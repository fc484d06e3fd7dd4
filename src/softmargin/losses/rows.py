"""Row functions: the formulas of a loss as loops over one row of scores, in plain Python.

Each loss defines its row functions next to its array methods and registers them here. This module only records
them. An engine with compiled loops passes the records to its compiler, see `softmargin.engines.cpu.row_code`.
Called from Python, the functions run as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from softmargin.losses.base import Floats, Loss

__all__ = [
    "ANY_ORDER", "CONTRACTED", "Record", "by_precision", "for_each_record", "has_form", "row_ascent",
    "row_function", "row_gradient", "row_helper", "row_hessian_product", "row_max", "row_squares",
    "row_sum",
]  # fmt: skip

_Function = TypeVar("_Function", bound=Callable[..., Any])
FastMath: TypeAlias = frozenset[str]

ANY_ORDER: FastMath = frozenset({"reassoc", "contract", "nsz"})
"""Sums may be computed in any order, so that they can be vectorised; inf and NaN keep their meaning. Losses use
this only for sums whose terms have the same sign, which are accurate in any order."""

CONTRACTED: FastMath = frozenset({"contract"})
"""Products and sums may be fused (fused multiply-add); the order of operations is fixed."""

_LARGEST: FastMath = frozenset({"nnan", "nsz"})
"""For the maximum of numbers without NaN."""

_AS_WRITTEN: FastMath = frozenset()
"""Every operation is rounded as written."""


class Record(NamedTuple):
    """A function that compiled loops may call.

    Attributes
    ----------
    called : callable
        The name, as a Python function, by which other row functions call it.
    function : callable
        The function to compile for such a call.
    loss_type : type, optional
        Restricts the record to calls whose first argument is a loss of this type.
    single : bool, optional
        Restricts the record to calls whose first argument is (true) or is not (false) a float32 array.
    fastmath : frozenset of str
        LLVM's fast-math flags, which state what the compiler may do with floating-point operations.
    """

    called: Callable[..., Any]
    function: Callable[..., Any]
    loss_type: type[Loss] | None = None
    single: bool | None = None
    fastmath: FastMath = _AS_WRITTEN


_RECORDS: list[Record] = []
_LISTENERS: list[Callable[[Record], None]] = []


def for_each_record(install: Callable[[Record], None]) -> None:
    """Call ``install`` with all existing and all future records."""
    _LISTENERS.append(install)
    for record in _RECORDS:
        install(record)


def _register(called: Callable[..., Any], function: _Function, **conditions: Any) -> _Function:
    record = Record(called, function, **conditions)
    _RECORDS.append(record)
    for install in _LISTENERS:
        install(record)
    return function


def row_function(
    called: Callable[..., Any], loss_type: type[Loss], fastmath: FastMath = _AS_WRITTEN
) -> Callable[[_Function], _Function]:
    """Register the decorated function as the implementation of ``called`` for one type of loss.

    Parameters
    ----------
    called : callable
        `row_gradient`, `row_hessian_product` or `row_ascent`.
    loss_type : type
    fastmath : frozenset of str, optional
        What the compiler may do with floating-point operations, for example `ANY_ORDER`.
    """
    return lambda function: _register(called, function, loss_type=loss_type, fastmath=fastmath)


def row_helper(fastmath: FastMath = _AS_WRITTEN) -> Callable[[_Function], _Function]:
    """Register the decorated function as a helper of row functions."""
    return lambda function: _register(function, function, fastmath=fastmath)


def by_precision(single: Callable[..., None], double: Callable[..., None]) -> Callable[..., None]:
    """Return a helper of row functions that calls ``single`` if its first argument is float32, else ``double``."""

    def chosen(s: NDArray[Any], *arguments: Any) -> None:
        (single if s.dtype == np.float32 else double)(s, *arguments)

    _register(chosen, single, single=True)
    _register(chosen, double, single=False)
    return chosen


def has_form(called: Callable[..., Any], kind: type[Loss]) -> bool:
    """Return whether a row function is implemented for a type of loss."""
    return any(record.called is called and record.loss_type is kind for record in _RECORDS)


def _form(called: Callable[..., Any], loss: Loss) -> Callable[..., Any]:
    for record in _RECORDS:
        if record.called is called and record.loss_type is type(loss):
            return record.function
    raise NotImplementedError(f"{loss!r} has no {called.__name__}")


def row_gradient(loss: Any, s: Floats, y: int) -> float:
    """Return L(s, y) and replace ``s`` by dL/ds."""
    return float(_form(row_gradient, loss)(loss, s, y))


def row_hessian_product(loss: Any, s: Floats, y: int, t: Floats) -> None:
    """Replace the direction ``t`` by (d²L/ds²)·t; ``s`` is overwritten."""
    _form(row_hessian_product, loss)(loss, s, y, t)


def row_ascent(
    loss: Any, s: Floats, a: Floats, y: int, q: float, change: Floats, work: Floats
) -> tuple[float, float]:
    """Maximise the dual over one row ``a`` in place; return estimates of its loss and its duality gap before.

    The new row a' maximises ``-L*(a') + ⟨a', s⟩ - (q/2) ‖a' - a‖²``, where s are the scores at the old row, and q
    is their rate of change with the row. ``change`` becomes a' - a; ``s`` and ``work`` are overwritten.
    """
    value, gap = _form(row_ascent, loss)(loss, s, a, y, q, change, work)
    return value, gap


@row_helper(ANY_ORDER)
def row_sum(s: NDArray[Any]) -> float:
    """Return the sum of non-negative entries, in float64."""
    total = 0.0
    for j in range(s.size):
        total += s[j]
    return total


@row_helper(ANY_ORDER)
def row_squares(s: NDArray[Any]) -> float:
    """Return the sum of the squares of the entries, in float64."""
    total = 0.0
    for j in range(s.size):
        total += np.float64(s[j]) * np.float64(s[j])
    return total


@row_helper(_LARGEST)
def row_max(s: NDArray[Any]) -> Any:
    """Return the largest entry."""
    top = s[0]
    for j in range(s.size):
        top = s[j] if s[j] > top else top
    return top
