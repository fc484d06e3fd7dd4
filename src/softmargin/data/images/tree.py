"""What lies in a folder of images: parts, classes and files, in a fixed order."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from softmargin.data.base import counted, shown
from softmargin.data.images.base import SUFFIXES
from softmargin.errors import DataError

__all__ = ["Part", "Tree", "scan"]

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
    top = _list(str(root))
    inner = {name: _list(os.path.join(root, name)) for name in top.folders if name in (TRAIN, TEST)}
    others = set(top.folders) - {TRAIN, TEST}
    has_parts = TRAIN in inner and bool(inner[TRAIN].folders) and (TEST in inner or others <= VALIDATION)
    if not has_parts:
        main, notes = _part(root, "", top)
        return Tree(main, None, notes)
    main, notes = _part(root, TRAIN, inner[TRAIN])
    test = None
    if TEST in inner and inner[TEST].folders:
        test, more = _part(root, TEST, inner[TEST])
        notes += more
    elif TEST in inner:
        others.add(TEST)  # without class folders it has no labels, and nothing can be tested on it
    if others:
        notes += (f"left out of {shown(root.name)}: {', '.join(shown(name) for name in sorted(others))}",)
    return Tree(main, test, notes)


def _part(root: Path, part: str, listed: _Folder) -> tuple[Part, tuple[str, ...]]:
    """Read class folders or, if no folder has an image, the images beside them."""
    where = os.path.join(root, part) if part else str(root)
    prefix = f"{part}/" if part else ""
    classes: dict[str, list[str]] = {}
    n_skipped = listed.n_skipped
    above = set(_ids_above(where))
    for name in listed.folders:
        if _id(os.path.join(where, name)) in above:
            continue  # a link back up: it would make one class of everything
        classes[name] = []
        for file, is_image in _walk(os.path.join(where, name), f"{prefix}{name}", set(above)):
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


def _walk(folder: str, relative: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Yield each file below a folder as its relative path and whether it is an image."""
    waiting = [(folder, relative)]
    while waiting:
        folder, relative = waiting.pop()
        here = _id(folder)
        if here in seen:
            continue
        seen.add(here)
        listed = _list(folder)
        yield from ((f"{relative}/{name}", True) for name in listed.images)
        yield from ((f"{relative}/{n}", False) for n in range(listed.n_skipped))
        waiting.extend((os.path.join(folder, n), f"{relative}/{n}") for n in reversed(listed.folders))


def _list(folder: str) -> _Folder:
    listed = _Folder([], [], 0)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower() in IGNORED:
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
