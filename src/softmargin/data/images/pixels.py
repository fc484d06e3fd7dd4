"""Pictures as rows of 8-bit pixels, decoded in threads.

Pillow releases the GIL while it decodes. For small images most of its work is Python code, where more than two
threads bring no speedup.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softmargin.data.dataset import ImageShape, ReadOptions
from softmargin.data.images.guard import pillow_warnings
from softmargin.data.images.pictures import ColourError
from softmargin.data.inputs import Inputs
from softmargin.errors import DataError
from softmargin.threads import default_threads

__all__ = ["pixels_of"]

BATCH_FILES = 8
SMALL_IMAGE = 1 << 14  # bytes of pixels
MOST_THREADS = 8  # by default; a disk rarely keeps more threads busy
PROGRESS_EVERY = 0.05  # seconds


def pixels_of(pictures: Inputs, options: ReadOptions) -> tuple[NDArray[np.uint8], ImageShape]:
    """Decode pictures into the rows of one array: grey if all are grey, else RGB.

    Resizing to ``options.image_size`` is bilinear and antialiased.

    Parameters
    ----------
    pictures : Inputs
    options : ReadOptions
        ``progress`` is called from this thread.

    Returns
    -------
    X : ndarray of uint8, shape (N, height * width * channels)
        The result does not depend on the number of threads.
    image_shape : tuple of int (height, width, channels)

    Raises
    ------
    DataError
        For the first picture in order that cannot be read; all threads have ended.
    OSError
        A file cannot be read.
    """
    with pillow_warnings():
        try:
            return _decode_rows(pictures, options, options.image_channels)
        except ColourError:
            if options.image_channels is not None:
                raise
            # The first files were grey and this one is not: start again in RGB. Reading all headers first would
            # not be faster, because opening a small image takes as long as decoding it.
            return _decode_rows(pictures, options, 3)


def _decode_rows(
    pictures: Inputs, options: ReadOptions, channels: int | None
) -> tuple[NDArray[np.uint8], ImageShape]:
    size = None if options.image_size is None else options.image_size[::-1]

    def one(k: int, channels: int | None) -> NDArray[np.uint8]:
        image = pictures.item(k, channels)
        if size is not None and image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, -1)

    first = one(0, channels)
    height, width, channels = first.shape
    n = len(pictures)
    X = np.empty((n, first.size), np.uint8)
    X[0] = first.reshape(-1)
    is_stopped = False

    def decode_batch(batch: range) -> int:
        for k in batch:
            if is_stopped:
                break
            pixels = one(k, channels)
            if pixels.shape != first.shape:
                raise DataError(
                    f"Images must have the same size, but {pictures.label(0)} is {height}x{width} (height x "
                    f"width) and {pictures.label(k)} is {pixels.shape[0]}x{pixels.shape[1]}; resize them with "
                    f"image_size=(H, W) (--image-size HxW)."
                )
            X[k] = pixels.reshape(-1)
        return batch.stop

    batches = [range(k, min(k + BATCH_FILES, n)) for k in range(1, n, BATCH_FILES)]
    most = 2 if first.size < SMALL_IMAGE and options.image_size is None else MOST_THREADS
    told_at = -np.inf
    with ThreadPoolExecutor(options.n_workers or min(default_threads(), most)) as pool:
        try:
            for n_done in pool.map(decode_batch, batches):
                if options.progress is not None and time.monotonic() - told_at >= PROGRESS_EVERY:
                    told_at = time.monotonic()
                    options.progress(n_done, n, "decoding images")
        finally:
            is_stopped = True
            pool.shutdown(cancel_futures=True)
    if options.progress is not None:
        options.progress(n, n, "decoding images")
    return X, (height, width, channels)
