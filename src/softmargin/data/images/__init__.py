"""Images of folders, archives and tables."""

from softmargin.data.images.damaged import undamaged
from softmargin.data.images.guard import SUFFIXES
from softmargin.data.images.pictures import SKIP, FilePictures, PixelPictures
from softmargin.data.images.pixels import pixels_of
from softmargin.data.images.reader import FORMAT, OPTIONS, accepts, read

__all__ = [
    "FORMAT", "OPTIONS", "SKIP", "SUFFIXES", "FilePictures", "PixelPictures", "accepts", "pixels_of", "read",
    "undamaged",
]  # fmt: skip
