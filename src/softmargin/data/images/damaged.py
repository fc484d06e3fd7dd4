"""Find the images that cannot be decoded, to leave them out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from softmargin.data.dataset import ReadOptions
from softmargin.data.images.guard import pillow_warnings
from softmargin.data.images.pixels import PROGRESS_EVERY
from softmargin.data.inputs import Inputs
from softmargin.errors import CapabilityError, DataError
from softmargin.text import pluralize
from softmargin.threads import default_threads

__all__ = ["undamaged"]


def undamaged(pictures: Inputs, options: ReadOptions) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Decode all pictures once, and return the numbers of those that are not damaged.

    Parameters
    ----------
    pictures : Inputs
    options : ReadOptions
        ``progress`` is called from this thread.

    Returns
    -------
    numbers : ndarray of int64
    notes : tuple of str
        A note with the number of the damaged pictures and their names, if there are any.

    Raises
    ------
    DataError
        All pictures are damaged.
    OSError
        A file cannot be read.
    """

    def is_good(k: int) -> bool:
        try:
            pictures.item(k, None)
        except (DataError, CapabilityError):
            return False
        return True

    n, told_at = len(pictures), -np.inf
    found: list[bool] = []
    with pillow_warnings(), ThreadPoolExecutor(options.n_workers or default_threads()) as pool:
        try:
            for good in pool.map(is_good, range(n)):
                found.append(good)
                if options.progress is not None and time.monotonic() - told_at >= PROGRESS_EVERY:
                    told_at = time.monotonic()
                    options.progress(len(found), n, "checking images")
        finally:
            pool.shutdown(cancel_futures=True)
    names = [pictures.label(k) for k, good in enumerate(found) if not good]
    if len(names) == n:
        raise DataError(f"All {pluralize(n, 'image')} are damaged or of unknown formats, the first is {names[0]}.")
    notes = (f"left out {pluralize(len(names), 'damaged image')} of {n:,}: {', '.join(names)}",) if names else ()
    return np.flatnonzero(found), notes
