"""Decode image files into rows of 8-bit pixels, in threads.

Pillow releases the GIL while it decodes. For small images most of its work is Python code, where more than two
threads bring no speedup.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softmargin.data.dataset import ImageShape, ReadOptions
from softmargin.data.images.guard import ImageProblem, image_problems, open_image, pillow_warnings
from softmargin.errors import DataError
from softmargin.text import printable
from softmargin.threads import usable_cores

__all__ = ["Read", "decode_all"]

GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"))
ALPHA_MODES = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
ORIENTATION_TAG = 0x0112
# The transposition that undoes each EXIF orientation (Exif 2.32, table 6, "Orientation").
T = Image.Transpose
TURN_BACK = dict(
    enumerate(
        (T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_270, T.TRANSVERSE, T.ROTATE_90),
        start=2,
    )
)
_MOST_EXIF = 1 << 20
"""Largest metadata (bytes) that are parsed for the orientation."""

BATCH_FILES = 8
SMALL_IMAGE = 1 << 14  # bytes of pixels
MOST_THREADS = 8  # by default; a disk rarely keeps more threads busy
PROGRESS_EVERY = 0.05  # seconds

Read = Callable[[int], tuple[bytes, int]]
"""Returns the content of a file by its number, and its stored (compressed) size in bytes."""


class _InColour(ImageProblem):
    """The image is in colour, but one channel was requested."""


def decode_all(
    read: Read, names: Sequence[str], options: ReadOptions, subject: str = "Image {}"
) -> tuple[NDArray[np.uint8], ImageShape]:
    """Decode files into the rows of one array.

    Every file is converted to 8 bits per channel: grey if all files are grey, else RGB. Only the first frame is
    used. The EXIF orientation is applied. Alpha is composited over white. 16-bit grey v becomes round(v / 257), so
    that 65535 becomes 255 (for 16-bit colour, Pillow keeps the high byte). CMYK, YCbCr and palettes are converted
    to RGB by Pillow. Resizing is bilinear and antialiased.

    Parameters
    ----------
    read : callable
        May be called from several threads.
    names : sequence of str
        Names of the files, for messages.
    options : ReadOptions
        ``progress`` is called from this thread.
    subject : str
        The start of a message about a file.

    Returns
    -------
    X : ndarray of uint8, shape (N, height * width * channels)
        The result does not depend on the number of threads.
    image_shape : tuple of int (height, width, channels)

    Raises
    ------
    DataError
        For the first file in order that cannot be read; all threads have ended.
    OSError
        A file cannot be read.
    """

    def one(k: int, channels: int | None) -> NDArray[np.uint8]:
        try:
            data, n_stored = read(k)
            with image_problems():
                return _decode(data, n_stored, options.image_size, channels)
        except ImageProblem as problem:
            if isinstance(problem, _InColour) and options.image_channels is None:
                raise
            raise DataError(f"{subject.format(printable(names[k]))} {printable(problem)}.") from problem

    with pillow_warnings():
        try:
            return _decode_rows(one, names, options, options.image_channels)
        except _InColour:
            # The first files were grey and this one is not: start again in RGB. Reading all headers first would
            # not be faster, because opening a small image takes as long as decoding it.
            return _decode_rows(one, names, options, 3)


def _decode_rows(
    one: Callable[[int, int | None], NDArray[np.uint8]],
    names: Sequence[str],
    options: ReadOptions,
    channels: int | None,
) -> tuple[NDArray[np.uint8], ImageShape]:
    first = one(0, channels)
    height, width, channels = first.shape
    n = len(names)
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
                    f"Images must have the same size, but {printable(names[0])} is {height}x{width} (height x "
                    f"width) and {printable(names[k])} is {pixels.shape[0]}x{pixels.shape[1]}; resize them with "
                    f"image_size=(H, W) (--image-size HxW)."
                )
            X[k] = pixels.reshape(-1)
        return batch.stop

    batches = [range(k, min(k + BATCH_FILES, n)) for k in range(1, n, BATCH_FILES)]
    most = 2 if first.size < SMALL_IMAGE and options.image_size is None else MOST_THREADS
    told_at = -np.inf
    with ThreadPoolExecutor(options.n_workers or min(usable_cores(), most)) as pool:
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


def _decode(
    data: bytes, n_stored: int, image_size: tuple[int, int] | None, channels: int | None
) -> NDArray[np.uint8]:
    """Decode one image to an array of shape (height, width, channels)."""
    image = open_image(data, n_stored)
    is_grey = image.mode in GREY_MODES
    if channels == 1 and not is_grey:
        raise _InColour("is in colour, but image_channels is 1")
    wanted = "L" if channels == 1 or (channels is None and is_grey) else "RGB"
    image.load()
    turn = _turn_back(image)
    if image.mode != wanted or "transparency" in image.info:
        image = _to_eight_bits(image, wanted)
    if turn is not None:
        image = image.transpose(turn)
    if image_size is not None and image.size != image_size[::-1]:
        image = image.resize(image_size[::-1], Image.Resampling.BILINEAR)
    return np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, len(wanted))


def _turn_back(image: Image.Image) -> Image.Transpose | None:
    if image.format == "JPEG" and not image.info.keys() & {"exif", "xmp"}:
        return None  # the usual case, for which getexif() would take a tenth of the time
    if any(len(image.info.get(name) or "") > _MOST_EXIF for name in ("exif", "Raw profile type exif")):
        return None
    try:
        return TURN_BACK.get(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata does not make the pixels unusable
        return None


def _to_eight_bits(image: Image.Image, wanted: str) -> Image.Image:
    if image.mode == "F":
        raise ImageProblem("has floating-point pixels, whose range is unknown; convert it to 8 bits")
    if image.mode.startswith("I"):
        image = image.convert("I")
        low, high = image.getextrema()
        if low < 0 or high > 65535:  # type: ignore[operator]
            raise ImageProblem("has pixels of more than 16 bits; convert it to 8 bits")
        image = image.point(lambda v: v * (1 / 257) + 0.5).convert("L")  # the sum is truncated to an integer
    elif image.mode in ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == wanted else image.convert(wanted)
