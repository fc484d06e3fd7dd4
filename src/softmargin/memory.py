"""Memory of the process."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["release_freed"]


def release_freed() -> None:
    """Return freed memory to the operating system; the C library of Linux keeps it otherwise.

    After a search in several threads this is about 50 MB in many pieces, beside which the next fit would allocate.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
