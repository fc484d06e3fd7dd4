"""Folders on disk and in archives: what is directly in each of them."""

import os
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from softmargin.data.images.guard import SUFFIXES

__all__ = ["Folder", "Place", "in_archive", "on_disk"]

# Files of file browsers, silently ignored like hidden files.
IGNORED = frozenset(("thumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin"))


@dataclass
class Folder:
    """The sorted names in one directory."""

    images: list[str]
    folders: list[str]
    n_skipped: int


class Place(NamedTuple):
    """Folders on disk or in an archive: functions that list a folder and that identify it if it has two names."""

    list: Callable[[str], Folder]
    identity: Callable[[str], Hashable]


def on_disk() -> Place:
    """Return the folders on disk."""
    return Place(_list_folder, _device_and_inode)


def in_archive(root: Path, names: Iterable[str]) -> Place:
    """Return the folders of an archive with these names of files, which have ``/`` between their parts."""
    folders = _folders_of(str(root), (name for name in names if not _is_ignored(name.split("/"))))
    return Place(folders.__getitem__, str)


def _list_folder(folder: str) -> Folder:
    """List a folder on disk."""
    listed = Folder([], [], 0)
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_ignored([entry.name]):
                continue
            # entry.is_dir() raises for a link that points to itself, os.path.isdir() does not.
            is_link = entry.is_symlink()
            if os.path.isdir(entry.path) if is_link else entry.is_dir():
                listed.folders.append(entry.name)
            elif _is_image(entry.name) and (os.path.isfile(entry.path) if is_link else entry.is_file()):
                listed.images.append(entry.name)
            else:
                listed.n_skipped += 1
    listed.images.sort()
    listed.folders.sort()
    return listed


def _device_and_inode(folder: str) -> Hashable:
    """Return what is equal for two names of the same folder, and differs for different folders."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _folders_of(root: str, names: Iterable[str]) -> dict[str, Folder]:
    """List every folder of an archive, which has no links."""
    folders = {root: Folder([], [], 0)}
    for name in sorted(set(names)):
        *parts, file = name.split("/")
        folder = root
        for part in parts:
            inner = os.path.join(folder, part)
            if inner not in folders:
                folders[inner] = Folder([], [], 0)
                folders[folder].folders.append(part)
            folder = inner
        if _is_image(file):
            folders[folder].images.append(file)
        else:
            folders[folder].n_skipped += 1
    for listed in folders.values():
        listed.folders.sort()
    return folders


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _is_ignored(parts: Iterable[str]) -> bool:
    return any(part.startswith(".") or part.lower() in IGNORED for part in parts)
