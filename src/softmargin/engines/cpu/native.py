"""C functions compiled by Numba, which kernels call by their address.

A function that is called is compiled once for its item types, however many kernels use it. Inlined functions are
compiled again with each kernel.
"""

from __future__ import annotations

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

__all__ = ["c_function", "call_code", "compiled_once", "pointer"]

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


def c_function(function: Callable[..., Any], kinds: tuple[Any, ...], cache: bool = True) -> Any:
    """Compile a C function that returns a float64; its ``address`` is valid as long as the result is kept.

    Parameters
    ----------
    function : callable
    kinds : tuple of Numba types
        Of its arguments.
    cache : bool, default True
        Whether it is cached on disk.
    """
    return numba.cfunc(types.float64(*kinds), cache=cache)(function)


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
