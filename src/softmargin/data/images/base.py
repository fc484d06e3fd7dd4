"""One image file to 8-bit pixels; also the program that a helper process runs.

Only Pillow and the standard library are imported, and nothing of softmargin: a helper process starts this
file by its path, so that it is ready within a tenth of a second and stays small.
"""

import contextlib
import io
import json
import signal
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO, Literal, TypeAlias

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

__all__ = [
    "SUFFIXES", "Archives", "File", "ImageProblem", "Pixels", "Target", "decode", "decode_batch", "decode_bytes",
    "main",
]  # fmt: skip

File: TypeAlias = str | tuple[str, str]
"""A path, or the path of a zip archive and a name in it."""

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
GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"))
ALPHA_MODES = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
LARGEST_FILE = 1 << 28
"""Bytes of an image file in an archive: no more are ever unpacked."""
COMMON_FILE = 1 << 24
"""Bytes that may be unpacked whatever lies in the archive; beyond them no more than twice what lies there."""
_SMALL_FILE = 1 << 16
"""Bytes that are parsed in no time, whatever they are."""
_PULLING = frozenset(("QOI", "BMP", "DIB", "PPM"))
"""Formats of which Pillow reads some pixels one by one."""
_MOST_PULLED = 4_000_000
"""Pixels that may be read so whatever the size of the file, in a few seconds."""
_LARGEST_TILE = 1 << 24
"""Pixels of a TIFF's tile, unless the image has as many."""
_MOST_EXIF = 1 << 20
"""Bytes of metadata that are looked at for the orientation."""
_MOST_SCANS = 20
"""Passes over an image of the largest size that a progressive JPEG may ask for; encoders make ten."""
_MOST_STRIPS = 1 << 18
"""Pieces in which a TIFF may keep its pixels; Pillow makes an object of each, whatever the size of the image."""
_TOO_MANY_PIECES = "is made of more pieces than an image of its size"
ORIENTATION_TAG = 0x0112
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
# What undoes each EXIF orientation (Exif 2.32, table 6, "Orientation").
TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Target:
    """What every image has to become: ``channels`` 1 or 3, and the size (pixels), by resizing if allowed."""

    height: int
    width: int
    channels: int
    resize: bool


@dataclass(frozen=True)
class Pixels:
    """A decoded image: C-order bytes of (height, width, channels)."""

    data: bytes
    height: int
    width: int
    channels: int


class Archives(contextlib.ExitStack):
    """Zip archives that stay open while files are read from them: their directories are long."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: dict[str, zipfile.ZipFile] = {}

    def opened(self, path: str) -> zipfile.ZipFile:
        """Return the archive of a path, opened once."""
        if path not in self._opened:
            self._opened[path] = self.enter_context(zipfile.ZipFile(path))
        return self._opened[path]


class ImageProblem(Exception):
    """Why an image cannot be used: ``kind`` for the program, the text (without the file) for people."""

    def __init__(self, kind: Literal["broken", "size", "colour"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


def decode(
    file: File,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    archives: Archives | None = None,
) -> Pixels:
    """Decode one image to 8 bits a channel, upright.

    The first frame counts. Orientation from EXIF is applied. Alpha is composited over white. 16-bit grey v
    becomes round(v / 257), so that 65535 becomes 255 (Pillow itself keeps the high byte of 16-bit colour).
    CMYK, YCbCr and palettes become RGB by Pillow's own rules.

    Parameters
    ----------
    file : str, or tuple of str
        Path of the image, or of a zip archive and the name of the image in it.
    image_size : tuple of int (height, width), optional
        Resize to this size (bilinear, antialiased).
    channels : int, optional
        1 for grey, 3 for RGB; by default 1 if the file is stored as grey, else 3.
    archives : Archives, optional
        Those that are open already.

    Raises
    ------
    ImageProblem
        ``broken``: damaged, cut off, too large, or of a kind without a fixed range. ``colour``: one channel
        was asked for and the file is stored in colour.
    OSError
        The file cannot be read.
    """
    with contextlib.ExitStack() as opened:
        archives = opened.enter_context(Archives()) if archives is None else archives
        data, n_stored = _read(file, archives)
        with _problems():
            return _decode(data, n_stored, image_size, channels)


def decode_bytes(data: bytes, image_size: tuple[int, int] | None = None, channels: int | None = None) -> Pixels:
    """Decode the bytes of one image file; everything else as in `decode`."""
    with _problems():
        return _decode(data, len(data), image_size, channels)


@contextlib.contextmanager
def _problems() -> Iterator[None]:
    """Raise `ImageProblem` for whatever Pillow raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except ImageProblem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise ImageProblem("broken", f"is too large: more than {limit:,} pixels") from error
    except MemoryError as error:
        raise ImageProblem("broken", "does not fit into memory") from error
    except Exception as error:  # Pillow's decoders raise nearly everything on damaged files
        reason = f"{error}" or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "not an image of a known format"
        raise ImageProblem("broken", f"is damaged or cut off ({reason})") from error


def decode_batch(files: Iterable[File], target: Target, archives: Archives) -> Iterator[bytes]:
    """Decode images that must all come out alike; the first that does not raises `ImageProblem`."""
    size = (target.height, target.width)
    for file in files:
        try:
            pixels = decode(file, size if target.resize else None, target.channels, archives)
        except OSError as error:
            raise ImageProblem("broken", f"cannot be read ({error.strerror or error})") from error
        if (pixels.height, pixels.width) != size:
            raise ImageProblem("size", f"{pixels.height}x{pixels.width}")
        yield pixels.data


def main() -> None:
    """Serve batches: a JSON line comes in, a JSON line and the pixels go out, until the input ends.

    The input ends when the parent closes it or dies, so a helper never outlives its parent by more than a
    batch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    archives = Archives()
    answers.write(b"ready\n")
    answers.flush()
    for line in requests:
        request = json.loads(line)
        problem = None
        parts: list[bytes] = []
        try:
            parts.extend(decode_batch(map(_as_file, request["files"]), Target(**request["target"]), archives))
        except ImageProblem as error:
            problem = [len(parts), error.kind, str(error)]
        answers.write(json.dumps({"problem": problem}).encode() + b"\n")
        if problem is None:
            answers.writelines(parts)
        answers.flush()


def _as_file(file: str | list[str]) -> File:
    return file if isinstance(file, str) else (file[0], file[1])


def _read(file: File, archives: Archives) -> tuple[bytes, int]:
    """Return the bytes of a file, and how many they are where they are stored."""
    if isinstance(file, str):
        with open(file, "rb") as stream:
            data = stream.read()  # not left to Pillow, which may map the file: it could change under us
        return data, len(data)
    path, name = file
    try:
        archive = archives.opened(path)
        entry = archive.getinfo(name)
        # Deflate cannot expand more than 1032 times, so a size declared beyond that is not true.
        if entry.file_size > LARGEST_FILE or entry.file_size > 1032 * entry.compress_size + 1024:
            raise ImageProblem("broken", f"claims {entry.file_size:,} bytes, which is not the size of an image")
        if entry.file_size > COMMON_FILE + 2 * entry.compress_size:
            n, stored = entry.file_size, entry.compress_size
            text = f"unpacks to {n:,} bytes from {stored:,}, as no image should"
            raise ImageProblem("broken", f"{text}; unpack it into a folder if it is one")
        with archive.open(entry) as member:
            data = member.read(entry.file_size)
            member.read(1)  # reaching the end is what makes zipfile compare the checksum
            return data, entry.compress_size
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        KeyError,
        ValueError,
    ) as error:
        raise ImageProblem("broken", f"is damaged in its archive ({str(error)[:80]})") from error


def _longest_list(data: bytes) -> int:
    """Return how long the longest list of numbers is in the first directory of a TIFF."""
    order, layout = _TIFF[data[:4]]
    start, n_tags, tag = (struct.Struct(order + part) for part in layout)
    try:
        [place] = start.unpack_from(data)
        [n] = n_tags.unpack_from(data, place)
    except (struct.error, OverflowError):  # cut off, which Pillow says
        return 0
    first = place + n_tags.size
    n = min(n, (len(data) - first) // tag.size)  # Pillow goes on with what is there of a directory cut off
    tags = tag.iter_unpack(data[first : first + n * tag.size])
    return max((count for kind, count in tags if kind not in _BYTES), default=0)


class _Stream(io.BytesIO):
    """The bytes of an image that are read as images are: in no more pieces, and no more often, than it takes.

    Pillow reads many headers in a loop of Python, which a forged file keeps busy for minutes, and keeps the parts
    of a TIFF, which may all be the same megabytes.
    """

    def __init__(self, data: bytes, n_stored: int) -> None:
        super().__init__(data)
        self._n_stored = n_stored
        self._n_pieces = 100_000 + n_stored // 16
        self._n_bytes = COMMON_FILE + 4 * len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self._n_pieces -= 1
        self._n_bytes -= len(piece)
        if self._n_pieces < 0 or self._n_bytes < 0:
            raise ImageProblem("broken", _TOO_MANY_PIECES)
        return piece

    def pull(self) -> None:
        """Let pixels be read one by one."""
        self._n_pieces = _MOST_PULLED + 2 * self._n_stored


def _decode(data: bytes, n_stored: int, image_size: tuple[int, int] | None, channels: int | None) -> Pixels:
    if not data:
        raise ImageProblem("broken", "is damaged or cut off (the file is empty)")

    def stream() -> io.BytesIO:
        return io.BytesIO(data) if len(data) <= _SMALL_FILE else _Stream(data, n_stored)

    if data[:4] in _TIFF and _longest_list(data) > _MOST_STRIPS:
        raise ImageProblem("broken", _TOO_MANY_PIECES)
    image = _open(fp := stream())
    if image.format == "PNG":  # the one format with checksums, which only verify() looks at
        image.verify()
        del image  # with its texts, before they are read again
        image = _open(fp := stream())
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (image.tag_v2.get(side, 0) for side in _TILE_SIDES)
        if width * height > max(_LARGEST_TILE, image.width * image.height):
            raise ImageProblem("broken", "has tiles larger than an image of its size")
    if data[:2] == b"\xff\xd8" and Image.MAX_IMAGE_PIXELS is not None:  # also of several pictures, another format
        n_passes = data.count(b"\xff\xda") * image.width * image.height / Image.MAX_IMAGE_PIXELS
        if n_passes > _MOST_SCANS:
            raise ImageProblem("broken", "has more scans than an image of its size")
    if image.format in _PULLING and isinstance(fp, _Stream):
        fp.pull()
    is_grey = image.mode in GREY_MODES
    if channels == 1 and not is_grey:
        raise ImageProblem("colour", "is in colour")
    wanted = "L" if channels == 1 or (channels is None and is_grey) else "RGB"
    image.load()
    turn = _turn_back(image)
    if image.mode != wanted or "transparency" in image.info:
        image = _to_eight_bits(image, wanted)
    if turn is not None:
        image = image.transpose(turn)
    if image_size is not None and image.size != image_size[::-1]:
        image = image.resize(image_size[::-1], Image.Resampling.BILINEAR)
    return Pixels(image.tobytes(), image.height, image.width, 1 if wanted == "L" else 3)


def _open(stream: IO[bytes]) -> Image.Image:
    return Image.open(stream, formats=_formats())


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF and others depend on Pillow's build


def _turn_back(image: Image.Image) -> Image.Transpose | None:
    if image.format == "JPEG" and not image.info.keys() & {"exif", "xmp"}:
        return None  # nearly all images of large sets; parsing nothing would still take a tenth of the time
    if any(len(image.info.get(name) or "") > _MOST_EXIF for name in ("exif", "Raw profile type exif")):
        return None
    try:
        return TURN_BACK.get(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata does not make the picture unusable
        return None


def _to_eight_bits(image: Image.Image, wanted: str) -> Image.Image:
    if image.mode == "F":
        raise ImageProblem(
            "broken", "holds floating-point pixels, which have no fixed range; convert it to 8 bits"
        )
    if image.mode.startswith("I"):
        image = image.convert("I")
        low, high = image.getextrema()
        if low < 0 or high > 65535:  # type: ignore[operator]
            raise ImageProblem("broken", "holds pixels of more than 16 bits; convert it to 8 bits")
        image = image.point(lambda v: v * (1 / 257) + 0.5).convert("L")  # the sum is cut to an integer
    elif image.mode in ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == wanted else image.convert(wanted)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
