"""The contents of a folder of images: parts, classes and files, in a fixed order."""

import os
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from softmargin.data.files import left_out
from softmargin.data.images.guard import SUFFIXES
from softmargin.errors import DataError
from softmargin.text import pluralize, printable

__all__ = ["Part", "Tree", "scan", "scan_names"]

# Files of file browsers, silently ignored like hidden files.
IGNORED = frozenset(("thumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin"))

TRAIN, TEST = "train", "test"
VALIDATION = frozenset(("val", "valid", "validation"))


@dataclass(frozen=True)
class Part:
    """The images of one part: paths relative to the root with ``/``, and their labels (or None)."""

    files: tuple[str, ...]
    labels: tuple[str, ...] | None


@dataclass(frozen=True)
class Tree:
    """A whole folder: the training images, the test images, and notes for the user."""

    main: Part
    test: Part | None
    notes: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all images, with the test images last."""
        return self.main.files + (() if self.test is None else self.test.files)


@dataclass
class _Folder:
    """The sorted names in one directory."""

    images: list[str]
    folders: list[str]
    n_skipped: int


class _Place(NamedTuple):
    """Folders on disk or in an archive: functions that list a folder and that identify it if it has two names."""

    list: Callable[[str], _Folder]
    identity: Callable[[str], Hashable]


def scan(root: Path) -> Tree:
    """Find the images below a folder.

    Classes are sorted by name, files by relative path. Hidden files and folders and files of file browsers are
    ignored. A file is an image if it has the suffix of one. Links to folders are followed, each folder at most
    once per class, and never to a folder that contains it.

    Parameters
    ----------
    root : Path
        ``root/CLASS/**``, or ``root/train/CLASS/**`` with ``root/test/CLASS/**``, or images without class
        folders.

    Raises
    ------
    DataError
        The folder or a class folder has no images.
    OSError
        A folder cannot be read.
    """
    return _scan(root, _Place(_list_folder, _device_and_inode))


def scan_names(root: Path, names: Iterable[str]) -> tuple[Tree, str]:
    """Find the images among the names of an archive, by the same rules.

    Outer folders that contain only one folder are skipped.

    Parameters
    ----------
    root : Path
        The archive, for messages.
    names : iterable of str
        Names of its files, with ``/`` between their parts.

    Returns
    -------
    Tree
    prefix : str
        The skipped outer folders with a final ``/``, or "": the start of every path in the tree.
    """
    names = [name for name in names if not _is_ignored(name.split("/"))]
    prefix = ""
    while True:
        inner = {name[len(prefix) :].partition("/") for name in names}
        heads = {head for head, slash, _ in inner if slash}
        if len(heads) != 1 or any(not slash for _, slash, _ in inner):
            break
        [head] = heads
        below = [name[len(prefix) + len(head) + 1 :] for name in names]
        if head in (TRAIN, TEST) or any("/" not in name for name in below):
            break  # a part, or the only class
        prefix += f"{head}/"
    folders = _folders_of(str(root), [name[len(prefix) :] for name in names])
    return _scan(root, _Place(folders.__getitem__, str)), prefix


def _scan(root: Path, place: _Place) -> Tree:
    top = place.list(str(root))
    inner = {name: place.list(os.path.join(root, name)) for name in top.folders if name in (TRAIN, TEST)}
    others = set(top.folders) - {TRAIN, TEST}
    has_parts = TRAIN in inner and bool(inner[TRAIN].folders) and (TEST in inner or others <= VALIDATION)
    if not has_parts:
        main, notes = _part(root, "", top, place)
        return Tree(main, None, notes)
    main, notes = _part(root, TRAIN, inner[TRAIN], place)
    test = None
    if TEST in inner and inner[TEST].folders:
        test, more = _part(root, TEST, inner[TEST], place)
        notes += more
    elif TEST in inner:
        others.add(TEST)  # without class folders it has no labels
    return Tree(main, test, notes + left_out(root, sorted(others)))


def _part(root: Path, part: str, listed: _Folder, place: _Place) -> tuple[Part, tuple[str, ...]]:
    """Read class folders or, if no folder has an image, the images beside them."""
    where = os.path.join(root, part) if part else str(root)
    prefix = f"{part}/" if part else ""
    classes: dict[str, list[str]] = {}
    n_skipped = listed.n_skipped
    real = Path(os.path.realpath(where))
    above = {place.identity(str(folder)) for folder in (real, *real.parents)}
    for name in listed.folders:
        if place.identity(os.path.join(where, name)) in above:
            continue  # a link to a parent would make one class of all images
        found, n_others = _files_below(os.path.join(where, name), f"{prefix}{name}", set(above), place)
        classes[name] = sorted(found)
        n_skipped += n_others
    notes: tuple[str, ...] = ()
    if n_skipped:
        are = "that is not an image" if n_skipped == 1 else "that are not images"
        notes = (f"skipped {pluralize(n_skipped, 'file')} {are} in {printable(where)}",)

    if not any(classes.values()):
        if listed.images and not part:
            return Part(tuple(listed.images), None), notes
        has = f"{pluralize(len(classes), 'folder')} and {pluralize(n_skipped, 'other file')}"
        raise DataError(f"{printable(where)} has no images; expected one folder of images per class, got {has}.")
    empty = next((name for name, files in classes.items() if not files), None)
    if empty is not None:
        folder = printable(os.path.join(where, empty))
        raise DataError(f"Class folder {folder} has no images; add images or remove the folder.")
    if listed.images:
        notes += (
            f"skipped {pluralize(len(listed.images), 'image')} beside the class folders in {printable(where)}",
        )
    pairs = [(file, name) for name, files in classes.items() for file in files]
    return Part(tuple(file for file, _ in pairs), tuple(name for _, name in pairs)), notes


def _files_below(folder: str, relative: str, seen: set[Hashable], place: _Place) -> tuple[list[str], int]:
    """Return the relative paths of the images below a folder, and the number of other files."""
    images, n_others = [], 0
    waiting = [(folder, relative)]
    while waiting:
        folder, relative = waiting.pop()
        here = place.identity(folder)
        if here in seen:
            continue
        seen.add(here)
        listed = place.list(folder)
        images += [f"{relative}/{name}" for name in listed.images]
        n_others += listed.n_skipped
        waiting.extend((os.path.join(folder, n), f"{relative}/{n}") for n in reversed(listed.folders))
    return images, n_others


def _list_folder(folder: str) -> _Folder:
    """List a folder on disk."""
    listed = _Folder([], [], 0)
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


def _folders_of(root: str, names: Iterable[str]) -> dict[str, _Folder]:
    """List every folder of an archive, which has no links."""
    folders = {root: _Folder([], [], 0)}
    for name in sorted(set(names)):
        *parts, file = name.split("/")
        folder = root
        for part in parts:
            inner = os.path.join(folder, part)
            if inner not in folders:
                folders[inner] = _Folder([], [], 0)
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
