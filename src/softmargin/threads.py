"""What all that share work among threads or processes agree on."""

from __future__ import annotations

import os
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["INLINE_WORK", "blas", "usable_cores"]

INLINE_WORK = 2_000_000
"""Fewer multiplications than this are done before a second thread would have woken."""


def usable_cores() -> int:
    """Return how many cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def blas() -> ThreadpoolController:
    """Return the handle on the threads of BLAS: each of our threads calls it with one thread of its own."""
    return ThreadpoolController()
