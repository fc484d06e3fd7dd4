"""C functions compiled by Numba: kernels call them by their address, Python through ctypes.

A function that is called is compiled once for its item types, however many kernels use it. Inlined functions are
compiled again with each kernel.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["Native", "call_code", "compiled_once", "pointer"]

_Result = TypeVar("_Result")
_items: Any = cgutils.unpack_tuple
_POINTER: Any = types.CPointer


def pointer(dtype: Any) -> Any:
    """Return Numba's type of a pointer to items of a dtype."""
    return _POINTER(getattr(types, np.dtype(dtype).name))


def compiled_once(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Cache the results of a function that compiles; a thread waits while another compiles."""
    found: dict[Any, _Result] = {}
    lock = threading.Lock()

    @wraps(function)
    def wrapper(*key: Any) -> _Result:
        if key not in found:
            with lock:
                if key not in found:
                    found[key] = function(*key)
        return found[key]

    return wrapper


class Native:
    """A compiled C function that returns a float64.

    Parameters
    ----------
    function : callable
    kinds : tuple of Numba types
        Of its arguments: pointers, integers (``intp`` or ``int64``) and float64.
    cache : bool, default True
        Whether the disk cache keeps it.

    Attributes
    ----------
    address : int
    """

    def __init__(self, function: Callable[..., Any], kinds: tuple[Any, ...], cache: bool = True) -> None:
        self._compiled: Any = numba.cfunc(types.float64(*kinds), cache=cache)(function)
        self.address = int(self._compiled.address)
        self._items = [np.dtype(kind.dtype.name) if isinstance(kind, types.CPointer) else None for kind in kinds]
        passed = [ctypes.c_void_p if items else ctypes.c_int64 for items in self._items]
        self._call = ctypes.CFUNCTYPE(ctypes.c_double, *passed)(self.address)

    def __call__(self, *arguments: Any) -> float:
        """Call the function with arrays for the pointers, without the interpreter's lock.

        Raises
        ------
        TypeError
            If an array is not contiguous or has items of another type.
        """
        return self._call(*map(_passed, arguments, self._items))


def _passed(value: Any, items: np.dtype[Any] | None) -> int:
    if items is None:
        return int(value)
    if value.dtype != items or not value.flags.c_contiguous:
        raise TypeError(f"arrays must be contiguous with items of type {items}, got {value.dtype}.")
    return int(value.ctypes.data)


def _call_code(typing: Any, code: Any, given: Any) -> Any:
    """Call a C function that returns a double by its address; arrays are passed as pointers to their items."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        passed = []
        for kind, value in zip(given.types, _items(builder, arguments[1]), strict=True):
            is_array = isinstance(kind, types.Array)
            passed.append(context.make_array(kind)(context, builder, value).data if is_array else value)
        function = ir.FunctionType(ir.DoubleType(), [value.type for value in passed])
        return builder.call(builder.inttoptr(arguments[0], function.as_pointer()), passed)

    return types.float64(types.intp, given), emit


call_code: Any = intrinsic(_call_code)
