"""Decode image files into upright pictures with 8 bits per channel."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from softmargin.data.images.guard import ImageProblem, open_image

__all__ = ["InColour", "Read", "decode"]

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

Read = Callable[[int], tuple[bytes, int]]
"""Returns the content of a file by its number, and its stored (compressed) size in bytes."""


class InColour(ImageProblem):
    """The image is in colour, but one channel was requested."""


def decode(data: bytes, n_stored: int, channels: int | None) -> Image.Image:
    """Decode the first frame of an image file.

    The EXIF orientation is applied. Alpha is composited over white. 16-bit grey v becomes round(v / 257), so that
    65535 becomes 255 (for 16-bit colour, Pillow keeps the high byte). CMYK, YCbCr and palettes are converted to
    RGB by Pillow.

    Parameters
    ----------
    data : bytes
        The content of the file.
    n_stored : int
        Its stored (compressed) size in bytes.
    channels : 1, 3 or None
        1: grey; 3: RGB; None: grey if the image is.

    Raises
    ------
    InColour
        One channel was requested of an image in colour.
    ImageProblem, or any error of Pillow.
    """
    image = open_image(data, n_stored)
    is_grey = image.mode in GREY_MODES
    if channels == 1 and not is_grey:
        raise InColour("is in colour, but image_channels is 1")
    wanted = "L" if channels == 1 or (channels is None and is_grey) else "RGB"
    image.load()
    turn = _turn_back(image)
    if image.mode != wanted or "transparency" in image.info:
        image = _to_eight_bits(image, wanted)
    return image if turn is None else image.transpose(turn)


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
