"""Atomic writes: a file holds either its old or its new content, even if the process is killed.

The bytes go into a temporary file beside the target, which is renamed to the target when all of it is on the disk.
A process that is killed leaves its temporary file behind. Since the process held a lock on it, the next write to
the same target removes every such file without a lock (except on Windows, which lacks such locks).
"""

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO, TypeAlias

if sys.platform != "win32":
    import fcntl

__all__ = ["write_atomically"]

_Bytes: TypeAlias = bytes | bytearray | memoryview

_NAME_CHARACTERS = 50
"""Characters of the target's name in the temporary name: a name may have 255 bytes, and a character four."""


def write_atomically(path: str | os.PathLike[str], data: _Bytes | Iterable[_Bytes]) -> None:
    """Write a file so that a reader sees either the old or the new content.

    Parameters
    ----------
    path : str or path
        The target. A symbolic link is kept, and the file that it points to is replaced. An existing file keeps its
        permissions; those of a new file follow the umask. A pipe or device is written to directly.
    data : bytes, bytearray, memoryview or iterable of these
        The content, whole or in pieces.

    Raises
    ------
    OSError
        The folder is missing, the file is read-only or the disk is full. After any error, also one raised by
        ``data`` or by Ctrl-C, the old file is intact and the temporary file is removed.
    """
    pieces = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
    mode: int | None = None
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
    if mode is not None and not stat.S_ISREG(mode):
        with open(path, "wb") as direct:  # a folder raises an error here
            direct.writelines(pieces)
        return
    target = os.path.realpath(path)
    if mode is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), target)
    folder, name = os.path.split(target)
    prefix = f".{name[:_NAME_CHARACTERS]}."
    _remove_leftovers(folder, prefix)
    temporary, stream = _create_locked(folder, prefix)
    try:
        with stream:
            stream.writelines(pieces)
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            stream.flush()
            os.fsync(stream.fileno())
            if sys.platform != "win32":
                os.replace(temporary, target)  # before the lock is released
        if sys.platform == "win32":
            os.replace(temporary, target)  # Windows cannot rename an open file
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # the file is in place, and some file systems cannot sync a folder
        _sync_folder(folder)


def _create_locked(folder: str, prefix: str) -> tuple[str, BinaryIO]:
    """Create a new file with the umask's permissions and lock it; return its path and the open file."""
    while True:
        temporary = os.path.join(folder, f"{prefix}{secrets.token_hex(8)}.tmp")
        stream = open(temporary, "xb")  # noqa: SIM115 (the caller closes it)
        try:
            if sys.platform != "win32":
                with suppress(OSError):  # without locks, no other writer removes the file
                    fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
            if os.fstat(stream.fileno()).st_nlink > 0:
                return temporary, stream
            stream.close()  # another writer removed it before it was locked
        except BaseException:
            stream.close()
            with suppress(OSError):
                os.unlink(temporary)
            raise


def _remove_leftovers(folder: str, prefix: str) -> None:
    """Remove the temporary files with this prefix that no running process has locked."""
    if sys.platform == "win32":
        return
    pattern = re.compile(re.escape(prefix) + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError), open(entry.path, "rb") as stream:
                    fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)


def _sync_folder(folder: str) -> None:
    """Make a new name in this folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
