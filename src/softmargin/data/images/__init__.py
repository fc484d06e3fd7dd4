"""Images of folders, archives and tables."""

from softmargin.data.images.guard import SUFFIXES
from softmargin.data.images.pictures import FilePictures, PixelPictures
from softmargin.data.images.pixels import pixels_of
from softmargin.data.images.reader import FORMAT, OPTIONS, accepts, read

__all__ = ["FORMAT", "OPTIONS", "SUFFIXES", "FilePictures", "PixelPictures", "accepts", "pixels_of", "read"]
