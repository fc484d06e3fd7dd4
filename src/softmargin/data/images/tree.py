"""What lies in a folder of images: parts, classes and files, in a fixed order."""

import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from softmargin.data.base import counted, shown
from softmargin.data.images.base import SUFFIXES
from softmargin.errors import DataError

__all__ = ["Part", "Tree", "scan", "scan_names"]

# Litter of file browsers, passed over without a word like hidden files.
IGNORED = frozenset(("thumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin"))

TRAIN, TEST = "train", "test"
VALIDATION = frozenset(("val", "valid", "validation"))


@dataclass(frozen=True)
class Part:
    """The images of one part: paths relative to the root with ``/``, and a label each (or None)."""

    files: tuple[str, ...]
    labels: tuple[str, ...] | None


@dataclass(frozen=True)
class Tree:
    """A whole folder: the images to learn from, those set aside, and sentences about what was decided."""

    main: Part
    test: Part | None
    notes: tuple[str, ...]


@dataclass
class _Folder:
    """One directory, listed: sorted names."""

    images: list[str]
    folders: list[str]
    n_skipped: int


def scan(root: Path) -> Tree:
    """Find the images below a folder.

    Classes are sorted by name, files by relative path. Hidden files and folders and the litter of file
    browsers are passed over. A file is an image if its name ends like one. Links to folders are followed,
    each folder at most once a class, and never back to one that contains it.

    Parameters
    ----------
    root : Path
        ``root/CLASS/**``, or ``root/train/CLASS/**`` with ``root/test/CLASS/**``, or images without class
        folders.

    Raises
    ------
    DataError
        There is no image, a class folder has none, or a folder cannot be read.
    """
    return _scan(root, _Disk())


def scan_names(root: Path, names: Iterable[str]) -> tuple[Tree, str]:
    """Find the images among the names of an archive, by the same rules.

    Folders that hold nothing but one folder (as where the archive is of a folder) are gone through.

    Parameters
    ----------
    root : Path
        The archive, for messages.
    names : iterable of str
        Of its files, with ``/`` between their parts.

    Returns
    -------
    Tree
    prefix : str
        What stands before the relative paths of the tree: "", or folders and a ``/``.
    """
    names = [name for name in names if not _is_passed_over(name.split("/"))]
    prefix = ""
    while True:
        inner = {name[len(prefix) :].partition("/") for name in names}
        heads = {head for head, slash, _ in inner if slash}
        if len(heads) != 1 or any(not slash for _, slash, _ in inner):
            break
        [head] = heads
        below = [name[len(prefix) + len(head) + 1 :] for name in names]
        if head in (TRAIN, TEST) or any("/" not in name for name in below):
            break  # a part, or the one class that there is
        prefix += f"{head}/"
    return _scan(root, _Archive(str(root), [name[len(prefix) :] for name in names])), prefix


def _scan(root: Path, place: "_Disk | _Archive") -> Tree:
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
        others.add(TEST)  # without class folders it has no labels, and nothing can be tested on it
    if others:
        notes += (f"left out of {shown(root.name)}: {', '.join(shown(name) for name in sorted(others))}",)
    return Tree(main, test, notes)


def _part(root: Path, part: str, listed: _Folder, place: "_Disk | _Archive") -> tuple[Part, tuple[str, ...]]:
    """Read class folders or, if no folder has an image, the images beside them."""
    where = os.path.join(root, part) if part else str(root)
    prefix = f"{part}/" if part else ""
    classes: dict[str, list[str]] = {}
    n_skipped = listed.n_skipped
    above = place.above(where)
    for name in listed.folders:
        if place.identity(os.path.join(where, name)) in above:
            continue  # a link back up: it would make one class of everything
        classes[name] = []
        for file, is_image in _walk(os.path.join(where, name), f"{prefix}{name}", set(above), place):
            if is_image:
                classes[name].append(file)
            else:
                n_skipped += 1
        classes[name].sort()
    notes: tuple[str, ...] = ()
    if n_skipped:
        are = "that is not an image" if n_skipped == 1 else "that are not images"
        notes = (f"skipped {counted(n_skipped, 'file')} {are} in {shown(where)}",)

    if not any(classes.values()):
        if listed.images and not part:
            return Part(tuple(listed.images), None), notes
        has = f"found {counted(len(classes), 'folder')} and {counted(n_skipped, 'other file')}"
        raise DataError(
            f"{shown(where)} holds no image; expected folders named after the classes with images in them, {has}."
        )
    empty = [name for name, files in classes.items() if not files]
    if empty:
        folder = shown(os.path.join(where, empty[0]))
        raise DataError(f"the class folder {folder} holds no image; fill it, or remove it.")
    if listed.images:
        notes += (f"skipped {counted(len(listed.images), 'image')} beside the class folders in {shown(where)}",)
    files = tuple(file for name in classes for file in classes[name])
    labels = tuple(name for name in classes for _ in classes[name])
    return Part(files, labels), notes


def _walk(
    folder: str, relative: str, seen: set[Hashable], place: "_Disk | _Archive"
) -> Iterator[tuple[str, bool]]:
    """Yield each file below a folder as its relative path and whether it is an image."""
    waiting = [(folder, relative)]
    while waiting:
        folder, relative = waiting.pop()
        here = place.identity(folder)
        if here in seen:
            continue
        seen.add(here)
        listed = place.list(folder)
        yield from ((f"{relative}/{name}", True) for name in listed.images)
        yield from ((f"{relative}/{n}", False) for n in range(listed.n_skipped))
        waiting.extend((os.path.join(folder, n), f"{relative}/{n}") for n in reversed(listed.folders))


class _Disk:
    """Folders on disk."""

    def list(self, folder: str) -> _Folder:
        """Return what lies in a folder."""
        listed = _Folder([], [], 0)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_passed_over([entry.name]):
                        continue
                    if _is_folder(entry):
                        listed.folders.append(entry.name)
                    elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and _is_file(entry):
                        listed.images.append(entry.name)
                    else:
                        listed.n_skipped += 1
        except OSError as error:
            raise DataError(f"the folder {shown(folder)} cannot be read: {error.strerror}.") from error
        listed.images.sort()
        listed.folders.sort()
        return listed

    def identity(self, folder: str) -> Hashable:
        """Return what two names of the same folder have in common."""
        return _id(folder)

    def above(self, folder: str) -> set[Hashable]:
        """Return the identities of a folder and of every folder that contains it."""
        return set(_ids_above(folder))


class _Archive:
    """Folders in an archive, which has no links."""

    def __init__(self, root: str, names: Iterable[str]) -> None:
        self._folders: dict[str, _Folder] = {root: _Folder([], [], 0)}
        for name in sorted(set(names)):
            *parts, file = name.split("/")
            folder = root
            for part in parts:
                inner = os.path.join(folder, part)
                if inner not in self._folders:
                    self._folders[inner] = _Folder([], [], 0)
                    self._folders[folder].folders.append(part)
                folder = inner
            if os.path.splitext(file)[1].lower() in SUFFIXES:
                self._folders[folder].images.append(file)
            else:
                self._folders[folder].n_skipped += 1
        for listed in self._folders.values():
            listed.folders.sort()

    def list(self, folder: str) -> _Folder:
        """Return what lies in a folder."""
        return self._folders[folder]

    def identity(self, folder: str) -> Hashable:
        """Return the folder itself."""
        return folder

    def above(self, folder: str) -> set[Hashable]:
        """Return nothing: no folder contains itself."""
        return set()


def _is_passed_over(parts: Iterable[str]) -> bool:
    return any(part.startswith(".") or part.lower() in IGNORED for part in parts)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    # entry.is_dir() raises on a link that leads to itself, os.path.isdir() does not.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _is_file(entry: "os.DirEntry[str]") -> bool:
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def _id(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _ids_above(folder: str) -> Iterator[tuple[int, int]]:
    """Yield the identity of a folder and of every folder that contains it."""
    real = os.path.realpath(folder)
    while True:
        yield _id(real)
        if (parent := os.path.dirname(real)) == real:
            return
        real = parent
