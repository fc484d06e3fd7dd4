"""Open image files safely: refuse damaged files, and files made to exhaust memory or time.

The limits concern work of Pillow that grows with numbers in the file instead of with its size (Pillow 13).
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
from softmargin.text import truncate

__all__ = [
    "COMMON_FILE", "LARGEST_FILE", "SUFFIXES", "ImageProblem", "MissingDecoder", "image_problems", "open_image",
    "pillow_warnings", "read_entry",
]  # fmt: skip

# Formats that Pillow decodes itself; EPS, for example, would start another program.
FORMATS = (
    "JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000", "TGA", "QOI",
)  # fmt: skip
SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
        ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".tga", ".qoi", ".heic", ".heif",
    )
)  # fmt: skip
LARGEST_FILE = 1 << 28
"""Largest size (bytes) to which an image file in an archive is unpacked."""
COMMON_FILE = 1 << 24
"""Size (bytes) to which any entry may be unpacked, plus twice its compressed size."""
_SMALL_FILE = 1 << 16
"""Size (bytes) up to which parsing is fast in any case."""
_SLOW_FORMATS = frozenset(("QOI", "BMP", "DIB", "PPM"))
"""Formats in which Pillow reads some pixels one by one."""
_MOST_SLOW_PIXELS = 4_000_000
"""Number of such pixels that is allowed for any file; they take a few seconds."""
_LARGEST_TILE = 1 << 24
"""Pixels of a TIFF tile that are allowed for an image of any size."""
_MOST_SCANS = 20
"""Scans of a progressive JPEG of the largest size; encoders write ten."""
_MOST_STRIPS = 1 << 18
"""Strips or tiles of a TIFF; Pillow creates an object for each."""
_TOO_MANY_PIECES = "has more pieces than an image of its size should have"
# The first bytes of a TIFF and the layout of its directory: its position, the number of tags, and the type and
# count of each tag. Pillow also accepts a version number in the wrong byte order.
_CLASSIC, _BIG = ("4xI", "H", "2xHI4x"), ("8xQ", "Q", "2xHQ8x")
_TIFF = {
    b"II*\0": ("<", _CLASSIC), b"II\0*": ("<", _CLASSIC), b"MM\0*": (">", _CLASSIC), b"MM*\0": (">", _CLASSIC),
    b"II+\0": ("<", _BIG), b"MM\0+": (">", _BIG),
}  # fmt: skip
_BYTES = (1, 2, 6, 7)
"""Types of tags that Pillow keeps as bytes; in others each value becomes an object (TIFF 6.0, section 2)."""
_TILE_SIDES = (322, 323)
# Brands of ISO base media files (ISO/IEC 23008-12, annex B; AVIF 1.1, section 6).
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_AVIF = frozenset((b"avif", b"avis"))


class ImageProblem(Exception):
    """The reason why an image cannot be used, without the name of the file."""


class MissingDecoder(ImageProblem):
    """The format of the image needs an optional package."""


@contextmanager
def pillow_warnings() -> Iterator[None]:
    """Suppress the warnings of Pillow, except that too large images become an error, in all threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def image_problems() -> Iterator[None]:
    """Convert any error of Pillow to an `ImageProblem`."""
    try:
        yield
    except ImageProblem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise ImageProblem(f"is too large (more than {limit:,} pixels)") from error
    except MemoryError as error:
        raise ImageProblem("does not fit into memory") from error
    except Exception as error:  # for damaged files, Pillow's decoders raise errors of many types
        reason = f"{error}" or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "not an image of a known format"
        raise ImageProblem(f"is damaged or truncated ({reason})") from error


def read_entry(archive: zipfile.ZipFile, name: str) -> tuple[bytes, int]:
    """Return the content of an entry of a zip archive, and its compressed size.

    Raises
    ------
    ImageProblem
        The entry is damaged, or its size is not plausible for an image.
    """
    try:
        entry = archive.getinfo(name)
        n, n_stored = entry.file_size, entry.compress_size
        if n > min(LARGEST_FILE, largest_inflated(n_stored)):
            raise ImageProblem(f"claims {n:,} bytes, too many for an image")
        if n > COMMON_FILE + 2 * n_stored:
            text = f"unpacks to {n:,} bytes from {n_stored:,}, too many for an image"
            raise ImageProblem(f"{text}; if it is one, unpack it into a folder")
        with archive.open(entry) as member:
            data = member.read(n)
            member.read(1)  # only at the end does zipfile compare the checksum
            return data, n_stored
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, LookupError, ValueError) as error:
        raise ImageProblem(f"is damaged in its archive ({truncate(str(error), 80)})") from error


def open_image(data: bytes, n_stored: int) -> Image.Image:
    """Open an image without decoding its pixels, and refuse one that would take the decoder too long.

    Parameters
    ----------
    data : bytes
        The content of the file.
    n_stored : int
        Its stored (compressed) size in bytes.

    Raises
    ------
    ImageProblem, or any error of Pillow.
    """
    if not data:
        raise ImageProblem("is damaged or truncated (the file is empty)")
    if data[:4] in _TIFF and _longest_list(data) > _MOST_STRIPS:
        raise ImageProblem(_TOO_MANY_PIECES)
    image, stream = _open(data, n_stored)
    if image.format == "PNG":  # the only format with checksums, which only verify() compares
        image.verify()
        del image  # frees its texts before they are read again
        image, stream = _open(data, n_stored)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (image.tag_v2.get(side, 0) for side in _TILE_SIDES)
        if width * height > max(_LARGEST_TILE, image.width * image.height):
            raise ImageProblem("has larger tiles than an image of its size should have")
    if data[:2] == b"\xff\xd8" and Image.MAX_IMAGE_PIXELS is not None:  # JPEG, also with several pictures (MPO)
        n_passes = data.count(b"\xff\xda") * image.width * image.height / Image.MAX_IMAGE_PIXELS
        if n_passes > _MOST_SCANS:
            raise ImageProblem("has more scans than an image of its size should have")
    if image.format in _SLOW_FORMATS and isinstance(stream, _Stream):
        stream.n_pieces = _MOST_SLOW_PIXELS + 2 * n_stored
    return image


def _open(data: bytes, n_stored: int) -> tuple[Image.Image, io.BytesIO]:
    stream = io.BytesIO(data) if len(data) <= _SMALL_FILE else _Stream(data, n_stored)
    formats = _formats()
    if data[4:8] == b"ftyp":  # ISO base media file: its brand is the format
        brand = data[8:12]
        if brand in _HEIC:
            if not _heif():
                raise _missing("a HEIC image", "pillow-heif")
            formats = ("HEIF",)
        elif brand in _AVIF and "AVIF" not in formats:
            raise _missing("an AVIF image", "pillow>=11.3")
    return Image.open(stream, formats=formats), stream


def _missing(kind: str, package: str) -> MissingDecoder:
    return MissingDecoder(
        f"is {kind}, which needs the package {package}; install it with: python -m pip install {package}"
    )


@cache
def _heif() -> bool:
    """Register the optional decoder of HEIC images, and return whether it is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(
        name for name in FORMATS if name in Image.OPEN
    )  # some, such as AVIF, depend on the build of Pillow


class _Stream(io.BytesIO):
    """The content of an image file, with limits of the number of reads and of the bytes read.

    Pillow parses many headers in a Python loop that a forged file can keep busy for minutes. It also keeps all
    tags of a TIFF in memory, which may all refer to the same megabytes.
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
    """Return the length of the longest list of numbers in the first directory of a TIFF."""
    order, layout = _TIFF[data[:4]]
    start, n_tags, tag = (struct.Struct(order + part) for part in layout)
    try:
        [place] = start.unpack_from(data)
        [n] = n_tags.unpack_from(data, place)
    except (struct.error, OverflowError):  # truncated, which Pillow reports
        return 0
    first = place + n_tags.size
    n = min(n, (len(data) - first) // tag.size)  # Pillow reads a truncated directory as far as it goes
    tags = tag.iter_unpack(data[first : first + n * tag.size])
    return max((count for kind, count in tags if kind not in _BYTES), default=0)
