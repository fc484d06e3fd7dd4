"""Files for the tests: damaged, hostile, and images."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files and signals")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def pixels(height, width, channels=3, seed=7):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save_image(path, array, **options):
    """Save an image without loss, and return what reading it must give."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return array


def npy_bytes(array, **header):
    """Bytes of a .npy file, its header's entries replaced."""
    stream = io.BytesIO()
    entries = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape, **header}
    text = (repr(entries) + "\n").encode()
    stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + array.tobytes())
    return stream.getvalue()


class Bomb:
    """Unpickling this leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def write_entry(path, content, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("X.npy", content)
