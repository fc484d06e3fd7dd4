"""What the methods of an objective have in common: no overflow warnings, and BLAS in the calling thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from softmargin.threads import one_blas_thread

__all__ = ["quietly"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

_TINY = 1 << 16
"""BLAS computes products of up to this many multiplications in the calling thread."""


def quietly(method: _Method) -> _Method:
    """Suppress overflow warnings, and limit BLAS to one thread: its threads would compete with the engine's.

    The method belongs to an object whose ``_engine`` has the shape of the data.
    """

    @np.errstate(over="ignore", invalid="ignore")  # as a decorator, it takes less time than in a `with` statement
    @wraps(method)
    def quiet(self: Any, *arguments: Any, **options: Any) -> Any:
        if self._engine.shape.n_products <= _TINY:
            return method(self, *arguments, **options)
        with one_blas_thread():
            return method(self, *arguments, **options)

    return cast(_Method, quiet)
