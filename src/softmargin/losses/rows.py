"""Row functions: the formulas of a loss as loops over one row of scores, in plain Python.

Each loss keeps its row functions beside its array methods and registers them here. This module records them and
compiles nothing: an engine whose loops are compiled installs the records in its compiler, see
`softmargin.engines.cpu.row_code`. Called from Python, the functions run as they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from softmargin.losses.base import Floats, Loss

__all__ = [
    "ANY_ORDER",
    "CONTRACTED",
    "Record",
    "by_precision",
    "for_each_record",
    "has_form",
    "row_ascent",
    "row_conjugate",
    "row_function",
    "row_gradient",
    "row_helper",
    "row_hessian_product",
    "row_max",
    "row_squares",
    "row_sum",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])
FastMath: TypeAlias = frozenset[str]

ANY_ORDER: FastMath = frozenset({"reassoc", "contract", "nsz"})
"""A sum may be computed in any order, so that it becomes vector instructions; inf and NaN keep their meaning. In a
loss only for sums whose terms have one sign: these lose no digits in any order."""

CONTRACTED: FastMath = frozenset({"contract"})
"""A product and a sum may be rounded once (fused multiply-add); the order of operations stays."""

_LARGEST: FastMath = frozenset({"nnan", "nsz"})
"""For the largest of several numbers, none of which is NaN."""

_AS_WRITTEN: FastMath = frozenset()
"""Every operation is rounded as written."""


class Record(NamedTuple):
    """A function for compiled loops.

    Attributes
    ----------
    called : callable
        The function by whose name other row functions call it.
    function : callable
        The code that is compiled for such a call.
    loss_type : type, optional
        Only for calls whose first argument is a loss of this type.
    single : bool, optional
        Only for calls whose first argument is a float32 array (true) or any other array (false).
    fastmath : frozenset of str
        What the compiler may do with floating-point operations: LLVM's names of the flags.
    """

    called: Callable[..., Any]
    function: Callable[..., Any]
    loss_type: type[Loss] | None = None
    single: bool | None = None
    fastmath: FastMath = _AS_WRITTEN


_RECORDS: list[Record] = []
_LISTENERS: list[Callable[[Record], None]] = []


def for_each_record(install: Callable[[Record], None]) -> None:
    """Call ``install`` with every record, now with those there are and later with each new one."""
    _LISTENERS.append(install)
    for record in _RECORDS:
        install(record)


def _register(record: Record) -> None:
    _RECORDS.append(record)
    for install in _LISTENERS:
        install(record)


def row_function(
    called: Callable[..., Any], loss_type: type[Loss], fastmath: FastMath = _AS_WRITTEN
) -> Callable[[_Function], _Function]:
    """Register the decorated function as the form of ``called`` for one type of loss.

    Parameters
    ----------
    called : callable
        `row_gradient`, `row_hessian_product`, `row_conjugate` or `row_ascent`.
    loss_type : type
    fastmath : frozenset of str, optional
        What the compiler may do with floating-point operations, for example `ANY_ORDER`.
    """

    def register(function: _Function) -> _Function:
        _register(Record(called, function, loss_type=loss_type, fastmath=fastmath))
        return function

    return register


def row_helper(fastmath: FastMath = _AS_WRITTEN) -> Callable[[_Function], _Function]:
    """Register the decorated function as one that row functions call."""

    def register(function: _Function) -> _Function:
        _register(Record(function, function, fastmath=fastmath))
        return function

    return register


def by_precision(single: Callable[..., None], double: Callable[..., None]) -> Callable[..., None]:
    """Return a function that row functions call: ``single`` if its first argument is float32, else ``double``."""

    def chosen(s: NDArray[Any], *arguments: Any) -> None:
        (single if s.dtype == np.float32 else double)(s, *arguments)

    _register(Record(chosen, single, single=True))
    _register(Record(chosen, double, single=False))
    return chosen


def has_form(called: Callable[..., Any], kind: type[Loss]) -> bool:
    """Return whether a row function is registered for a type of loss."""
    return any(record.called is called and record.loss_type is kind for record in _RECORDS)


def _form(called: Callable[..., Any], loss: Loss) -> Callable[..., Any]:
    for record in _RECORDS:
        if record.called is called and record.loss_type is type(loss):
            return record.function
    raise NotImplementedError(f"{loss!r} has no {called.__name__}")


def row_gradient(loss: Any, s: Floats, y: int) -> float:
    """Return L(s, y) and turn ``s`` into dL/ds in place."""
    return float(_form(row_gradient, loss)(loss, s, y))


def row_hessian_product(loss: Any, s: Floats, y: int, t: Floats) -> None:
    """Turn the direction ``t`` into (d²L/ds²)·t in place; ``s`` is scratch afterwards."""
    _form(row_hessian_product, loss)(loss, s, y, t)


def row_conjugate(loss: Any, a: Floats, y: int) -> float:
    """Return L*(a) of one dual row."""
    return float(_form(row_conjugate, loss)(loss, a, y))


def row_ascent(
    loss: Any, s: Floats, a: Floats, y: int, q: float, change: Floats, work: Floats
) -> tuple[float, float]:
    """Maximise the dual over one row ``a`` in place; return estimates of its loss and its duality gap before.

    The maximiser of ``-L*(a') + ⟨a', s⟩ - (q/2) ‖a' - a‖²``: s are the scores at the dual row as it was, and
    q says how much they follow when it moves. ``change`` becomes a' - a; ``s`` and ``work`` are scratch.
    """
    value, gap = _form(row_ascent, loss)(loss, s, a, y, q, change, work)
    return value, gap


@row_helper(ANY_ORDER)
def row_sum(s: NDArray[Any]) -> float:
    """Return the sum of entries that are not negative, in float64."""
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
