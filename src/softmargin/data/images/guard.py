"""Image files as they are opened: damaged ones, and those forged to take all memory or time, are refused.

The limits are on what Pillow does in proportion to numbers in the file and not to its size (Pillow 13).
"""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from softmargin.data.files import largest_inflated

__all__ = ["SUFFIXES", "ImageProblem", "image_problems", "open_image", "pillow_warnings", "read_entry"]

# Formats that need nothing but Pillow; EPS and the like would start other programs.
FORMATS = (
    "JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000", "TGA", "QOI",
)  # fmt: skip
SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
        ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".tga", ".qoi",
    )
)  # fmt: skip
LARGEST_FILE = 1 << 28
"""Bytes of an image file in an archive: no more are ever unpacked."""
COMMON_FILE = 1 << 24
"""Bytes that may be unpacked whatever lies in the archive; beyond them no more than twice what lies there."""
_SMALL_FILE = 1 << 16
"""Bytes that are parsed in no time, whatever they are."""
_SLOW_FORMATS = frozenset(("QOI", "BMP", "DIB", "PPM"))
"""Formats of which Pillow reads some pixels one by one."""
_MOST_SLOW_PIXELS = 4_000_000
"""Pixels that may be read so whatever the size of the file, in a few seconds."""
_LARGEST_TILE = 1 << 24
"""Pixels of a TIFF's tile, unless the image has as many."""
_MOST_SCANS = 20
"""Passes over an image of the largest size that a progressive JPEG may ask for; encoders make ten."""
_MOST_STRIPS = 1 << 18
"""Pieces in which a TIFF may keep its pixels; Pillow makes an object of each, whatever the size of the image."""
_TOO_MANY_PIECES = "is made of more pieces than an image of its size"
# How a TIFF begins, and the layout of its directory: where it is, how many tags, and the type and count of each.
# Pillow also takes those whose version is written the wrong way round.
_CLASSIC, _BIG = ("4xI", "H", "2xHI4x"), ("8xQ", "Q", "2xHQ8x")
_TIFF = {
    b"II*\0": ("<", _CLASSIC), b"II\0*": ("<", _CLASSIC), b"MM\0*": (">", _CLASSIC), b"MM*\0": (">", _CLASSIC),
    b"II+\0": ("<", _BIG), b"MM\0+": (">", _BIG),
}  # fmt: skip
_BYTES = (1, 2, 6, 7)
"""Types of tags that stay bytes; of others each value becomes an object (TIFF 6.0, section 2)."""
_TILE_SIDES = (322, 323)


class ImageProblem(Exception):
    """Why an image cannot be used, without the name of the file."""


@contextmanager
def pillow_warnings() -> Iterator[None]:
    """Silence what Pillow warns of, and make an error of images that are too large; for all threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def image_problems() -> Iterator[None]:
    """Raise `ImageProblem` for any error that Pillow raises."""
    try:
        yield
    except ImageProblem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise ImageProblem(f"is too large: more than {limit:,} pixels") from error
    except MemoryError as error:
        raise ImageProblem("does not fit into memory") from error
    except Exception as error:  # Pillow's decoders raise nearly everything on damaged files
        reason = f"{error}" or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "not an image of a known format"
        raise ImageProblem(f"is damaged or cut off ({reason})") from error


def read_entry(archive: zipfile.ZipFile, name: str) -> tuple[bytes, int]:
    """Return the bytes of an entry of a zip archive, and how many they are where they are stored.

    Raises
    ------
    ImageProblem
        The entry is damaged, or its size is not that of an image.
    """
    try:
        entry = archive.getinfo(name)
        n, n_stored = entry.file_size, entry.compress_size
        if n > min(LARGEST_FILE, largest_inflated(n_stored)):
            raise ImageProblem(f"claims {n:,} bytes, which is not the size of an image")
        if n > COMMON_FILE + 2 * n_stored:
            text = f"unpacks to {n:,} bytes from {n_stored:,}, as no image should"
            raise ImageProblem(f"{text}; unpack it into a folder if it is one")
        with archive.open(entry) as member:
            data = member.read(n)
            member.read(1)  # reaching the end is what makes zipfile compare the checksum
            return data, n_stored
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        LookupError,
        ValueError,
    ) as e:
        raise ImageProblem(f"is damaged in its archive ({str(e)[:80]})") from e


def open_image(data: bytes, n_stored: int) -> Image.Image:
    """Open an image, decoding none of its pixels, and refuse those that would keep the decoder busy.

    Parameters
    ----------
    data : bytes
        The file.
    n_stored : int
        Bytes that it takes where it is stored.

    Raises
    ------
    ImageProblem, and whatever Pillow raises.
    """
    if not data:
        raise ImageProblem("is damaged or cut off (the file is empty)")
    if data[:4] in _TIFF and _longest_list(data) > _MOST_STRIPS:
        raise ImageProblem(_TOO_MANY_PIECES)
    image, stream = _open(data, n_stored)
    if image.format == "PNG":  # the one format with checksums, which only verify() looks at
        image.verify()
        del image  # with its texts, before they are read again
        image, stream = _open(data, n_stored)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (image.tag_v2.get(side, 0) for side in _TILE_SIDES)
        if width * height > max(_LARGEST_TILE, image.width * image.height):
            raise ImageProblem("has tiles larger than an image of its size")
    if data[:2] == b"\xff\xd8" and Image.MAX_IMAGE_PIXELS is not None:  # also of several pictures, another format
        n_passes = data.count(b"\xff\xda") * image.width * image.height / Image.MAX_IMAGE_PIXELS
        if n_passes > _MOST_SCANS:
            raise ImageProblem("has more scans than an image of its size")
    if image.format in _SLOW_FORMATS and isinstance(stream, _Stream):
        stream.n_pieces = _MOST_SLOW_PIXELS + 2 * n_stored
    return image


def _open(data: bytes, n_stored: int) -> tuple[Image.Image, io.BytesIO]:
    stream = io.BytesIO(data) if len(data) <= _SMALL_FILE else _Stream(data, n_stored)
    return Image.open(stream, formats=_formats()), stream


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF and others depend on Pillow's build


class _Stream(io.BytesIO):
    """The bytes of an image that are read as images are: in no more pieces, and no more often, than it takes.

    Pillow reads many headers in a loop of Python, which a forged file keeps busy for minutes, and keeps the parts
    of a TIFF, which may all be the same megabytes.
    """

    def __init__(self, data: bytes, n_stored: int) -> None:
        super().__init__(data)
        self.n_pieces = 100_000 + n_stored // 16
        self._n_bytes = COMMON_FILE + 4 * len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.n_pieces -= 1
        self._n_bytes -= len(piece)
        if self.n_pieces < 0 or self._n_bytes < 0:
            raise ImageProblem(_TOO_MANY_PIECES)
        return piece


def _longest_list(data: bytes) -> int:
    """Return how long the longest list of numbers is in the first directory of a TIFF."""
    order, layout = _TIFF[data[:4]]
    start, n_tags, tag = (struct.Struct(order + part) for part in layout)
    try:
        [place] = start.unpack_from(data)
        [n] = n_tags.unpack_from(data, place)
    except (struct.error, OverflowError):  # cut off, which Pillow reports
        return 0
    first = place + n_tags.size
    n = min(n, (len(data) - first) // tag.size)  # Pillow goes on with what is there of a directory cut off
    tags = tag.iter_unpack(data[first : first + n * tag.size])
    return max((count for kind, count in tags if kind not in _BYTES), default=0)
