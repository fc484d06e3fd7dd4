"""Images of folders, archives and tables."""

from softmargin.data.images.decode import decode_all
from softmargin.data.images.guard import SUFFIXES
from softmargin.data.images.reader import FORMAT, OPTIONS, accepts, read

__all__ = ["FORMAT", "OPTIONS", "SUFFIXES", "accepts", "decode_all", "read"]
